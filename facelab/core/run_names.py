"""The names of runs and their order: by sequence number, since a clock may jump back.

A name is `NUMBER-DATE-TIME-RANDOM`. Names of earlier versions have no number and come before all that have one.
"""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path

_NUMBERED = re.compile(r"^(\d{5,7})-\d{8}-\d{6}-[0-9a-f]{4}$")


def number(name: str) -> int:
    """Return a run's sequence number, 0 for a name of an earlier version.

    >>> number("00012-20260102-030405-a1b2"), number("20260102-030405-a1b2")
    (12, 0)
    """
    found = _NUMBERED.match(name)
    return int(found[1]) if found else 0


def order(name: str) -> tuple[int, str]:
    """Return the key that sorts runs, oldest first."""
    return number(name), name


def newest_first(folder: Path) -> list[str]:
    """Return the names of the runs in a folder."""
    try:
        names = [p.name for p in folder.iterdir() if p.is_dir() and not p.is_symlink()]
    except OSError:
        return []
    return sorted(names, key=order, reverse=True)


def make(folder: Path) -> Path:
    """Create the folder of the next run. The caller holds a lock, so that no two runs get one number."""
    folder.mkdir(parents=True, exist_ok=True)
    last = max((number(name) for name in newest_first(folder)), default=0)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    made = folder / f"{last + 1:05d}-{now}-{os.urandom(2).hex()}"
    made.mkdir()
    return made
