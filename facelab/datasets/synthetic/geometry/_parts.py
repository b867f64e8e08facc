"""What is not the head itself: ears, neck and shoulders, long hair, glasses; each its own small mesh.

Each kernel writes unposed vertices (rows, columns, 3) and paint coordinates u, v (rows, columns, 3; the third is 0).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import Record, kernel, part
from facelab.datasets.synthetic._noise import CLOUD, HAIR, smooth
from facelab.datasets.synthetic._scalar import (
    PI,
    bell,
    power,
    power_3_2,
    power_3_4,
    sq,
    step,
    wave,
)
from facelab.datasets.synthetic.geometry._face import MEDIUM

NO_LENS, ROUND, RECT, SUN = range(4)
EYEWEAR = {"none": NO_LENS, "round": ROUND, "rect": RECT, "sun": SUN}
_WIDTH_Y = (-1.1, -0.98, -0.7, -0.35, 0.0, 0.4, 0.8, 2.5)
_WIDTH = (0.35, 0.54, 0.70, 0.76, 0.77, 0.76, 0.74, 0.74)
_DEPTH_Y = (-1.1, -0.98, -0.7, -0.35, 0.0, 3.0)
_DEPTH = (0.35, 0.6, 0.8, 0.88, 0.88, 0.8)
RIBBON = 3  # points across a ribbon


@part
def _cosine(x: float) -> Any:
    return wave(x + 0.5 * PI)


@part
def _put(
    points: np.ndarray,
    paint: np.ndarray,
    i: int,
    j: int,
    x: float,
    y: float,
    z: float,
    u: float,
    v: float,
) -> None:
    points[i, j, 0], points[i, j, 1], points[i, j, 2] = x, y, z
    paint[i, j, 0], paint[i, j, 1], paint[i, j, 2] = u, v, 0.0


@part
def _between(x: float, places: Any, values: Any) -> Any:
    """Return the value at x on a line through (places, values), held at both ends."""
    if x <= places[0]:
        return values[0]
    for k in range(1, len(places)):
        if x <= places[k]:
            t = (x - places[k - 1]) / (places[k] - places[k - 1])
            return values[k - 1] + t * (values[k] - values[k - 1])
    return values[len(values) - 1]


@kernel
def ear(f: Record, side: float, profile: np.ndarray, points: np.ndarray, paint: np.ndarray) -> None:
    """Write one ear (side −1 left, 1 right in the image) on the head's sections; u runs outwards, v upwards."""
    rows, columns = points.shape[0], points.shape[1]
    head = profile[0, 1]
    for i in range(profile.shape[0] - 1):
        if profile[i, 0] >= -0.13 > profile[i + 1, 0]:
            t = (profile[i, 0] + 0.13) / (profile[i, 0] - profile[i + 1, 0])
            head = profile[i, 1] + t * (profile[i + 1, 1] - profile[i, 1])
    for i in range(rows):
        v = -1.0 + 2.0 * i / (rows - 1)
        outline = np.sqrt(max(1.0 - v * v, 0.0))
        depth = 0.17 * f.ear_size * outline * (1.0 + 0.22 * v)
        for j in range(columns):
            u = j / (columns - 1)
            inner = 0.035 * bell(sq((u - 0.5) / 0.12)) * step(-0.5, 0.4, v)
            rim = 0.05 * bell(sq((u - 0.88) / 0.09)) + inner
            flare = (f.ear_flare + 0.09) * u * power_3_4(outline)
            x = side * (head - 0.07 + flare + rim * outline)
            y, z = -0.13 + 0.29 * f.ear_size * v, 0.03 - 1.55 * depth * u
            _put(points, paint, i, j, x, y, z, u, v)


@kernel
def body(f: Record, length: float, points: np.ndarray, paint: np.ndarray) -> None:
    """Write neck, shoulders and torso; v = 0 is the top of the neck, v = 1 lies 4.2 units below."""
    rows, columns = points.shape[0], points.shape[1]
    for i in range(rows):
        even = i / (rows - 1)
        # rows lie densest around neck and collar
        v = length * even if length < 0.4 else 0.4 * even + (length - 0.4) * even * even * even
        shoulder = step(0.125, 0.32, v)
        width = f.neck_width * (1.0 - 0.05 * wave(v * 13.0)) + (1.75 - f.neck_width) * shoulder
        exponent = 2.0 + 0.8 * shoulder
        sink, collar = 0.16 * step(0.0, 0.25, v), 0.10 * step(0.12, 0.3, v)
        for j in range(columns):
            t = -1.0 + 2.0 * j / (columns - 1)
            u = wave(t * 0.5 * PI) * 0.98 + 0.02 * t
            section = power(max(1.0 - power(abs(u), exponent), 0.0), 1.0 / exponent)
            z = -0.02 - sink + (0.42 + 0.28 * shoulder) * section
            _put(points, paint, i, j, width * u, -0.72 - 4.2 * v - collar * section, z, 1.5 * u, v)


@kernel
def hair_curtain(
    f: Record, side: float, noise: np.ndarray, points: np.ndarray, paint: np.ndarray
) -> None:
    """Write one side of long hair that falls beside the face; u is the azimuth, v the height."""
    rows, columns = points.shape[0], points.shape[1]
    length = -0.35 + 0.2 * f.hair_part if int(f.hair_style) & MEDIUM else f.hair_length
    for j in range(columns):
        theta = 0.98 + (2.7 - 0.98) * j / (columns - 1)
        ragged = 0.07 * smooth(noise, HAIR, theta * 260.0 + f.offset0, 0.0)
        for i in range(rows):
            t = i / (rows - 1)
            y = 0.98 - (0.98 - length - ragged) * t
            # both tables are written for −y: the hair narrows upwards
            width = _between(-y, _WIDTH_Y, _WIDTH) * f.width
            depth = _between(-y, _DEPTH_Y, _DEPTH)
            rough = smooth(noise, CLOUD, theta * 70.0 + f.offset4, t * 90.0)
            radius = 1.0 + f.hair_volume * 0.9 + 0.05 * rough
            angle = theta + (0.10 * step(0.3, 0.9, t) if theta < 1.4 else 0.0)
            x, z = side * width * wave(angle) * radius, depth * _cosine(angle) * radius * 1.05
            _put(points, paint, i, j, x, y, z - 0.10, side * theta, y)


# ---------------------------------------------------------------- glasses
@part
def _frame_z(x: float) -> Any:
    """Return the depth of the frame's curved front at x."""
    return 0.985 - 0.22 * power_3_2(abs(x))


@part
def _lens_edge(f: Record, kind: Any, side: float, angle: float) -> tuple[Any, Any]:
    """Return the point of a lens's outline at an angle."""
    s, c = wave(angle), _cosine(angle)
    exponent = 2.0 / (2.2 if kind == ROUND else 4.5 if kind == RECT else 3.0)
    half = 0.245 if kind == SUN else 0.225
    tall = 0.15 if kind == RECT else 0.19
    x = half * power(abs(c), exponent) * (1.0 if c > 0.0 else -1.0)
    y = tall * power(abs(s), exponent) * (1.0 if s > 0.0 else -1.0)
    return side * (f.eye_x + 0.01) + x, f.eye_y - 0.02 + y


@part
def _ribbon(path: Any, width: float, upright: Any, points: Any, paint: Any) -> None:
    """Write a flat ribbon (RIBBON, n) along a path (n, 3), widened in the image plane, or upwards when `upright`."""
    n = path.shape[0]
    for j in range(n):
        a, b = max(j - 1, 0), min(j + 1, n - 1)
        dx, dy = path[b, 0] - path[a, 0], path[b, 1] - path[a, 1]
        size = np.sqrt(dx * dx + dy * dy) + 1e-6
        nx, ny = (0.0, 1.0) if upright else (-dy / size, dx / size)
        for i in range(RIBBON):
            w = (i / (RIBBON - 1) - 0.5) * width
            _put(
                points, paint, i, j, path[j, 0] + w * nx, path[j, 1] + w * ny, path[j, 2], 0.0, 0.0
            )


@kernel
def rim(f: Record, kind: Any, side: float, points: np.ndarray, paint: np.ndarray) -> None:
    """Write the rim around one lens."""
    n = points.shape[1]
    path = np.empty((n, 3))
    for j in range(n):
        path[j, 0], path[j, 1] = _lens_edge(f, kind, side, 2 * PI * j / (n - 1))
        path[j, 2] = _frame_z(path[j, 0])
    _ribbon(path, f.glasses_width, False, points, paint)


@kernel
def temple(f: Record, side: float, points: np.ndarray, paint: np.ndarray) -> None:
    """Write the arm from one lens back to the ear."""
    n = points.shape[1]
    path = np.empty((n, 3))
    outer = f.eye_x + 0.225
    for j in range(n):
        t = j / (n - 1)
        x = side * (outer + (0.752 * f.width - outer) * min(1.0, t * 4))
        path[j, 0], path[j, 1] = x, f.eye_y + 0.04
        path[j, 2] = _frame_z(x) - 0.95 * max(0.0, t - 0.1)
    _ribbon(path, f.glasses_width, True, points, paint)


@kernel
def bridge(f: Record, points: np.ndarray, paint: np.ndarray) -> None:
    """Write the bow over the nose."""
    n = points.shape[1]
    path = np.empty((n, 3))
    reach = f.eye_x - 0.21
    for j in range(n):
        x = reach * (-1.0 + 2.0 * j / (n - 1))
        path[j, 0], path[j, 1], path[j, 2] = x, f.eye_y + 0.03 + 0.03 * _cosine(x * 14.0), 1.005
    _ribbon(path, f.glasses_width * 1.1, False, points, paint)


@kernel
def lens(f: Record, kind: Any, side: float, points: np.ndarray, paint: np.ndarray) -> None:
    """Write one filled lens, rows from its centre to its edge."""
    rows, columns = points.shape[0], points.shape[1]
    cx, cy = side * (f.eye_x + 0.01), f.eye_y - 0.02
    for j in range(columns):
        x, y = _lens_edge(f, kind, side, 2 * PI * j / (columns - 1))
        for i in range(rows):
            r = i / (rows - 1)
            px, py = cx + r * (x - cx), cy + r * (y - cy)
            _put(points, paint, i, j, px, py, _frame_z(px) - 0.01, px, py)
