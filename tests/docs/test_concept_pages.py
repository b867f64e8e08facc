"""Concept pages: each has its picture, drawn by the code; links lead somewhere; every command in them runs."""

import importlib.util
import re
import subprocess
import sys

import pytest
from conftest_docs import REPOSITORY, show

DOCS = REPOSITORY / "docs"


def drawing_tool():
    """Return docs/tools/pictures.py as a module; it is not part of the package."""
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "tools" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


doc_pictures = drawing_tool()
PAGES = sorted(DOCS.rglob("*.md"))
README = [p for p in (REPOSITORY / "README.md",) if p.is_file()]
SLOW = ("facelab doctor", "facelab match bench", "facelab eval detector")
SKIPPED = {
    "network": "asks an official address",
    "cluster": "needs a cluster",
    "slow": "takes more than seconds",
    "newcomer": "followed by test_newcomer.py",
    "go": "followed by test_go_package.py",
}
"""Words after ```console: why a block is not run by the default tests."""


def blocks():
    """Yield (page, words after `console`, command) for each `$ ` line of a console block."""
    for page in [*PAGES, *README]:
        for words, body in re.findall(
            r"^```console([^\n]*)\n(.*?)^```", page.read_text(), re.M | re.S
        ):
            block = [line[2:] for line in body.splitlines() if line.startswith("$ ")]
            assert block, f"{page.name}: a console block without a command"
            yield page, words.split(), block


BLOCKS = list(blocks())


def test_there_is_a_page_for_each_question_and_each_has_its_picture():
    for name in doc_pictures.PICTURES:
        (page,) = DOCS.rglob(f"{name}.md")
        text = page.read_text()
        assert text.startswith("# ") and "?" in text.splitlines()[0], (
            f"{name}: the title is not a question"
        )
        assert f"(../img/{name}.png)" in text
        assert len(text.splitlines()) <= 60, f"{name}: more than a screen or so"
        picture = DOCS / "img" / f"{name}.png"
        assert (
            picture.read_bytes()[:4] == b"\x89PNG"
            and picture.stat().st_size < doc_pictures.MOST_BYTES
        )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow] if n == "adding-a-detector" else [])
        for n in doc_pictures.PICTURES
    ],
)
def test_the_code_draws_each_picture(name, tmp_path):
    import numpy as np
    from PIL import Image

    new = np.asarray(Image.open(doc_pictures.draw(name, tmp_path)).convert("L"), float)
    old = np.asarray(Image.open(DOCS / "img" / f"{name}.png").convert("L"), float)
    assert new.std() > 5  # not an empty page
    # fonts differ between machines, and the cluster's picture with the plan: the form must agree, not each pixel
    if name != "running-on-a-cluster":
        assert abs(new.shape[1] / new.shape[0] - old.shape[1] / old.shape[0]) < 0.15


@pytest.mark.parametrize("page", [*PAGES, *README], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


ROOTS = ("facelab/", "tests/", "docs/", "notebooks/", "examples/", "requirements/")
DOCUMENTS = [*PAGES, *README, *(REPOSITORY / n for n in ("CONTRIBUTING.md", "SECURITY.md"))]


@pytest.mark.parametrize("page", [p for p in DOCUMENTS if p.is_file()], ids=lambda p: p.name)
def test_files_that_a_page_names_exist(page):
    """Moved files are found neither by links nor by commands: pages name them in code spans."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    named = [n for n in re.findall(r"`([\w./-]+)`", prose) if n.startswith(ROOTS)]
    named += [f"**/{n}" for n in re.findall(r"`(\w+\.py)`", prose) if n != "numpy.py"]
    gone = [n for n in named if not any(REPOSITORY.glob(n.rstrip("/")))]
    assert not gone


def _commands(page, *, slow: bool) -> list[str]:
    """The page's facelab commands that tests can run, in order: all, or (by default) those that take seconds."""
    found = []
    for where, words, block in BLOCKS:
        assert not set(words) - set(SKIPPED), f"{page.name}: unknown mark in {words}"
        if where == page and not set(words) & {"network", "cluster", "newcomer", "go"}:
            found += [
                (line, "slow" in words or line.startswith(SLOW))
                for line in block
                if line.startswith("facelab ")
            ]
    return (
        [line for line, long in found if slow or not long]
        if not slow or any(x for _, x in found)
        else []
    )


def _run(page, lines, shell, request, monkeypatch):
    if any(word in line for line in lines for word in ("yunet", "--model haar", "assets verify")):
        monkeypatch.setenv("FACELAB_MIRROR", str(request.getfixturevalue("assets")))
    for line in lines:
        done = shell(line)
        # a doctor may find something missing, a comparison and a gate may find a difference: all are answers
        answers = (
            (0, 1)
            if re.match("facelab (doctor|fingerprint compare|gate my-bundle)", line)
            else (0,)
        )
        assert done.returncode in answers, f"{page.name}: {line}\n{show(done)}"
        assert "Traceback" not in done.stderr


WITH_COMMANDS = [p for p in [*PAGES, *README] if _commands(p, slow=False)]
WITH_SLOW = [p for p in [*PAGES, *README] if _commands(p, slow=True)]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda p: p.name)
def test_every_command_runs(page, shell, request, monkeypatch):
    _run(page, _commands(page, slow=False), shell, request, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_SLOW, ids=lambda p: p.name)
def test_every_command_runs_the_slow_ones_too(page, shell, request, monkeypatch):
    _run(page, _commands(page, slow=True), shell, request, monkeypatch)


def test_the_python_of_the_tutorial_runs(tmp_path):
    text = (DOCS / "tutorial" / "first-hour.md").read_text()
    program = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:facelab", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "[0 1 2 3 4]" in done.stdout
