"""Load generators: open loop, whose latencies count from when a request was due, and closed loop for contrast."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.serving.pools._lease import OverloadedError, PoolTimeoutError

OK, SHED, LATE, FAILED, NEVER = range(5)
WORDS = ("ok", "shed", "timeout", "failed", "not started")


@dataclass(frozen=True, eq=False)
class LoadResult(Result):
    """What a load test saw, raw.

    Attributes
    ----------
    rate_hz, seconds : float
        The offered load.
    intended, started, finished : ndarray of float64
        Seconds since the start, one per request; NaN where a request never started.
    outcome : ndarray of int8
        Place in `WORDS`.
    errors : tuple of str
        The first failures, in words.
    """

    rate_hz: float
    seconds: float
    intended: np.ndarray
    started: np.ndarray
    finished: np.ndarray
    outcome: np.ndarray
    errors: tuple[str, ...] = ()

    @property
    def latency(self) -> np.ndarray:
        """Return seconds from when each good request was due to its end: waiting counts."""
        return (self.finished - self.intended)[self.outcome == OK]

    @property
    def service(self) -> np.ndarray:
        """Return seconds from when each good request really started: what a closed loop would report."""
        return (self.finished - self.started)[self.outcome == OK]

    def count(self, word: str) -> int:
        """Return how many requests ended so; `word` is one of `WORDS`."""
        return int((self.outcome == WORDS.index(word)).sum())

    def goodput_hz(self, within_s: float = np.inf) -> float:
        """Return good answers per second that came within `within_s` seconds of when they were due."""
        return float((self.latency <= within_s).sum()) / self.seconds

    def quantile(self, q: float) -> float:
        """Return a quantile of the latency in seconds, NaN where nothing succeeded."""
        return float(np.quantile(self.latency, q)) if len(self.latency) else float("nan")

    def to_dict(self) -> dict:
        """Return counts and quantiles; the raw arrays are the attributes."""
        values = {f"p{q:g}_ms": self.quantile(q / 100) * 1e3 for q in (50, 90, 99, 99.9)}
        known = {k: (v if np.isfinite(v) else None) for k, v in values.items()}
        counts = {word.replace(" ", "_"): self.count(word) for word in WORDS}
        return {"rate_hz": self.rate_hz, "seconds": self.seconds, **counts, **known}


def arrivals(
    rate_hz: float, seconds: float, *, kind: Literal["poisson", "paced"] = "poisson", seed: int = 0
) -> np.ndarray:
    """Return when requests are due, seconds from the start.

    Parameters
    ----------
    rate_hz, seconds : float
        Mean rate and length of the test.
    kind : {"poisson", "paced"}
        Independent users, or a metronome.
    seed : int
        Of the Poisson process.

    Examples
    --------
    >>> arrivals(10, 0.5, kind="paced").tolist()
    [0.0, 0.1, 0.2, 0.3, 0.4]
    """
    if not (rate_hz > 0 and seconds > 0):
        raise BadInputError(
            "a load needs a rate and a length above 0",
            got=f"{rate_hz:g} Hz for {seconds:g} s",
            fix="give positive numbers",
        )
    n = max(1, round(rate_hz * seconds))
    if kind == "paced":
        return np.arange(n) / rate_hz
    gaps = np.random.default_rng(seed).exponential(1 / rate_hz, size=2 * n + 50)
    times = np.cumsum(gaps)
    return times[times < seconds]


def open_loop(
    call: Callable[[int], object],
    *,
    rate_hz: float,
    seconds: float,
    workers: int = 32,
    kind: Literal["poisson", "paced"] = "poisson",
    seed: int = 0,
    drain_s: float = 5.0,
    executor: Executor | None = None,
) -> LoadResult:
    """Send requests on a schedule that the service cannot slow down, and time each from when it was due.

    A closed loop waits for an answer before it sends the next request, so a stalled service meets few requests and
    reports few slow ones (coordinated omission). Here a request that is late because all `workers` wait counts as slow.

    Parameters
    ----------
    call : callable
        Takes the request's number. OverloadedError counts as shed, PoolTimeoutError as timeout, others as failed.
    rate_hz, seconds : float
        Offered load.
    workers : int
        Threads that send; more than the service answers at once.
    drain_s : float
        After the last arrival, requests that have not started within this many seconds are left out (`not started`).
    executor : concurrent.futures.Executor or None
        Lends the threads, at least `workers` of them; by default they are started and ended here. A caller that watches
        memory over many short loads lends them: OpenCV keeps about 900 bytes of every thread that used it and ended.

    Returns
    -------
    LoadResult

    Examples
    --------
    >>> result = open_loop(lambda number: None, rate_hz=200, seconds=0.1, kind="paced")
    >>> result.count("ok"), len(result.latency)
    (20, 20)
    """
    due = arrivals(rate_hz, seconds, kind=kind, seed=seed)
    sender = _Sender(call, due, time.perf_counter() + 0.02, float(due[-1]) + drain_s)
    sender.run(workers, executor)
    return sender.result(rate_hz, seconds)


def closed_loop(call: Callable[[int], object], *, seconds: float, workers: int = 1) -> LoadResult:
    """Send the next request when the last one is answered; what many load tools do. For contrast only.

    Parameters
    ----------
    call : callable
        What is called.
    seconds : float
        How long it takes, in seconds.
    workers : int
        Processes that share the work.

    Returns
    -------
    LoadResult
        The latencies and outcomes of the calls.
    """
    limit, started = time.perf_counter() + seconds, time.perf_counter()
    rows: list[tuple[float, float, int]] = []

    def work() -> None:
        while (now := time.perf_counter()) < limit:
            kind, _ = _outcome(call, len(rows))
            rows.append((now - started, time.perf_counter() - started, kind))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    begin = table[:, 0]
    return LoadResult(
        len(table) / seconds, seconds, begin, begin, table[:, 1], table[:, 2].astype(np.int8)
    )


def _outcome(call: Callable[[int], object], k: int) -> tuple[int, str]:
    try:
        call(k)
    except OverloadedError:
        return SHED, ""
    except PoolTimeoutError:
        return LATE, ""
    except Exception as e:
        return FAILED, f"{type(e).__name__}: {e}"[:300]
    return OK, ""


class _Sender:
    """Threads that share one schedule: each takes the next request, waits until it is due, and sends it."""

    def __init__(
        self, call: Callable[[int], object], due: np.ndarray, start: float, end: float
    ) -> None:
        self.call, self.due, self.start, self.end = call, due, start, end
        self.started = np.full(len(due), np.nan)
        self.finished = np.full(len(due), np.nan)
        self.outcome = np.full(len(due), NEVER, np.int8)
        self.errors: list[str] = []
        self.next, self.lock = 0, threading.Lock()

    def run(self, workers: int, executor: Executor | None) -> None:
        if executor is not None:
            for future in [executor.submit(self._work) for _ in range(workers)]:
                future.result()
            return
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def _work(self) -> None:
        while True:
            with self.lock:
                k, self.next = self.next, self.next + 1
            if k >= len(self.due):
                return
            wait = self.start + self.due[k] - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            now = time.perf_counter() - self.start
            if now > self.end:
                return
            kind, error = _outcome(self.call, k)
            self.started[k], self.finished[k] = now, time.perf_counter() - self.start
            self.outcome[k] = kind
            if error and len(self.errors) < 20:
                self.errors.append(error)

    def result(self, rate_hz: float, seconds: float) -> LoadResult:
        return LoadResult(
            rate_hz,
            seconds,
            self.due,
            self.started,
            self.finished,
            self.outcome,
            tuple(self.errors),
        )
