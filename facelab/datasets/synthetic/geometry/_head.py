"""The head as a mesh: superelliptic sections around a profile, with relief for every feature in front."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import Record, kernel, part
from facelab.datasets.synthetic._noise import CLOUD, smooth
from facelab.datasets.synthetic._numerics import cos, interpolate, sin
from facelab.datasets.synthetic._scalar import bell, power, sq, step
from facelab.datasets.synthetic.geometry._curves import hairline
from facelab.datasets.synthetic.geometry._relief import relief

# y, half width, front z, back z of the horizontal sections, crown to chin (100 mm)
PROFILE = np.array(
    [
        [1.13, 0, -0.05, -0.05],
        [1.08, 0.36, 0.36, -0.48],
        [0.92, 0.575, 0.63, -0.75],
        [0.65, 0.70, 0.82, -0.93],
        [0.35, 0.745, 0.905, -1.0],
        [0.10, 0.735, 0.92, -0.98],
        [-0.10, 0.705, 0.895, -0.90],
        [-0.35, 0.665, 0.885, -0.75],
        [-0.60, 0.60, 0.88, -0.55],
        [-0.82, 0.505, 0.855, -0.38],
        [-1.0, 0.375, 0.82, -0.2],
        [-1.11, 0.235, 0.75, -0.02],
        [-1.16, 0.09, 0.55, 0.12],
        [-1.165, 0, 0.33, 0.33],
    ]
)
LEVELS = ((52, 60), (100, 112), (170, 180), (250, 260))
FRONT = 1.35  # azimuth (radians) up to which the relief of the face reaches
BACK = 2.6179938779914944  # 150 degrees: the mesh is open at the back of the head


def detail_level(scale: float) -> int:
    """Return the mesh level for a working scale in pixels per 100 mm."""
    return 0 if scale < 40 else 1 if scale < 110 else 2 if scale < 200 else 3


def _spline(control: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return Catmull and Rom's spline through control points at t in [0, 1]."""
    n = len(control) - 1
    place = np.clip(t * n, 0, n - 1e-5)
    i = place.astype(np.int64)
    f = (place - i)[:, None]
    p0, p1 = control[np.maximum(i - 1, 0)], control[i]
    p2, p3 = control[i + 1], control[np.minimum(i + 2, n)]
    cubic = 3 * p1 + p3 - p0 - 3 * p2
    square = 2 * p0 - 5 * p1 + 4 * p2 - p3
    return 0.5 * (2 * p1 + (p2 - p0) * f + square * (f * f) + cubic * (f * f * f))


@cache
def lattice(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows' spline parameters (r,), columns' azimuth, sine and cosine (3, c)), denser where the face is."""
    rows, columns = LEVELS[level]
    t = np.linspace(0, 1, 2000)
    q = _spline(PROFILE, t)
    d = np.abs(np.diff(q, axis=0))
    length = 0.8 * d[:, 0] + 0.6 * d[:, 1] + 0.25 * d[:, 2] + 1e-6
    weight = np.where((q[1:, 0] < 0.42) & (q[1:, 0] > -1.1), 2.0, 1.0)
    s = np.concatenate([[0.0], np.cumsum(length * weight)])
    u = np.linspace(-1, 1, columns)
    theta = BACK * (0.62 * u + 0.38 * u * u * np.abs(u) * np.sign(u))
    return interpolate(np.linspace(0, 1, rows), s / s[-1], t), np.stack(
        [theta, sin(theta), cos(theta)]
    )


@kernel
def sections(f: Record, t: Any, out: np.ndarray) -> None:
    """Write the profile of a face with its jaw lowered: y, half width, front z and back z of each mesh row."""
    p = np.empty((14, 4))
    for i in range(14):
        y = PROFILE[i, 0]
        wide = 1.0 + (f.jaw_width - 1.0) * bell(sq((y + 0.75) / 0.35))
        wide += (f.cheek_width - 1.0) * bell(sq((y + 0.2) / 0.3))
        wide += (f.chin_width - 1.0) * bell(sq((y + 1.08) / 0.16))
        drop = (f.chin_length + f.jaw_drop) * min(max((-0.5 - y) / 0.6, 0.0), 1.0)
        p[i, 0] = (y - drop + (f.forehead * 0.6 if y > 0.6 else 0.0)) * f.height
        p[i, 1] = PROFILE[i, 1] * f.width * wide
        chin = (f.chin_depth - 0.05) * 0.6 - f.jaw_drop * 0.18 if y < -0.9 else 0.0
        p[i, 2] = PROFILE[i, 2] + chin
        p[i, 3] = PROFILE[i, 3]
    for row in range(t.shape[0]):
        place = min(t[row] * 13.0, 13.0 - 1e-5)
        i = int(place)
        a = place - i
        for k in range(4):
            p0, p1 = p[max(i - 1, 0), k], p[i, k]
            p2, p3 = p[i + 1, k], p[min(i + 2, 13), k]
            cubic, square = 3 * p1 + p3 - p0 - 3 * p2, 2 * p0 - 5 * p1 + 4 * p2 - p3
            out[row, k] = 0.5 * (2 * p1 + (p2 - p0) * a + square * (a * a) + cubic * (a * a * a))


@kernel
def head_mesh(
    f: Record,
    tables: np.ndarray,
    profile: np.ndarray,
    columns: np.ndarray,
    noise: np.ndarray,
    points: np.ndarray,
    paint: np.ndarray,
) -> None:
    """Write the head's vertices (rows, columns, 3), unposed, and their paint coordinates x, y and azimuth.

    Paint coordinates say where a vertex was before the hair pushed it outwards.
    """
    exponent = 2.0 / f.squareness
    for j in range(columns.shape[1]):
        theta, sine, cosine = columns[0, j], columns[1, j], columns[2, j]
        across = power(abs(sine), exponent) * (1.0 if sine > 0.0 else -1.0)
        along = power(abs(cosine), exponent) * (1.0 if cosine > 0.0 else -1.0)
        blend = step(FRONT, 0.95, abs(theta))
        line = hairline(f, theta)
        for i in range(profile.shape[0]):
            y, front, back = profile[i, 0], profile[i, 2], profile[i, 3]
            x = profile[i, 1] * across
            z = (front + back) / 2 + (front - back) / 2 * along
            paint[i, j, 0], paint[i, j, 1], paint[i, j, 2] = x, y, theta
            if blend > 0.0:
                z += relief(f, tables, x, y, noise) * blend
            push = _hair(f, theta, y, line, noise)
            if push > 0.0:
                up = max(y - 0.1, 0.0)
                share = push / (np.sqrt(x * x + sq(z + 0.05) + up * up) + 1e-3)
                x, y, z = x + share * x, y + share * up, z + share * (z + 0.05)
            points[i, j, 0], points[i, j, 1], points[i, j, 2] = x, y, z


@part
def _hair(f: Record, theta: float, y: float, line: Any, noise: np.ndarray) -> Any:
    """Return by how much the hair lifts the scalp at an azimuth and height."""
    if f.scalp_volume == 0.0 or y - line <= -0.03:
        return 0.0
    u, v = theta * 60.0 + y * 20.0 + f.offset2, y * 60.0 + theta * 10.0 + f.offset3
    rough = 1.0 + 0.35 * (0.4 + f.hair_curl) * smooth(noise, CLOUD, u, v)
    parting = 1.0 - 0.5 * bell(sq((theta - f.hair_part) / 0.05)) * step(0.5, 0.8, y)
    volume = f.scalp_volume * (1.0 + 0.5 * step(0.6, 1.0, y))
    return step(-0.03, 0.12, y - line) * volume * rough * parting


@kernel
def landmarks(f: Record, points: np.ndarray, paint: np.ndarray, out: np.ndarray) -> None:
    """Write the five ArcFace landmarks on the unposed head: eyes, nose tip, mouth corners, left in the image first."""
    rows, columns = paint.shape[0], paint.shape[1]
    middle, margin = columns // 2, columns // 6
    eye_y = f.eye_y + (f.lid_upper - f.lid_lower) * 0.15
    corner = f.mouth_y + f.mouth_corner
    wanted = (
        (-f.eye_x, eye_y),
        (f.eye_x, eye_y),
        (0.0, f.nose_tip_y + 0.03 * f.au9),
        (-f.mouth_width, corner),
        (f.mouth_width, corner),
    )
    for k in range(5):
        x, y = wanted[k]
        row, column = 0, margin
        for i in range(rows):
            if abs(paint[i, middle, 1] - y) < abs(paint[row, middle, 1] - y):
                row = i
        for j in range(margin, columns - margin):
            if abs(paint[row, j, 0] - x) < abs(paint[row, column, 0] - x):
                column = j
        out[k, 0] = x
        out[k, 1] = points[row, column, 1] + (y - paint[row, column, 1])
        out[k, 2] = points[row, column, 2]
