"""The fork that runs documented lines answers as a process from its start does, and ends as one does."""

import re

import pytest
from conftest_docs import show

ALIKE = (
    "facelab --help",
    "facelab fingerprint compare train.json infer.json --json",
    "facelab gate bundle/ --inference infer.json --policy policy.toml",
    "facelab bundle verify bundle --json",
    "facelab index status people --json",
    "facelab evl",
    "facelab fingerprint compare missing.json infer.json",
    "facelab match search --gallery G.npy --queries Q.npy -k 3 --out R.npz",
)
"""Lines with exit codes 0, 1 and 2, with and without numpy, models, compiled code and files to write."""


def said(text):
    """Return what a line printed, without durations and times of day."""
    return re.sub(r"\d+(\.\d+)? ?(ms|s)\b|\d{4}-\d\d-\d\dT[\d:.]+Z?", "#", text)


@pytest.mark.parametrize("line", ALIKE)
def test_a_fork_answers_as_a_whole_process_does(line, shell):
    warm, whole = shell(line), shell(line, whole=True)
    assert warm.returncode == whole.returncode, show(warm)
    assert said(warm.stdout) == said(whole.stdout)
    assert said(warm.stderr) == said(whole.stderr)


def test_a_line_that_does_not_end_is_ended_and_the_next_one_runs(shell, tmp_path):
    with pytest.raises(TimeoutError):
        shell("facelab serve --port 0", timeout=3)
    assert shell("facelab --version").returncode == 0


def test_nothing_of_one_line_reaches_the_next(shell, monkeypatch):
    assert shell("facelab assets list").returncode == 0
    monkeypatch.setenv("FACELAB_MIRROR", "/nowhere/at/all")
    changed = shell("facelab doctor --quick").stdout
    monkeypatch.delenv("FACELAB_MIRROR")
    assert shell("facelab doctor --quick").stdout != changed
