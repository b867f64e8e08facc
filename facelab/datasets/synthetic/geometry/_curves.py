"""The drawn lines of a face: brows, lid edges, lips, folds, hairline; shared by the mesh and by the paint.

Each function takes a face record (see `_face`) and one point, and is compiled into the kernels that call it. Lines
that depend on one number are tabled once per face: see `tables` and `line`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import Record, kernel, part
from facelab.datasets.synthetic._scalar import (
    bell,
    clip,
    power_3_4,
    power_5_2,
    power_7_4,
    power_9_4,
    sq,
    step,
    wave,
)
from facelab.datasets.synthetic.geometry._face import FRINGE, LONG, MEDIUM, RECEDE


@part
def brow_coordinate(f: Record, ax: float) -> Any:
    """Return 0 at the inner end of the brow and 1 at the outer end for |x|."""
    return (ax - f.brow_inner) / (f.brow_outer - f.brow_inner)


@part
def brow_line(f: Record, t: float, side: float) -> Any:
    """Return the height of the brow's middle line at brow coordinate t; `side` is the sign of x."""
    arch = f.brow_arch * (1.0 - sq(2.0 * clip(t, 0.0, 1.1) - 1.15))
    base = f.brow_y + f.eye_y + f.brow_slope * t + arch
    inner, outer = sq(1.0 - t), t * t
    middle = 1.0 - inner - outer
    shift = f.brow_inner_shift * inner + f.brow_middle_shift * middle + f.brow_outer_shift * outer
    return base + shift + side * f.brow_asymmetry


@part
def lid_edges(f: Record, s: float) -> tuple[Any, Any]:
    """Return the upper and lower lid edge above the eye's axis at s = −1 (inner corner) … 1 (outer corner)."""
    high = clip(abs(s + 0.10) * (1 * (1 / 1.1)), 0.0, 1.0)
    low = clip(abs(s - 0.12) * (1 * (1 / 1.12)), 0.0, 1.0)
    upper = f.lid_upper * power_3_4(max(1.0 - power_9_4(high), 0.0))
    return upper, -f.lid_lower * power_3_4(max(1.0 - power_9_4(low), 0.0))


@part
def eye_height(f: Record, s: float, y: float, side: float) -> Any:
    """Return the height of a point above the tilted axis of its eye, s half widths from the eye's centre."""
    return (y - f.eye_y) - f.eye_tilt * f.eye_width * s - side * f.eye_asymmetry


@part
def lips(f: Record, x: float) -> tuple[Any, Any, Any, Any, Any]:
    """Return (s, inner upper, inner lower, outer upper, outer lower) edge heights at x; s = ±1 at the corners."""
    s = x / f.mouth_width
    q = min(abs(s), 1.0)
    seam = f.mouth_y + f.mouth_corner * power_7_4(q) + f.lip_arch * (1.0 - q * q)
    seam += f.mouth_asymmetry * s * 2.0
    inner_upper = seam + f.half_gap * power_3_4(1.0 - q * q)
    inner_lower = seam - f.half_gap * power_3_4(max(1.0 - power_9_4(q), 0.0))
    rise = 1.0 - power_5_2(q)
    peaks = bell(sq((abs(x) - 0.065) * (1 / 0.045))) - bell(sq(x * (1 / 0.035)))
    bow = 1.0 + f.lip_bow * 0.22 * peaks
    outer_upper = inner_upper + f.lip_upper * rise * bow + f.lip_raise * 0.5 * (1.0 - q)
    return (
        s,
        inner_upper,
        inner_lower,
        outer_upper,
        inner_lower - f.lip_lower * power_3_4(max(rise, 0.0)),
    )


@part
def cheek_fold(f: Record, ax: float, y: float) -> tuple[Any, Any]:
    """Return (signed distance to the nasolabial fold, window along it)."""
    top = f.nose_wing_y + 0.03
    t = clip((top - y) / (top - (f.mouth_y + f.mouth_corner - 0.05)), -0.5, 1.6)
    x0 = f.nostril_x + 0.055
    line = x0 + (f.mouth_width + 0.055 - x0) * power_3_4(clip(t, 0.0, 1.5))
    return ax - line, step(-0.15, 0.15, t) * step(1.35, 0.9, t)


@part
def forehead_lines(x: float, ax: float, y: float) -> Any:
    """Return the wave of horizontal forehead furrows, −1 … 1, windowed to the forehead."""
    if y < 0.30 or y > 0.62 or ax > 0.52:
        return 0.0
    window = step(0.30, 0.38, y) * step(0.62, 0.5, y) * step(0.52, 0.3, ax)
    return wave((y - 0.3) * 62.0 + 1.2 * wave(x * 4.0 + 1.5707964)) * window


@part
def hairline(f: Record, theta: float) -> Any:
    """Return the lower edge of the hair on the head at azimuth theta (radians, 0 in front)."""
    a = abs(theta)
    style = int(f.hair_style)
    if style == RECEDE:
        top = f.hairline + f.forehead + 0.14 * bell(sq((a - 0.55) * (1 / 0.22))) + 0.08
    elif style & FRINGE:
        top = 0.40 + 0.05 * wave(theta * 3.0 + f.hair_part * 8.0)
        top += 0.06 * step(0.2, 0.7, abs(theta - f.hair_part))
    else:
        top = f.hairline + f.forehead - 0.10 * step(0.35, 0.8, a)
    side = -0.25 if style & (LONG | MEDIUM) else -0.12
    line = top + (side - top) * step(1.02, 1.28, a)
    return line + (-0.75 - line) * step(1.75, 2.1, a)


# ---------------------------------------------------------------- tables
UPPER_LID, LOWER_LID, INNER_UPPER, INNER_LOWER, OUTER_UPPER, OUTER_LOWER, HAIRLINE = range(7)
REACH, STEPS = 1.25, 128  # tables reach from −REACH to REACH, in STEPS per unit
TURN_SCALE = 0.45  # azimuth (radians) to the hairline's place in its table
_LENGTH = 321


def new_tables() -> np.ndarray:
    """Return room for the tables of one face."""
    return np.empty((7, _LENGTH))


@kernel
def fill_tables(f: Record, out: np.ndarray) -> None:
    """Write the lines of a face at equal steps: lids and lips over half widths, the hairline over azimuth."""
    for k in range(_LENGTH):
        t = k / STEPS - REACH
        out[UPPER_LID, k], out[LOWER_LID, k] = lid_edges(f, t)
        _, inner_upper, inner_lower, outer_upper, outer_lower = lips(f, t * f.mouth_width)
        out[INNER_UPPER, k], out[INNER_LOWER, k] = inner_upper, inner_lower
        out[OUTER_UPPER, k], out[OUTER_LOWER, k] = outer_upper, outer_lower
        out[HAIRLINE, k] = hairline(f, t / TURN_SCALE)


@part
def line(tables: np.ndarray, name: int, t: float) -> Any:
    """Return a tabled line at t, between its nearest two entries, held at both ends."""
    place = min(max((t + REACH) * STEPS, 0.0), 2 * REACH * STEPS - 0.001)
    k = int(place)
    share = place - k
    return tables[name, k] + share * (tables[name, k + 1] - tables[name, k])
