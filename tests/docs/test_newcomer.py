"""From a fresh clone to a FAIL verdict on one's own wrong inference program, by the README's commands alone."""

import os
import re
import subprocess

import pytest
from conftest_docs import REPOSITORY, show

README = (REPOSITORY / "README.md").read_text()
SECTION = README.partition("## From a fresh clone to a verdict")[2].partition("\n## ")[0]
COMMANDS = re.findall(
    r"^\$ (.*?)\s*(?:#.*)?$", re.search(r"```console newcomer\n(.*?)```", SECTION, re.S)[1], re.M
)
PROMISED = re.findall(
    r"```\n(.*?)```", SECTION.partition("```console")[2].partition("```")[2], re.S
)[0]


def test_it_takes_six_commands_at_most():
    assert len(COMMANDS) <= 6
    assert COMMANDS[0].startswith("git clone") and COMMANDS[1].startswith("make ")
    assert COMMANDS[-1].startswith("facelab gate")


def check_verdict(done, folder):
    """The verdict is FAIL, for the cause that README shows, and the page is there."""
    assert done.returncode == 1, show(done)
    for line in PROMISED.splitlines():
        if re.match(r"FAIL| +fix", line):
            shown = line.removesuffix("…")  # README cuts a long line there
            said = [found[: len(shown)] for found in done.stdout.splitlines()[-30:]]
            assert shown in said, f"README shows {line!r}\n{show(done)}"
    page = (folder / "gate.html").read_text()
    assert "FAIL" in page and "channel order" in page


def test_the_facelab_commands_end_in_the_verdict_that_readme_shows(shell, tmp_path):
    *before, last = [c for c in COMMANDS if c.startswith("facelab")]
    for line in before:
        done = shell(line)
        assert done.returncode == 0, show(done)
    check_verdict(shell(last), tmp_path)


def test_a_program_fixed_as_the_gate_says_passes(shell, tmp_path):
    program = tmp_path / "examples" / "python" / "device.py"
    program.write_text(
        program.read_text().replace("cv2.imread(path)", "cv2.imread(path)[..., ::-1]")
    )
    for line in [c for c in COMMANDS if c.startswith("facelab")]:
        done = shell(line)
    assert done.returncode == 0 and "PASS: mtcnn-onet" in done.stdout, show(done)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(
    not os.environ.get("FACELAB_TEST_FRESH_CLONE"),
    reason="installs the environment again from the package index: set FACELAB_TEST_FRESH_CLONE=1",
)
def test_the_very_commands_in_a_fresh_clone_and_an_empty_home(tmp_path):
    (tmp_path / "home").mkdir()
    script = "\n".join(["set -e", *COMMANDS[:-1], "set +e", COMMANDS[-1]]).replace(
        "REPOSITORY", str(REPOSITORY)
    )
    kept = (
        "PATH",
        "LANG",
        "TMPDIR",
        "PIP_INDEX_URL",
        "PIP_CONFIG_FILE",
        "UV_DEFAULT_INDEX",
        "SSL_CERT_FILE",
    )
    env = {"HOME": str(tmp_path / "home"), **{k: v for k, v in os.environ.items() if k in kept}}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=1700
    )
    check_verdict(done, tmp_path / "facelab")
