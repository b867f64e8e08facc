"""Interleaved timing: every contender meets the same noise, and each figure says how sure it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

UNSTABLE_SPREAD = 0.10
"""Half the interquartile range over the median above which samples are called unstable."""


Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Summary:
    """Percentiles of one contender's samples in seconds, a 95 % interval for the median, and a warning or None."""

    p50: float
    p90: float
    p99: float
    lo: float
    hi: float
    n: int
    warning: str | None


def interleave(
    contenders: Mapping[Name, Callable[[], object]],
    *,
    repeats: int,
    warmup: int = 1,
    seed: int = 0,
    budget_s: float | None = None,
    least_s: float = 0.0,
) -> dict[Name, np.ndarray]:
    """Time callables in rounds, each round in a fresh random order, and return seconds per call.

    Returns a dict of float64 arrays of equal length (`repeats`, or fewer if `budget_s` seconds ran out after at
    least three rounds). Interleaving makes a noisy neighbour hit all contenders alike, so ratios stay honest.
    `least_s`: a contender is called so often in a row (as its last sample tells) that a sample, their mean, spans about
    so long: a short call alone measures cold caches, and on several threads a core that was asleep.

    >>> samples = interleave({"a": lambda: None, "b": lambda: sum(range(9))}, repeats=3)
    >>> sorted(samples), samples["a"].shape
    (['a', 'b'], (3,))
    """
    names = list(contenders)
    rng = np.random.default_rng(seed)
    calls: dict[Name, int] = dict.fromkeys(names, 1)

    def sample(name: Name) -> float:
        seconds = _seconds(contenders[name], calls[name])
        calls[name] = max(1, math.ceil(least_s / max(1e-7, seconds)))
        return seconds

    for _ in range(warmup):
        for name in names:
            sample(name)
    rounds: list[dict[Name, float]] = []
    started = time.perf_counter()
    for k in range(repeats):
        row: dict[Name, float] = {}
        for i in map(int, rng.permutation(len(names))):
            row[names[i]] = sample(names[i])
        rounds.append(row)
        if budget_s is not None and k >= 2 and time.perf_counter() - started > budget_s:
            break
    return {name: np.array([row[name] for row in rounds]) for name in names}


def _seconds(call: Callable[[], object], times: int) -> float:
    """Return the mean seconds of this many calls in a row; by its own clock where it has one (`seconds(times)`)."""
    own = getattr(call, "seconds", None)
    if own is not None:
        return own(times)
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times


def median_interval(samples: np.ndarray) -> tuple[float, float]:
    """Return a distribution-free 95 % interval for the median from order statistics (binomial ranks).

    With fewer than six samples no such interval exists; the range is returned.
    """
    x = np.sort(np.asarray(samples, dtype=np.float64))
    n = len(x)
    if n < 6:
        return float(x[0]), float(x[-1])
    half = 0.98 * np.sqrt(n)
    return float(x[max(0, int(np.floor(n / 2 - half)))]), float(
        x[min(n - 1, int(np.ceil(n / 2 + half)))]
    )


def summarise(samples: np.ndarray) -> Summary:
    """Summarise seconds of one contender; `warning` says so where the spread is above `UNSTABLE_SPREAD`.

    Raises ValueError for an empty array.
    """
    x = np.asarray(samples, dtype=np.float64)
    if x.size == 0:
        raise ValueError("no samples to summarise")
    p25, p50, p75, p90, p99 = np.percentile(x, [25, 50, 75, 90, 99])
    spread = (p75 - p25) / 2 / p50 if p50 > 0 else 0.0
    warning = (
        f"may be unstable: half the interquartile range is {spread:.0%} of the median"
        if (spread > UNSTABLE_SPREAD)
        else None
    )
    lo, hi = median_interval(x)
    return Summary(float(p50), float(p90), float(p99), lo, hi, int(x.size), warning)


def ratio(slow: np.ndarray, fast: np.ndarray) -> tuple[float, float, float]:
    """Return how many times faster `fast` is: the median of per-round ratios and its 95 % interval.

    Both arrays are seconds from the same rounds of `interleave`.
    """
    r = np.asarray(slow, dtype=np.float64) / np.asarray(fast, dtype=np.float64)
    return float(np.median(r)), *median_interval(r)
