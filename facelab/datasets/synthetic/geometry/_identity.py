"""Who a face is: about 60 numbers drawn from one whole number.

Lengths are in units of 100 mm: x to the image's right, y up from the line of the eyes, z to the camera. Nothing here
comes from a photograph: ranges are chosen by hand around adult anthropometric means.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from facelab.datasets.synthetic._numerics import interpolate, power, sq
from facelab.datasets.synthetic._stream import Stream

Colour = tuple[float, float, float]

SKIN = (
    (246, 212, 194),
    (236, 194, 168),
    (218, 170, 138),
    (186, 134, 100),
    (136, 90, 64),
    (92, 60, 45),
)
HAIR = (
    (18, 15, 14),
    (38, 26, 20),
    (70, 44, 28),
    (110, 74, 44),
    (176, 136, 84),
    (120, 50, 24),
    (150, 148, 146),
)
IRIS = ((46, 28, 18), (70, 44, 26), (96, 70, 40), (92, 104, 74), (84, 116, 140), (110, 122, 128))
GRAY = 6
GLASSES = ("none", "round", "rect", "sun")


@dataclass(frozen=True)
class Identity:
    """The parameters of one head. Lengths in 100 mm, colours sRGB in [0, 1], shares in [0, 1]."""

    number: int
    feminine: float  # 0 or 1: the typical set that ranges are drawn around
    age: float  # 0 young adult … 1 old: furrows, folds, bags, gray hair
    # head
    width: float
    height: float
    jaw_width: float
    chin_width: float
    chin_length: float
    chin_depth: float
    cheek_width: float
    forehead: float
    squareness: float  # exponent of the superellipse of a horizontal section
    flatness: float
    cheekbone: float
    cheek_hollow: float
    brow_ridge: float
    ear_size: float
    ear_flare: float
    neck_width: float
    # eyes
    eye_x: float  # half the distance of the eye centres
    eye_y: float
    eye_width: float  # half the width of the lid opening
    lid_upper: float
    lid_lower: float
    lid_crease: float  # height of the crease; small = a single eyelid
    eye_tilt: float
    socket: float
    iris_colour: Colour
    iris_radius: float
    eye_bags: float
    # brows
    brow_y: float
    brow_inner: float
    brow_outer: float
    brow_thickness: float
    brow_arch: float
    brow_slope: float
    brow_density: float
    # nose
    nose_tip_y: float
    nose_height: float
    nose_bridge: float
    nose_hump: float
    nose_upturn: float
    bridge_width: float
    tip_width: float
    nostril_x: float
    # mouth
    mouth_y: float
    mouth_width: float  # half
    mouth_corner: float
    mouth_barrel: float
    lip_upper: float
    lip_lower: float
    lip_bow: float
    lip_colour: float
    # skin
    skin: Colour
    redness: float
    freckles: float
    gloss: float
    makeup: float
    moles: tuple[tuple[float, float, float, float], ...]  # x, y, radius, depth
    texture_offsets: tuple[int, ...]
    # hair
    hair_colour: Colour
    hair_style: str
    hairline: float
    hair_volume: float
    hair_part: float
    hair_length: float
    hair_frequency: float
    hair_curl: float
    beard: str
    beard_density: float
    # worn
    glasses: str
    glasses_colour: Colour
    glasses_width: float
    asymmetry: tuple[float, float, float]  # brow, mouth, eye

    def vector(self) -> np.ndarray:
        """Return the numeric parameters as one float64 vector, in field order (names and number left out)."""
        out: list[float] = []
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if f.name in ("number", "moles", "texture_offsets") or isinstance(value, str):
                continue
            out.extend(value if isinstance(value, tuple) else (value,))
        return np.array(out, np.float64)


def _bounded(r: Stream, a: float, b: float) -> float:
    """Return a draw in [0, 1] from Kumaraswamy's law: a beta-like shape with a closed inverse."""
    return float(power(1 - power(1 - r.unit(), 1 / b), 1 / a))


def _clip(x: float, low: float, high: float) -> float:
    return min(high, max(low, x))


def _colour(anchor: Any, factor: float = 1.0, jitter: Any = (0.0, 0.0, 0.0)) -> Colour:
    red, green, blue = (
        _clip(c / 255 * factor * (1 + j), 0.0, 1.0) for c, j in zip(anchor, jitter, strict=True)
    )
    return red, green, blue


@lru_cache(maxsize=4096)
def draw_identity(number: int) -> Identity:
    """Draw the person named by a whole number; the same number is the same person in every set and pose."""
    r = Stream("identity", number)

    def n(mean: float, sd: float) -> float:
        return r.normal(mean, sd, clip=2.2)

    fem = float(r.chance(0.5))
    male = 1 - fem
    age = _clip(_bounded(r, 1.4, 2.2) + 0.02, 0, 1)
    tone = 5 * _bounded(r, 1.1, 1.4)
    eastern = r.chance(0.3)
    dark = tone > 2.2 or eastern
    values = {"number": int(number), "feminine": fem, "age": age}
    values |= _head(n, fem, male) | _eyes(r, n, fem, eastern, dark, age) | _brows(n, fem)
    values |= _nose(n, male, eastern) | _mouth(n, fem, male) | _skin(r, n, tone, fem)
    return Identity(**values, **_hair(r, n, age, dark, male), **_worn(r, n))


def _head(n: Any, fem: float, male: float) -> dict:
    return {
        "width": n(1 - 0.03 * fem, 0.045),
        "height": n(1 - 0.02 * fem, 0.035),
        "jaw_width": n(1 + 0.05 * male, 0.075),
        "chin_width": n(1 + 0.08 * male, 0.13),
        "chin_length": n(0.02 * male, 0.035),
        "chin_depth": n(0.05 + 0.02 * male, 0.03),
        "cheek_width": n(1, 0.03),
        "forehead": n(0, 0.04),
        "squareness": n(2.2, 0.09),
        "flatness": n(0, 0.04),
        "cheekbone": n(0.05, 0.025),
        "cheek_hollow": n(0.03, 0.025),
        "brow_ridge": n(0.03 + 0.03 * male, 0.015),
        "ear_size": n(1, 0.1),
        "ear_flare": n(0.10, 0.04),
        "neck_width": n(0.43 + 0.05 * male, 0.03),
    }


def _eyes(r: Stream, n: Any, fem: float, eastern: bool, dark: bool, age: float) -> dict:
    single_lid = eastern and r.chance(0.6)
    iris = IRIS[r.integer(2) if dark else r.integer(6)]
    return {
        "eye_x": n(0.315, 0.019),
        "eye_y": n(0, 0.02),
        "eye_width": n(0.152 + 0.004 * fem, 0.011),
        "lid_upper": n(0.058 + 0.008 * fem, 0.009),
        "lid_lower": n(0.040, 0.006),
        "lid_crease": n(0.008, 0.004) if single_lid else n(0.032, 0.012),
        "eye_tilt": n(0.05 + 0.05 * eastern, 0.055),
        "socket": n(0.10, 0.025),
        "iris_colour": _colour(iris, 1, [0.1 * n(0, 1) for _ in range(3)]),
        "iris_radius": n(0.060, 0.002),
        "eye_bags": _clip(n(0.25 + 0.5 * age, 0.2), 0, 1),
    }


def _brows(n: Any, fem: float) -> dict:
    return {
        "brow_y": n(0.205 + 0.015 * fem, 0.022),
        "brow_thickness": n(0.036 - 0.009 * fem, 0.008),
        "brow_arch": n(0.03 + 0.02 * fem, 0.016),
        "brow_slope": n(0.015, 0.022),
        "brow_inner": n(0.115 + 0.015 * fem, 0.02),
        "brow_outer": n(0.505, 0.022),
        "brow_density": _clip(n(0.85, 0.15), 0.4, 1.1),
    }


def _nose(n: Any, male: float, eastern: bool) -> dict:
    return {
        "nose_tip_y": n(-0.40, 0.032),
        "nose_height": n(0.20, 0.030),
        "nose_bridge": n(0.10 - 0.03 * eastern, 0.03),
        "nose_hump": n(0, 0.018),
        "bridge_width": n(0.062, 0.010),
        "tip_width": n(0.095, 0.012),
        "nostril_x": n(0.120 + 0.01 * male, 0.016),
        "nose_upturn": n(0, 0.018),
    }


def _mouth(n: Any, fem: float, male: float) -> dict:
    return {
        "mouth_y": n(-0.70, 0.028),
        "mouth_width": n(0.245 + 0.01 * male, 0.022),
        "mouth_corner": n(0, 0.016),
        "lip_upper": max(0.02, n(0.050 + 0.008 * fem, 0.014)),
        "lip_lower": max(0.035, n(0.080 + 0.008 * fem, 0.016)),
        "lip_bow": n(1, 0.4),
        "lip_colour": _clip(n(0.5 + 0.2 * fem, 0.2), 0.1, 1),
        "mouth_barrel": n(0.05, 0.02),
        "asymmetry": (n(0, 0.005), n(0, 0.0022), n(0, 0.003)),
    }


def _skin(r: Stream, n: Any, tone: float, fem: float) -> dict:
    anchor = [interpolate(tone, range(6), [row[k] for row in SKIN]) for k in range(3)]
    moles = tuple(
        (r.uniform(-0.5, 0.5), r.uniform(-1, 0.5), r.uniform(0.008, 0.02), r.uniform(0.3, 0.7))
        for _ in range(r.integer(4))
    )
    return {
        "skin": _colour(anchor, 1, [n(0, 0.02) for _ in range(3)]),
        "redness": _clip(n(0.35, 0.2), 0, 1),
        "freckles": r.unit() if r.chance(0.15) and tone < 2 else 0.0,
        "gloss": _clip(n(0.5, 0.25), 0.1, 1.2),
        "moles": moles,
        "texture_offsets": tuple(r.integer(512) for _ in range(6)),
        "makeup": fem * r.unit() * r.chance(0.5),
    }


def _hair(r: Stream, n: Any, age: float, dark: bool, male: float) -> dict:
    colour = r.integer(2) if dark else r.choice((0, 1, 2, 2, 3, 4, 5))
    if r.chance(max(0.0, age - 0.5) * 1.2):
        colour = GRAY
    if male:
        style = r.choice(("short", "short", "short", "medium", "fringe", "bald", "recede", "buzz"))
        beard = r.choice(("none", "none", "stubble", "stubble", "full", "goatee", "moustache"))
        beard = beard if r.chance(0.8) else "none"
    else:
        style = r.choice(("long", "long", "long", "medium", "longfringe", "short", "tied", "tied"))
        beard = "none"
    return {
        "hair_colour": _colour(HAIR[colour], _clip(1 + 0.15 * n(0, 1), 0.6, 1.4)),
        "hair_style": style,
        "hairline": n(0.66, 0.05),
        "hair_volume": max(0.03, n(0.11, 0.04)),
        "hair_part": n(0, 0.35),
        "hair_length": n(-1, 0.35),
        "hair_frequency": r.uniform(0.6, 1.6),
        "hair_curl": r.unit() * sq(r.unit()),
        "beard": beard,
        "beard_density": r.uniform(0.35, 1.0),
    }


def _worn(r: Stream, n: Any) -> dict:
    shade = r.choice((0.02, 0.05, 0.2, 0.5))
    return {
        "glasses": r.choice(("none",) * 8 + ("round", "rect")),
        "glasses_colour": tuple(shade * (1 + 0.3 * r.unit()) for _ in range(3)),
        "glasses_width": r.uniform(0.012, 0.030),
    }


def blend(a: Identity, b: Identity, share: float) -> Identity:
    """Return a look-alike: every number of `a` moved by `share` towards `b`; names and textures stay those of `a`."""
    values = {}
    for f in dataclasses.fields(Identity):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, float):
            values[f.name] = x + share * (y - x)
        elif f.name in ("skin", "hair_colour", "iris_colour", "asymmetry"):
            values[f.name] = tuple(p + share * (q - p) for p, q in zip(x, y, strict=True))
    return dataclasses.replace(a, **values)
