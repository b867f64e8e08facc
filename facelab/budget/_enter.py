"""Enter control groups, take limits upon oneself, and become the command.

Run by path with `python -I -S`: `_enter.py FD JSON COMMAND…`; standard library only. Through FD it says what it got,
or why not. JSON: `procs` (files of control groups to write to), `cpus` (how many), `data_bytes` (RLIMIT_DATA).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time


def _enter(wanted: dict) -> dict:
    for path in wanted.get("procs", ()):
        with open(path, "wb", buffering=0) as f:  # noqa: PTH123
            f.write(b"0")
    got: dict = {}
    if wanted.get("cpus"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[: wanted["cpus"]])
        got["cpus"] = len(os.sched_getaffinity(0))
    if wanted.get("data_bytes"):
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = int(wanted["data_bytes"])
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        got["data_bytes"] = resource.getrlimit(resource.RLIMIT_DATA)[0]
    got["at"] = time.monotonic()
    return got


def main() -> None:
    """Enter and become the command; exit code 126 where the limits, 127 where the program cannot be had."""
    fd, wanted, *command = sys.argv[1:]
    channel = int(fd)
    os.set_inheritable(channel, False)
    try:
        answer = _enter(json.loads(wanted))
    except (OSError, ValueError) as e:
        os.write(channel, json.dumps({"error": f"{type(e).__name__}: {e}"[:400]}).encode())
        os._exit(126)
    os.write(channel, json.dumps(answer).encode())
    try:
        os.execvp(command[0], command)
    except OSError as e:
        print(f"{command[0]}: {e.strerror}", file=sys.stderr, flush=True)
        os._exit(127)


if __name__ == "__main__":
    main()
