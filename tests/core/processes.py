"""Find live processes by a word in their command lines."""

import contextlib
import os
import time
from pathlib import Path

BEGAN = time.time()


def mark():
    """Return a duration for `sleep` that no other process has, by which its command line is found."""
    return f"{600 + int.from_bytes(os.urandom(5)) / 1e9:.6f}"


def shared_memory(owner):
    """Return what a process's workers keep in shared memory: joblib and loky name it after the process.

    What is older than this test run is another process's, which had the same number and was killed long ago.
    """
    found = []
    for path in Path("/dev/shm").iterdir():
        if str(owner) in path.name.replace("-", "_").split("_"):
            with contextlib.suppress(OSError):
                if path.stat().st_ctime >= BEGAN:
                    found.append(path.name)
    return found


def alive(word):
    """Return the processes whose command line holds a word."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                word.encode() in (entry / "cmdline").read_bytes()
                and int(entry.name) != os.getpid()
                and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
            ):
                found.append(int(entry.name))
    return found


def gone(word, seconds=5):
    until = time.monotonic() + seconds
    while alive(word) and time.monotonic() < until:
        time.sleep(0.05)
    return alive(word) == []


def wait_for(word, count=1):
    until = time.monotonic() + 20
    while len(alive(word)) < count:
        assert time.monotonic() < until, "the processes did not start"
        time.sleep(0.02)
