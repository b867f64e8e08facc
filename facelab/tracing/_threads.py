"""What one thread has used so far: processor time, run-queue wait, page faults, switches, disk blocks."""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import threading
import time
from collections.abc import Collection
from typing import Any

REUSE_NS = 20_000
"""A snapshot younger than this serves the next span too: the error of a span's counters is at most this."""
WAIT_NS = 50_000
"""The run queue is read again once a thread was off the processor for longer than this since the last reading."""


class ThreadCounters:
    """The counters of the thread that makes this object; `read` must be called in that thread.

    `snapshot` holds processor time (ns), run-queue wait (ns) and `getrusage` of the thread. `open` is the stack of
    open spans as (stage, start in ns): the watcher thread reads it.
    """

    __slots__ = (
        "__weakref__",
        "_fd",
        "_off",
        "_waited",
        "at",
        "ident",
        "native",
        "open",
        "snapshot",
    )

    def __init__(self) -> None:
        self.ident, self.native = threading.get_ident(), threading.get_native_id()
        try:
            self._fd = os.open(f"/proc/self/task/{self.native}/schedstat", os.O_RDONLY)
        except OSError:
            self._fd = -1  # not Linux, or a kernel without schedstat: waits then count as blocked
        self._off, self._waited, self.at = -WAIT_NS, 0, 0
        self.open: list[tuple[int, int]] = []
        self.snapshot: tuple[int, int, Any] = (0, 0, None)

    @property
    def sees_waits(self) -> bool:
        """Whether the kernel tells how long a thread waited for a processor."""
        return self._fd >= 0

    def read(
        self,
        now: int,
        _cpu: Any = time.thread_time_ns,
        _usage: Any = resource.getrusage,
        _thread: int = resource.RUSAGE_THREAD,
    ) -> tuple[int, int, Any]:
        """Take and return the snapshot at `now` (`perf_counter_ns`)."""
        cpu = _cpu()
        off = now - cpu
        if off - self._off > WAIT_NS and self._fd >= 0:
            self._waited, self._off = int(os.pread(self._fd, 96, 0).split(b" ", 2)[1]), off
        self.at = now
        self.snapshot = made = (cpu, self._waited, _usage(_thread))
        return made

    def close(self) -> None:
        """Close the file of the kernel's counters."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


def living(threads: Collection[ThreadCounters]) -> tuple[ThreadCounters, ...]:
    """Return the counters of the threads that live now; another thread may begin meanwhile."""
    for _ in range(100):
        try:
            return tuple(threads)
        except RuntimeError:  # the set changed while it was read
            continue
    return ()


def fault_cost_ns(pages: int = 1024) -> float:
    """Measure what one minor page fault costs here, in ns of processor time of the calling thread.

    Touches `pages` fresh anonymous pages; the least of three rounds counts.
    """
    page, rounds = mmap.PAGESIZE, []
    for _ in range(3):
        with mmap.mmap(-1, pages * page) as fresh:
            started = time.thread_time_ns()
            for offset in range(0, pages * page, page):
                fresh[offset] = 1
            rounds.append((time.thread_time_ns() - started) / pages)
    return min(rounds)
