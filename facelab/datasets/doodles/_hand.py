"""How a hand changes a shape: slant, stretch, wobble, gaps and overshoots, few points, coarse coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

Strokes = Sequence[np.ndarray]
"""Strokes in drawing order, each (n, 2) float: x to the right, y downwards, any unit."""

ASKEW = 0.2
"""Share of drawings that lie askew on their sheet."""


def resampled(points: np.ndarray, n: int) -> np.ndarray:
    """Return `n` points at equal distances along a line."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    if along[-1] <= 0:
        return np.repeat(points[:1], n, axis=0)
    at = np.linspace(0, along[-1], n)
    return np.stack([np.interp(at, along, points[:, k]) for k in (0, 1)], axis=1)


def bezier(points: ArrayLike, n: int = 24) -> np.ndarray:
    """Return `n` points of a Bézier curve of any degree (de Casteljau)."""
    t = np.linspace(0, 1, n)[:, None, None]
    level = np.asarray(points, float)[None]
    while level.shape[1] > 1:
        level = (1 - t) * level[:, :-1] + t * level[:, 1:]
    return level[:, 0]


def arc(
    centre: Sequence[float], radii: Sequence[float], start: float, end: float, n: int = 32
) -> np.ndarray:
    """Return points of an ellipse's arc; angles in degrees, from the right, clockwise as y points down."""
    t = np.radians(np.linspace(start, end, n))
    return np.stack([centre[0] + radii[0] * np.cos(t), centre[1] + radii[1] * np.sin(t)], axis=1)


def by_hand(
    strokes: Strokes, rng: np.random.Generator, *, turn: float = 11.0, most_turn: float = 38.0
) -> list[np.ndarray]:
    """Return strokes as a hand would draw them.

    `turn` is the deviation of the slant in degrees. One drawing in four lies askew on its sheet, by any angle up to
    `most_turn`: a sheet that lies turned, or a camera that is held so.
    """
    box = np.concatenate(list(strokes))
    low, size = box.min(axis=0), max(float(np.ptp(box, axis=0).max()), 1e-9)
    matrix = _matrix(rng, turn, most_turn)
    wobble = 0.03 * rng.beta(1.2, 3.0) * size
    coarse = rng.integers(14, 50) if rng.random() < 0.25 else rng.integers(40, 120)
    grid = size / rng.integers(40, 400)
    out = []
    for stroke in strokes:
        share = len(stroke) / max(len(box), 1)
        points = resampled(_ends(stroke, rng), max(4, round(coarse * (0.3 + 0.7 * share))))
        points = (points - low - size / 2) @ matrix.T
        points = points + wobble * _smooth_noise(len(points), rng)
        out.append(np.round(points / grid) * grid)
    return out


def _matrix(rng: np.random.Generator, turn: float, most_turn: float) -> np.ndarray:
    askew = rng.random() < ASKEW
    slant = rng.uniform(-most_turn, most_turn) if askew else rng.normal(0, turn)
    angle = np.radians(np.clip(slant, -most_turn, most_turn))
    cos, sin = np.cos(angle), np.sin(angle)
    stretch = np.exp(rng.normal(0, 0.12))
    shear = np.array([[1, rng.normal(0, 0.12)], [rng.normal(0, 0.05), 1]])
    return np.array([[cos, -sin], [sin, cos]]) @ shear @ np.diag([stretch, 1 / stretch])


def _smooth_noise(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n, 2) noise of deviation 1 with a few bends along the line, and a little tremor."""
    knots = rng.normal(size=(int(rng.integers(4, 12)), 2))
    at, x = np.linspace(0, 1, n), np.linspace(0, 1, len(knots))
    slow = np.stack([np.interp(at, x, knots[:, k]) for k in (0, 1)], axis=1)
    return slow + 0.15 * rng.normal(size=(n, 2))


def _ends(stroke: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut a little off an end, or draw past it, as in three strokes of four."""
    points = resampled(np.asarray(stroke, float), 64)
    if rng.random() < 0.25:
        return points
    cut = int(rng.integers(0, 5))
    points = points[: len(points) - cut] if rng.random() < 0.5 else points[cut:]
    if rng.random() < 0.3:
        past = points[-1] + (points[-1] - points[-4]) * rng.uniform(0, 1.6)
        points = np.concatenate([points, past[None]])
    return points
