"""A face as one record of numbers that compiled code reads by name: an identity under action units.

Fields are those of `Identity` and `Features` that are numbers (moved features replace the identity's own), colours
in linear light with the endings _r, _g, _b, action units as au1 … au43, and the style codes below.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import numpy as np

from facelab.datasets.synthetic._numerics import power
from facelab.datasets.synthetic.geometry._expression import ACTION_UNITS, Features, Gains
from facelab.datasets.synthetic.geometry._identity import Colour, Identity

GAMMA = 2.2
LIP_CHROMA = 1.28
LIP_BLUR = 0.12  # lips fade out within this distance of their edges (100 mm)
# styles of hair, as bits
FRINGE, LONG, MEDIUM, RECEDE, BALD, BUZZ, TIED = (1 << k for k in range(7))
_STYLES = {
    "short": 0,
    "medium": MEDIUM,
    "fringe": FRINGE,
    "bald": BALD,
    "recede": RECEDE,
    "buzz": BUZZ,
    "long": LONG,
    "longfringe": LONG | FRINGE,
    "tied": TIED,
}
NO_BEARD, STUBBLE, FULL_BEARD, GOATEE, MOUSTACHE = range(5)
_BEARDS = {
    "none": NO_BEARD,
    "stubble": STUBBLE,
    "full": FULL_BEARD,
    "goatee": GOATEE,
    "moustache": MOUSTACHE,
}
HAIR_STYLES, BEARDS = tuple(_STYLES), tuple(_BEARDS)

_COLOURS = ("skin", "hair", "iris", "frame", "lip")
_IDENTITY = tuple(f.name for f in dataclasses.fields(Identity) if f.type == "float")
_FEATURES = tuple(f.name for f in dataclasses.fields(Features) if f.type == "float")
_OWN = tuple(name for name in _IDENTITY if name not in _FEATURES)
_SHIFTS = ("brow_inner_shift", "brow_middle_shift", "brow_outer_shift")
_GAINS = tuple(
    f.name for f in dataclasses.fields(Gains) if f.name in ("furrow", "fold", "forehead")
)
_DERIVED = (
    *(f"{colour}_{channel}" for colour in _COLOURS for channel in "rgb"),
    *(f"offset{k}" for k in range(6)),
    "brow_asymmetry",
    "mouth_asymmetry",
    "eye_asymmetry",
    "hair_style",
    "beard",
    "scalp_volume",
)
_POSED = ("nose_wing_y", "nose_base_y", "mouth_top", "mouth_bottom")
_UNITS = tuple(f"au{k}" for k in ACTION_UNITS)
_NAMES = (
    *_OWN,
    *_DERIVED,
    *_FEATURES,
    *_SHIFTS,
    *_POSED,
    *(f"gain_{name}" for name in _GAINS),
    *_UNITS,
)
FACE = np.dtype([(name, np.float64) for name in _NAMES])


@lru_cache(maxsize=512)
def linear(colour: Colour) -> tuple[float, float, float]:
    """Return an sRGB colour, held within [0, 1], as linear light (a pure power of 2.2)."""
    r, g, b = (float(power(min(1.0, max(0.0, c)), GAMMA)) for c in colour)
    return r, g, b


def _lip_colour(who: Identity) -> tuple[float, ...]:
    """Return the colour of the lips without light: the skin's, redder by blood and by make-up."""
    skin = linear(who.skin)
    chroma = [float(power(c, LIP_CHROMA)) for c in (0.86, 0.50, 0.50)]
    brightness = (skin[0] + skin[1] + skin[2]) / 3 * 1.4 + 0.15
    share = who.lip_colour * 0.55 + who.makeup * 0.4
    red = [brightness * c for c in (0.55, 0.12, 0.13)]
    return tuple(s * c + share * (q - s * c) for s, c, q in zip(skin, chroma, red, strict=True))


@lru_cache(maxsize=4096)
def _identity_values(who: Identity) -> tuple[float, ...]:
    """Return what a face record holds of an identity: the same for every picture of it."""
    colours = (
        *linear(who.skin),
        *linear(who.hair_colour),
        *linear(who.iris_colour),
        *linear(who.glasses_colour),
        *_lip_colour(who),
    )
    volume = {"bald": 0.0, "buzz": 0.015, "tied": 0.045, "recede": 0.5 * who.hair_volume}
    return (
        *(getattr(who, name) for name in _OWN),
        *colours,
        *who.texture_offsets,
        *who.asymmetry,
        _STYLES[who.hair_style],
        _BEARDS[who.beard],
        volume.get(who.hair_style, who.hair_volume),
    )


def face_record(f: Features) -> np.ndarray:
    """Return the record (1,) of FACE of an identity under action units."""
    raised = 0.03 * f.au(9)
    nose = (
        f.who.nose_tip_y + 0.05 * f.au(9) - 0.03 + f.who.nose_upturn * 0.5,
        f.who.nose_tip_y + raised - 0.105 + f.who.nose_upturn,
    )
    bend = abs(f.lip_arch) + 2 * abs(f.who.asymmetry[1])
    swell = 1.0 + 0.44 * abs(f.who.lip_bow)
    mouth = (
        f.mouth_y + max(f.mouth_corner, 0.0) + f.half_gap + f.lip_upper * swell + f.lip_raise / 2,
        f.mouth_y + min(f.mouth_corner, 0.0) - f.half_gap - f.lip_lower,
    )
    values = (
        *_identity_values(f.who),
        *(getattr(f, name) for name in _FEATURES),
        *f.brow_shift,
        *nose,
        mouth[0] + bend + LIP_BLUR,
        mouth[1] - bend - LIP_BLUR,
        *(getattr(f.gains, name) for name in _GAINS),
        *(f.au(k) for k in ACTION_UNITS),
    )
    return np.array([values], FACE)


def moles(who: Identity) -> np.ndarray:
    """Return x, y, inverse square radius and depth of each mole, (n, 4) float64."""
    return np.array([(x, y, 1 / (r * r), d) for x, y, r, d in who.moles]).reshape(-1, 4)
