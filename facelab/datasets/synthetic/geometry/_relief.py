"""Relief of the front of a face: displacement towards the camera (100 mm) at a point (x, y) of the head.

Every function takes a face record and is compiled into the head's mesh. Terms that are zero at a point are left out
there: a bell of a squared distance of 12 or more counts as zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import Record, part
from facelab.datasets.synthetic._noise import PORE, smooth
from facelab.datasets.synthetic._scalar import (
    PI,
    bell,
    clip,
    power_3_4,
    power_5_4,
    power_9_4,
    sq,
    step,
    wave,
)
from facelab.datasets.synthetic.geometry import _curves as curves
from facelab.datasets.synthetic.geometry._curves import (
    INNER_LOWER,
    INNER_UPPER,
    LOWER_LID,
    OUTER_LOWER,
    OUTER_UPPER,
    line,
)


@part
def relief(f: Record, tables: np.ndarray, x: float, y: float, noise: np.ndarray) -> Any:
    """Return the displacement at (x, y)."""
    ax, side = abs(x), 1.0 if x > 0.0 else -1.0 if x < 0.0 else 0.0
    dy = y - f.eye_y
    out = _cheeks_and_chin(f, x, ax, y, noise)
    if -0.4 < dy < 0.9:
        out += _eyes_and_brows(f, ax, y, side)
    if ax < 0.45 and -0.8 < y < 0.3:
        out += _nose(f, ax, y)
    if abs(y - f.mouth_y) < 0.85:
        out += _mouth(f, tables, x, ax, y)
    return out + _wrinkles(f, tables, x, ax, y)


@part
def _eyes_and_brows(f: Record, ax: float, y: float, side: float) -> Any:
    dy = y - f.eye_y
    socket = sq((ax - f.eye_x * 0.95) * (1 / 0.19)) + sq((dy - 0.035) * (1 / 0.115))
    out = -f.socket * 1.29 * bell(power_5_4(socket))
    out -= 0.045 * bell(sq((ax - 0.145) * (1 / 0.065)) + sq(dy * (1 / 0.10)))
    out += 0.062 * bell(sq((ax - f.eye_x) * (1 / 0.125)) + sq(dy * (1 / 0.085)))
    t = curves.brow_coordinate(f, ax)
    if t <= -0.15 or t >= 1.25:
        return out
    window = step(-0.15, 0.15, t) * step(1.25, 0.8, t)
    ridge = f.brow_ridge + 0.045 * f.au4 * clip(1.1 - t, 0.0, 1.0)
    return out + ridge * bell(sq((y - curves.brow_line(f, t, side) + 0.015) * (1 / 0.06))) * window


@part
def _nose(f: Record, ax: float, y: float) -> Any:
    tip, base, wing = f.nose_tip_y + 0.03 * f.au9, f.nose_base_y, f.nose_wing_y
    top = 0.05 + f.eye_y
    t = clip((top - y) / (top - tip), 0.0, 1.0)
    low = f.nose_bridge * 0.55
    height = low + (f.nose_height - low) * power_5_4(t) + f.nose_hump * wave(t * PI)
    width = f.bridge_width + (f.tip_width - f.bridge_width) * step(0.45, 1.0, t)
    out = height * bell(power_9_4(ax / width) * 0.9)
    out *= step(0.17 + f.eye_y, -0.02 + f.eye_y, y) * step(base - 0.01, base + 0.085, y)
    out += 0.115 * bell(sq((ax - f.nostril_x) * (1 / 0.052)) + sq((y - wing) * (1 / 0.055)))
    out += 0.05 * bell(sq(ax * (1 / 0.12)) + sq((y - wing) * (1 / 0.09)))
    return out - 0.05 * bell(sq((ax - 0.058) * (1 / 0.03)) + sq((y - base - 0.01) * (1 / 0.022)))


@part
def _cheeks_and_chin(f: Record, x: float, ax: float, y: float, noise: np.ndarray) -> Any:
    raised = 0.05 * f.au6 + 0.045 * f.au12
    out = f.cheekbone * bell(sq((ax - 0.47) * (1 / 0.15)) + sq((y + 0.17) * (1 / 0.13)))
    out -= f.cheek_hollow * bell(sq((ax - 0.47) * (1 / 0.15)) + sq((y + 0.58) * (1 / 0.2)))
    out += raised * bell(sq((ax - 0.38) * (1 / 0.14)) + sq((y + 0.30 - 0.03 * f.au6) * (1 / 0.12)))
    out -= f.flatness * bell(sq(x * (1 / 0.5)))
    chin = -1.165 - f.chin_length - f.jaw_drop
    if y - chin > 0.6:
        return out
    boss = f.chin_depth + 0.03 * f.au17
    out += boss * bell(sq(x * (1 / 0.16)) + sq((y - chin - 0.17 - 0.03 * f.au17) * (1 / 0.10)))
    dimple = bell(sq(x * (1 / 0.14)) + sq((y - chin - 0.17) * (1 / 0.1)))
    if dimple > 0.0 and f.au17 > 0.0:
        out += 0.008 * f.au17 * dimple * smooth(noise, PORE, (x + 3.0) * 700.0, (y + 3.0) * 700.0)
    return out


@part
def _mouth(f: Record, tables: np.ndarray, x: float, ax: float, y: float) -> Any:
    corner = f.mouth_y + f.mouth_corner
    out = f.mouth_barrel * bell(sq(x * (1 / 0.30)) + sq((y - f.mouth_y) * (1 / 0.24)))
    if ax < 1.06 * f.mouth_width and abs(y - f.mouth_y) < 0.62:
        out += _lip_rolls(f, tables, x, y)
    dent = 0.035 * (1.0 + 0.8 * f.au12 + 0.6 * f.au14)
    out -= dent * bell(
        sq((ax - f.mouth_width - 0.015) * (1 / 0.045)) + sq((y - corner) * (1 / 0.05))
    )
    below = f.mouth_y - f.half_gap - f.lip_lower - 0.05 + 0.02 * f.au17
    out -= 0.035 * bell(sq(x * (1 / 0.17)) + sq((y - below) * (1 / 0.038)))
    if ax < 0.1:
        base = f.nose_base_y
        groove = step(base, base - 0.03, y) * step(f.mouth_y + 0.02, f.mouth_y + 0.07, y)
        out -= 0.012 * bell(sq(x * (1 / 0.028))) * groove
    return out


@part
def _lip_rolls(f: Record, tables: np.ndarray, x: float, y: float) -> Any:
    """Return the rounding of both lips, the seam or the opening between them."""
    s = x / f.mouth_width
    inner_upper, inner_lower = line(tables, INNER_UPPER, s), line(tables, INNER_LOWER, s)
    outer_upper, outer_lower = line(tables, OUTER_UPPER, s), line(tables, OUTER_LOWER, s)
    upper = clip((y - inner_upper) / max(outer_upper - inner_upper, 0.01), 0.0, 1.0)
    lower = clip((inner_lower - y) / max(inner_lower - outer_lower, 0.01), 0.0, 1.0)
    out = 0.040 * wave(PI * power_3_4(upper)) * step(0.0, 0.05, f.lip_upper + 0.02)
    out += 0.055 * wave(PI * lower)
    if upper >= 1.0 and y < outer_upper + 0.02:
        out += 0.012
    gape = step(0.0, 0.012, inner_upper - y) * step(0.0, 0.012, y - inner_lower)
    width = 0.012 + (inner_upper - inner_lower) / 2
    seam = 0.03 * bell(sq((y - (inner_upper + inner_lower) / 2) / width))
    return step(1.06, 0.94, abs(s)) * (out - seam - 0.05 * gape)


@part
def _wrinkles(f: Record, tables: np.ndarray, x: float, ax: float, y: float) -> Any:
    dy = y - f.eye_y
    out = _fold(f, ax, y)
    if y > 0.29:
        furrows = 0.5 * f.au1 * bell(sq(x * (1 / 0.25))) + 0.7 * f.au2
        depth = (0.003 + 0.010 * f.age) * 0.5 + 0.016 * f.gain_forehead * furrows
        out += depth * curves.forehead_lines(x, ax, y)
    if 0.02 < dy < 0.34 and ax < 0.1:
        frown = 0.020 * f.gain_furrow * f.au4 + 0.006 * f.age
        window = step(0.02, 0.10, dy) * step(0.34, 0.22, dy)
        out -= frown * bell(sq((ax - 0.045) * (1 / 0.014))) * window
    if f.au9 > 0.0 and -0.26 < dy < 0.06:
        bridge = bell(sq(ax * (1 / 0.12))) * step(-0.26, -0.18, dy) * step(0.06, 0.0, dy)
        out += 0.014 * f.au9 * wave(dy * 85.0) * bridge
    if abs(dy) < 0.42:
        out += _around_eyes(f, tables, ax, dy)
    return out


@part
def _fold(f: Record, ax: float, y: float) -> Any:
    """Return the nasolabial fold: a groove with a bulge beside it."""
    distance, window = curves.cheek_fold(f, ax, y)
    if window <= 0.0 or abs(distance) > 0.27:
        return 0.0
    moved = 0.020 * f.au12 + 0.022 * f.au10 + 0.02 * f.au9 + 0.006 * f.au15
    depth = 0.002 + 0.009 * f.age + f.gain_fold * moved
    groove = 0.9 * bell(sq((distance - 0.06) * (1 / 0.06))) - 1.1 * bell(sq(distance * (1 / 0.022)))
    return window * depth * groove


@part
def _around_eyes(f: Record, tables: np.ndarray, ax: float, dy: float) -> Any:
    """Return crow's feet and the bags below the eyes."""
    out = 0.0
    feet = bell(sq((ax - 0.54) * (1 / 0.06)) + sq((dy + 0.01) * (1 / 0.11)))
    if feet > 0.0:
        depth = 0.010 * f.au6 + 0.004 * f.age
        out += depth * wave(dy * 70.0 + (ax - 0.5) * 40.0 * dy) * feet
    across = sq((ax - f.eye_x) * (1 / 0.14))
    if across < 12.0:
        low = line(tables, LOWER_LID, (ax - f.eye_x) / f.eye_width)
        bag = 0.012 * f.au6 + 0.010 * f.au7 + 0.010 * f.eye_bags
        out += bag * bell(across + sq((dy - low + 0.05) * (1 / 0.025)))
    hollow = sq((ax - f.eye_x + 0.03) * (1 / 0.14)) + sq((dy + 0.135) * (1 / 0.02))
    return out - 0.008 * f.eye_bags * bell(hollow)
