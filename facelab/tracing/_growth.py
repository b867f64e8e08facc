"""Whether a series grows: a slope with an interval from block minima, and whether the growth is sustained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCKS = 8
LEAST_RISING = 5
"""Of the seven steps between block minima, how many must rise: one step up in the middle is not a slope."""

LEAST_LATE = 0.25
"""Share of the growth that must fall into the second half: memory that warms up late grows less and less."""


@dataclass(frozen=True)
class Growth:
    """A slope per frame with a 95 % interval, the whole growth over the window, and whether it is sustained.

    `visible` is the smallest slope that these samples could have told from none.
    """

    slope: float
    lo: float
    hi: float
    total: float
    sustained: bool
    visible: float


def growth(frame: np.ndarray, value: np.ndarray, *, least: float = 0.0) -> Growth:
    """Return how fast `value` grows per frame.

    Parameters
    ----------
    frame, value : ndarray, (n,), n >= 16
        Samples in order of time. Memory readings hang together from one to the next; minima of eight blocks do less,
        and noise of allocators only ever adds.
    least : float
        Whole growth below which nothing is called sustained.

    Returns
    -------
    Growth

    Examples
    --------
    >>> g = growth(np.arange(80), 5.0 * np.arange(80))
    >>> g.sustained, round(g.slope, 6)
    (True, 5.0)
    >>> growth(np.arange(80), np.where(np.arange(80) < 40, 0.0, 100.0)).sustained
    False
    """
    from scipy.stats import t as student

    x, y = np.asarray(frame, np.float64), np.asarray(value, np.float64)
    parts = np.array_split(np.arange(len(x)), BLOCKS)
    bx = np.array([x[p].mean() for p in parts])
    by = np.array([y[p].min() for p in parts])
    dx = bx - bx.mean()
    slope = float((dx * by).sum() / (dx**2).sum())
    rest = by - by.mean() - slope * dx
    error = float(np.sqrt((rest**2).sum() / (BLOCKS - 2) / (dx**2).sum()))
    half = float(student.ppf(0.975, BLOCKS - 2)) * error
    total = float(by[-1] - by[0])
    rising = int((np.diff(by) > 0).sum())
    late = float(by[-1] - by[BLOCKS // 2 - 1])
    lasting = rising >= LEAST_RISING and late >= LEAST_LATE * total
    sustained = slope - half > 0 and lasting and total >= least
    span = float(bx[-1] - bx[0])
    return Growth(
        slope, slope - half, slope + half, total, bool(sustained), max(half, least / span)
    )
