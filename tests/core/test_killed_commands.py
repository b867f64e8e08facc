"""Commands that start processes, killed at random moments: nothing goes on, nothing half-written counts as whole."""

import ast
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facelab.core import guard, lifetime
from facelab.core.png import encode_png
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


def tree_of(root):
    """Return {(process, its start)} of everything below a process, and of what carries its tokens."""
    found = set(guard.descendants(root))
    tokens = set()
    for process in found:
        with contextlib.suppress(OSError):
            for word in (
                Path(f"/proc/{process}/environ").read_bytes().decode("utf-8", "replace").split("\0")
            ):
                if word.startswith(f"{lifetime.FAMILY}="):
                    tokens.update(word.partition("=")[2].split(":"))
    mine = set(os.environ.get(lifetime.FAMILY, "").split(":"))
    for token in tokens - mine:
        found.update(guard.family(token))
    return {(p, s) for p in found if (s := lifetime.process_start(p))}


def kill_after(arguments, seconds, env):
    """Start a command, kill it after some seconds, and return (how many processes it had, those left 5 s later)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "facelab.cli", *arguments],
        cwd=REPOSITORY,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until, seen = time.monotonic() + seconds, set()
    while time.monotonic() < until and process.poll() is None:
        seen |= tree_of(process.pid)
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        left = {(p, s) for p, s in seen if lifetime.process_start(p) == s}
        if not left:
            break
        time.sleep(0.05)
    assert shared_memory(process.pid) == []
    return len(seen), left


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
    count, left = 0, set()
    for seconds in (4, 7, 12):
        if count < 3:
            count, left = kill_after([*command, "--n", "4000"], seconds, env)
            assert left == set()
    assert count >= 3, "no worker was started"
    assert not (out / "manifest.json").exists(), "a part of a set is not a set"


COMMANDS = {
    "emotion train": ["--data", "synthetic", "--n", "300", "--epochs", "2", "--out", "OUT"],
    "emotion evaluate": ["MODEL", "--data", "synthetic", "--n", "40", "--workers", "2"],
    "quantize": ["MODEL", *["--recipe", "u8s8-per-channel-minmax", "--calibration", "CAL", "--evaluate", "TEST"],
                 *["--least", "8", "--crop", "whole", "--latency", "--out", "OUT"]],
    "match bench": ["--peer", "faiss", "--queries", "1", "--gallery", "20000", "--dimension", "64"],
    "eval detector": ["--model", "MODEL-OF-FACES", "--images", "IMAGES", "--labels", "LABELS", "--out", "OUT"],
    "data synth": ["--set", "detection", "--n", "40", "--out", "OUT", "--workers", "2"],
    "bundle make": ["MODEL", "--licence", "MIT", "--out", "OUT"],
}  # fmt: skip
ENDS = {"data synth", "bundle make", "quantize"}
"""Commands that are short enough to be run to their end after the kills: what was left does not disturb them."""


@pytest.fixture
def filled(tmp_path, assets):
    """Return the arguments of a command with the files that they name."""
    import shutil
    import sys

    sys.path.insert(0, str(REPOSITORY / "tests" / "deploy"))
    from conftest_deploy import write_model

    model = write_model(tmp_path / "m.onnx", seed=int.from_bytes(os.urandom(3)))
    classes = ["anger", "disgust", "fear"]
    model.with_suffix(".labels.txt").write_text("\n".join(classes) + "\n")
    images = tmp_path / "images"
    images.mkdir()
    found = sorted((assets / "images").rglob("*.jpg"))[:6]
    for k, picture in enumerate(found):
        shutil.copy(picture, images / f"{k}.jpg")
    rows = [f"{k}.jpg,10,10,60,60" for k in range(len(found))]
    (tmp_path / "labels.csv").write_text("\n".join(["path,x1,y1,x2,y2", *rows]) + "\n")
    for part in ("calibration", "test"):
        for k in range(12):
            folder = tmp_path / part / classes[k % 3]
            folder.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng([k, len(part)]).integers(0, 255, (32, 32, 3), np.uint8)
            (folder / f"{k}.png").write_bytes(encode_png(noise))
    places = {
        "CAL": tmp_path / "calibration",
        "TEST": tmp_path / "test",
        "OUT": tmp_path / "out",
        "MODEL": model,
        "IMAGES": images,
        "LABELS": tmp_path / "labels.csv",
        "MODEL-OF-FACES": "yunet",
    }
    return lambda words: [str(places.get(w, w)) for w in words]


def seconds_of(arguments, env):
    """Return how long a command takes on this machine as it is now, at most 30 s: moments are drawn from that."""
    process = subprocess.Popen(
        [sys.executable, "-m", "facelab.cli", *arguments],
        cwd=REPOSITORY,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started = time.monotonic()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    process.kill()
    process.wait()
    return time.monotonic() - started


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_killed_at_random_moments_leaves_nothing(name, tmp_path, env, filled):
    chance = random.Random(os.environ.get("FACELAB_FUZZ_SEED", "") + name)
    arguments = [*name.split(), *filled(COMMANDS[name])]
    env = {k: v for k, v in env.items() if k != "FACELAB_OPEN_DIRECTLY"} | {
        "TMPDIR": str(tmp_path / "temporary")
    }
    (tmp_path / "temporary").mkdir()
    whole, most = seconds_of(arguments, env), 0
    for k in range(50):
        count, left = kill_after(arguments, chance.uniform(0.1, whole), env)
        most = max(most, count)
        assert left == set(), f"kill {k}"
    if name not in ("eval detector", "bundle make"):  # what was opened once is not tried again
        assert most >= 1, "the command started no process"
    if name in ENDS:
        done = subprocess.run(
            [sys.executable, "-m", "facelab.cli", *arguments],
            cwd=REPOSITORY,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr[-2000:]
        mine = [p.name for p in (tmp_path / "temporary").iterdir() if p.name.endswith(".fltmp")]
        assert mine == [], "what killed calls left was not removed"
