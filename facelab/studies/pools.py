"""Notebook 17: four planted faults and their verdicts, what a closed loop hides, and overload without collapse."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import UnsupportedError
from facelab.core.result import Result
from facelab.core.safety.scratch import ScratchFolder
from facelab.serving import Pool, diagnose, open_loop, postgres_connections
from facelab.serving.internals import (
    closed_loop,
    local_postgres,
    local_valkey,
    onnx_sessions,
    valkey_clients,
)

FAULTS = ("fine", "too small", "slow server", "leak")
HOLD_S = 0.02


@dataclass(frozen=True)
class Kind:
    """A pool and one unit of work on its resource that takes about `seconds` there."""

    name: str
    pool: Callable[..., Pool[Any]]
    work: Callable[[Any, float], object]


@contextlib.contextmanager
def kinds(*, servers: bool = True) -> Iterator[tuple[list[Kind], dict[str, str]]]:
    """Yield the kinds of pools that can be had here, and why the others cannot."""
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        found = [_sessions(stack)]
        for name, start, make in (
            ("PostgreSQL", local_postgres, _postgres),
            ("Valkey", local_valkey, _valkey),
        ):
            if not servers:
                missing[name] = "servers are switched off"
                continue
            try:
                found.append(make(stack.enter_context(start())))
            except UnsupportedError as e:
                missing[name] = f"{e.what}: {(e.got or '').splitlines()[-1][:100]}"
        yield found, missing


def _sessions(stack: contextlib.ExitStack) -> Kind:
    """Sessions of a small network; the work runs it, and then holds the session as a slow caller would."""
    from facelab.studies.release import SIZE, network

    folder = Path(stack.enter_context(ScratchFolder()))
    path, x = network(folder / "m.onnx", seed=1, megabytes=0.1), np.zeros((1, SIZE, SIZE, 3), "f4")

    def work(model: Any, seconds: float) -> None:
        end = time.perf_counter() + seconds
        model.run(x)
        time.sleep(max(0.0, end - time.perf_counter()))

    return Kind("ONNX Runtime", lambda **options: onnx_sessions(path, **options), work)


def _postgres(dsn: str) -> Kind:
    return Kind(
        "PostgreSQL",
        lambda **options: postgres_connections(dsn, **options),
        lambda c, seconds: c.execute("select pg_sleep(%s)", [seconds]),
    )


def _valkey(url: str) -> Kind:
    """A blocking read of an empty list: the server holds the client for this long."""
    return Kind(
        "Valkey",
        lambda **options: valkey_clients(url, **options),
        lambda c, seconds: c.blpop("nothing", timeout=seconds),
    )


@dataclass(frozen=True, eq=False)
class Planted(Result):
    """One load test with a planted fault: what was planted, what was found, and the raw waits."""

    kind: str
    planted: str
    found: str
    because: str
    fix: str
    figures: dict[str, Any]
    waits: np.ndarray
    taker: str

    @property
    def right(self) -> bool:
        """Return whether the planted fault was named."""
        return self.planted == self.found


def plant(kind: Kind, fault: str, *, rate_hz: float = 80.0, seconds: float = 1.5) -> Planted:
    """Run a load test with one planted fault and return the verdict.

    The reference is measured first: leases one after the other, without load and without the fault.
    """
    size = {"fine": 8, "too small": 1, "slow server": 8, "leak": 6}[fault]
    reference = _reference(kind)
    hold = HOLD_S * (6 if fault == "slow server" else 1)
    kept: list[Any] = []
    with kind.pool(size=size, deadline_s=0.4, max_waiting=40, age_alarm_s=0.5) as pool:
        _filled(pool, size)

        def call(k: int) -> None:
            lease = pool.acquire(f"request {k}")
            kind.work(lease.value, hold)
            if fault == "leak" and k % 15 == 7:
                kept.append(lease)  # planted: nobody gives it back
            else:
                lease.release()

        load = open_loop(call, rate_hz=rate_hz, seconds=seconds, workers=60)
        found = diagnose(pool, load, reference_s=reference)
        alarms = pool.alarms()
        return Planted(
            kind.name,
            fault,
            found.verdict,
            found.because,
            found.fix,
            found.figures,
            pool.waits(),
            alarms[0].taker.where if alarms else "",
        )


def _reference(kind: Kind) -> float:
    with kind.pool(size=1) as pool:
        for _ in range(15):
            with pool.acquire() as lease:
                kind.work(lease.value, HOLD_S)
        return float(np.median(pool.holds()[3:, 1]))


def _filled(pool: Pool[Any], size: int) -> None:
    """Make all resources before the load, so that connecting is not taken for waiting."""
    leases = [pool.acquire(deadline_s=10) for _ in range(size)]
    for lease in leases:
        lease.release()
    pool.forget()


def plant_all(
    *, servers: bool = True, seconds: float = 1.5
) -> tuple[list[Planted], dict[str, str]]:
    """Plant each fault in each kind of pool that can be had; also return why others are missing."""
    with kinds(servers=servers) as (found, missing):
        return [plant(kind, fault, seconds=seconds) for kind in found for fault in FAULTS], missing


def lost_leases(*, drops: int = 20) -> dict[str, Any]:
    """Drop leases of a pool of four without a release; return how many came back, and who dropped them."""
    with Pool(object, size=4, name="facelab") as pool:
        for _ in range(drops):
            pool.acquire("careless", deadline_s=5)
            gc.collect()
        deadline = time.monotonic() + 5
        while pool.stats().leased and time.monotonic() < deadline:
            time.sleep(0.01)
        usable = pool.size - pool.stats().leased
        taker = pool.alarms()[0].taker.where
        return {"recovered": pool.stats().lost, "usable": usable, "taker": taker}


def psycopg_pool_after_drops(*, size: int = 4) -> int | None:
    """Return how many connections psycopg's own pool can lend after `size` were dropped; None without a server."""
    from psycopg_pool import ConnectionPool, PoolTimeout

    try:
        server = local_postgres()
        dsn = server.__enter__()
    except UnsupportedError:
        return None
    had: list[Any] = []
    with contextlib.suppress(PoolTimeout), ConnectionPool(dsn, min_size=size, open=True) as pool:
        for _ in range(size):
            pool.getconn()  # dropped: nobody calls putconn
        gc.collect()
        while len(had) < size:
            had.append(pool.getconn(timeout=0.3))
    server.__exit__(None, None, None)
    return len(had)


@dataclass(frozen=True, eq=False)
class Omission(Result):
    """One stall of a service, seen by two load generators: latencies in seconds."""

    stall_s: float
    closed: np.ndarray
    opened: np.ndarray

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per generator."""
        both = {"closed loop": self.closed, "open loop": self.opened}
        return [
            {
                "generator": name,
                "requests": len(x),
                **{f"p{q:g} [ms]": float(np.percentile(x, q)) * 1e3 for q in (50, 90, 99)},
            }
            for name, x in both.items()
        ]


def omission(*, stall_s: float = 0.8, seconds: float = 3.0, rate_hz: float = 100.0) -> Omission:
    """Stall a service once for `stall_s` and ask both load generators how slow it was."""

    def service() -> Callable[[int], None]:
        lock, begin, stalled = threading.Lock(), time.perf_counter(), []

        def call(_: int) -> None:
            with lock:
                if not stalled and time.perf_counter() - begin > seconds / 3:
                    stalled.append(True)
                    time.sleep(stall_s)
                time.sleep(0.002)

        return call

    closed = closed_loop(service(), seconds=seconds)
    opened = open_loop(service(), rate_hz=rate_hz, seconds=seconds, workers=128, kind="paced")
    return Omission(stall_s, closed.latency, opened.latency)


@dataclass(frozen=True, eq=False)
class Overload(Result):
    """Goodput at rising offered loads, with a bounded and an unbounded queue; rates in requests per second."""

    capacity_hz: float
    within_s: float
    table: list[dict[str, Any]]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per queue and load."""
        return self.table

    def goodput(self, queue: str) -> tuple[np.ndarray, np.ndarray]:
        """Return offered loads and goodputs as shares of the capacity."""
        rows = [r for r in self.table if r["queue"] == queue]
        return np.array([r["offered"] for r in rows]), np.array([r["goodput"] for r in rows])


def overload(
    *, factors: list[float], seconds: float = 2.0, size: int = 4, within_s: float = 0.15
) -> Overload:
    """Offer multiples of a pool's capacity, which is measured, to a bounded and an unbounded queue.

    An answer is good when it came within `within_s` of when it was due. Work is a sleep, not a computation.
    """
    capacity = _capacity(size)
    rows = []
    for queue, waiting in (("bounded", 2 * size), ("unbounded", 10**6)):
        for factor in factors:
            load = _offered(size, waiting, factor * capacity, seconds)
            rows.append(
                {
                    "queue": queue,
                    "offered": len(load.outcome) / seconds / capacity,
                    "goodput": load.goodput_hz(within_s) / capacity,
                    "shed": load.count("shed") / len(load.outcome),
                    "p99 [ms]": load.quantile(0.99) * 1e3,
                }
            )
    return Overload(capacity, within_s, rows)


def _offered(size: int, waiting: int, rate_hz: float, seconds: float) -> Any:
    with Pool(object, size=size, deadline_s=30, max_waiting=waiting) as pool:

        def call(_: int) -> None:
            with pool.acquire():
                time.sleep(HOLD_S)

        return open_loop(call, rate_hz=rate_hz, seconds=seconds, workers=300, drain_s=0.5)


def _capacity(size: int) -> float:
    with Pool(object, size=size, deadline_s=30, max_waiting=10**6) as pool:

        def call(_: int) -> None:
            with pool.acquire():
                time.sleep(HOLD_S)

        return closed_loop(call, seconds=1.0, workers=size).goodput_hz()
