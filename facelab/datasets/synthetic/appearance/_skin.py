"""Skin: complexion, moles, folds, brows and beard, painted on one point of a head."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import Record, part
from facelab.datasets.synthetic._noise import CLOUD, HAIR, PORE, lookup, smooth
from facelab.datasets.synthetic._scalar import (
    bell,
    clip,
    power_3_2,
    power_5_2,
    sq,
    step,
    wave,
)
from facelab.datasets.synthetic.appearance._point import mix, scale
from facelab.datasets.synthetic.geometry import _curves as curves
from facelab.datasets.synthetic.geometry._curves import OUTER_LOWER, OUTER_UPPER, line
from facelab.datasets.synthetic.geometry._face import GOATEE, MOUSTACHE, NO_BEARD, STUBBLE


@part
def complexion(
    f: Record, p: Record, moles: np.ndarray, noise: np.ndarray, mottle: float, pores: float
) -> None:
    """Paint skin without features: blood, blotches, pores, freckles, shadows around the eyes, moles."""
    x, y, ax = p.x, p.y, p.ax
    u, v = (x + 3.0) * 150.0, (y + 3.0) * 150.0
    cloud = smooth(noise, CLOUD, u * 0.6 + f.offset0, v * 0.6 + f.offset1)
    cheek = bell(sq((ax - 0.40) * (1 / 0.17)) + sq((y + 0.30) * (1 / 0.17)))
    tip = bell(sq(x * (1 / 0.12)) + sq((y - f.nose_tip_y) * (1 / 0.1)))
    chin = bell(sq(x * (1 / 0.2)) + sq((y + 1.0) * (1 / 0.12)))
    red = f.redness * (0.75 * cheek + 0.8 * tip + 0.35 * chin + 0.10 * cloud)
    red = 0.9 * clip(red + f.makeup * 0.5 * cheek, -0.1, 1.0)
    tone = 1.0 + 0.035 * cloud + 0.03 * mottle + 0.03 * pores
    around = bell(sq((ax - f.eye_x) * (1 / 0.20)) + sq((y - f.eye_y + 0.01) * (1 / 0.12)))
    around *= 0.22 + 0.10 * f.eye_bags
    if f.freckles > 0.0:
        spots = step(1.2, 2.0, lookup(noise, PORE, u * 1.7 + f.offset1, v * 1.7 + f.offset0))
        where = step(0.65, 0.2, ax) * step(-0.7, -0.1, y) * step(0.5, 0.1, y)
        tone *= 1.0 - 0.45 * f.freckles * spots * where
    for k in range(moles.shape[0]):
        d2 = (sq(x - moles[k, 0]) + sq(y - moles[k, 1])) * moles[k, 2]
        if d2 < 9.0:
            tone *= 1.0 - moles[k, 3] * bell(d2)
    p.red = f.skin_r * tone * (1.0 - red * 0.02) * (1.0 - 0.8 * around)
    p.green = f.skin_g * tone * (1.0 - red * 0.30) * (1.0 - around)
    p.blue = f.skin_b * tone * (1.0 - red * 0.26) * (1.0 - 0.92 * around)


@part
def beard(f: Record, tables: np.ndarray, p: Record, noise: np.ndarray) -> None:
    """Paint stubble, a moustache, a goatee or a full beard."""
    style = int(f.beard)
    x, y, ax = p.x, p.y, p.ax
    if style == NO_BEARD or y > 0.06:
        return
    s = x / f.mouth_width
    upper, lower = line(tables, OUTER_UPPER, s), line(tables, OUTER_LOWER, s)
    off_lips = step(0.0, 0.03, max(y - upper, lower - y) + 0.02)
    moustache = bell(sq((y - upper - 0.055) * (1 / 0.055)))
    moustache *= step(f.mouth_width + 0.10, f.mouth_width, ax)
    moustache *= step(f.nose_tip_y - 0.09, f.nose_tip_y - 0.14, y)
    if style == MOUSTACHE:
        share = moustache
    elif style == GOATEE:
        goatee = step(f.mouth_y - 0.12, f.mouth_y - 0.2, y) * step(0.30, 0.2, ax)
        share = max(moustache, goatee) * off_lips
    else:
        jaw = step(-0.30, -0.62, y - 0.35 * step(0.35, 0.7, ax))
        jaw *= step(0.18, 0.34, ax + step(f.mouth_y - 0.05, f.mouth_y - 0.17, y))
        share = max(jaw, moustache) * off_lips * (0.42 if style == STUBBLE else 1.0)
    if share <= 0.0:
        return
    u, v = (x + 3.0) * 150.0, (y + 3.0) * 150.0
    strand = lookup(noise, HAIR, u * 2.6 + f.offset2, v * 1.2 + f.offset1)
    pores = lookup(noise, PORE, u * 3.3 + f.offset4, v * 3.3 + f.offset5)
    cover = share * f.beard_density * (0.85 + 0.28 * strand + 0.2 * pores)
    cover = clip(cover, 0.0, 0.97)
    tone = 1.0 + 0.35 * strand
    mix(p, cover, f.hair_r * tone, f.hair_g * tone, f.hair_b * tone)
    p.gloss *= 1.0 - 0.7 * cover


@part
def folds(f: Record, p: Record) -> None:
    """Darken nostrils, folds, furrows and the corners of the mouth."""
    x, y, ax = p.x, p.y, p.ax
    dy = y - f.eye_y
    occ = 1.0
    if ax < 0.5 and -1.3 < y < -0.2:
        occ = _around_mouth(f, x, ax, y)
    if 0.03 < dy < 0.33 and ax < 0.1:
        frown = clip(0.42 * f.gain_furrow * f.au4 + 0.05 * f.age, 0.0, 0.65)
        window = step(0.03, 0.10, dy) * step(0.33, 0.22, dy)
        occ *= 1.0 - frown * bell(sq((ax - 0.045) * (1 / 0.013))) * window
    lines = curves.forehead_lines(x, ax, y)
    if lines < -0.2:
        depth = 0.6 * f.au1 * bell(sq(x * (1 / 0.3))) + f.au2
        depth = clip(f.gain_forehead * 0.30 * depth + 0.10 * f.age, 0.0, 0.4)
        occ *= 1.0 - depth * step(0.2, 1.0, -lines)
    if f.au9 > 0.0 and -0.26 < dy < 0.06 and ax < 0.36:
        ridges = bell(sq(ax * (1 / 0.10))) * step(-0.26, -0.18, dy) * step(0.06, 0.0, dy)
        occ *= 1.0 - 0.28 * f.au9 * step(0.2, 1.0, -wave(dy * 85.0)) * ridges
    p.occlusion *= occ


@part
def _around_mouth(f: Record, x: float, ax: float, y: float) -> Any:
    occ = 1.0
    if ax < 0.24 and y > f.nose_base_y - 0.1:
        sink = y - f.nose_base_y - 0.008 - 0.12 * abs(ax - 0.062)
        nostril = sq((ax - 0.062) * (1 / 0.036)) + sq(sink * (1 / 0.019))
        if nostril < 4.4:
            occ = 1.0 - 0.85 * bell(power_3_2(nostril))
        across = sq((ax - f.nostril_x - 0.045) * (1 / 0.018))
        occ *= 1.0 - 0.30 * bell(across + sq((y - f.nose_wing_y - 0.01) * (1 / 0.05)))
    distance, window = curves.cheek_fold(f, ax, y)
    if window > 0.0 and abs(distance) < 0.07:
        depth = 0.32 * f.au12 + 0.30 * f.au10 + 0.3 * f.au9
        depth = clip(0.05 + 0.12 * f.age + f.gain_fold * depth, 0.0, 0.6)
        occ *= 1.0 - window * bell(sq(distance * (1 / 0.020))) * depth
    pinch = 0.35 + 0.35 * f.au12 + 0.25 * f.au14 + 0.15 * f.au15
    corner = f.mouth_y + f.mouth_corner
    d2 = sq((ax - f.mouth_width - 0.006) * (1 / 0.020)) + sq((y - corner) * (1 / 0.018))
    occ *= 1.0 - pinch * bell(d2)
    below = f.mouth_y - f.half_gap - f.lip_lower - 0.035
    return occ * (1.0 - 0.22 * bell(sq(x * (1 / 0.15)) + sq((y - below) * (1 / 0.028))))


@part
def brows(f: Record, p: Record, noise: np.ndarray) -> None:
    """Paint the brows' hairs."""
    if abs(p.y - f.brow_y - f.eye_y) >= 0.4:
        return
    t = curves.brow_coordinate(f, p.ax)
    if t <= -0.10 or t >= 1.06:
        return
    x, y, side = p.x, p.y, p.side
    thick = clip(1.05 - 0.75 * power_3_2(clip(t, 0.0, 1.2)), 0.12, 2.0) * (1.0 + 0.15 * f.au4)
    away = abs(y - curves.brow_line(f, t, side)) / (f.brow_thickness * thick)
    if away > 2.8:
        return
    body = bell(power_5_2(away)) * step(-0.10, 0.12, t) * step(1.06, 0.86, t)
    u, v = (x + 3.0) * 150.0, (y + 3.0) * 150.0
    along = (u * 1.5 * 0.8776 + side * v * 1.5 * 0.4794) * 1.6 + f.offset3
    strand = lookup(noise, HAIR, along, (v - side * u * 0.6) + f.offset2)
    cover = clip(f.brow_density * body * (0.86 + 0.22 * strand), 0.0, 0.96)
    tone = 0.55 * (1.0 + 0.2 * strand)
    mix(p, cover, f.hair_r * tone, f.hair_g * tone, f.hair_b * tone)
    p.gloss *= 1.0 - 0.8 * cover


@part
def surgical_mask(f: Record, p: Record) -> None:
    """Cover nose, mouth and chin with a pleated mask."""
    top = f.nose_tip_y + 0.20 - 0.30 * p.ax
    share = step(0.0, 0.02, top - p.y)
    if share <= 0.0:
        return
    pleats = 1.0 - 0.10 * step(0.3, 1.0, wave(p.y * 40.0))
    mix(p, share, 0.52 * pleats, 0.66 * pleats, 0.74 * pleats)
    p.gloss *= 1.0 - 0.8 * share
    p.occlusion += share * (1.0 - 0.3 * step(0.03, 0.0, top - p.y) - p.occlusion)
    p.eye *= 1.0 - share


@part
def ear(f: Record, p: Record) -> None:
    """Paint a point of an ear (x runs outwards, y upwards)."""
    hollow = 0.35 * bell(sq((p.x - 0.72) * (1 / 0.12)))
    hollow = 1.0 - hollow - 0.45 * bell(sq((p.x - 0.25) * (1 / 0.2)) + sq(p.y * (1 / 0.45)))
    p.red, p.green, p.blue = f.skin_r, f.skin_g, f.skin_b
    scale(p, hollow, 0.86 * hollow, 0.86 * hollow)
    p.gloss = 0.7 * f.gloss


@part
def torso(f: Record, p: Record, cloth: Record, noise: np.ndarray) -> None:
    """Paint a point of neck or clothes (x across, y down from the top of the neck)."""
    u, v = p.x, p.y
    rounded = wave(clip(u, -1.5, 1.5) + 1.5707964)
    neckline = 0.153 + cloth.neckline * rounded
    covered = step(-0.006, 0.006, v - neckline)
    pattern = int(cloth.pattern)
    if pattern == 1 or pattern == 2:
        stripe = wave(v * 260.0 if pattern == 1 else u * 30.0)
        tone = 1.25 if stripe > 0.0 else 0.75 if stripe < 0.0 else 1.0
    else:
        tone = 1.0 + (0.12 if pattern else 0.04) * lookup(noise, CLOUD, u * 60.0, v * 300.0)
    skin = 0.92
    if covered < 1.0:
        skin *= 1.0 + 0.03 * lookup(noise, CLOUD, u * 80.0 + 5.0, v * 200.0)
    p.red, p.green, p.blue = f.skin_r * skin, f.skin_g * skin, f.skin_b * skin
    mix(p, covered, cloth.red * tone, cloth.green * tone, cloth.blue * tone)
    p.gloss = 0.3 * f.gloss * (1.0 - covered)
    p.occlusion = 1.0 - 0.25 * bell(sq((v - neckline) * (1 / 0.012))) - 0.35 * step(0.10, 0.0, v)
