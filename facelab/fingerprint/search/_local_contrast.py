"""Contrast that depends on the picture or on the place in it, however it was made: straight lines fit piece by piece
where one line for all does not."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from facelab.fingerprint.model._observed import FLOOR, Observed
from facelab.fingerprint.model._operations import Refused
from facelab.fingerprint.model._pipeline_state import Change

CELL = 4
"""Samples along each side of a piece."""
ENOUGH = 0.8
"""The share of the power that the pieces' own lines must explain."""

LEFT = (2.5, 5.0)
"""RMS levels that lines for each picture, and lines for each piece of it, may leave: a contrast that follows a curve
bends a little within a piece."""
STEPS = 0.1
"""The share of the power of steps between neighbours that contrast leaves at most. Reports and planted mistakes: below
.08 for every contrast, .17 for a face that was enlarged."""


class Uneven(NamedTuple):
    """The cause, and the share of the power left by one line that their own lines explain."""

    change: Change
    share: float


def unevenly_lit(train: Any, observed: Observed) -> Uneven | None:
    """Return the cause where their own lines explain most of what one line leaves: per picture, or per piece of it.

    `train` is an `Identified` side; its geometry is taken to be right, which a moved or blurred picture would belie:
    their own lines do not fix that.
    """
    linear = observed.score(train.state)
    if not np.isfinite(linear.loss) or linear.loss <= FLOOR:
        return None  # training's pipeline leaves rounding, and whatever lines explain of that
    level = float(train.linear.unit.mean())
    total: list[float] = []
    alone: list[float] = []
    pieces: list[float] = []
    slopes: list[float] = []
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for n in observed.screen:
        try:
            x, cover = observed.predicted(train.state, n)
        except Refused:
            return None
        y = observed.y[n]
        x = (x @ linear.matrix.T + linear.offset).reshape(y.shape)
        if (cover > 1 - 1e-4).all():
            pairs[n] = x, y
            total.append(float(((y - x) ** 2).mean()))
            alone.append(_line(x, y)[0])
            cells = [slice(i, i + CELL) for i in range(0, min(y.shape[:2]) - CELL + 1, CELL)]
            lines = [_line(x[r, c], y[r, c]) for r in cells for c in cells]
            pieces.append(float(np.mean([rest for rest, _ in lines])))
            slopes += [slope for _, slope in lines]
    if not total or np.mean(total) <= 0 or _other_edges(observed, pairs) > STEPS:
        return None
    whole = float(np.mean(total))
    left = [float(np.sqrt(np.mean(v))) / level for v in (alone, pieces)]
    if (share := 1 - float(np.mean(alone)) / whole) > ENOUGH and left[0] <= LEFT[0]:
        text = "contrast and brightness that differ from picture to picture"
        return Uneven(Change("histogram", "color", "contrast as it is", text), share)
    # two numbers a piece take their share of noise as well; a blur lowers slopes where equalising raises them
    share = 1 - float(np.mean(pieces)) / whole / (1 - 2 / CELL**2)
    if share > ENOUGH and np.median(slopes) > 1.15 and left[1] <= LEFT[1]:
        text = "contrast that differs from place to place (as by CLAHE)"
        return Uneven(Change("histogram", "color", "contrast as it is", text), share)
    return None


def _other_edges(observed: Observed, pairs: dict[str, tuple[np.ndarray, np.ndarray]]) -> float:
    """The share of the power of steps between neighbouring samples that no slope for each few of them explains.

    A contrast makes each edge higher or lower where it is; a blur or another place makes other edges.
    """
    left = whole = 0.0
    for n, (x, y) in pairs.items():
        for axis, lines in enumerate((observed.rows[n], observed.columns[n])):
            at = [k for k in range(len(lines) - 1) if lines[k + 1] - lines[k] == 1]
            for k in at:
                a, b = (np.take(v, k + 1, axis) - np.take(v, k, axis) for v in (x, y))
                for i in range(0, len(a) - CELL + 1, CELL):
                    p, q = a[i : i + CELL].ravel(), b[i : i + CELL].ravel()
                    slope = float(p @ q) / max(float(p @ p), 1e-12)
                    left += float(((q - slope * p) ** 2).sum())
                    whole += float((q**2).sum())
    return left / whole if whole > 0 else 0.0


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(mean squared residual, mean slope) of a separate line for each channel, rising only."""
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    xc, yc = x - x.mean(axis=0), y - y.mean(axis=0)
    slope = np.maximum((xc * yc).sum(axis=0) / np.maximum((xc**2).sum(axis=0), 1e-12), 0)
    return float(((yc - slope * xc) ** 2).mean()), float(slope.mean())
