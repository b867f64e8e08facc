"""Hearts in the ways that people draw them: one line or two halves, round or pointed, lobes of different size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facelab.datasets.doodles._hand import Strokes, arc, bezier

Generator = np.random.Generator


def curve(rng: Generator) -> list[np.ndarray]:
    """Return the textbook curve x = 16 sin³t, y = 13 cos t − 5 cos 2t − 2 cos 3t − cos 4t with changed weights."""
    t = np.linspace(0, 2 * np.pi, 96)
    power, w = rng.uniform(2.2, 3.4), np.array([13, 5, 2, 1]) * rng.uniform(0.75, 1.3, 4)
    x = 16 * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power
    y = -(w[0] * np.cos(t) - w[1] * np.cos(2 * t) - w[2] * np.cos(3 * t) - w[3] * np.cos(4 * t))
    points = np.stack([x * rng.uniform(0.75, 1.15), y], axis=1)
    return [points if rng.random() < 0.6 else np.roll(points[:-1], 48, axis=0)]


def _half(rng: Generator, cusp: np.ndarray, tip: np.ndarray, side: int, base: dict) -> np.ndarray:
    """Return one half from the cusp to the tip; `side` is 1 for the right one."""
    v = {k: value * np.exp(rng.normal(0, 0.12)) for k, value in base.items()}
    wide = np.array([side * v["width"], v["widest"]])
    up = np.array([side * v["width"] * v["lean"], -v["lobe"]])
    top = bezier([cusp, cusp + up, wide - np.array([0, v["lobe"] * 1.1]), wide])
    toward = np.array([side * v["width"] * v["belly"], -v["point"]])
    down = bezier([wide, wide + np.array([0, v["sag"]]), tip + toward, tip])
    return np.concatenate([top, down[1:]])


def halves(rng: Generator) -> list[np.ndarray]:
    """Return two halves of Bézier curves, in one stroke or in two that meet badly."""
    base = {
        "width": rng.uniform(0.4, 0.8),
        "widest": rng.uniform(0.12, 0.4),
        "lobe": rng.uniform(0.25, 0.6),
        "lean": rng.uniform(0.02, 0.75),
        "belly": rng.uniform(0.1, 0.75),
        "point": rng.uniform(0.1, 0.5),
        "sag": rng.uniform(0.05, 0.4),
    }
    cusp = np.array([rng.normal(0, 0.05), rng.uniform(0.0, 0.35)])
    tip = np.array([rng.normal(0, 0.07), 1.0])
    right, left = _half(rng, cusp, tip, 1, base), _half(rng, cusp, tip, -1, base)
    if rng.random() < 0.45:
        return [left, right + rng.normal(0, 0.025, 2)]
    return _around(left, right, rng)


def _around(left: np.ndarray, right: np.ndarray, rng: Generator) -> list[np.ndarray]:
    """Return both halves as one line that starts at the cusp, at the tip, or somewhere between."""
    shift = rng.normal(0, 0.02, 2)
    if rng.random() < 0.5:
        left, right = right, left
    start = rng.random()
    if start < 0.5:
        return [np.concatenate([left, right[::-1][1:] + shift])]
    if start < 0.85:
        return [np.concatenate([left[::-1], right[1:] + shift])]
    cut = int(rng.integers(4, len(left) - 4))
    return [np.concatenate([left[cut:], right[::-1][1:], left[1 : cut + 1] + shift])]


def arcs(rng: Generator) -> list[np.ndarray]:
    """Return two round lobes on straight or bent sides."""
    radius = rng.uniform(0.22, 0.34, 2)
    tall = rng.uniform(0.7, 1.5)
    dip = rng.uniform(-0.03, 0.15)
    depth = rng.uniform(0.45, 0.95)
    begin = rng.uniform(-30, 20, 2)
    left = arc((-radius[0], 0), (radius[0], radius[0] * tall), 0 + begin[0], -180, 20)
    right = arc((radius[1], 0), (radius[1], radius[1] * tall), 180 - begin[1], 360, 20)
    tip = np.array([rng.normal(0, 0.05), depth])
    bend = rng.uniform(-0.02, 0.2)

    def side(from_: np.ndarray, sign: int) -> np.ndarray:
        middle = (from_ + tip) / 2 + np.array([sign * bend, bend])
        return bezier([from_, middle, tip], 16)

    cusp = np.array([[rng.normal(0, 0.02), dip]])
    one = np.concatenate([cusp, left, side(left[-1], -1)[1:]])
    two = np.concatenate([cusp, right, side(right[-1], 1)[1:]])
    if rng.random() < 0.4:
        return [one, two]
    return _around(one, two, rng)


def angular(rng: Generator) -> list[np.ndarray]:
    """Return a heart of few straight lines, as a quick mouse or a ruler draws it."""
    w, c = rng.uniform(0.45, 0.75), rng.uniform(0.1, 0.35)
    h = rng.uniform(0.2, 0.42)
    jitter = rng.normal(0, 0.03, (8, 2))
    points = [
        (0, c),
        (w * rng.uniform(0.3, 0.6), 0),
        (w * rng.uniform(0.7, 0.95), rng.uniform(0, 0.1)),
        (w, h),
        (0, 1),
        (-w, h * rng.uniform(0.8, 1.2)),
        (-w * rng.uniform(0.7, 0.95), rng.uniform(0, 0.1)),
        (-w * rng.uniform(0.3, 0.6), 0),
    ]
    ring = np.array(points) + jitter
    start = int(rng.choice([0, 4]))
    ring = np.roll(ring, -start, axis=0)
    return [np.concatenate([ring, ring[:1] + rng.normal(0, 0.02, 2)])]


def looped(rng: Generator) -> list[np.ndarray]:
    """Return a heart whose line crosses itself at the tip or curls into the cusp."""
    line = np.concatenate(halves(rng)) if rng.random() < 0.3 else curve(rng)[0]
    size = float(np.ptp(line, axis=0).max())
    away = rng.normal(0, 0.1, 2) * size + np.array([0, rng.uniform(0.02, 0.12) * size])
    if rng.random() < 0.5:
        return [np.concatenate([line, line[-1:] + away])]
    return [np.concatenate([line[:1] + away * rng.uniform(-1, 1), line])]


HEARTS: dict[str, tuple[Callable[[Generator], Strokes], float]] = {
    "halves": (halves, 0.46),
    "arcs": (arcs, 0.22),
    "curve": (curve, 0.16),
    "angular": (angular, 0.08),
    "looped": (looped, 0.08),
}
"""Name → (generator, share)."""
