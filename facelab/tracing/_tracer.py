"""`Tracer`: spans into a ring of fixed size, so that tracing for months costs the memory of one minute."""

from __future__ import annotations

import gc
import itertools
import struct
import sys
import threading
import time
import weakref
from collections import deque
from types import TracebackType
from typing import Any

import numpy as np

from facelab.core import events, machine
from facelab.core.errors import BadInputError
from facelab.tracing._threads import REUSE_NS, ThreadCounters, fault_cost_ns, living
from facelab.tracing._trace import COLUMNS, Trace
from facelab.tracing._watcher import Watcher

RECORD = struct.Struct(f"={len(COLUMNS)}q")
PLAIN = struct.Struct("=5q")
MOST_EVENTS = 4096


class Tracer:
    """Record spans of work. Use it as a context manager; spans may open in any thread, and nest.

    Parameters
    ----------
    capacity : int
        Spans that the ring holds, a power of two. Older spans are overwritten and counted (`Trace.lost`).
    counters : bool
        Also record processor time, run-queue wait, page faults, switches, disk blocks and garbage collection.
        A span then costs about 3 µs instead of 0.8 µs.
    watch_s : float or None
        Period in seconds of the watcher thread, which looks what a long span is doing; None runs no watcher.
        Needs `counters`.

    Examples
    --------
    >>> with Tracer(watch_s=None) as tracer:
    ...     for _ in range(3):
    ...         with tracer.span("frame"), tracer.span("detect") as work:
    ...             work.value = 2
    >>> trace = tracer.trace()
    >>> trace.names, len(trace), trace.lost
    (('frame', 'detect'), 6, 0)
    """

    def __init__(
        self, *, capacity: int = 1 << 16, counters: bool = True, watch_s: float | None = 0.005
    ) -> None:
        if capacity < 16 or capacity & (capacity - 1):
            raise BadInputError(
                "the ring's capacity must be a power of two",
                expected="16, 32, 64, …",
                got=capacity,
                fix="choose the next power of two",
            )
        if watch_s is not None and not 0.001 <= watch_s <= 1:
            raise BadInputError(
                "the watcher's period is out of range",
                expected="0.001 to 1 seconds, or None",
                got=watch_s,
                fix="0.005 sees what calls of 10 ms and more are doing",
            )
        self.capacity, self.counters = capacity, counters
        self._buffer = bytearray(capacity * RECORD.size)
        self._count = itertools.count()
        self._next = self._count.__next__
        self._ids: dict[str, int] = {}
        self._names: list[str] = []
        self._naming = threading.Lock()
        self._local = threading.local()
        # a thread that ends takes its counters along, with their open file
        self._threads: weakref.WeakSet[ThreadCounters] = weakref.WeakSet()
        self._collecting, self._collected = 0, [0]
        self._events: deque[events.Event] = deque(maxlen=MOST_EVENTS)
        self._unlisten: Any = None
        self._watcher = Watcher(watch_s, self._threads) if counters and watch_s else None
        self._started_ns = time.perf_counter_ns()
        self._epoch_ns = time.time_ns() - self._started_ns
        self._fault_ns = fault_cost_ns() if counters else 0.0

    def span(self, name: str) -> Span:
        """Return a context manager that records one span of stage `name`.

        Its `value` may be set inside the block: the amount of work (faces, pixels), or for a paced outermost span the
        time at which it was due (`perf_counter_ns`).
        """
        stage = self._ids.get(name)
        if stage is None:
            stage = self._name(name)
        return (CountedSpan if self.counters else Span)(stage, self)

    def _name(self, name: str) -> int:
        with self._naming:
            if name not in self._ids:
                self._names.append(name)
                self._ids[name] = len(self._names) - 1
            return self._ids[name]

    def _state(self) -> ThreadCounters:
        state = self._local.state = ThreadCounters()
        self._threads.add(state)
        return state

    def __enter__(self) -> Tracer:
        if self.counters:
            gc.callbacks.append(self._on_collection)
        self._unlisten = events.listen(self._events.append)
        if self._watcher:
            self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the watcher and the listeners; what was recorded stays. Closing twice is allowed."""
        if self._watcher:
            self._watcher.stop()
        if self._unlisten:
            self._unlisten()
            self._unlisten = None
        if self._on_collection in gc.callbacks:
            gc.callbacks.remove(self._on_collection)

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        now = time.perf_counter_ns()
        if phase == "start":
            self._collecting = now
        elif self._collecting:
            self._collected[0] += now - self._collecting
            self._collecting = 0

    def trace(self) -> Trace:
        """Return what was recorded so far, oldest span first. Spans of calls that are still open are left out."""
        taken = int(repr(self._count)[len("count(") : -1])  # reading it this way uses no number
        open_since = {t.ident: o[0][1] for t in living(self._threads) if (o := t.open[:1])}
        raw = np.frombuffer(bytes(self._buffer), np.int64).reshape(self.capacity, len(COLUMNS))
        held = raw[(raw[:, COLUMNS.index("end_ns")] > 0) & (raw[:, COLUMNS.index("stage")] >= 0)]
        limit = [open_since.get(t, sys.maxsize) for t in held[:, COLUMNS.index("thread")].tolist()]
        held = held[held[:, COLUMNS.index("start_ns")] < np.array(limit, np.int64).reshape(-1)]
        return Trace.make(
            held,
            names=tuple(self._names),
            lost=max(0, taken - self.capacity),
            counters=self.counters,
            events=tuple(self._events),
            samples=self._watcher.samples() if self._watcher else (),
            facts={
                "epoch_ns": self._epoch_ns,
                "fault_ns": round(self._fault_ns, 1),
                "switch_interval_s": sys.getswitchinterval(),
                "sees_waits": all(t.sees_waits for t in living(self._threads))
                if self.counters
                else False,
                "machine": machine.facts(threads=1),
            },
        )


class Span:
    """One span without counters. Made by `Tracer.span`."""

    __slots__ = ("_stage", "_start", "_tracer", "value")

    def __init__(self, stage: int, tracer: Tracer) -> None:
        self._stage, self._tracer, self.value = stage, tracer, 0

    def __enter__(self) -> Span:
        self._start = time.perf_counter_ns()
        return self

    def discard(self) -> None:
        """Leave this span out of the trace, such as the read that finds the end of a source."""
        self._stage = -1

    def start_at(self, at_ns: int) -> None:
        """Count the span from `at_ns` (`perf_counter_ns`) if that is later than its start: before, nothing was due."""
        self._start = max(self._start, at_ns)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        _clock: Any = time.perf_counter_ns,
        _ident: Any = threading.get_ident,
        _pack: Any = PLAIN.pack_into,
        _size: int = RECORD.size,
    ) -> None:
        end, tracer = _clock(), self._tracer
        slot = (tracer._next() & (tracer.capacity - 1)) * _size
        _pack(tracer._buffer, slot, self._stage, _ident(), self.value, self._start, end)


class CountedSpan(Span):
    """One span with its thread's counters. Made by `Tracer.span`."""

    __slots__ = ("_base", "_gc", "_thread")

    def __enter__(self, _clock: Any = time.perf_counter_ns) -> CountedSpan:
        tracer = self._tracer
        try:
            state = tracer._local.state
        except AttributeError:
            state = tracer._state()
        now = _clock()
        if now - state.at > REUSE_NS:
            state.read(now)
            now = _clock()
        self._base, self._gc, self._thread = state.snapshot, tracer._collected[0], state
        state.open.append((self._stage, now))
        self._start = now
        return self

    def start_at(self, at_ns: int) -> None:
        """Count the span from `at_ns` if that is later; the watcher learns it too."""
        was = (self._stage, self._start)
        super().start_at(at_ns)
        open_ = self._thread.open
        if was in open_:
            open_[open_.index(was)] = (self._stage, self._start)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        _clock: Any = time.perf_counter_ns,
        _pack: Any = RECORD.pack_into,
        _size: int = RECORD.size,
    ) -> None:
        end, tracer, state = _clock(), self._tracer, self._thread
        cpu0, wait0, used0 = self._base
        cpu, wait, used = state.read(end)
        state.open.pop()
        _pack(
            tracer._buffer,
            (tracer._next() & (tracer.capacity - 1)) * _size,
            self._stage,
            state.ident,
            self.value,
            self._start,
            end,
            cpu - cpu0,
            wait - wait0,
            tracer._collected[0] - self._gc,
            int((used[1] - used0[1]) * 1e9),
            used[6] - used0[6],
            used[7] - used0[7],
            used[14] - used0[14],
            used[15] - used0[15],
            used[9] - used0[9],
            used[10] - used0[10],
        )
