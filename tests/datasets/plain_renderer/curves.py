"""The drawn lines of a face: brows, lid edges, lips, folds, hairline; shared by the mesh and by the paint."""

from __future__ import annotations

import numpy as np

from facelab.datasets.synthetic.geometry._expression import Features
from tests.datasets.plain_renderer.numerics import F, bell, roots, sq, step, wave

LONG_STYLES = ("long", "longfringe", "medium")


def brow_coordinate(f: Features, ax: np.ndarray) -> np.ndarray:
    """Return 0 at the inner end of the brow and 1 at the outer end for |x|."""
    return (ax - f.brow_inner) / (f.who.brow_outer - f.brow_inner)


def brow_line(f: Features, t: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return the height of the brow's middle line at brow coordinate t; `side` is the sign of x."""
    who = f.who
    base = (
        f.brow_y
        + who.eye_y
        + who.brow_slope * t
        + who.brow_arch * (1 - sq(2 * np.clip(t, 0, 1.1) - 1.15))
    )
    inner, outer = sq(1 - t), t * t
    middle = 1 - inner - outer
    shift = f.brow_shift
    return base + shift[0] * inner + shift[1] * middle + shift[2] * outer + side * who.asymmetry[0]


def lid_edges(f: Features, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper and lower lid edge above the eye's axis at s = −1 (inner corner) … 1 (outer corner)."""
    high = np.clip(np.abs(s + 0.10) * (1 / 1.1), 0, 1)
    low = np.clip(np.abs(s - 0.12) * (1 / 1.12), 0, 1)
    return f.lid_upper * roots(1 - roots(high, 9), 3), -f.lid_lower * roots(1 - roots(low, 9), 3)


def eye_coordinates(f: Features, ax, y, side) -> tuple[np.ndarray, np.ndarray]:
    """Return (s, v): along the tilted eye axis in half widths, and above it in units."""
    who = f.who
    s = (ax - who.eye_x) / f.eye_width
    return s, (y - who.eye_y) - who.eye_tilt * f.eye_width * s - side * who.asymmetry[2]


def lips(
    f: Features, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (s, inner upper, inner lower, outer upper, outer lower) edge heights at x; s = ±1 at the corners."""
    s = x / f.mouth_width
    q = np.clip(np.abs(s), 0, 1)
    seam = (
        f.mouth_y
        + f.mouth_corner * roots(q, 7)
        + f.lip_arch * (1 - q * q)
        + f.who.asymmetry[1] * s * 2
    )
    inner_upper = seam + f.half_gap * roots(1 - q * q, 3)
    inner_lower = seam - f.half_gap * roots(1 - roots(q, 9), 3)
    ax = np.abs(x)
    bow = 1 + f.who.lip_bow * 0.22 * (bell(sq((ax - 0.065) / 0.045)) - bell(sq(x / 0.035)))
    outer_upper = inner_upper + f.lip_upper * (1 - roots(q, 10)) * bow + f.lip_raise * 0.5 * (1 - q)
    outer_lower = inner_lower - f.lip_lower * roots(1 - roots(q, 10), 3)
    return s, inner_upper, inner_lower, outer_upper, outer_lower


def nose_wing_y(f: Features) -> float:
    """Return the height of the nostril wings."""
    return f.who.nose_tip_y + 0.05 * f.au(9) - 0.03 + f.who.nose_upturn * 0.5


def nose_base_y(f: Features) -> float:
    """Return the height at which the nose meets the upper lip."""
    return f.who.nose_tip_y + 0.03 * f.au(9) - 0.105 + f.who.nose_upturn


def cheek_fold(f: Features, ax: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (signed distance to the nasolabial fold, window along it)."""
    top = nose_wing_y(f) + 0.03
    corner = f.mouth_y + f.mouth_corner
    x0 = f.who.nostril_x + 0.055
    t = np.clip((top - y) / (top - (corner - 0.05)), -0.5, 1.6)
    line = x0 + (f.mouth_width + 0.055 - x0) * roots(np.clip(t, 0, 1.5), 3)
    return ax - line, step(-0.15, 0.15, t) * step(1.35, 0.9, t)


def hairline(f: Features, theta: np.ndarray) -> np.ndarray:
    """Return the lower edge of the hair on the head at azimuth theta (radians, 0 in front)."""
    who, a = f.who, np.abs(theta)
    style = who.hair_style
    top = who.hairline + who.forehead + 0 * a
    if style == "recede":
        top = top + 0.14 * bell(sq((a - 0.55) / 0.22)) + 0.08
    elif "fringe" in style:
        top = (
            0.40
            + 0.05 * wave(theta * 3 + who.hair_part * 8)
            + 0.06 * step(0.2, 0.7, np.abs(theta - who.hair_part))
        )
    else:
        top = top - 0.10 * step(0.35, 0.8, a)
    side = -0.25 if style in ("long", "longfringe", "medium") else -0.12
    line = top + (side - top) * step(1.02, 1.28, a)
    return (line + (-0.75 - line) * step(1.75, 2.1, a)).astype(F)
