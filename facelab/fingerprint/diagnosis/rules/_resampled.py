"""Training was not recognised, but what differs is what two ways of writing one resampling leave."""

from __future__ import annotations

import numpy as np

from facelab.fingerprint.diagnosis._case import Case, Outcome

ROUNDED = 1.06
"""Levels by which two roundings differ."""
SHARE = 1 / 8
"""Of the contrast to the neighbours: positions in 32nds of a pixel on one side, of a picture at half its size."""
TYPICAL = 0.95
"""Levels RMS that may be left on a probe."""


def resampled_alike(case: Case) -> Outcome | None:
    """Say that both sides do the same where samples differ no more than positions in 32nds of a pixel move them.

    OpenCV's warps round each position so. Flat places must agree to a rounding, and so must the means of blocks.
    """
    apart, seen = 0.0, 0
    for n in case.train_samples.plain:
        d = case.distances.get(n)
        if d is None or d["nonfinite"] or d["rms"] > TYPICAL or d["blocks"] > ROUNDED:
            return None
        x, y = case.train_samples.y[n], case.infer_samples.y[n]
        if x.shape != y.shape:
            return None
        off = np.abs(x - y) / case.unit
        if (off > ROUNDED + SHARE * _contrast(case, n, x) / case.unit).any():
            return None
        apart, seen = max(apart, float(off.max())), seen + 1
    if not seen or any(not case.same(n) for n in case.names if case.known[n].lossy):
        return None
    note = (
        f"training was not recognised; the sides differ by at most {apart:.2f} levels and only where "
        "neighbouring pixels differ, as positions in 32nds of a pixel make them: rounding"
    )
    return Outcome([], [note], 1.0)


def _contrast(case: Case, name: str, x: np.ndarray) -> np.ndarray:
    """The largest difference to the sampled neighbours of each sample; 0 where none is sampled."""
    out = np.zeros_like(x)
    for axis, places in enumerate(
        (case.train_samples.rows[name], case.train_samples.columns[name])
    ):
        for k in range(len(places) - 1):
            if places[k + 1] - places[k] != 1:
                continue
            a, b = (np.take(x, k + i, axis) for i in (0, 1))
            step = np.abs(a - b)
            for i in (k, k + 1):
                at = (i,) if axis == 0 else (slice(None), i)
                out[at] = np.maximum(out[at], step)
    return out
