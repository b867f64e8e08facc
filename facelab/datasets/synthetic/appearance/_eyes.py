"""Eyes and mouth, painted on one point of a head."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import Record, part
from facelab.datasets.synthetic._noise import GRAIN, HAIR, MOTTLE, lookup
from facelab.datasets.synthetic._scalar import bell, clip, logistic, sq, step, wave
from facelab.datasets.synthetic.appearance._point import mix, scale
from facelab.datasets.synthetic.geometry._curves import (
    INNER_LOWER,
    INNER_UPPER,
    LOWER_LID,
    OUTER_LOWER,
    OUTER_UPPER,
    UPPER_LID,
    eye_height,
    line,
)

SCLERA, TEETH, MOUTH_DARKNESS, LASH = 0.77, 1.25, 0.56, 1.68
TOOTH = 0.064  # width of a tooth in 100 mm


@part
def eyes(
    f: Record, tables: np.ndarray, p: Record, look: Record, glints: np.ndarray, noise: np.ndarray
) -> None:
    """Paint lids, lashes and eyeball."""
    s = (p.ax - f.eye_x) / f.eye_width
    if abs(s) >= 1.2:
        return
    v = eye_height(f, s, p.y, p.side)
    if v >= f.lid_upper + f.lid_crease + 0.09 or v <= -f.lid_lower - 0.13:
        return
    high, low = line(tables, UPPER_LID, s), line(tables, LOWER_LID, s)
    soft = max(look.pixel * 0.8, 0.0035)
    inside = step(1.02, 0.97, abs(s))
    ball = logistic((high - v) / soft) * logistic((v - low) / soft) * inside
    crease, lash = _lids(f, p, s, v, high, low, inside)
    dx = p.x - p.side * f.eye_x - look.gaze_x * 0.06
    dy = v - look.gaze_y * 0.045 - 0.006
    if ball > 0.0:
        r, g, b = _eyeball(f, p.x, s, v, dx, dy, high, low, soft, look.pupil, noise)
        glint = _glint(dx, dy, soft, glints) * ball
        mix(p, ball, r + glint, g + glint, b + glint)
    mix(p, lash, 0.015, 0.010, 0.010)
    p.occlusion *= crease * (1.0 - ball) + ball
    p.eye = ball * (1.0 - lash)
    p.gloss = p.gloss * (1.0 - ball) * (1.0 - lash) + 0.45 * ball
    p.eye_x, p.eye_y = dx / 0.20, dy / 0.20


@part
def _lids(
    f: Record, p: Record, s: float, v: float, high: float, low: float, inside: float
) -> tuple[Any, Any]:
    """Paint the lid's skin and liner; return (occlusion of crease and bags, lash cover)."""
    band = step(0.0, 0.01, v - high) * inside
    if band > 0.0:
        band *= step(f.lid_crease + 0.012, f.lid_crease * 0.5, v - high)
        tint = f.makeup
        scale(
            p,
            1.0 - band * (0.10 + 0.35 * tint),
            1.0 - band * (0.16 + 0.45 * tint),
            1.0 - band * (0.14 + 0.35 * tint),
        )
    crease = bell(sq((v - high - f.lid_crease - 0.01) * (1 / 0.010))) * step(1.2, 0.85, abs(s))
    occlusion = 1.0 - (0.34 if f.lid_crease > 0.015 else 0.15) * crease
    bag = (0.14 + 0.25 * f.eye_bags + 0.2 * f.au6) * step(1.1, 0.5, abs(s))
    occlusion *= 1.0 - bag * bell(sq((v - low + 0.048 + 0.02 * f.eye_bags) * (1 / 0.014)))
    width = 0.011 + 0.007 * f.feminine + 0.006 * f.makeup
    outer = clip(s, -0.5, 1.0)
    upper = LASH * bell(sq((v - high - 0.003) / width)) * step(1.12, 0.96, abs(s))
    lower = bell(sq((v - low + 0.003) * (1 / 0.007))) * step(1.05, 0.7, abs(s))
    lash = upper * (0.72 + 0.15 * f.feminine + 0.2 * outer) + 0.38 * lower * (0.8 + 0.5 * outer)
    return occlusion, clip(lash, 0.0, 0.95)


@part
def _eyeball(
    f: Record,
    x: float,
    s: float,
    v: float,
    dx: float,
    dy: float,
    high: float,
    low: float,
    soft: float,
    pupil: float,
    noise: np.ndarray,
) -> tuple[Any, Any, Any]:
    """Return the colour of sclera, iris and pupil, shaded by the lids."""
    d = np.sqrt(dx * dx + dy * dy)
    vein = 1.0 - 0.06 * step(0.4, 1.4, lookup(noise, MOTTLE, (x + 3.0) * 900.0, (v + 3.0) * 500.0))
    white = SCLERA * (1.0 - 0.25 * sq(s)) * vein
    pink = 1.0 - 0.25 * step(-0.75, -0.98, s)
    r, g, b = 0.56 * white, 0.53 * white * pink, 0.50 * white * pink
    iris = logistic((f.iris_radius - d) / soft)
    if iris > 0.0:
        # a turn measured along a diamond instead of a circle needs no arctangent
        turn = dx / (abs(dx) + abs(dy) + 1e-6)
        turn = 1.0 - turn if dy >= 0.0 else 3.0 + turn
        tone = 1.05 + 0.30 * lookup(noise, GRAIN, turn * 60.0 + 100.0, d * 600.0)
        tone *= 1.0 - 0.65 * step(0.72, 1.0, d / f.iris_radius)
        tone *= 1.0 + 0.35 * step(0.0, -0.7, dy / f.iris_radius)
        r += iris * (f.iris_r * tone - r)
        g += iris * (f.iris_g * tone - g)
        b += iris * (f.iris_b * tone - b)
    shade = (
        1.0
        - 0.60 * bell(max(high - v, 0.0) * (1 / 0.022))
        - 0.15 * bell(max(v - low, 0.0) * (1 / 0.012))
    )
    shade = clip(shade, 0.15, 1.0) * (1.0 - 0.96 * logistic((pupil - d) / soft))
    return r * shade, g * shade, b * shade


@part
def _glint(dx: float, dy: float, soft: float, glints: np.ndarray) -> float:
    """Return the brightest of the lamps' reflections in the eye."""
    out = 0.0
    for k in range(glints.shape[0]):
        away = np.sqrt(sq(dx - glints[k, 0]) + sq(dy - glints[k, 1]))
        out = max(out, glints[k, 2] * logistic((glints[k, 3] - away) / (soft * 0.8)))
    return out


# ---------------------------------------------------------------- mouth
@part
def mouth(f: Record, tables: np.ndarray, p: Record, pixel: Any, noise: np.ndarray) -> None:
    """Paint lips, the seam between them, and what an open mouth shows."""
    x, y = p.x, p.y
    if p.ax >= 1.03 * f.mouth_width or y <= f.mouth_bottom or y >= f.mouth_top:
        return
    s = x / f.mouth_width
    iu, il = line(tables, INNER_UPPER, s), line(tables, INNER_LOWER, s)
    ou, ol = line(tables, OUTER_UPPER, s), line(tables, OUTER_LOWER, s)
    soft, blur = max(pixel * 0.8, 0.004), 0.010
    edge = step(1.03, 0.96, abs(s))
    upper = logistic((ou - y) / blur) * logistic((y - iu + 0.004) / soft)
    lower = logistic((y - ol) / (blur * 1.3)) * logistic((il + 0.004 - y) / soft)
    cover = max(upper, lower) * edge
    if cover > 0.0:
        tone = 1.0 + 0.09 * lookup(noise, HAIR, (x + 3.0) * 420.0, (y + 3.0) * 120.0)
        tone *= 1.0 - 0.22 * logistic((y - iu) * (1 / 0.008))
        mix(p, cover * 0.9, f.lip_r * tone, f.lip_g * tone, f.lip_b * tone)
        p.gloss += cover * (0.9 + f.makeup - p.gloss * 0.3)
    if 2.0 * f.half_gap > 0.012:
        hole = logistic((iu - y) / soft) * logistic((y - il) / soft) * edge
        if hole > 0.0:
            _inside(f, p, x, y, s, iu, il, soft, hole)
        shade = 1.0 - 0.35 * bell(sq((y - iu) * (1 / 0.010))) * edge
    else:
        shade = 1.0 - 0.72 * bell(sq((y - (iu + il) / 2) * (1 / 0.010))) * edge
    p.occlusion *= shade


@part
def _inside(
    f: Record, p: Record, x: float, y: float, s: float, iu: float, il: float, soft: float, hole: int
) -> None:
    """Cover a share of a point with darkness, tongue and teeth."""
    gap = 2.0 * f.half_gap
    r, g, b = 0.10 * MOUTH_DARKNESS, 0.022 * MOUTH_DARKNESS, 0.02 * MOUTH_DARKNESS
    if gap > 0.10:
        tongue = bell(sq(x / (f.mouth_width * 0.6)) + sq((y - il - 0.03) / (0.35 * gap)))
        r, g, b = r + tongue * (0.32 - r), g + tongue * (0.10 - g), b + tongue * (0.09 - b)
    edge_line = f.seam_at_rest - 0.038 + 0.45 * f.mouth_corner * sq(s)
    scallop = 0.010 * abs(wave(x * (3.1415927 / TOOTH)))
    upper = logistic((y - (edge_line + scallop - 0.010)) / soft) * step(0.96, 0.82, abs(s))
    place = x / TOOTH
    gaps = bell(sq(abs(place - np.floor(place) - 0.5) - 0.5) * (1 / 0.006))
    ivory = TEETH * (1.0 - 0.62 * step(0.25, 0.95, abs(s))) * (1.0 - 0.22 * gaps)
    ivory *= 0.55 + 0.45 * step(0.0, 0.035, iu - y)
    r, g, b = (
        r + upper * (0.78 * ivory - r),
        g + upper * (0.74 * ivory - g),
        b + upper * (0.66 * ivory - b),
    )
    if f.lower_teeth > 0.0:
        line = f.mouth_y - f.half_gap + 0.042 + 0.8 * f.mouth_corner * sq(s)
        low = logistic((line - y) / soft) * step(0.8, 0.6, abs(s))
        dim = 0.8 * ivory
        r, g, b = r + low * (0.78 * dim - r), g + low * (0.74 * dim - g), b + low * (0.66 * dim - b)
    shade = 0.45 + 0.55 * step(0.0, 0.03, iu - y)
    mix(p, hole, r * shade, g * shade, b * shade)
    p.gloss = p.gloss * (1.0 - hole) + 0.5 * hole * upper
