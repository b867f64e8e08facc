"""The head as a mesh: superelliptic sections around a profile, with relief for every feature in front."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from facelab.datasets.synthetic.geometry._expression import Features
from tests.datasets.plain_renderer import curves
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
    wave,
)

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
LEVELS = ((80, 90), (120, 130), (170, 180), (250, 260))
FRONT = 1.35  # azimuth (radians) up to which the relief of the face reaches
BACK = 2.6179938779914944  # 150 degrees: the mesh is open at the back of the head


@dataclass(frozen=True)
class HeadMesh:
    """Vertices in rows (crown to chin) and columns (azimuth).

    `points` (rows, columns, 3) with the hair's volume; `x`, `y` (rows, columns) are paint coordinates: where the
    vertex was before the hair pushed it outwards; `theta` (columns,) azimuths; `sections` (rows, 4) as PROFILE.
    """

    points: np.ndarray
    x: np.ndarray
    y: np.ndarray
    theta: np.ndarray
    sections: np.ndarray


def _spline(control: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return Catmull and Rom's spline through control points at t in [0, 1]."""
    n = len(control) - 1
    place = np.clip(t * n, 0, n - 1e-5)
    i = place.astype(np.int64)
    f = (place - i)[:, None]
    p0, p1 = control[np.maximum(i - 1, 0)], control[i]
    p2, p3 = control[i + 1], control[np.minimum(i + 2, n)]
    return 0.5 * (
        2 * p1
        + (p2 - p0) * f
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * (f * f)
        + (3 * p1 - p0 - 3 * p2 + p3) * (f * f * f)
    )


def detail_level(scale: float) -> int:
    """Return the mesh level for a working scale in pixels per 100 mm."""
    return 0 if scale < 40 else 1 if scale < 85 else 2 if scale < 160 else 3


@cache
def _lattice(level: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (rows' spline parameters, azimuths, sin, cos); rows and columns are denser where the face is."""
    rows, columns = LEVELS[level]
    t = np.linspace(0, 1, 2000)
    q = _spline(PROFILE, t)
    d = np.abs(np.diff(q, axis=0))
    length = 0.8 * d[:, 0] + 0.6 * d[:, 1] + 0.25 * d[:, 2] + 1e-6
    weight = np.where((q[1:, 0] < 0.42) & (q[1:, 0] > -1.1), 2.0, 1.0)
    s = np.concatenate([[0.0], np.cumsum(length * weight)])
    u = np.linspace(-1, 1, columns)
    theta = BACK * (0.62 * u + 0.38 * u * u * np.abs(u) * np.sign(u))
    return interpolate(np.linspace(0, 1, rows), s / s[-1], t), theta, sin(theta), cos(theta)


def _sections(f: Features, level: int) -> np.ndarray:
    """Return the profile of this identity with its jaw lowered, one row per mesh row."""
    who = f.who
    p = PROFILE.copy()
    y = PROFILE[:, 0]

    def around(centre, spread):
        return bell(sq((y - centre) / spread)).astype(np.float64)

    p[:, 1] *= who.width * (
        1
        + (who.jaw_width - 1) * around(-0.75, 0.35)
        + (who.cheek_width - 1) * around(-0.2, 0.3)
        + (who.chin_width - 1) * around(-1.08, 0.16)
    )
    drop = (who.chin_length + f.jaw_drop) * np.clip((-0.5 - y) / 0.6, 0, 1)
    p[:, 0] = (y - drop + np.where(y > 0.6, who.forehead * 0.6, 0)) * who.height
    p[:, 2] += np.where(y < -0.9, (who.chin_depth - 0.05) * 0.6 - f.jaw_drop * 0.18, 0)
    return _spline(p, _lattice(level)[0])


def head_mesh(f: Features, level: int) -> HeadMesh:
    """Build the head of an identity under its action units at a level of detail (0 coarse … 3 fine)."""
    _, theta, sine, cosine = _lattice(level)
    sections = _sections(f, level)
    exponent = 2 / f.who.squareness
    across = np.sign(sine) * power(np.abs(sine), exponent)
    along = np.sign(cosine) * power(np.abs(cosine), exponent)
    half, front, back = sections[:, 1:2], sections[:, 2:3], sections[:, 3:4]
    x = (half * across).astype(F)
    z = ((front + back) / 2 + (front - back) / 2 * along).astype(F)
    y = np.repeat(sections[:, :1], len(theta), 1).astype(F)
    facing = np.flatnonzero(np.abs(theta) < FRONT)
    sl = slice(int(facing[0]), int(facing[-1]) + 1)
    blend = step(FRONT, 0.95, np.abs(theta[sl])).astype(F)
    z[:, sl] += relief(f, x[:, sl], y[:, sl]) * blend
    points = _add_hair(f, x, y, z, theta.astype(F))
    return HeadMesh(points, x, y, theta.astype(F), sections)


def _add_hair(f: Features, x, y, z, theta) -> np.ndarray:
    """Push the scalp outwards by the hair's volume and return points (rows, columns, 3)."""
    who = f.who
    volume = {"bald": 0.0, "buzz": 0.015, "tied": 0.045, "recede": 0.5 * who.hair_volume}.get(
        who.hair_style, who.hair_volume
    )
    if volume == 0.0:
        return np.stack([x, y, z], -1)
    o = who.texture_offsets
    mask = step(-0.03, 0.12, y - curves.hairline(f, theta))
    rough = 1 + 0.35 * (0.4 + who.hair_curl) * smooth(
        "cloud", theta * 60 + y * 20 + o[2], y * 60 + theta * 10 + o[3]
    )
    parting = 1 - 0.5 * bell(sq((theta - who.hair_part) / 0.05)) * step(0.5, 0.8, y)
    push = mask * F(volume) * rough * (1 + 0.5 * step(0.6, 1.0, y)) * parting
    up = np.maximum(y - 0.1, 0)
    radius = np.sqrt(x * x + sq(z + 0.05) + up * up) + 1e-3
    return np.stack(
        [x + push * x / radius, y + push * up / radius, z + push * (z + 0.05) / radius], -1
    )


# ---------------------------------------------------------------- relief: displacement towards the camera
def relief(f: Features, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the displacement in z (100 mm) of the front of the face at (x, y), float32."""
    ax, side = np.abs(x), np.sign(x)
    return (
        _eyes_and_brows(f, ax, y, side)
        + _nose(f, ax, y)
        + _cheeks_and_chin(f, x, ax, y)
        + _mouth(f, x, ax, y)
        + _wrinkles(f, x, ax, y, side)
    ).astype(F)


def _eyes_and_brows(f: Features, ax, y, side):
    who = f.who
    dy = y - who.eye_y
    out = (
        -who.socket
        * 1.29
        * bell(roots(sq((ax - who.eye_x * 0.95) / 0.19) + sq((dy - 0.035) / 0.115), 5))
    )
    out = out - 0.045 * bell(sq((ax - 0.145) / 0.065) + sq(dy / 0.10))
    out = out + 0.062 * bell(sq((ax - who.eye_x) / 0.125) + sq(dy / 0.085))
    t = curves.brow_coordinate(f, ax)
    window = step(-0.15, 0.15, t) * step(1.25, 0.8, t)
    ridge = who.brow_ridge + 0.045 * f.au(4) * np.clip(1.1 - t, 0, 1)
    return out + ridge * bell(sq((y - curves.brow_line(f, t, side) + 0.015) / 0.06)) * window


def _nose(f: Features, ax, y):
    who = f.who
    tip = who.nose_tip_y + 0.03 * f.au(9)
    base, wing = curves.nose_base_y(f), curves.nose_wing_y(f)
    t = np.clip((0.05 + who.eye_y - y) / (0.05 + who.eye_y - tip), 0, 1)
    low = who.nose_bridge * 0.55
    height = low + (who.nose_height - low) * roots(t, 5) + who.nose_hump * wave(t * 3.1415927)
    width = who.bridge_width + (who.tip_width - who.bridge_width) * step(0.45, 1, t)
    ridge = height * bell(roots(ax / width, 9) * 0.9)
    ridge = (
        ridge * step(0.17 + who.eye_y, -0.02 + who.eye_y, y) * step(base - 0.01, base + 0.085, y)
    )
    wings = 0.115 * bell(sq((ax - who.nostril_x) / 0.052) + sq((y - wing) / 0.055))
    ball = 0.05 * bell(sq(ax / 0.12) + sq((y - wing) / 0.09))
    return (
        ridge + wings + ball - 0.05 * bell(sq((ax - 0.058) / 0.03) + sq((y - base - 0.01) / 0.022))
    )


def _cheeks_and_chin(f: Features, x, ax, y):
    who = f.who
    raised = 0.05 * f.au(6) + 0.045 * f.au(12)
    out = who.cheekbone * bell(sq((ax - 0.47) / 0.15) + sq((y + 0.17) / 0.13))
    out = out - who.cheek_hollow * bell(sq((ax - 0.47) / 0.15) + sq((y + 0.58) / 0.2))
    out = out + raised * bell(sq((ax - 0.38) / 0.14) + sq((y + 0.30 - 0.03 * f.au(6)) / 0.12))
    chin = -1.165 - who.chin_length - f.jaw_drop
    boss = (who.chin_depth + 0.03 * f.au(17)) * bell(
        sq(x / 0.16) + sq((y - chin - 0.17 - 0.03 * f.au(17)) / 0.10)
    )
    dimple = 0.008 * f.au(17) * smooth("pore", (x + 3) * 700, (y + 3) * 700)
    dimple = dimple * bell(sq(x / 0.14) + sq((y - chin - 0.17) / 0.1))
    return out + boss + dimple - who.flatness * bell(sq(x / 0.5))


def _mouth(f: Features, x, ax, y):
    s, inner_upper, inner_lower, outer_upper, outer_lower = curves.lips(f, x)
    inside = step(1.06, 0.94, np.abs(s))
    corner = f.mouth_y + f.mouth_corner
    upper = np.clip((y - inner_upper) / np.maximum(outer_upper - inner_upper, 0.01), 0, 1)
    lower = np.clip((inner_lower - y) / np.maximum(inner_lower - outer_lower, 0.01), 0, 1)
    out = f.who.mouth_barrel * bell(sq(x / 0.30) + sq((y - f.mouth_y) / 0.24))
    rolls = 0.040 * wave(3.1415927 * roots(upper, 3)) * float(step(0, 0.05, f.lip_upper + 0.02))
    rolls = (
        rolls + 0.055 * wave(3.1415927 * lower) + 0.012 * ((upper >= 1) & (y < outer_upper + 0.02))
    )
    gape = step(0, 0.012, inner_upper - y) * step(0, 0.012, y - inner_lower)
    seam = 0.03 * bell(
        sq((y - (inner_upper + inner_lower) / 2) / (0.012 + (inner_upper - inner_lower) / 2))
    )
    out = out + inside * (rolls - seam - 0.05 * gape)
    dent = 0.035 * (1 + 0.8 * f.au(12) + 0.6 * f.au(14))
    out = out - dent * bell(sq((ax - f.mouth_width - 0.015) / 0.045) + sq((y - corner) / 0.05))
    below = f.mouth_y - f.half_gap - f.lip_lower - 0.05 + 0.02 * f.au(17)
    out = out - 0.035 * bell(sq(x / 0.17) + sq((y - below) / 0.038))
    base = curves.nose_base_y(f)
    groove = (
        bell(sq(x / 0.028))
        * step(base, base - 0.03, y)
        * step(f.mouth_y + 0.02, f.mouth_y + 0.07, y)
    )
    return out - 0.012 * groove


def _wrinkles(f: Features, x, ax, y, side):
    who, g = f.who, f.gains
    dy = y - who.eye_y
    distance, window = curves.cheek_fold(f, ax, y)
    depth = (
        0.002
        + 0.009 * who.age
        + g.fold * (0.020 * f.au(12) + 0.022 * f.au(10) + 0.02 * f.au(9) + 0.006 * f.au(15))
    )
    out = (
        window
        * depth
        * (0.9 * bell(sq((distance - 0.06) / 0.06)) - 1.1 * bell(sq(distance / 0.022)))
    )
    furrows = (0.003 + 0.010 * who.age) * 0.5 + 0.016 * g.forehead * (
        0.5 * f.au(1) * bell(sq(x / 0.25)) + 0.7 * f.au(2)
    )
    out = out + furrows * forehead_lines(x, ax, y)
    frown = 0.020 * g.furrow * f.au(4) + 0.006 * who.age
    out = out - frown * bell(sq((ax - 0.045) / 0.014)) * step(0.02, 0.10, dy) * step(0.34, 0.22, dy)
    if f.au(9):
        bridge = bell(sq(ax / 0.12)) * step(-0.26, -0.18, dy) * step(0.06, 0, dy)
        out = out + 0.014 * f.au(9) * wave(dy * 85) * bridge
    feet = 0.010 * f.au(6) + 0.004 * who.age
    out = out + feet * wave(dy * 70 + (ax - 0.5) * 40 * dy) * bell(
        sq((ax - 0.54) / 0.06) + sq((dy + 0.01) / 0.11)
    )
    _, low = curves.lid_edges(f, (ax - who.eye_x) / f.eye_width)
    bag = 0.012 * f.au(6) + 0.010 * f.au(7) + 0.010 * who.eye_bags
    out = out + bag * bell(sq((ax - who.eye_x) / 0.14) + sq((dy - low + 0.05) / 0.025))
    return out - 0.008 * who.eye_bags * bell(
        sq((ax - who.eye_x + 0.03) / 0.14) + sq((dy + 0.135) / 0.02)
    )


def forehead_lines(x, ax, y):
    """Return the wave of horizontal forehead furrows, −1 … 1, windowed to the forehead."""
    return (
        wave((y - 0.3) * 62 + 1.2 * wave(x * 4 + 1.5707964))
        * step(0.30, 0.38, y)
        * step(0.62, 0.5, y)
        * step(0.52, 0.3, ax)
    )
