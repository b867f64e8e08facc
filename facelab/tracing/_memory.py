"""`MemoryWatch`: readings over a long run, and one verdict about them."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import allocator
from facelab.core.errors import BadInputError
from facelab.core.machine import facts, peak_rss_bytes
from facelab.tracing import _census
from facelab.tracing._census import Census
from facelab.tracing._result import TableResult
from facelab.tracing._verdict import VERDICTS, Evidence, Verdict, decide

SCHEMA = "facelab.memory/1"
SERIES = ("frame", "seconds", "rss", "anonymous", "in_use", "blocks", "threads", "descriptors")
LEAST_READINGS = 16
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SHARE = 0.2
"""Of the time that may go into malloc's own count."""


@dataclass(frozen=True)
class MemoryReport(TableResult):
    """What a watch found.

    Attributes
    ----------
    verdict : Verdict
        One of `VERDICTS`, its sentence, and the smallest leak that the run could have seen.
    readings : dict of str to ndarray
        One array per name: frame, seconds, bytes (rss, anonymous, in_use by malloc), Python's blocks, counts.
    settled : int
        Reading from which growth counts; before it, memory may warm up.
    before, after : Census
        At `settled` and at the end.
    trimmed : int
        RSS in bytes after the allocator gave back what it could.
    peak : int
        Largest RSS of this process, in bytes.
    """

    verdict: Verdict
    readings: dict[str, np.ndarray] = field(repr=False)
    settled: int = 0
    before: Census | None = field(default=None, repr=False)
    after: Census | None = field(default=None, repr=False)
    trimmed: int = 0
    peak: int = 0

    @property
    def leaks(self) -> bool:
        """Whether the verdict is a leak."""
        return VERDICTS[self.verdict.name].leak

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON of schema `facelab.memory/1`."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict.name,
            "leak": self.leaks,
            "what": self.verdict.what,
            "fix": VERDICTS[self.verdict.name].fix,
            "frames": int(self.readings["frame"][-1]) if len(self.readings["frame"]) else 0,
            "growth_bytes_per_frame": self.verdict.slope,
            "growth_lo": self.verdict.lo,
            "growth_hi": self.verdict.hi,
            "visible_bytes_per_frame": self.verdict.visible,
            "settled": self.settled,
            "trimmed_rss": self.trimmed,
            "peak_rss_mb": self.peak / 1e6,
            "machine": facts(threads=None),
            "readings": {k: v.tolist() for k, v in self.readings.items()},
        }

    def _head(self) -> list[str]:
        return ["", "at the start", "settled", "at the end", "after a trim"]

    def _rows(self) -> list[list[Any]]:
        r, k = self.readings, self.settled
        mb = [("RSS [MB]", "rss", self.trimmed / 1e6), ("in use by malloc [MB]", "in_use", None)]
        rows: list[list[Any]] = [
            [name, *(round(float(r[key][i]) / 1e6, 1) for i in (0, k, -1)), trimmed]
            for name, key, trimmed in mb
        ]
        counts = [
            ("Python blocks", "blocks"),
            ("threads", "threads"),
            ("descriptors", "descriptors"),
        ]
        return rows + [[n, *(int(r[key][i]) for i in (0, k, -1)), None] for n, key in counts]

    def _caption(self) -> str:
        return f"{self.verdict.name}: {self.verdict.what}"


class MemoryWatch:
    """Read this process' memory every few frames, and say at the end whether and why it grew.

    Parameters
    ----------
    settle : int
        Frames that may warm up: caches, arenas, first calls. Growth counts from there.
    every : int
        Frames between two readings; a reading costs about 0.2 ms, and a collection of
        what is new since `settle`. Malloc's own count visits every freed piece (20 ms for
        30 000): it takes at most a fifth of the time, and keeps its value in between.

    Examples
    --------
    >>> watch = MemoryWatch(settle=40, every=2)
    >>> for frame in range(200):
    ...     watch.tick(frame)
    >>> watch.finish().leaks
    False
    """

    def __init__(self, *, settle: int, every: int = 10) -> None:
        if every < 1 or settle < 0:
            raise BadInputError(
                "a memory watch needs a positive period",
                expected="every >= 1, settle >= 0",
                got=f"every {every}, settle {settle}",
                fix="read every 10 frames and let a fifth of the run settle",
            )
        self.settle, self.every = settle, every
        self._rows = array("d")  # numbers only: a watch that made objects would see itself
        self._before: Census | None = None
        self._settled = 0
        self._in_use, self._asked_again = 0, 0.0
        self._frozen = False
        self._started = time.perf_counter()
        self._rows.extend(self._read(-1))

    def tick(self, frame: int) -> None:
        """Count a frame that is done; reads the memory if its turn has come."""
        if self._before is None and frame >= self.settle:
            self._frozen = _census.is_frozen()
            gc.unfreeze()  # a census does not see what the program itself has frozen
            self._before = _census.take()
            gc.freeze()  # what exists by now is left out, so that a collection per reading costs little
            self._settled = len(self._rows) // len(SERIES)
            self._rows.extend(self._read(frame))
        elif frame % self.every == 0:
            self._rows.extend(self._read(frame))

    def _read(self, frame: int) -> tuple[float, ...]:
        if self._before is not None:
            gc.collect()  # garbage that waits for a collection is not growth
        size = Path("/proc/self/statm").read_text().split()
        rss, shared = int(size[1]) * _PAGE, int(size[2]) * _PAGE
        return (
            frame,
            time.perf_counter() - self._started,
            rss,
            rss - shared,
            self._handed_out(),
            sys.getallocatedblocks(),
            _threads(),
            _descriptors(),
        )

    def _handed_out(self) -> int:
        """Return malloc's count of the bytes in use; the last one where asking again would take too much time."""
        now = time.perf_counter()
        if now >= self._asked_again:
            self._in_use = allocator.in_use_bytes() or 0
            self._asked_again = now + (time.perf_counter() - now) / _SHARE
        return self._in_use

    def finish(self) -> MemoryReport:
        """Collect garbage, trim, count again, and return the verdict.

        Raises
        ------
        BadInputError
            The run was too short to judge.
        """
        rows = np.array(self._rows).reshape(-1, len(SERIES))
        if self._before is None or len(rows) - self._settled < LEAST_READINGS:
            raise BadInputError(
                "the run is too short for a verdict about memory",
                expected=f"at least {LEAST_READINGS} readings after frame {self.settle}",
                got=f"{max(0, len(rows) - self._settled) if self._before else 0} readings",
                fix="run more frames, or read more often",
            )
        readings = {name: rows[:, k].copy() for k, name in enumerate(SERIES)}
        gc.unfreeze()
        last = self._read(int(rows[-1, 0]))
        allocator.trim()
        trimmed = self._read(int(rows[-1, 0]))
        after = _census.take()
        if self._frozen:
            gc.freeze()
        evidence = Evidence(
            readings, self._settled, self._before, after, int(last[2]), int(trimmed[2])
        )
        return MemoryReport(
            decide(evidence),
            readings,
            self._settled,
            self._before,
            after,
            int(trimmed[2]),
            peak_rss_bytes(),
        )


def _threads() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        return threading.active_count()


def _descriptors() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0
