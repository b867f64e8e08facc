"""Shapes that are not hearts: near misses first (spades, leaves, shields, drops), then everything else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facelab.datasets.doodles._hand import Strokes, arc, bezier
from facelab.datasets.doodles._hearts import arcs, curve, halves

Generator = np.random.Generator


def _bounds(strokes: Strokes) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate(list(strokes))
    return points.min(axis=0), points.max(axis=0)


def upside_down(rng: Generator) -> list[np.ndarray]:
    """Return a heart on its head, without a stem."""
    return [s * [1, -1] for s in (halves, arcs, curve)[rng.integers(3)](rng)]


def spade(rng: Generator) -> list[np.ndarray]:
    """Return a spade: a heart on its head with a stem of one of five kinds."""
    body = upside_down(rng)
    low, high = _bounds(body)
    size = float((high - low).max())
    x, base = (low[0] + high[0]) / 2 + rng.normal(0, 0.05) * size, high[1]
    top = base - rng.uniform(0.0, 0.3) * size
    end = base + rng.uniform(0.08, 0.4) * size
    wide, foot = rng.uniform(0.02, 0.1) * size, rng.uniform(0.08, 0.25) * size
    kind = rng.integers(5)
    if kind == 0:
        stem = [np.array([(x, top), (x, end)])]
    elif kind == 1:
        stem = [np.array([(x, top), (x - foot, end), (x + foot, end), (x, top)])]
    elif kind == 2:
        stem = [np.array([(x - wide, top), (x - wide, end), (x + wide, end), (x + wide, top)])]
    elif kind == 3:
        left = bezier([(x - wide, top), (x - wide, end), (x - foot, end)], 12)
        right = bezier([(x + wide, top), (x + wide, end), (x + foot, end)], 12)
        stem = [np.concatenate([left, right[::-1]])]
    else:
        stem = [
            np.array([(x, top), (x, end)]),
            np.array([(x - foot, end), (x + foot, end)]),
        ]
    return [*body, *stem]


def club(rng: Generator) -> list[np.ndarray]:
    """Return three lobes on a stem."""
    r = rng.uniform(0.22, 0.32, 3)
    parts = [arc((0, -0.3), (r[0], r[0]), 60, 480), arc((-0.3, 0.15), (r[1], r[1]), -60, 360)]
    parts += [arc((0.3, 0.15), (r[2], r[2]), 180, 600)]
    foot = rng.uniform(0.05, 0.2)
    stem = np.array([(0, 0.2), (-foot, 0.7), (foot, 0.7), (0, 0.2)])
    return [np.concatenate(parts), stem] if rng.random() < 0.5 else [*parts, stem]


def drop(rng: Generator) -> list[np.ndarray]:
    """Return a drop, pointed below or above: a heart without its cusp."""
    w, h = rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.45)
    left = bezier([(0, 0), (-w, 0), (-w, h), (0, 1)], 32)
    right = bezier([(0, 0), (w, 0), (w, h), (0, 1)], 32)
    line = np.concatenate([left, right[::-1]])
    return [line if rng.random() < 0.7 else line * [1, -1]]


def shield(rng: Generator) -> list[np.ndarray]:
    """Return a flat or slightly bowed top on sides that meet below."""
    w, top = rng.uniform(0.35, 0.6), rng.uniform(-0.1, 0.02)
    side = rng.uniform(0.2, 0.7)
    up = bezier([(-w, 0), (0, top), (w, 0)], 16)
    right = bezier([(w, 0), (w, side), (0, 1)], 20)
    left = bezier([(0, 1), (-w, side), (-w, 0)], 20)
    return [np.concatenate([up, right[1:], left[1:]])]


def apple(rng: Generator) -> list[np.ndarray]:
    """Return an apple or a peach: a dent above, often one below, a stalk, sometimes a leaf."""
    w, dent = rng.uniform(0.45, 0.75), rng.uniform(0.03, 0.2)
    low = rng.uniform(0, 0.14)  # 0: round below
    wide = rng.uniform(0.05, 0.4)
    right = bezier([(0, dent), (w * 0.8, -0.2), (w * 1.4, 0.8), (wide, 1), (0, 1 - low)], 40)
    left = right * [-1, 1]
    out = [np.concatenate([left, right[::-1]])]
    out.append(bezier([(0, dent), (0.02, -0.1), (rng.uniform(-0.15, 0.2), -0.3)], 10))
    if rng.random() < 0.6:
        leaf = bezier([(0.02, -0.1), (0.25, -0.35), (0.35, -0.1), (0.02, -0.08)], 16)
        out.append(leaf * [rng.choice([-1, 1]), 1])
    return out


def leaf(rng: Generator) -> list[np.ndarray]:
    """Return a leaf, pointed at both ends, sometimes with a vein."""
    w = rng.uniform(0.2, 0.5)
    right = bezier([(0, 0), (w, 0.2), (w, 0.8), (0, 1)], 24)
    left = bezier([(0, 1), (-w, 0.8), (-w, 0.2), (0, 0)], 24)
    out = [np.concatenate([right, left])]
    return out if rng.random() < 0.5 else [*out, np.array([(0, 0.05), (0, rng.uniform(0.9, 1.3))])]


def ring(rng: Generator) -> list[np.ndarray]:
    """Return a circle, an ellipse or an egg, closed or not quite."""
    start = rng.uniform(0, 360)
    points = arc((0, 0), (1, rng.uniform(0.6, 1.4)), start, start + rng.uniform(320, 400), 48)
    points[:, 0] *= 1 + rng.uniform(-0.3, 0.3) * points[:, 1]
    return [points]


def face(rng: Generator) -> list[np.ndarray]:
    """Return a round face: two eyes and a mouth in a ring, sometimes with two pointed ears."""
    out = ring(rng)
    size = rng.uniform(0.05, 0.15)
    for x in (-0.35, 0.35):
        out.append(arc((x, rng.uniform(-0.4, -0.15)), (size, size), 0, 360, 12))
    smile = rng.uniform(-0.3, 0.5)
    out.append(bezier([(-0.45, 0.35), (0, 0.35 + smile), (0.45, 0.35)], 16))
    if rng.random() < 0.3:
        ear = np.array([(0.35, -0.85), (0.75, rng.uniform(-1.4, -1.1)), (0.85, -0.45)])
        out += [ear, ear * [-1, 1]]
    return out


def polygon(rng: Generator) -> list[np.ndarray]:
    """Return a triangle (any way up), a square, a diamond, a kite or another polygon."""
    n, first = int(rng.integers(3, 8)), rng.uniform(0, 360)
    first = first if rng.random() < 0.4 else float(rng.choice([90, -90, 45]))
    angles = np.radians(first + np.arange(n + 1) * 360 / n)
    radii = rng.uniform(0.75, 1.2, n)
    corner = np.append(radii, radii[0])[:, None]
    return [np.stack([np.cos(angles), np.sin(angles)], axis=1) * corner]


def star(rng: Generator) -> list[np.ndarray]:
    """Return a star by its outline or in one line that crosses itself."""
    n = int(rng.integers(4, 8))
    if n == 5 and rng.random() < 0.5:
        angles = np.radians(-90 + np.arange(6) * 144)
        return [np.stack([np.cos(angles), np.sin(angles)], axis=1)]
    angles = np.radians(-90 + np.arange(2 * n + 1) * 180 / n)
    radii = np.where(np.arange(2 * n + 1) % 2, rng.uniform(0.35, 0.6), 1.0)
    return [np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]]


def open_curve(rng: Generator) -> list[np.ndarray]:
    """Return a V, U, tick, W, M, ω, m, 3 or crescent: parts of a heart's outline, left open."""
    kind = rng.integers(8)
    a, b = rng.uniform(0.3, 0.7), rng.uniform(0.4, 1.0)
    if kind == 0:
        return [np.array([(-a, 0), (rng.normal(0, 0.15), 1), (a, rng.uniform(-0.3, 0.3))])]
    if kind == 1:
        return [bezier([(-a, 0), (-a, 1.4), (a, 1.4), (a, 0)], 32)]
    if kind == 2:
        return [np.array([(-a, b * 0.6), (0, 1), (a * 2, -0.3)])]
    if kind == 3:
        zig = [(-1, 0), (-0.5, 1), (0, 0.3), (0.5, 1), (1, 0)]
        return [np.array(zig) * [a, rng.choice([-1, 1])]]
    if kind == 4:
        lobes = [
            arc((-0.5, 0), (0.5, b), 180, 360 - rng.uniform(0, 40), 20),
            arc((0.5, 0), (0.5, b), 180 + rng.uniform(0, 40), 360, 20),
        ]
        return [np.concatenate(lobes) * [1, rng.choice([-1, 1])]]
    if kind == 5:
        lobes = [arc((0, -0.5), (b, 0.5), -120, 90, 20), arc((0, 0.5), (b, 0.5), -90, 120, 20)]
        return [np.concatenate(lobes) * [rng.choice([-1, 1]), 1]]
    if kind == 6:
        outer, inner = arc((0, 0), (1, 1), 60, 300, 32), arc((0.4, 0), (0.8, 0.85), 290, 70, 32)
        return [np.concatenate([outer, inner])]
    return [bezier(rng.uniform(-1, 1, (5, 2)), 40)]


def lobes(rng: Generator) -> list[np.ndarray]:
    """Return a flower, a cloud, a butterfly, an eight or a clover: lobes without a tip."""
    kind = rng.integers(3)
    t = np.linspace(0, 2 * np.pi, 120)
    if kind == 0:
        n = int(rng.integers(3, 8))
        r = 1 + rng.uniform(0.2, 0.6) * np.cos(n * t + rng.uniform(0, 6.3))
        return [np.stack([r * np.cos(t), r * np.sin(t)], axis=1)]
    if kind == 1:
        x, y = np.sin(t), np.sin(2 * t) * rng.uniform(0.3, 0.6)
        return [np.stack([x, y] if rng.random() < 0.5 else [y, x], axis=1)]
    n = int(rng.integers(4, 8))
    centres = np.linspace(0, 360, n, endpoint=False)
    bumps = [
        arc(
            (np.cos(np.radians(c)), 0.6 * np.sin(np.radians(c))),
            (0.45, 0.4),
            c - 100,
            c + 100,
            16,
        )
        for c in centres
    ]
    return [np.concatenate([*bumps, bumps[0][:1]])]


def lines(rng: Generator) -> list[np.ndarray]:
    """Return crosses, arrows, brackets, equals signs, combs: a few straight or bent lines."""
    kind = rng.integers(3)
    if kind == 0:
        tip, wing = (1.0, 0.0), rng.uniform(0.2, 0.5)
        head = np.array([(1 - wing, -wing), tip, (1 - wing, wing)])
        turn = np.radians(rng.uniform(0, 360))
        rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        shaft = np.array([(-1.0, 0.0), (1.0, 0.0)])
        return [shaft @ rotate.T, head @ rotate.T]
    if kind == 1:
        n, along = int(rng.integers(2, 5)), rng.random() < 0.5
        out = [np.array([(-1.0, y), (1.0, y)]) for y in np.linspace(-0.6, 0.6, n)]
        out = [s[:, ::-1] for s in out] if along else out
        return out if rng.random() < 0.6 else [*out, np.array([(-0.7, -1.0), (0.7, 1.0)])]
    return [rng.uniform(-1, 1, (2, 2)) for _ in range(int(rng.integers(1, 5)))]


def scribble(rng: Generator) -> list[np.ndarray]:
    """Return curves that mean nothing, one to four of them."""
    n = int(rng.choice([1, 1, 1, 2, 2, 3, 4]))
    return [bezier(rng.uniform(-1, 1, (int(rng.integers(3, 8)), 2)), 48) for _ in range(n)]


def blob(rng: Generator) -> list[np.ndarray]:
    """Return a closed outline of a few harmonics, without a cusp above a tip."""
    t = np.linspace(0, 2 * np.pi, 96)
    r = np.ones_like(t)
    for k in range(1, 6):
        r += rng.normal(0, 0.25 / k) * np.cos(k * t + rng.uniform(0, 6.3))
    r = np.maximum(r, 0.15)
    return [np.stack([r * np.cos(t), r * np.sin(t)], axis=1)]


def heart_and_more(rng: Generator) -> list[np.ndarray]:
    """Return a round top and a cusp below, or lobes beside each other with a line under them: parts in wrong order."""
    if rng.random() < 0.5:
        body = arcs(rng)
        low, high = _bounds(body)
        # only the lobes: the sides are cut off and closed by a straight line
        cut = low[1] + 0.45 * (high[1] - low[1])
        kept = np.concatenate([s[s[:, 1] < cut] for s in body])
        kept = kept[np.argsort(np.arctan2(kept[:, 0], -kept[:, 1] + cut))]
        return [np.concatenate([kept, kept[:1]])]
    return [s[:, ::-1] for s in upside_down(rng)]  # on its side


def digit(rng: Generator) -> list[np.ndarray]:
    """Return digits and letters as hands write them: an open 4, a 7, a 9, a y, each of few strokes."""
    a, b = rng.uniform(0.3, 0.7), rng.uniform(0.35, 0.65)
    kind = rng.integers(6)
    if kind == 0:  # 4, open above
        hook = np.array([(-a, -0.8), (-a * rng.uniform(0.8, 1.3), b * 0.3), (a, b * 0.3)])
        return [hook, np.array([(a * 0.6, rng.uniform(-0.9, -0.2)), (a * 0.5, 1.0)])]
    if kind == 1:  # y, and 4 in one line
        cup = bezier([(-a, -0.8), (-a, 0.5), (a, 0.5), (a, -0.8)], 24)
        tail = bezier([(a, -0.8), (a, 0.6), (a * 0.5, 1.0)], 12)
        return [np.concatenate([cup, tail])]
    if kind == 2:  # 7, crossed or not
        seven = np.array([(-a, -0.8), (a, -0.8), (-a * rng.uniform(-0.3, 0.7), 1.0)])
        return (
            [seven] if rng.random() < 0.5 else [seven, np.array([(-a * 0.6, 0.1), (a * 0.8, 0.0)])]
        )
    if kind == 3:  # 9
        head = arc((0, -0.4), (a, 0.5), -20, -380, 32)
        tail = bezier([head[-1], (a, 0.5), (a * rng.uniform(-0.8, 0.6), 1.0)], 14)
        return [np.concatenate([head, tail])]
    if kind == 4:  # Y, and a tree with two branches
        fork = np.array([(-a, -0.8), (0, 0), (a, -0.8)])
        return [fork, np.array([(0, 0), (rng.normal(0, 0.1), 1.0)])]
    top = bezier([(-a, -0.5), (-a, -1.0), (a, -1.0), (a * 0.6, -0.2), (-a, 1.0)], 28)  # 2
    return [np.concatenate([top, np.array([(a, rng.uniform(0.8, 1.1))])])]


OTHERS: dict[str, tuple[Callable[[Generator], Strokes], float]] = {
    "spade": (spade, 0.15),
    "upside_down": (upside_down, 0.06),
    "club": (club, 0.04),
    "drop": (drop, 0.06),
    "shield": (shield, 0.05),
    "apple": (apple, 0.05),
    "leaf": (leaf, 0.04),
    "ring": (ring, 0.04),
    "face": (face, 0.02),
    "polygon": (polygon, 0.06),
    "star": (star, 0.03),
    "open_curve": (open_curve, 0.08),
    "lobes": (lobes, 0.05),
    "lines": (lines, 0.04),
    "scribble": (scribble, 0.06),
    "blob": (blob, 0.03),
    "parts": (heart_and_more, 0.03),
    "digit": (digit, 0.04),
}
"""Name → (generator, share); letters and digits take what is left."""
