"""Quantiles with intervals that assume no distribution, and latencies that a stall kept from being measured."""

from __future__ import annotations

import numpy as np

from facelab.core.errors import BadInputError


def quantile(
    samples: np.ndarray, q: float, *, confidence: float = 0.95
) -> tuple[float, float | None, float | None]:
    """Return a quantile and its distribution-free interval from order statistics.

    Parameters
    ----------
    samples : ndarray, (n,)
        Independent samples, in any unit.
    q : float
        Between 0 and 1, such as 0.99.
    confidence : float
        Coverage of the interval.

    Returns
    -------
    value, lo, hi : float, float or None, float or None
        An end is None where n samples cannot bound the quantile on that side: P99 needs 368 samples for an upper end.

    Raises
    ------
    BadInputError
        `samples` is empty, or `q` is out of range.

    Examples
    --------
    >>> quantile(np.arange(1.0, 1001.0), 0.9)
    (900.1, 881.0, 919.0)
    >>> quantile(np.arange(100.0), 0.99)[2] is None
    True

    References
    ----------
    David and Nagaraja, Order Statistics, section 7.1.
    """
    from scipy.stats import binom

    x = np.sort(np.asarray(samples, np.float64).ravel())
    n = len(x)
    if not n or not 0 < q < 1:
        raise BadInputError(
            "a quantile needs samples and a level between 0 and 1",
            got=f"{n} samples, level {q}",
            fix="record at least one call",
        )
    tail = (1 - confidence) / 2
    # P(X_(r) <= Q) = P(B >= r) with B ~ binomial(n, q), r counted from 1
    low = int(binom.ppf(tail, n, q))
    high = int(binom.ppf(1 - tail, n, q)) + 1
    lo = float(x[low - 1]) if low >= 1 and binom.cdf(low - 1, n, q) <= tail else None
    hi = float(x[high - 1]) if high <= n and binom.sf(high - 1, n, q) <= tail else None
    return float(np.quantile(x, q)), lo, hi


def corrected(seconds: np.ndarray, period_s: float) -> np.ndarray:
    """Return latencies corrected for coordinated omission: a paced caller would have waited behind a slow call.

    Parameters
    ----------
    seconds : ndarray, (n,)
        Durations of calls that were made one after the other.
    period_s : float
        The period at which calls were due.

    Returns
    -------
    ndarray, (m,), m >= n
        The durations, and for each one longer than the period the waits of the calls that should have started
        meanwhile: `t - period`, `t - 2 * period`, … down to one period.

    Examples
    --------
    >>> corrected(np.array([0.1, 0.35]), 0.1).round(2).tolist()
    [0.1, 0.35, 0.25, 0.15]

    References
    ----------
    Gil Tene, HdrHistogram, `recordValueWithExpectedInterval`.
    """
    if not period_s > 0:
        raise BadInputError("the period must be positive", got=period_s, fix="give seconds")
    out = [np.asarray(seconds, np.float64)]
    for t in out[0][out[0] >= 2 * period_s - 1e-12]:
        waits = t - period_s * np.arange(1, int(t / period_s) + 1)
        out.append(waits[waits >= period_s - 1e-12])
    return np.concatenate(out)
