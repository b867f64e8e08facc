"""What a pool counts, and the thread that recovers dropped leases and looks for old ones."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelab.core.errors import BadInputError
from facelab.core.result import Result

if TYPE_CHECKING:
    from facelab.serving.pools._pool import Pool

HISTORY = 200_000
"""Raw samples that a pool keeps of each kind; the oldest go first."""
OUTCOMES = ("granted", "timeout", "shed", "failed")


@dataclass(frozen=True)
class PoolStats(Result):
    """One moment of a pool. Counts are since its start; `oldest_s` is the age of the oldest lease in seconds."""

    name: str
    size: int
    idle: int
    leased: int
    waiting: int
    granted: int
    timeouts: int
    shed: int
    failed: int
    made: int
    closed: int
    lost: int
    alarms: int
    oldest_s: float


def start_keeper(pool: Pool[Any]) -> threading.Thread:
    tick = min(1.0, max(0.01, pool.age_alarm_s / 4))
    thread = threading.Thread(
        target=_keep,
        args=(weakref.ref(pool), pool._dropped, tick),
        name=f"{pool.name}-keeper",
        daemon=True,
    )
    thread.start()
    return thread


def _keep(
    pool_of: Callable[[], Pool[Any] | None], dropped: queue.SimpleQueue[int | None], tick: float
) -> None:
    """Recover dropped leases and look for old ones, until the pool is closed or collected."""
    while True:
        try:
            key = dropped.get(timeout=tick)
        except queue.Empty:
            key = 0
        pool = pool_of()
        if key is None or pool is None:
            return
        if key:
            pool._recover(key)
        pool._look_for_old()
        del pool


def check_numbers(**values: float) -> None:
    """Raise BadInputError for a number that is not above 0."""
    for name, value in values.items():
        if not value > 0:
            raise BadInputError(
                f"a pool's {name} must be above 0", got=value, fix="give a positive number"
            )
