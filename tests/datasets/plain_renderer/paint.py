"""What each visible point of a head looks like: albedo in linear light, gloss, painted occlusion.

Every function works on flat float32 arrays of points in paint coordinates: x, y as on the mesh, theta the azimuth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facelab.datasets.synthetic._render import Look
from facelab.datasets.synthetic.geometry._expression import Features
from tests.datasets.plain_renderer import curves
from tests.datasets.plain_renderer.head import forehead_lines
from tests.datasets.plain_renderer.noise import lookup, smooth
from tests.datasets.plain_renderer.numerics import F, bell, logistic, power, roots, sq, step, wave

GAMMA = 2.2
SCLERA, TEETH, MOUTH_DARKNESS, LASH, LIP_CHROMA = 0.77, 1.25, 0.56, 1.68, 1.28


@dataclass
class Paint:
    """Surface properties of points: `albedo` (n, 3) linear, `gloss`, `occlusion` (1 = open), `eye` (share of eyeball),
    `eye_normal` (n, 2): the eyeball's normal in head coordinates."""

    albedo: np.ndarray
    gloss: np.ndarray
    occlusion: np.ndarray
    eye: np.ndarray
    eye_normal: np.ndarray

    def mix(self, share: np.ndarray, colour: np.ndarray) -> None:
        """Cover a share of each point with a colour (3,) or (n, 3)."""
        self.albedo += share[:, None] * (colour - self.albedo)


def linear(colour) -> np.ndarray:
    """Return sRGB values in [0, 1] as linear light (a pure power of 2.2), float32."""
    return power(np.clip(np.asarray(colour, np.float64), 0, 1), GAMMA).astype(F)


def _rgb(r, g, b):
    return np.array([r, g, b], F)


def paint_face(f: Features, look: Look, x, y, theta, pixel: float) -> Paint:
    """Paint the skin, brows, eyes and mouth of a head; `pixel` is the size of a pixel in units of 100 mm."""
    n = len(x)
    p = Paint(
        np.repeat(linear(f.who.skin)[None], n, 0),
        np.full(n, f.who.gloss, F),
        np.ones(n, F),
        np.zeros(n, F),
        np.zeros((n, 2), F),
    )
    front = np.abs(theta) < 1.3
    k = np.flatnonzero(front)
    _complexion(f, p, x, y)
    if len(k):
        sub = _take(p, k)
        xs, ys = x[k], y[k]
        lips = curves.lips(f, xs)
        if f.who.beard != "none":
            _beard(f, sub, xs, ys, lips)
        _folds(f, sub, xs, ys)
        _brows(f, sub, xs, ys)
        _mouth(f, sub, xs, ys, lips, pixel)
        _eyes(f, look, sub, xs, ys, pixel)
        _put(p, sub, k)
    return p


def _take(p: Paint, k: np.ndarray) -> Paint:
    return Paint(p.albedo[k], p.gloss[k], p.occlusion[k], p.eye[k], p.eye_normal[k])


def _put(p: Paint, part: Paint, k: np.ndarray) -> None:
    p.albedo[k], p.gloss[k], p.occlusion[k] = part.albedo, part.gloss, part.occlusion
    p.eye[k], p.eye_normal[k] = part.eye, part.eye_normal


def _complexion(f: Features, p: Paint, x, y) -> None:
    who = f.who
    o, ax = who.texture_offsets, np.abs(x)
    u, v = (x + 3) * 150, (y + 3) * 150
    cloud = smooth("cloud", u * 0.6 + o[0], v * 0.6 + o[1])
    mottle, pores = (
        lookup("mottle", u + o[2], v + o[3]),
        lookup("pore", u * 3.3 + o[4], v * 3.3 + o[5]),
    )
    cheek = bell(sq((ax - 0.40) / 0.17) + sq((y + 0.30) / 0.17))
    tip = bell(sq(x / 0.12) + sq((y - who.nose_tip_y) / 0.1))
    chin = bell(sq(x / 0.2) + sq((y + 1.0) / 0.12))
    red = (
        who.redness * (0.75 * cheek + 0.8 * tip + 0.35 * chin + 0.10 * cloud)
        + who.makeup * 0.5 * cheek
    )
    p.albedo *= 1 - (np.clip(red, -0.1, 1) * F(0.9))[:, None] * _rgb(0.02, 0.30, 0.26)
    p.albedo *= (1 + 0.035 * cloud + 0.03 * mottle + 0.03 * pores)[:, None]
    around_eyes = bell(sq((ax - who.eye_x) / 0.20) + sq((y - who.eye_y + 0.01) / 0.12))
    p.albedo *= 1 - ((0.22 + 0.10 * who.eye_bags) * around_eyes)[:, None] * _rgb(0.8, 1, 0.92)
    if who.freckles > 0:
        spots = step(1.2, 2.0, lookup("pore", u * 1.7 + o[1], v * 1.7 + o[0]))
        where = step(0.65, 0.2, ax) * step(-0.7, -0.1, y) * step(0.5, 0.1, y)
        p.albedo *= (1 - 0.45 * who.freckles * spots * where)[:, None]
    for mx, my, radius, depth in who.moles:
        near = np.flatnonzero((np.abs(x - mx) < 3 * radius) & (np.abs(y - my) < 3 * radius))
        if len(near):
            spot = bell((sq(x[near] - mx) + sq(y[near] - my)) / F(radius * radius))
            p.albedo[near] *= (1 - depth * spot)[:, None]


def _beard(f: Features, p: Paint, x, y, lips) -> None:
    who = f.who
    o, ax = who.texture_offsets, np.abs(x)
    _, _, _, upper, lower = lips
    width, my = f.mouth_width, f.mouth_y
    off_lips = step(0, 0.03, np.maximum(y - upper, lower - y) + 0.02)
    moustache = (
        bell(sq((y - upper - 0.055) / 0.055))
        * step(width + 0.10, width, ax)
        * step(who.nose_tip_y - 0.09, who.nose_tip_y - 0.14, y)
    )
    if who.beard == "moustache":
        share = moustache
    elif who.beard == "goatee":
        share = np.maximum(moustache, step(my - 0.12, my - 0.2, y) * step(0.30, 0.2, ax)) * off_lips
    else:
        jaw = step(-0.30, -0.62, y - 0.35 * step(0.35, 0.7, ax))
        share = (
            np.maximum(jaw * step(0.18, 0.34, ax + step(my - 0.05, my - 0.17, y)), moustache)
            * off_lips
        )
        share = share * (0.42 if who.beard == "stubble" else 1.0)
    u, v = (x + 3) * 150, (y + 3) * 150
    strand = lookup("hair", u * 2.6 + o[2], v * 1.2 + o[1])
    cover = np.clip(
        share
        * who.beard_density
        * (0.85 + 0.28 * strand + 0.2 * lookup("pore", u * 3.3 + o[4], v * 3.3 + o[5])),
        0,
        0.97,
    )
    p.mix(cover, linear(who.hair_colour) * (1 + 0.35 * strand)[:, None])
    p.gloss *= 1 - 0.7 * cover


def _folds(f: Features, p: Paint, x, y) -> None:
    who, g, occ = f.who, f.gains, p.occlusion
    ax, dy = np.abs(x), y - f.who.eye_y
    base, wing = curves.nose_base_y(f), curves.nose_wing_y(f)
    corner = f.mouth_y + f.mouth_corner
    nostril = sq((ax - 0.062) / 0.036) + sq((y - base - 0.008 - 0.12 * np.abs(ax - 0.062)) / 0.019)
    occ *= 1 - 0.85 * bell(roots(nostril, 6))
    distance, window = curves.cheek_fold(f, ax, y)
    depth = 0.05 + 0.12 * who.age + g.fold * (0.32 * f.au(12) + 0.30 * f.au(10) + 0.3 * f.au(9))
    occ *= 1 - window * bell(sq(distance / 0.020)) * min(0.6, max(0.0, depth))
    occ *= 1 - 0.30 * bell(sq((ax - who.nostril_x - 0.045) / 0.018) + sq((y - wing - 0.01) / 0.05))
    frown = min(0.65, max(0.0, 0.42 * g.furrow * f.au(4) + 0.05 * who.age))
    occ *= 1 - frown * bell(sq((ax - 0.045) / 0.013)) * step(0.03, 0.10, dy) * step(0.33, 0.22, dy)
    lines = np.clip(
        g.forehead * 0.30 * (0.6 * f.au(1) * bell(sq(x / 0.3)) + f.au(2)) + 0.10 * who.age, 0, 0.4
    )
    occ *= 1 - lines * step(0.2, 1, -forehead_lines(x, ax, y))
    if f.au(9):
        bridge = bell(sq(ax / 0.10)) * step(-0.26, -0.18, dy) * step(0.06, 0, dy)
        occ *= 1 - 0.28 * f.au(9) * step(0.2, 1, -wave(dy * 85)) * bridge
    pinch = 0.35 + 0.35 * f.au(12) + 0.25 * f.au(14) + 0.15 * f.au(15)
    occ *= 1 - pinch * bell(sq((ax - f.mouth_width - 0.006) / 0.020) + sq((y - corner) / 0.018))
    below = f.mouth_y - f.half_gap - f.lip_lower - 0.035
    occ *= 1 - 0.22 * bell(sq(x / 0.15) + sq((y - below) / 0.028))


def _brows(f: Features, p: Paint, x, y) -> None:
    who, ax, side = f.who, np.abs(x), np.sign(x)
    o, t = who.texture_offsets, curves.brow_coordinate(f, np.abs(x))
    near = np.flatnonzero((t > -0.15) & (t < 1.1) & (np.abs(y - f.brow_y - who.eye_y) < 0.4))
    if not len(near):
        return
    x, y, ax, side, t = x[near], y[near], ax[near], side[near], t[near]
    tc = np.clip(t, 0, 1.2)
    thick = f.brow_thickness * np.clip(1.05 - 0.75 * roots(tc, 6), 0.12, 2) * (1 + 0.15 * f.au(4))
    body = bell(roots(np.abs(y - curves.brow_line(f, t, side)) / thick, 10))
    body = body * step(-0.10, 0.12, t) * step(1.06, 0.86, t)
    u, v = (x + 3) * 150, (y + 3) * 150
    strand = lookup(
        "hair",
        (u * 1.5 * 0.8776 + side * v * 1.5 * 0.4794) * 1.6 + o[3],
        (v - side * u * 0.6) + o[2],
    )
    cover = np.clip(f.brow_density * body * (0.86 + 0.22 * strand), 0, 0.96)
    colour = linear(who.hair_colour) * F(0.55) * (1 + 0.2 * strand)[:, None]
    p.albedo[near] += cover[:, None] * (colour - p.albedo[near])
    p.gloss[near] *= 1 - 0.8 * cover


# ---------------------------------------------------------------- eyes
def _eyes(f: Features, look: Look, p: Paint, x, y, pixel: float) -> None:
    who, ax, side = f.who, np.abs(x), np.sign(x)
    s, v = curves.eye_coordinates(f, ax, y, side)
    near = np.flatnonzero((np.abs(s) < 1.6) & (np.abs(v) < 0.3))
    if not len(near):
        return
    s, v, x, side = s[near], v[near], x[near], side[near]
    high, low = curves.lid_edges(f, s)
    soft = max(pixel * 0.8, 0.0035)
    inside = step(1.02, 0.97, np.abs(s))
    ball = logistic((high - v) / soft) * logistic((v - low) / soft) * inside
    dx = x - side * who.eye_x - look.gaze[0] * 0.06
    dy = v - look.gaze[1] * 0.045 - 0.006
    albedo, crease, lash = _lids(f, p.albedo[near], s, v, high, low, inside)
    albedo += ball[:, None] * (_eyeball(f, look, x, s, v, dx, dy, high, low, ball, soft) - albedo)
    albedo += lash[:, None] * (_rgb(0.015, 0.010, 0.010) - albedo)
    p.albedo[near] = albedo
    p.occlusion[near] *= crease * (1 - ball) + ball
    p.eye[near] = ball * (1 - lash)
    p.gloss[near] = p.gloss[near] * (1 - ball) * (1 - lash) + 0.45 * ball
    p.eye_normal[near] = np.stack([dx, dy], 1) / F(0.20)


def _eyeball(f: Features, look: Look, x, s, v, dx, dy, high, low, ball, soft):
    """Return the colour of sclera, iris, pupil and catchlights, shaded by the lids."""
    radius = f.who.iris_radius
    d = np.sqrt(dx * dx + dy * dy)
    white = _rgb(0.56, 0.53, 0.50) * F(SCLERA) * (1 - 0.25 * sq(s))[:, None]
    white = white * (1 - _rgb(0, 0.25, 0.25) * step(-0.75, -0.98, s)[:, None])
    white = (
        white * (1 - 0.06 * step(0.4, 1.4, lookup("mottle", (x + 3) * 900, (v + 3) * 500)))[:, None]
    )
    # a turn measured along a diamond instead of a circle needs no arctangent
    turn = np.where(
        dy >= 0,
        1 - dx / (np.abs(dx) + np.abs(dy) + F(1e-6)),
        3 + dx / (np.abs(dx) + np.abs(dy) + F(1e-6)),
    )
    fibre = 1.05 + 0.30 * lookup("grain", turn * 60 + 100, d * 600)
    iris = (
        linear(f.who.iris_colour)
        * (
            fibre
            * (1 - 0.65 * step(0.72, 1.0, d / radius))
            * (1 + 0.35 * step(0, -0.7, dy / radius))
        )[:, None]
    )
    colour = white + logistic((radius - d) / soft)[:, None] * (iris - white)
    colour = colour * (1 - 0.96 * logistic((look.pupil - d) / soft))[:, None]
    shade = (
        1
        - 0.60 * bell(np.maximum(high - v, 0) / F(0.022))
        - 0.15 * bell(np.maximum(v - low, 0) / F(0.012))
    )
    colour = colour * np.clip(shade, 0.15, 1)[:, None]
    glint = np.zeros(len(x), F)
    for gx, gy, strength, size in look.catchlights:
        away = np.sqrt(sq(dx - gx) + sq(dy - gy))
        glint = np.maximum(glint, strength * logistic((size - away) / (soft * 0.8)))
    return colour + (glint * ball)[:, None]


def _lids(f: Features, albedo, s, v, high, low, inside):
    """Return (skin of the lids with liner, occlusion of crease and bags, lash cover)."""
    who = f.who
    band = (
        step(0, 0.01, v - high)
        * step(who.lid_crease + 0.012, who.lid_crease * 0.5, v - high)
        * inside
    )
    tint = _rgb(0.10, 0.16, 0.14) + F(who.makeup) * _rgb(0.35, 0.45, 0.35)
    albedo = albedo * (1 - band[:, None] * tint)
    crease = bell(sq((v - high - who.lid_crease - 0.01) / 0.010)) * step(1.2, 0.85, np.abs(s))
    occlusion = 1 - (0.34 if who.lid_crease > 0.015 else 0.15) * crease
    bag = (0.14 + 0.25 * who.eye_bags + 0.2 * f.au(6)) * bell(
        sq((v - low + 0.048 + 0.02 * who.eye_bags) / 0.014)
    )
    occlusion = occlusion * (1 - bag * step(1.1, 0.5, np.abs(s)))
    width = 0.011 + 0.007 * who.feminine + 0.006 * who.makeup
    outer = np.clip(s, -0.5, 1)
    upper = LASH * bell(sq((v - high - 0.003) / width)) * step(1.12, 0.96, np.abs(s))
    lower = bell(sq((v - low + 0.003) / 0.007)) * step(1.05, 0.7, np.abs(s))
    lash = upper * (0.72 + 0.15 * who.feminine + 0.2 * outer) + 0.38 * lower * (0.8 + 0.5 * outer)
    return albedo, occlusion, np.clip(lash, 0, 0.95).astype(F)


# ---------------------------------------------------------------- mouth
def _mouth(f: Features, p: Paint, x, y, lips, pixel: float) -> None:
    near = np.flatnonzero(
        (np.abs(lips[0]) < 1.12) & (y > f.mouth_y - 0.62) & (y < f.mouth_y + 0.35)
    )
    if not len(near):
        return
    x, y = x[near], y[near]
    s, iu, il, ou, ol = (q[near] for q in lips)
    soft, blur = max(pixel * 0.8, 0.004), 0.010
    edge = step(1.03, 0.96, np.abs(s))
    upper = logistic((ou - y) / blur) * logistic((y - iu + 0.004) / soft)
    lower = logistic((y - ol) / (blur * 1.3)) * logistic((il + 0.004 - y) / soft)
    cover = np.maximum(upper, lower) * edge
    albedo = p.albedo[near]
    albedo += (cover * 0.9)[:, None] * (_lip_colour(f, x, y, iu) - albedo)
    gloss = p.gloss[near]
    gloss = gloss + cover * (0.9 + f.who.makeup - gloss * 0.3)
    if 2 * f.half_gap > 0.012:
        hole = logistic((iu - y) / soft) * logistic((y - il) / soft) * edge
        colour, tooth = _mouth_inside(f, x, y, s, iu, il, soft)
        albedo += hole[:, None] * (colour - albedo)
        gloss = gloss * (1 - hole) + 0.5 * hole * tooth
        shade = 1 - 0.35 * bell(sq((y - iu) / 0.010)) * edge
    else:
        shade = 1 - 0.72 * bell(sq((y - (iu + il) / 2) / 0.010)) * edge
    p.albedo[near], p.gloss[near] = albedo, gloss
    p.occlusion[near] *= shade


def _lip_colour(f: Features, x, y, iu):
    skin = linear(f.who.skin)
    base = skin * power(np.array([0.86, 0.50, 0.50]), LIP_CHROMA).astype(F)
    brightness = float((skin[0] + skin[1] + skin[2]) / 3) * 1.4 + 0.15
    red = _rgb(0.55, 0.12, 0.13) * F(brightness)
    colour = base + F(f.who.lip_colour * 0.55 + f.who.makeup * 0.4) * (red - base)
    grooves = 1 + 0.09 * lookup("hair", (x + 3) * 420, (y + 3) * 120)
    return colour * (grooves * (1 - 0.22 * logistic((y - iu) / 0.008)))[:, None]


def _mouth_inside(f: Features, x, y, s, iu, il, soft):
    """Return (colour of tongue, teeth and darkness, share of upper teeth)."""
    gap, tooth_width = 2 * f.half_gap, 0.064
    inside = np.repeat(_rgb(0.10, 0.022, 0.02)[None] * F(MOUTH_DARKNESS), len(x), 0)
    if gap > 0.10:
        tongue = bell(sq(x / (f.mouth_width * 0.6)) + sq((y - il - 0.03) / (0.35 * gap)))
        inside += tongue[:, None] * (_rgb(0.32, 0.10, 0.09) - inside)
    edge_line = f.seam_at_rest - 0.038 + 0.45 * f.mouth_corner * sq(s)
    scallop = 0.010 * np.abs(wave(x * (3.1415927 / tooth_width)))
    upper = logistic((y - (edge_line + scallop - 0.010)) / soft) * step(0.96, 0.82, np.abs(s))
    place = x * F(1 / tooth_width)
    gaps = bell(sq(np.abs(place - np.floor(place) - F(0.5)) - F(0.5)) / F(0.006))
    ivory = _rgb(0.78, 0.74, 0.66) * F(TEETH) * (1 - 0.62 * step(0.25, 0.95, np.abs(s)))[:, None]
    ivory = ivory * ((1 - 0.22 * gaps) * (0.55 + 0.45 * step(0, 0.035, iu - y)))[:, None]
    inside += upper[:, None] * (ivory - inside)
    if f.lower_teeth:
        line = f.mouth_y - f.half_gap + 0.042 + 0.8 * f.mouth_corner * sq(s)
        lower = logistic((line - y) / soft) * step(0.8, 0.6, np.abs(s))
        inside += lower[:, None] * (ivory * F(0.8) - inside)
    return inside * (0.45 + 0.55 * step(0, 0.03, iu - y))[:, None], upper


# ---------------------------------------------------------------- hair
def paint_hair(f: Features, theta, y) -> tuple[np.ndarray, np.ndarray]:
    """Return (albedo (n, 3), gloss (n,)) of hair strands at azimuth theta and height y."""
    who = f.who
    o, colour = who.texture_offsets, linear(who.hair_colour)
    bend = theta + 0.12 * who.hair_curl * wave(y * 30 + theta * 9)
    long = smooth(
        "strand", bend * 170 * who.hair_frequency + o[0] + who.hair_part * 40, y * 90 + o[1]
    )
    fine = lookup("hair", bend * 420 * who.hair_frequency + o[3], y * 120 + o[2])
    contrast = 0.7 if float(colour[0] + colour[1] + colour[2]) > 0.6 else 1.0
    tone = np.clip(1 + contrast * (0.34 * long + 0.26 * fine), 0.15, 2.6)
    return colour * tone[:, None], np.clip(0.35 + 0.25 * long, 0.02, 1)


def cover_with_hair(f: Features, p: Paint, x, y, theta) -> None:
    """Cover the scalp above the hairline, with a ragged edge and a soft shadow below it."""
    who = f.who
    if who.hair_style == "bald":
        return
    o = who.texture_offsets
    ragged = 0.022 * lookup("mottle", theta * 70 + o[0], np.full(len(y), o[1], F)) + 0.016 * lookup(
        "hair", theta * 420 + 11, y * 60
    )
    ragged = ragged * (1.6 if "fringe" in who.hair_style else 0.9)
    above = y - curves.hairline(f, theta)
    share = step(-0.03, 0.06, above - ragged) * {"buzz": 0.75, "tied": 0.97}.get(
        who.hair_style, 1.0
    )
    shadow = step(-0.10, 0.03, above) * 0.25
    colour, gloss = paint_hair(f, theta, y)
    p.occlusion *= 1 - shadow * (1 - share)
    p.mix(share, colour)
    p.gloss += share * (gloss * 0.8 - p.gloss)
    p.eye *= 1 - share
    p.occlusion += share * (1 - p.occlusion)
