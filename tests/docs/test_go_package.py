"""The README's five commands: from a model to a Go package whose tests pass against golden tensors."""

import re
import shutil
import subprocess

import pytest
from conftest_docs import REPOSITORY, show

COMMANDS = re.findall(
    r"^\$ (.*)$",
    re.search(r"```console go\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.S)[1],
    re.M,
)


def test_there_are_five_commands():
    assert len(COMMANDS) == 5
    assert COMMANDS[0].startswith("facelab bundle") and "go test ./..." in COMMANDS


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go tool chain (Debian: golang-go)")
def test_the_commands_end_in_a_go_test_that_passes(shell, tmp_path):
    done = shell(COMMANDS[0])
    assert done.returncode == 0, show(done)
    folder = tmp_path / COMMANDS[1].removeprefix("cd ")
    for command in COMMANDS[2:]:
        done = subprocess.run(
            command, shell=True, cwd=folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{command}\n{show(done)}"
    assert "BenchmarkRun" in done.stdout and "0 allocs/op" in done.stdout
