"""One bounded pool for sessions, connections and clients: fair, with deadlines, and honest about its leases."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Generic, NoReturn, TypeVar

import numpy as np

from facelab.core.errors import FacelabError
from facelab.core.lifetime import Closing
from facelab.serving.pools._entry import Entry, Out, Waiter
from facelab.serving.pools._keeper import HISTORY, OUTCOMES, PoolStats, check_numbers, start_keeper
from facelab.serving.pools._lease import (
    Alarm,
    Lease,
    LeaseError,
    OverloadedError,
    PoolTimeoutError,
    Taker,
    after_fork,
    describe,
    taker,
)

T = TypeVar("T")


class Pool(Closing, Generic[T]):
    """At most `size` resources, lent to one caller at a time, first come first served.

    Parameters
    ----------
    make : callable
        Makes a resource; called outside the pool's lock, in the caller's thread.
    size : int
        Most resources at once.
    close, reset, check : callable, optional
        `close` ends a resource; `reset` runs at each release, and a resource whose reset raises is replaced;
        `check` returns whether a resource that rested longer than `check_after_s` still works.
    deadline_s : float
        Longest wait for a lease, seconds; `acquire` can name another.
    max_waiting : int, optional
        Callers that may wait; the next one is shed at once with OverloadedError. Default: 4 per resource.
    lifetime_s, idle_s : float
        A resource older than this, or unused for this long, is replaced before it is lent again.
    age_alarm_s : float
        A lease that is out for longer raises an alarm with its taker's stack; the lease stays valid.
    on_alarm : callable, optional
        Called with each `Alarm`, from the pool's own thread.

    Examples
    --------
    >>> pool = Pool(lambda: ["session"], size=1, name="demo")
    >>> with pool.acquire() as lease:
    ...     lease.value
    ['session']
    >>> pool.stats().granted, pool.stats().idle
    (1, 1)
    >>> pool.close()
    """

    def __init__(
        self,
        make: Callable[[], T],
        *,
        size: int,
        name: str = "pool",
        close: Callable[[T], object] | None = None,
        reset: Callable[[T], object] | None = None,
        check: Callable[[T], bool] | None = None,
        check_after_s: float = 1.0,
        deadline_s: float = 1.0,
        max_waiting: int | None = None,
        lifetime_s: float = math.inf,
        idle_s: float = math.inf,
        age_alarm_s: float = 30.0,
        on_alarm: Callable[[Alarm], object] | None = None,
    ) -> None:
        check_numbers(size=size, deadline_s=deadline_s, age_alarm_s=age_alarm_s)
        self.name, self.size, self.deadline_s = name, size, deadline_s
        self.max_waiting = 4 * size if max_waiting is None else max_waiting
        self.lifetime_s, self.idle_s, self.age_alarm_s = lifetime_s, idle_s, age_alarm_s
        self._make, self._close, self._reset, self._check = make, close, reset, check
        self._check_after_s, self._on_alarm = check_after_s, on_alarm
        self._lock = threading.Lock()
        self._idle: deque[Entry[T]] = deque()
        self._waiters: deque[Waiter[T]] = deque()
        self._out: dict[int, Out[T]] = {}
        self._total = self._next = 0
        self._counts: dict[str, int] = dict.fromkeys((*OUTCOMES, "made", "closed", "lost"), 0)
        self._waits: deque[tuple[float, float, int]] = deque(maxlen=HISTORY)
        self._holds: deque[tuple[float, float]] = deque(maxlen=HISTORY)
        self._alarms: deque[Alarm] = deque(maxlen=1000)
        self._alarmed, self._closed, self._process = 0, False, os.getpid()
        self._dropped: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._keeper: threading.Thread | None = None

    def acquire(self, who: str | None = None, *, deadline_s: float | None = None) -> Lease[T]:
        """Return a lease on a resource, waiting at most `deadline_s` seconds.

        Parameters
        ----------
        who : str, optional
            A name for alarms; the thread's name by default.
        deadline_s : float, optional
            Longest wait in seconds; the pool's own by default.

        Raises
        ------
        OverloadedError
            At once, where `max_waiting` callers wait already.
        PoolTimeoutError
            Where no resource became free in time.
        LeaseError
            Where the pool is closed, or was made before this process was forked.
        """
        if self.forked:  # before any lock: another thread may have held it at the fork
            raise after_fork(self.name)
        started = time.monotonic()
        limit = self.deadline_s if deadline_s is None else deadline_s
        entry, waiter = self._enter(started)
        if waiter is not None:
            entry = self._wait(waiter, started, limit)
        try:
            entry = self._usable(entry)
        except BaseException:
            with self._lock:
                self._count("failed", started)
                self._total -= 1
                self._hand_on()
            raise
        return self._lend(entry, taker(who), started)

    def _enter(self, started: float) -> tuple[Entry[T] | None, Waiter[T] | None]:
        with self._lock:
            self._require_open()
            if self._keeper is None:
                self._keeper = start_keeper(self)
            if not self._waiters and self._idle:
                return self._idle.pop(), None
            if not self._waiters and self._total < self.size:
                self._total += 1
                return None, None
            if len(self._waiters) >= self.max_waiting:
                self._count("shed", started)
                self._shed()
            waiter: Waiter[T] = Waiter()
            self._waiters.append(waiter)
            return None, waiter

    def _shed(self) -> NoReturn:
        raise OverloadedError(
            "too many callers wait; this one was shed",
            where=self.name,
            expected=f"at most {self.max_waiting} waiting for {self.size} resources",
            got=f"{len(self._waiters)} waiting",
            fix="try again later, or make the pool larger",
        )

    def _wait(self, waiter: Waiter[T], started: float, limit: float) -> Entry[T] | None:
        try:
            waiter.ready.wait(max(0.0, limit))
        except BaseException:  # Ctrl-C: what was granted meanwhile goes to the next caller
            self._leave(waiter)
            raise
        with self._lock:
            if waiter.granted:
                return waiter.entry
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self._require_open()
            self._count("timeout", started)
            oldest = self._oldest()
        raise PoolTimeoutError(
            "no resource became free in time",
            where=self.name,
            expected=f"a lease within {limit:g} s",
            got=f"{self.size} resources, all lent; the oldest lease is {describe(oldest)}",
            fix="release leases sooner, make the pool larger, or wait longer",
        )

    def _leave(self, waiter: Waiter[T]) -> None:
        with self._lock:
            if waiter.granted:
                self._total -= waiter.entry is None
                self._hand_on(waiter.entry)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)

    def _usable(self, entry: Entry[T] | None) -> Entry[T]:
        now = time.monotonic()
        if entry is not None and not self._fit(entry, now):
            self._end(entry)
            entry = None
        if entry is None:
            entry = Entry(self._made(), now, now)
        return entry

    def _fit(self, entry: Entry[T], now: float) -> bool:
        if now - entry.born > self.lifetime_s or now - entry.used > self.idle_s:
            return False
        if self._check is None or now - entry.used < self._check_after_s:
            return True
        try:
            return bool(self._check(entry.value))
        except Exception:
            return False

    def _made(self) -> T:
        try:
            value = self._make()
        except FacelabError:
            raise
        except Exception as e:
            raise LeaseError(
                "the pool cannot make a resource",
                where=self.name,
                got=f"{type(e).__name__}: {str(e).strip()[:200]}",
                fix="check that the server runs and takes another connection",
            ) from e
        with self._lock:
            self._counts["made"] += 1
        return value

    def _lend(self, entry: Entry[T], taken_by: Taker, started: float) -> Lease[T]:
        with self._lock:
            self._next += 1
            key = self._next
            self._out[key] = Out(entry, taken_by)
            self._count("granted", started)
        lease = Lease(self, key, entry.value, taken_by)
        # SimpleQueue.put may run inside a garbage collection, where taking a lock could deadlock
        weakref.finalize(lease, self._dropped.put, key).atexit = False
        return lease

    @property
    def forked(self) -> bool:
        """Whether this process is a fork of the one that made the pool: its resources are the parent's."""
        return os.getpid() != self._process

    def _take_back(self, key: int, broken: bool) -> None:
        if self.forked:  # a reset would talk on the parent's connection
            return
        with self._lock:
            out = self._out.pop(key, None)
        if out is None:
            return
        if not broken and self._reset is not None:
            try:
                self._reset(out.entry.value)
            except Exception:
                broken = True
        now = time.monotonic()
        with self._lock:
            self._holds.append((now, now - out.taker.at))
            out.entry.used = now
            keep = not broken and not self._closed
            if keep:
                self._hand_on(out.entry)
            else:
                self._total -= 1
                self._hand_on()
        if not keep:
            self._end(out.entry)

    def _hand_on(self, entry: Entry[T] | None = None) -> None:
        """Give an entry, or the right to make one, to the longest waiting caller. Called under the lock."""
        if entry is None and self._total >= self.size:
            return
        if self._waiters:
            waiter = self._waiters.popleft()
            waiter.granted, waiter.entry = True, entry
            self._total += entry is None
            waiter.ready.set()
        elif entry is not None:
            self._idle.append(entry)

    def _end(self, entry: Entry[T]) -> None:
        if self._close is not None:
            with contextlib.suppress(Exception):
                self._close(entry.value)
        with self._lock:
            self._counts["closed"] += 1

    def _recover(self, key: int) -> None:
        """Take back a lease that was dropped; the state of its resource is unknown, so the resource is replaced."""
        with self._lock:
            out = self._out.pop(key, None)
            if out is None:
                return
            self._counts["lost"] += 1
            self._total -= 1
            self._hand_on()
        self._end(out.entry)
        self._raise_alarm("lost", out.taker)

    def _look_for_old(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = now - self.age_alarm_s
            old = [o for o in self._out.values() if not o.told and o.taker.at < due]
            for o in old:
                o.told = True
            rested = [e for e in self._idle if now - e.used > self.idle_s]
            for e in rested:
                self._idle.remove(e)
                self._total -= 1
        for o in old:
            self._raise_alarm("age", o.taker)
        for e in rested:
            self._end(e)

    def _raise_alarm(self, kind: str, taken_by: Taker) -> None:
        alarm = Alarm(kind, self.name, taken_by, time.monotonic() - taken_by.at)
        with self._lock:
            self._alarms.append(alarm)
            self._alarmed += 1
        if self._on_alarm is not None:
            with contextlib.suppress(Exception):
                self._on_alarm(alarm)

    def _count(self, outcome: str, started: float) -> None:
        self._counts[outcome] += 1
        now = time.monotonic()
        self._waits.append((now, now - started, OUTCOMES.index(outcome)))

    def _oldest(self) -> Taker | None:
        return min((o.taker for o in self._out.values()), key=lambda t: t.at, default=None)

    def _require_open(self) -> None:
        if self._closed:
            raise LeaseError("the pool is closed", where=self.name, fix="open a new pool")

    def stats(self) -> PoolStats:
        """Return the pool's counts at this moment."""
        with self._lock:
            c, oldest = self._counts, self._oldest()
            return PoolStats(
                name=self.name,
                size=self.size,
                idle=len(self._idle),
                leased=len(self._out),
                waiting=len(self._waiters),
                granted=c["granted"],
                timeouts=c["timeout"],
                shed=c["shed"],
                failed=c["failed"],
                made=c["made"],
                closed=c["closed"],
                lost=c["lost"],
                alarms=self._alarmed,
                oldest_s=time.monotonic() - oldest.at if oldest else 0.0,
            )

    def waits(self) -> np.ndarray:
        """Return (n, 3) float64: when a wait ended (monotonic s), its length (s), and place in OUTCOMES."""
        with self._lock:
            return np.array(self._waits, dtype=np.float64).reshape(-1, 3)

    def holds(self) -> np.ndarray:
        """Return (n, 2) float64: when a lease was released (monotonic s), and how long it was out (s)."""
        with self._lock:
            return np.array(self._holds, dtype=np.float64).reshape(-1, 2)

    def forget(self) -> None:
        """Drop the raw samples so far, such as those of filling the pool before a load test."""
        with self._lock:
            self._waits.clear()
            self._holds.clear()

    def alarms(self) -> list[Alarm]:
        """Return the alarms, oldest first (the last 1000)."""
        with self._lock:
            return list(self._alarms)

    def takers(self) -> list[Taker]:
        """Return who holds a lease now, the oldest first."""
        with self._lock:
            return sorted((o.taker for o in self._out.values()), key=lambda t: t.at)

    def close(self) -> None:
        """Close idle resources now and lent ones at their release; callers that wait get LeaseError.

        A forked process closes nothing: the resources are the parent's.
        """
        if self.forked:
            return
        with self._lock:
            self._closed = True
            idle, self._idle = list(self._idle), deque()
            waiters, self._waiters = list(self._waiters), deque()
            self._total -= len(idle)
            keeper, self._keeper = self._keeper, None
        for waiter in waiters:
            waiter.ready.set()
        for entry in idle:
            self._end(entry)
        if keeper is not None:
            self._dropped.put(None)
            if keeper is not threading.current_thread():
                keeper.join(timeout=5)
