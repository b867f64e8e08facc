"""What is not the head itself: ears, neck and shoulders, long hair, glasses; each its own small mesh."""

from __future__ import annotations

import numpy as np

from facelab.datasets.synthetic.geometry._expression import Features
from tests.datasets.plain_renderer.noise import smooth
from tests.datasets.plain_renderer.numerics import (
    F,
    bell,
    cos,
    interpolate,
    power,
    roots,
    sin,
    sq,
    step,
)

Grid = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Points (rows, columns, 3), and two paint coordinates (rows, columns)."""


def _grid(x, y, z, u, v) -> Grid:
    x, y, z, u, v = np.broadcast_arrays(x, y, z, u, v)
    return np.stack([x, y, z], -1).astype(F), u.astype(F), v.astype(F)


def ear(f: Features, side: int, sections: np.ndarray, rows: int = 46) -> Grid:
    """Build one ear (side −1 left, 1 right in the image) on the head's sections; u runs outwards, v upwards."""
    who = f.who
    u, v = np.linspace(0, 1, max(12, rows * 3 // 4))[None], np.linspace(-1, 1, rows)[:, None]
    outline = np.sqrt(np.clip(1 - v * v, 0, 1))
    depth = 0.17 * who.ear_size * outline * (1 + 0.22 * v)
    head_width = interpolate(0.13, -sections[:, 0], sections[:, 1])
    rim = 0.05 * bell(sq((u - 0.88) / 0.09)) + 0.035 * bell(sq((u - 0.5) / 0.12)) * step(
        -0.5, 0.4, v
    )
    x = side * (head_width - 0.07 + (who.ear_flare + 0.09) * u * roots(outline, 3) + rim * outline)
    return _grid(x, -0.13 + 0.29 * who.ear_size * v, 0.03 - 1.55 * depth * u, u, v)


def body(f: Features, scale: float, lowest: float) -> Grid:
    """Build neck, shoulders and torso down to `lowest`; v = 0 is the top of the neck, v = 1 lies 4.2 units below."""
    length = min(3.6, max(0.03, (-0.62 - lowest) / 4.2))
    rows = int(min(150, max(12, length * 4.2 * scale / 3)))
    columns = int(min(130, max(40, scale * 1.2)))
    # rows lie densest around neck and collar
    even = np.linspace(0, 1, rows)[:, None]
    v = length * even if length < 0.4 else 0.4 * even + (length - 0.4) * even * even * even
    u = (
        sin(np.linspace(-1, 1, columns)[None] * 1.5707963267948966) * 0.98
        + 0.02 * np.linspace(-1, 1, columns)[None]
    )
    neck = f.who.neck_width
    shoulder = step(0.125, 0.32, v)
    width = neck * (1 - 0.05 * sin(v * 13)) + (1.75 - neck) * shoulder
    exponent = 2 + 0.8 * shoulder
    section = power(np.clip(1 - power(np.abs(u), exponent), 0, 1), 1 / exponent)
    z = -0.02 - 0.16 * step(0, 0.25, v) + (0.42 + 0.28 * shoulder) * section
    return _grid(width * u, -0.72 - 4.2 * v - 0.10 * section * step(0.12, 0.3, v), z, 1.5 * u, v)


def hair_curtain(f: Features, side: int, rows: int = 110) -> Grid:
    """Build one side of long hair that falls beside the face; u is the azimuth, v the height."""
    who = f.who
    length = -0.35 + 0.2 * who.hair_part if who.hair_style == "medium" else who.hair_length
    theta = np.linspace(0.98, 2.7, max(24, rows * 5 // 8))[None]
    t = np.linspace(0, 1, rows)[:, None]
    ragged = 0.07 * smooth(
        "hair", (theta * 260 + who.texture_offsets[0]).astype(F), np.zeros_like(theta, F)
    )
    y = 0.98 - (0.98 - length - ragged) * t
    width = (
        interpolate(
            -y,
            (-1.1, -0.98, -0.7, -0.35, 0, 0.4, 0.8, 2.5),
            (0.35, 0.54, 0.70, 0.76, 0.77, 0.76, 0.74, 0.74),
        )
        * who.width
    )
    depth = interpolate(-y, (-1.1, -0.98, -0.7, -0.35, 0, 3), (0.35, 0.6, 0.8, 0.88, 0.88, 0.8))
    rough = 0.05 * smooth("cloud", theta * 70 + who.texture_offsets[4] + 0 * t, t * 90 + 0 * theta)
    radius = 1 + who.hair_volume * 0.9 + rough
    angle = theta + 0.10 * step(0.3, 0.9, t) * (theta < 1.4)
    x = side * width * sin(angle) * radius
    return _grid(x, y, -0.10 + depth * cos(angle) * radius * 1.05, side * theta, y)


# ---------------------------------------------------------------- glasses
def _ribbon(path: np.ndarray, width: float, upright: bool = False) -> Grid:
    """Return a flat ribbon along a polyline (n, 3), widened in the image plane, or upwards when `upright`."""
    d = np.diff(path, axis=0)
    lengths = np.cumsum(np.sqrt(sq(d[:, 0]) + sq(d[:, 1]) + sq(d[:, 2])) + 1e-9)
    distance = np.concatenate([[0.0], lengths])
    even = np.linspace(0, 1, len(path)) * distance[-1]
    p = np.stack([interpolate(even, distance, path[:, k]) for k in range(3)], 1)
    tangent = np.concatenate([p[1:2] - p[:1], (p[2:] - p[:-2]) / 2, p[-1:] - p[-2:-1]])
    if upright:
        normal = np.broadcast_to(np.array([0.0, 1.0, 0.0]), p.shape)
    else:
        size = np.sqrt(sq(tangent[:, 0]) + sq(tangent[:, 1])) + 1e-6
        normal = np.stack([-tangent[:, 1] / size, tangent[:, 0] / size, 0 * size], 1)
    offset = np.linspace(-0.5, 0.5, 3)[:, None, None] * width
    q = p[None] + offset * normal[None]
    return _grid(q[..., 0], q[..., 1], q[..., 2], 0 * q[..., 0], 0 * q[..., 0])


def _lens_outline(
    kind: str, centre: float, eye_y: float, points: int
) -> tuple[np.ndarray, np.ndarray]:
    a = np.linspace(0, 1, points) * 6.283185307179586
    s, c = sin(a), cos(a)
    exponent = 2 / (2.2 if kind == "round" else 4.5 if kind == "rect" else 3.0)
    half = {"round": (0.225, 0.19), "rect": (0.225, 0.15), "sun": (0.245, 0.19)}[kind]
    x = centre + half[0] * np.sign(c) * power(np.abs(c), exponent)
    return x, eye_y - 0.02 + half[1] * np.sign(s) * power(np.abs(s), exponent)


def _frame_z(x):
    """Return the depth of the frame's curved front at x."""
    return 0.985 - 0.22 * roots(np.abs(x), 6)


def glasses(f: Features, kind: str, points: int = 80) -> tuple[list[Grid], list[Grid]]:
    """Build (frame ribbons, filled lenses) of glasses: `round`, `rect` or `sun` (the only one with dark lenses)."""
    who = f.who
    width = who.glasses_width
    frame, lenses = [], []
    for side in (-1, 1):
        centre = side * (who.eye_x + 0.01)
        x, y = _lens_outline(kind, centre, who.eye_y, points)
        frame.append(_ribbon(np.stack([x, y, _frame_z(x)], 1), width))
        frame.append(_temple(who, side, width))
        if kind == "sun":
            r = np.linspace(0, 1, 12)[:, None]
            xs, ys = centre + r * (x - centre), who.eye_y - 0.02 + r * (y - who.eye_y + 0.02)
            lenses.append(_grid(xs, ys, _frame_z(xs) - 0.01, xs, ys))
    x = np.linspace(-(who.eye_x - 0.21), who.eye_x - 0.21, max(8, points // 3))
    bridge = np.stack([x, who.eye_y + 0.03 + 0.03 * cos(x * 14), 1.005 + 0 * x], 1)
    frame.append(_ribbon(bridge, width * 1.1))
    return frame, lenses


def _temple(who, side: int, width: float) -> Grid:
    """Return the arm from the lens back to the ear."""
    t = np.linspace(0, 1, 40)
    outer = who.eye_x + 0.225
    x = side * (outer + (0.752 * who.width - outer) * np.minimum(1, t * 4))
    z = _frame_z(x) - 0.95 * np.maximum(0, t - 0.1)
    return _ribbon(np.stack([x, who.eye_y + 0.04 + 0 * t, z], 1), width, upright=True)
