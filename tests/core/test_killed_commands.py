"""Commands that start processes, killed at random moments: nothing goes on, nothing half-written counts as whole."""

import ast
import os
import signal
import time
from pathlib import Path

import pytest

from tests.core.kills import LIMIT_S, family, kill_at, line_of, start
from tests.core.processes import shared_memory

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "facelab"
ALLOWED = {
    "core/lifetime.py": "it is the way",
    "reproduce/_runner.py": "git describe, with a limit of 20 s",
    "budget/_groups.py": "writes one number and ends",
    "index/metadata/_namespaces.py": "the command ip, with a limit of 30 s",
    "feedback/schedule/_player.py": "reads its owner's channel, which closes with it",
    "studies/feedback_schedule.py": "reads its owner's pipe, which closes with it",
    "studies/planted/_clock.py": "sets a clock and ends at once",
    "studies/planted_delays.py": "hogs read their owner's pipe, which closes with it",
    "serving/pools/_local.py": "asks the kernel to end the server with its owner",
    "serving/releases/_tester.py": "asks the kernel to end it with its owner; reads its owner's pipe",
    "camera/process/_capture.py": "asks the kernel to end it with its owner; reads its owner's pipe",
}
"""Files that start processes by other means, and why these end with their owner."""


def starts_processes(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = f"{getattr(node.func.value, 'id', '')}.{node.func.attr}"
            if name in {
                "subprocess.run",
                "subprocess.Popen",
                "subprocess.check_output",
                "os.system",
            }:
                return True
    return False


def test_whoever_starts_processes_lets_them_end_with_their_owner():
    found = {
        p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py") if starts_processes(p)
    }
    assert found <= set(ALLOWED), "start them through facelab.core.lifetime"


@pytest.fixture
def env(tmp_path):
    return {
        **os.environ,
        "FACELAB_DATA": str(tmp_path / "data"),
        "FACELAB_MODELS": str(tmp_path / "models"),
    }


def test_data_synth_killed_leaves_nothing_and_is_taken_up_again(tmp_path, env):
    out = tmp_path / "faces"
    command = [
        "data",
        "synth",
        "--set",
        "emotion",
        "--out",
        str(out),
        "--workers",
        "2",
        "--size",
        "64",
    ]
    count = 0
    for seconds in (4, 7, 12):
        if count < 3:
            kill = kill_at([*command, "--n", "4000"], seconds, env, REPOSITORY)
            count = kill.processes
            assert kill.left == ()
    assert count >= 3, "no worker was started"
    assert not (out / "manifest.json").exists(), "a part of a set is not a set"


@pytest.mark.slow
def test_workers_end_with_a_command_that_is_killed_together_with_its_guard(tmp_path, env):
    """Nobody was left to end them: two workers and their semaphores were there for good."""
    command = [
        "data",
        "synth",
        "--set",
        "emotion",
        "--n",
        "4000",
        "--size",
        "64",
        "--workers",
        "2",
        "--out",
    ]
    process, token = start([*command, str(tmp_path / "o")], env, tmp_path)
    until = time.monotonic() + 60

    def workers():
        return [p for p, _ in family(token, process.pid) if "loky" in line_of(p)]

    while len(workers()) < 3:  # two of them and their resource tracker
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    time.sleep(2)  # until each has its first job
    below = family(token, process.pid)
    for victim in [process.pid, *(p for p, _ in below if "guard.py" in line_of(p))]:
        os.kill(victim, signal.SIGKILL)
    process.wait()
    end = time.monotonic() + LIMIT_S
    while (left := family(token, process.pid)) and time.monotonic() < end:
        time.sleep(0.1)
    assert [line_of(p) for p, _ in left] == []
    assert shared_memory(process.pid) == []
