"""A log of changes that shows when it was edited: each line holds the hash of the line before."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import deque
from pathlib import Path
from typing import Any

from facelab.core.errors import FacelabError, IntegrityError
from facelab.core.files import dumps
from facelab.core.hashing import sha256_bytes
from facelab.core.records import now

LOG = logging.getLogger(__name__)
START = "0" * 64
BLOCK = 4096
"""Bytes read at a time from the end of an audit: a swap appends a line, however long the audit has become."""


class Audit:
    """An append-only file of JSON lines. Appends are synced to the disk; `read` checks the chain.

    Examples
    --------
    >>> import tempfile
    >>> log = Audit(Path(tempfile.mkdtemp()) / "audit.jsonl")
    >>> _ = log.append("promote", before=None, after="b2c4")
    >>> [line["what"] for line in log.read()]
    ['promote']
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._noting = threading.Lock()
        self._unwritten: deque[tuple[str, dict[str, Any]]] = deque(maxlen=1000)

    def note(self, what: str, **fields: Any) -> None:
        """Append a change that was made; what a full disk refuses is written before the next one."""
        with self._noting:
            self._unwritten.append((what, {"at": now(), **fields}))
            try:
                while self._unwritten:
                    what, fields = self._unwritten[0]
                    self.append(what, **fields)
                    self._unwritten.popleft()
            except (FacelabError, OSError) as e:
                LOG.warning("%d changes are not in the audit yet: %s", len(self._unwritten), e)

    def append(self, what: str, **fields: Any) -> dict[str, Any]:
        """Append one change and return it; `at` may be given for one that could not be written when it was made."""
        with self._lock:
            line = {"at": now(), "what": what, **fields, "previous": self._tail()}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as f:
                f.write(dumps(line).encode() + b"\n")
                f.flush()
                os.fsync(f.fileno())
        return line

    def _tail(self) -> str:
        """Return the hash of the last line; a half-written one, left by a crash, is closed first."""
        if not self.path.exists():
            return START
        with self.path.open("rb+") as f:
            start, data = f.seek(0, os.SEEK_END), b""
            while (
                start and data.count(b"\n") < 2
            ):  # one ends the last whole line, one the line before
                step = min(start, BLOCK)
                start = f.seek(start - step)
                data = f.read(step) + data
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                f.truncate(start + whole)
        lines = data[:whole].splitlines()
        return sha256_bytes(lines[-1]) if lines else START

    def read(self) -> list[dict[str, Any]]:
        """Return all changes, oldest first. Raises IntegrityError naming the first line that was edited."""
        if not self.path.exists():
            return []
        out, previous = [], START
        data = self.path.read_bytes()
        lines = data.splitlines() if data.endswith(b"\n") else data.splitlines()[:-1]
        for number, text in enumerate(lines, 1):
            try:
                line = json.loads(text)
                chained = line["previous"] == previous
            except (ValueError, KeyError, TypeError):
                chained = False
            if not chained:
                raise IntegrityError(
                    "the audit was edited",
                    where=f"{self.path}:{number}",
                    expected="a line that holds the hash of the one before",
                    fix="restore the file; the lines before are whole",
                )
            out.append(line)
            previous = sha256_bytes(text)
        return out
