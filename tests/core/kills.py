"""Kill a command at a moment and look at what it leaves: processes, shared memory, temporary files, results."""

import contextlib
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from facelab.core import guard, lifetime
from tests.core.processes import shared_memory

LIMIT_S = 5.0
"""How long anything may be left after a kill."""
MARK = "FACELAB_TEST_MARK"


@dataclass(frozen=True)
class Kill:
    """What one kill left: seconds until nothing was left, processes that were there, and what never went."""

    after_s: float
    processes: int
    gone_s: float
    left: tuple


def start(arguments, env, cwd, stdout=subprocess.DEVNULL):
    """Start a command whose whole family carries its own mark in the environment; return (process, mark)."""
    mark = f"{MARK}={secrets.token_hex(12)}"
    name, _, value = mark.partition("=")
    process = subprocess.Popen(
        [sys.executable, "-m", "facelab.cli", *arguments],
        cwd=cwd,
        env={**env, name: value},
        stdout=stdout,
        stderr=subprocess.DEVNULL,
    )
    return process, mark


def family(mark, root):
    """Return {(process, its start)}: who carries the mark, and who stands below the command without it."""
    found = {*guard.family(mark), *guard.descendants(root)} - {root}
    return {(p, s) for p in found if (s := lifetime.process_start(p))}


def kill_at(arguments, seconds, env, cwd):
    """Start a command, kill it after some seconds, and watch for 5 s what is left of it."""
    process, mark = start(arguments, env, cwd)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    seen = family(mark, process.pid) if process.poll() is None else set()
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    began = time.monotonic()
    while True:
        left = {(p, s) for p, s in seen if lifetime.process_start(p) == s}
        left |= family(mark, process.pid)
        seen |= left
        shared = [n for p in {process.pid, *(p for p, _ in seen)} for n in shared_memory(p)]
        passed = time.monotonic() - began
        if not (left or shared) or passed > LIMIT_S:
            break
        time.sleep(0.02)
    found = (*(line_of(p) for p, _ in left), *shared)
    return Kill(seconds, len(seen), passed, found)


def line_of(process):
    """Return a process's command line, to name it."""
    with contextlib.suppress(OSError):
        line = Path(f"/proc/{process}/cmdline").read_bytes()
        return line.replace(b"\0", b" ").decode(errors="replace")[:200]
    return str(process)


def run(arguments, env, cwd):
    """Run a command to its end and return (exit code, what it printed, seconds)."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "facelab.cli", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    assert done.returncode in (0, 1), done.stderr[-3000:]
    return done.returncode, done.stdout, time.monotonic() - began


def hashes(folder, *patterns):
    """Return {file: SHA-256} of the files below a folder that match."""
    paths = {p for pattern in patterns for p in Path(folder).rglob(pattern) if p.is_file()}
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(paths)
    }


def whole(folder, last, *patterns):
    """Return the hashes of what a folder holds, or None where `last`, which is written at the end, is not there."""
    return hashes(folder, *patterns) if (Path(folder) / last).is_file() else None


def without(value, *names):
    """Return a JSON value without the keys that differ between two good runs: times, paths, loads."""
    if isinstance(value, dict):
        return {k: without(v, *names) for k, v in value.items() if k not in names}
    return [without(v, *names) for v in value] if isinstance(value, list) else value


def printed(stdout, *names):
    """Return the JSON document of a command's output without such keys."""
    return without(json.loads(stdout), *names)
