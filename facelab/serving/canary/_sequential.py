"""Bounds on a share that hold at every moment, so that one may look after each request and stop when it is clear."""

from __future__ import annotations

import math
from collections.abc import Callable

from facelab.core.errors import BadInputError


def bounds(successes: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Return an anytime-valid interval for a share.

    With probability at least 1 - `alpha` the true share lies inside the intervals of *all* sample sizes together. An
    ordinary 95 % interval promises this for one size that was fixed before; looked at after each request it excludes
    the truth sooner or later.

    The interval holds every p whose likelihood ratio against a Beta(1/2, 1/2) mixture stays below 1/alpha; under p
    that ratio is a martingale with mean 1, and Ville's inequality bounds its maximum.

    Parameters
    ----------
    successes, n : int
        Counts so far.
    alpha : float
        Share of runs in which the truth may ever be outside.

    Returns
    -------
    tuple of float
        Lower and upper bound.

    References
    ----------
    H. Robbins, "Statistical methods related to the law of the iterated logarithm", 1970.

    Raises
    ------
    BadInputError
        `successes` is outside 0 … `n`, or `alpha` is not between 0 and 1.

    Examples
    --------
    >>> low, high = bounds(90, 100)
    >>> round(low, 3), round(high, 3)
    (0.772, 0.971)
    >>> bounds(0, 0)
    (0.0, 1.0)
    """
    if not (0 <= successes <= n and 0 < alpha < 1):
        raise BadInputError(
            "the counts or alpha are out of range",
            got=f"{successes} of {n}, alpha {alpha}",
            fix="give 0 <= successes <= n and 0 < alpha < 1",
        )
    if n == 0:
        return 0.0, 1.0
    failures = n - successes
    mixture = _log_beta(successes + 0.5, failures + 0.5) - _log_beta(0.5, 0.5)
    limit = mixture - math.log(1 / alpha)

    def outside(p: float) -> bool:
        return _log_likelihood(successes, failures, p) < limit

    share = successes / n
    low = _edge(0.0, share, outside) if outside(0.0) else 0.0
    high = _edge(1.0, share, outside) if outside(1.0) else 1.0
    return low, high


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_likelihood(successes: int, failures: int, p: float) -> float:
    out = 0.0
    for count, share in ((successes, p), (failures, 1 - p)):
        if count:
            if share <= 0:
                return -math.inf
            out += count * math.log(share)
    return out


def _edge(outer: float, inner: float, outside: Callable[[float], bool]) -> float:
    """Return the border between a point outside and one inside, on the outer side."""
    for _ in range(60):
        middle = (outer + inner) / 2
        if outside(middle):
            outer = middle
        else:
            inner = middle
    return outer
