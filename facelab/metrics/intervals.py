"""Seeded bootstrap weights and percentile intervals: by image, by pair, by identity, and the naive interval beside."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError

if TYPE_CHECKING:
    from jaxtyping import Num, Shaped

__all__ = [
    "Interval",
    "bootstrap_mean",
    "identity_weights",
    "paired_difference",
    "percentile_interval",
    "resample_weights",
    "wilson",
]

REPLICATES = 1000
LEVEL = 0.95
KEPT = 8_000_000
"""Weights of the last call are kept up to this many (64 MB)."""
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A figure with the bounds of its interval, how it was made, and from how many independent units."""

    value: float
    lo: float
    hi: float
    method: str
    units: int
    level: float = LEVEL

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON."""
        return asdict(self)


def resample_weights(
    units: int, replicates: int = REPLICATES, seed: int = 0
) -> Num[np.ndarray, "replicates units"]:
    """Draw `units` of `units` with replacement, `replicates` times; return how often each was drawn.

    Returns float64 (replicates, units), read-only; each row sums to `units`.

    Examples
    --------
    >>> w = resample_weights(5, replicates=3, seed=1)
    >>> w.shape, w.sum(axis=1).tolist()
    ((3, 5), [5.0, 5.0, 5.0])
    """
    if units < 1:
        raise BadInputError(
            "a bootstrap needs something to resample",
            expected="at least one unit",
            got=units,
            fix="measure at least one sample",
        )
    draw = _weights if units * replicates <= KEPT else _weights.__wrapped__
    return draw(units, replicates, seed)


@functools.lru_cache(maxsize=1)
def _weights(units: int, replicates: int, seed: int) -> np.ndarray:
    """Draw the weights once for all figures of an evaluation: twenty of them took half of `eval wider`."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(units, np.full(units, 1.0 / units), size=replicates)
    weights = drawn.astype(np.float64)
    weights.flags.writeable = False
    return weights


def percentile_interval(
    value: float, replicates: np.ndarray, *, method: str, units: int, level: float = LEVEL
) -> Interval:
    """Return the percentile interval of bootstrap `replicates` around `value`; undefined replicates are left out."""
    x = np.asarray(replicates, dtype=np.float64)
    x = x[np.isfinite(x)]
    if x.size == 0:
        raise BadInputError(
            "no bootstrap replicate is defined",
            expected="at least one finite replicate",
            got="none",
            fix="more samples are needed for an interval",
        )
    lo, hi = np.quantile(x, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(lo), float(hi), method, units, level)


def bootstrap_mean(
    samples: Shaped[np.ndarray, " n"],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Interval:
    """Return the mean of `samples` (n,) with its bootstrap interval, resampling rows or whole `groups` (n,).

    With groups (identities, images, scenes) all rows of a drawn group come along, since rows of one group are no
    independent evidence. Where every sample is 1, or every one is 0, resampling gives the same mean each time, as if it
    were certain: the interval is then Wilson's, with a trial per group.

    Examples
    --------
    >>> i = bootstrap_mean(np.array([0., 1., 1., 1.]), seed=3)
    >>> i.value, i.lo <= i.value <= i.hi, i.method
    (0.75, True, 'bootstrap by sample')
    >>> i = bootstrap_mean(np.ones(2))
    >>> round(i.lo, 2), i.hi, i.method
    (0.34, 1.0, 'Wilson, samples all alike')
    """
    x = np.asarray(samples, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise BadInputError(
            "the mean needs a list of samples",
            expected="an array (n,), n ≥ 1",
            got=f"shape {x.shape}",
            fix="pass a list of at least one number",
        )
    if groups is None:
        total, count, method = x, np.ones_like(x), "bootstrap by sample"
    else:
        groups = np.asarray(groups)
        if groups.shape != x.shape:
            raise BadInputError(
                "samples and groups differ in length",
                expected=x.shape,
                got=groups.shape,
                fix="pass one group for each sample",
            )
        _, inverse = np.unique(groups, return_inverse=True)
        total, count, method = (
            np.bincount(inverse, x),
            np.bincount(inverse).astype(float),
            "bootstrap by group",
        )
    if x[0] in (0, 1) and (x == x[0]).all():
        lo, hi = wilson(float(x[0]) * total.size, total.size)
        return Interval(float(x[0]), lo, hi, f"Wilson, {method.split()[-1]}s all alike", total.size)
    w = resample_weights(total.size, replicates, seed)
    return percentile_interval(x.mean(), (w @ total) / (w @ count), method=method, units=total.size)


def identity_weights(
    first: np.ndarray, second: np.ndarray, *, replicates: int = REPLICATES, seed: int = 0
) -> tuple[np.ndarray, int]:
    """Return bootstrap weights of pairs when identities are resampled, and the number of identities.

    `first` and `second` (n,) name the identities of each pair's sides. A pair of one identity weighs as often as
    that identity was drawn, a pair of two identities the product of both (vertex bootstrap: Fogliato, Patil and
    Perona, "Confidence intervals for error rates in 1:1 matching tasks", 2023). Pairs that share an identity rise
    and fall together, which a bootstrap of pairs misses. Returns float64 (replicates, n) and a count.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 1:
        raise BadInputError(
            "identities must be two lists of equal length",
            expected=first.shape,
            got=second.shape,
            fix="pass both identities of each pair",
        )
    names, inverse = np.unique(np.concatenate([first, second]), return_inverse=True)
    a, b = inverse[: len(first)], inverse[len(first) :]
    w = resample_weights(len(names), replicates, seed)
    return w[:, a] * np.where(a == b, 1.0, w[:, b]), len(names)


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a binomial share: right for independent trials only ("naive" for pairs).

    Examples
    --------
    >>> [round(v, 4) for v in wilson(0, 10)]
    [0.0, 0.2775]
    """
    if n < 1:
        raise BadInputError(
            "a share needs at least one trial",
            got=n,
            fix="count the trials, or leave the share out",
        )
    p, z2 = successes / n, _Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # at 0 and n the bound is exactly the end of the range; rounding must not carry it a hair past
    return (0.0 if successes == 0 else max(0.0, centre - half)), (
        1.0 if successes == n else min(1.0, centre + half)
    )


def paired_difference(
    a: np.ndarray,
    b: np.ndarray,
    *,
    statistic: Callable[[np.ndarray], float] = np.mean,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Return `statistic(a) − statistic(b)` with an interval that resamples the same rows of both (n,).

    Examples
    --------
    >>> d = paired_difference(np.array([1., 1., 0., 1.]), np.array([1., 0., 0., 1.]))
    >>> d.value, d.lo >= 0
    (0.25, True)
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise BadInputError(
            "a paired difference needs two lists of equal length",
            expected=a.shape,
            got=b.shape,
            fix="measure both on the same items, in the same order",
        )
    if statistic is np.mean:
        w = resample_weights(a.size, replicates, seed)
        reps = (w @ (a - b)) / a.size
    else:
        rng = np.random.default_rng(seed)
        rows = rng.integers(0, a.size, (replicates, a.size))
        reps = np.array([statistic(a[r]) - statistic(b[r]) for r in rows])
    return percentile_interval(
        float(statistic(a) - statistic(b)), reps, method="paired bootstrap", units=a.size
    )
