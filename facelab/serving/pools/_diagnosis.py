"""Leak, too small, slow server or fine: what a pool's raw waits and holds say after a load test."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.serving.pools._keeper import OUTCOMES
from facelab.serving.pools._load import LATE, SHED, LoadResult
from facelab.serving.pools._pool import Pool

Word = Literal["leak", "too small", "slow server", "fine"]


@dataclass(frozen=True)
class Limits:
    """When a figure counts.

    Attributes
    ----------
    wait_share : float
        A P90 wait above this multiple of the reference hold is a queue, not jitter.
    refused_share : float
        Shed and timed-out requests above this share are a shortage.
    slow_factor : float
        A median hold above this multiple of the reference is a slow server.
    target_load : float
        Utilisation that a recommended size aims at; queues grow without bound as it nears 1.
    """

    wait_share: float = 1.0
    refused_share: float = 0.01
    slow_factor: float = 1.75
    target_load: float = 0.7


@dataclass(frozen=True)
class Diagnosis(Result):
    """The verdict, why, what to do, and the figures behind it (seconds, shares, counts)."""

    verdict: Word
    because: str
    fix: str
    figures: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.verdict}: {self.because}" + (f" Fix: {self.fix}." if self.fix else "")


def diagnose(
    pool: Pool[Any], load: LoadResult, *, reference_s: float, limits: Limits | None = None
) -> Diagnosis:
    """Say what is wrong with a pool after a load test that has ended.

    Little's law gives the leases that a load needs: arrivals per second times seconds per lease. The reference says
    how long a lease takes on a server with nothing else to do, so a server that became slow is not taken for a small
    pool. A lease that outlives the load, or was dropped, is a leak whatever the waits say.

    Parameters
    ----------
    pool : Pool
        The pool that the load used, and only the load.
    load : LoadResult
        All its callers have returned.
    reference_s : float
        Median seconds of one lease without load, or what the server promises.
    limits : Limits, optional
        Thresholds.

    Returns
    -------
    Diagnosis

    Raises
    ------
    BadInputError
        `reference_s` is not above 0.

    Examples
    --------
    >>> import time
    >>> from facelab.serving import Pool, open_loop
    >>> pool = Pool(object, size=4)
    >>> def call(number):
    ...     with pool.acquire():
    ...         time.sleep(0.002)
    >>> load = open_loop(call, rate_hz=100, seconds=0.2)
    >>> print(diagnose(pool, load, reference_s=0.002).verdict)
    fine
    >>> pool.close()
    """
    if not reference_s > 0:
        raise BadInputError(
            "the reference must be above 0 seconds",
            got=reference_s,
            fix="measure one lease without load",
        )
    limits = limits or Limits()
    figures = _figures(pool, load, reference_s, limits)
    leak = _leak(pool, figures)
    if leak is not None:
        return leak
    short = (
        figures["wait_p90_s"] > limits.wait_share * reference_s
        or figures["refused_share"] > limits.refused_share
    )
    if figures["slowdown"] > limits.slow_factor:
        return Diagnosis(
            "slow server",
            f"a lease takes {figures['hold_p50_s'] * 1e3:.3g} ms, "
            f"{figures['slowdown']:.2g} times as long as without load.",
            "look at the server (locks, disk, processor): a larger pool sends it more at once",
            figures,
        )
    if short:
        return Diagnosis(
            "too small",
            f"leases take as long as without load, yet P90 of the wait is "
            f"{figures['wait_p90_s'] * 1e3:.3g} ms and {figures['refused_share']:.1%} were refused.",
            f"use {figures['size_needed']} resources instead of {pool.size}",
            figures,
        )
    return Diagnosis("fine", "leases come back, and waits are short beside the work.", "", figures)


def _figures(
    pool: Pool[Any], load: LoadResult, reference_s: float, limits: Limits
) -> dict[str, Any]:
    waits, holds, stats = pool.waits(), pool.holds()[:, 1], pool.stats()
    granted = waits[waits[:, 2] == OUTCOMES.index("granted"), 1]
    hold = float(np.median(holds)) if len(holds) else math.nan
    needed = load.rate_hz * reference_s
    return {
        "size": pool.size,
        "reference_s": reference_s,
        "hold_p50_s": hold if len(holds) else None,
        "hold_p99_s": float(np.quantile(holds, 0.99)) if len(holds) else None,
        "slowdown": hold / reference_s if len(holds) else 0.0,
        "wait_p50_s": float(np.median(granted)) if len(granted) else 0.0,
        "wait_p90_s": float(np.quantile(granted, 0.9)) if len(granted) else 0.0,
        "wait_p99_s": float(np.quantile(granted, 0.99)) if len(granted) else 0.0,
        "refused_share": float(np.isin(load.outcome, (SHED, LATE)).mean()),
        "leases_needed": needed,
        "size_needed": max(pool.size + 1, math.ceil(needed / limits.target_load)),
        "still_out": stats.leased,
        "lost": stats.lost,
    }


def _leak(pool: Pool[Any], figures: dict[str, Any]) -> Diagnosis | None:
    held = pool.takers()
    if not held and not figures["lost"]:
        return None
    lost = [a.taker for a in pool.alarms() if a.kind == "lost"]
    places = sorted({t.where for t in (*held, *lost)})
    return Diagnosis(
        "leak",
        f"after the load {len(held)} leases are still out and {figures['lost']} were dropped "
        f"without a release; taken at {'; '.join(places[:3])}.",
        "take leases in a `with` block",
        figures,
    )
