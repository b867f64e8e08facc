"""Notes of what runs: a later call ends what a dead owner left, and only that.

A lease names the owner by process id and start time, and the token that its processes carry in their environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

from facelab.core import lifetime
from facelab.core.files import write_json

_TOKEN = re.compile(r"^fl[0-9a-f]{32}$")


@contextlib.contextmanager
def lease(folder: str | os.PathLike[str], name: str) -> Generator[str]:
    """Write a lease for the block and yield the token for its processes; all that carries it has ended afterwards."""
    token = lifetime.new_token()
    path = Path(folder) / f"{name}-{token[2:10]}.json"
    owner = os.getpid()
    write_json(
        path,
        {"owner": owner, "started": lifetime.process_start(owner), "token": token, "for": name},
    )
    try:
        yield token
    finally:
        lifetime.end_family(token)
        path.unlink(missing_ok=True)


def end_orphans(folder: str | os.PathLike[str]) -> list[str]:
    """End the processes of leases whose owner is dead and return what they were for.

    A process is ended only where its environment carries the lease's token. A lease that cannot be read is removed.
    """
    ended: list[str] = []
    for path in sorted(Path(folder).glob("*.json")):
        note = _read(path)
        if note is None:
            path.unlink(missing_ok=True)
        elif lifetime.process_start(note["owner"]) != note["started"]:
            if lifetime.end_family(note["token"]):
                path.unlink(missing_ok=True)
            ended.append(str(note.get("for", path.stem)))
    return ended


def _read(path: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        good = isinstance(note["owner"], int) and _TOKEN.match(note["token"]) and "started" in note
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return note if good else None
