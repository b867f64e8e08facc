"""What a face does: FACS action units with intensities, and how emotions are made of them.

Action units follow Ekman and Friesen's Facial Action Coding System: 1 inner brow raiser, 2 outer brow raiser, 4 brow
lowerer, 5 upper lid raiser, 6 cheek raiser, 7 lid tightener, 9 nose wrinkler, 10 upper lip raiser, 12 lip corner
puller, 14 dimpler, 15 lip corner depressor, 17 chin raiser, 20 lip stretcher, 23 lip tightener, 24 lip pressor,
25 lips part, 26 jaw drop, 27 mouth stretch, 43 eyes closed. An intensity of 1 is FACS level E, 0 is absence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.geometry._identity import Identity

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
THREE_CLASSES = ("anger", "joy", "neutral")
ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26, 27, 43)
ABSENT_AT_REST = (9, 10, 27, 43)


def draw_expression(
    emotion: str, r: Stream, intensity: float, jitter: float = 0.06
) -> dict[int, float]:
    """Return {action unit: intensity} of an emotion shown with an intensity in [0, 1] and a person's own style.

    Prototypes after Ekman and Friesen (EMFACS); each unit varies around the emotion's intensity, and every other
    unit trembles by `jitter`.
    """
    units = {k: max(0.0, r.normal(0, jitter)) for k in ACTION_UNITS}
    for k in ABSENT_AT_REST:
        units[k] = 0.0
    units[25] *= float(r.chance(0.3))
    units[26] *= 0.3
    for k, value in _PROTOTYPES[emotion](
        lambda low, high: intensity * r.uniform(low, high), r
    ).items():
        units[k] = max(units[k], value)
    return units


def _joy(u: Any, r: Any) -> dict[int, Any]:
    units = {6: u(0.5, 1), 12: u(0.7, 1.1)}
    return units | {25: u(0.4, 1), 26: u(0, 0.6), 10: u(0, 0.25)} if r.chance(0.75) else units


def _anger(u: Any, r: Any) -> dict[int, Any]:
    units = {4: u(0.8, 1.1), 7: u(0.4, 0.9), 5: u(0, 0.5)}
    if r.chance(0.62):
        return units | {23: u(0.5, 1), 24: u(0.3, 1), 17: u(0.1, 0.6)}
    return units | {
        9: u(0.2, 0.6),
        10: u(0.4, 0.9),
        25: u(0.6, 1),
        26: u(0.1, 0.6),
        23: u(0.2, 0.6),
    }


def _sadness(u: Any, r: float) -> dict[int, Any]:
    return {
        1: u(0.7, 1.1),
        4: u(0.3, 0.7),
        15: u(0.6, 1.1),
        17: u(0.2, 0.8),
        43: 0.25 * u(0, 1),
        7: u(0, 0.3),
    }


def _surprise(u: Any, r: float) -> dict[int, Any]:
    return {
        1: u(0.7, 1.1),
        2: u(0.7, 1.1),
        5: u(0.5, 1),
        25: u(0.5, 1),
        26: u(0.4, 1),
        27: u(0, 0.8),
    }


def _fear(u: Any, r: float) -> dict[int, Any]:
    return {
        1: u(0.7, 1.1),
        2: u(0.3, 0.7),
        4: u(0.5, 0.9),
        5: u(0.7, 1.1),
        20: u(0.4, 1),
        25: u(0.5, 1),
        26: u(0.2, 0.8),
    }


def _disgust(u: Any, r: Any) -> dict[int, Any]:
    units = {
        9: u(0.7, 1.1),
        10: u(0.5, 1),
        4: u(0.2, 0.6),
        7: u(0.3, 0.8),
        17: u(0.1, 0.7),
        15: u(0.1, 0.5),
        6: u(0, 0.4),
    }
    return units | {25: u(0.3, 0.8)} if r.chance(0.35) else units


_PROTOTYPES = {
    "joy": _joy,
    "anger": _anger,
    "sadness": _sadness,
    "surprise": _surprise,
    "fear": _fear,
    "disgust": _disgust,
    "neutral": lambda u, r: {},
}


@dataclass(frozen=True)
class Gains:
    """How strongly action units and styles show: found by calibration against a public emotion network.

    The defaults are the prototype's calibration on mini-XCEPTION (FER2013). 1 means the anatomical amount.
    """

    au1: float = 1.67
    au2: float = 0.56
    au4: float = 1.8
    au5: float = 1.5
    au6: float = 1.61
    au7: float = 1.6
    au9: float = 1.31
    au10: float = 1.03
    au12_x: float = 1.8
    au12_y: float = 1.5
    au15: float = 1.15
    au17: float = 1.8
    au20: float = 1.1
    au27_narrow: float = 1.71
    jaw: float = 1.8
    lip_gap: float = 1.1
    lip_lift: float = 0.81
    lip_thin: float = 0.98
    furrow: float = 1.03
    fold: float = 1.45
    forehead: float = 1.27
    brow_density: float = 1.5
    brow_thickness: float = 0.76
    eye_size: float = 1.05
    brow_y: float = -0.0176
    mouth_corner: float = -0.0045


GAINS = Gains()


@dataclass(frozen=True)
class Features:
    """Where the moving features are now (100 mm): an identity under action units."""

    who: Identity
    units: Mapping[int, float]
    gains: Gains
    brow_y: float
    brow_density: float
    brow_thickness: float
    brow_inner: float
    brow_shift: tuple[float, float, float]  # inner, middle, outer
    eye_width: float
    lid_upper: float
    lid_lower: float
    jaw_drop: float
    mouth_y: float
    mouth_width: float
    mouth_corner: float  # height of the corners above the middle
    seam_at_rest: float
    half_gap: float  # half the opening between the lips
    lip_upper: float
    lip_lower: float
    lip_arch: float
    lip_raise: float
    lower_teeth: float

    def au(self, unit: int) -> float:
        """Return the intensity of an action unit (0 when absent)."""
        return self.units.get(unit, 0.0)


def pose_features(who: Identity, units: Mapping[int, float], gains: Gains = GAINS) -> Features:
    """Return where an identity's features are when it shows the given action units."""
    values = {"who": who, "units": dict(units), "gains": gains}
    return Features(
        **values,
        **_brow_features(who, units, gains),
        **_lid_features(who, units, gains),
        **_mouth_features(who, units, gains),
    )


def _brow_features(who: Identity, units: Mapping[int, float], g: Gains) -> dict:
    a = units.get
    a1, a2, a4, a9 = a(1, 0) * g.au1, a(2, 0) * g.au2, a(4, 0) * g.au4, a(9, 0) * g.au9
    return {
        "brow_y": who.brow_y + g.brow_y,
        "brow_density": who.brow_density * g.brow_density,
        "brow_thickness": who.brow_thickness * g.brow_thickness,
        "brow_inner": who.brow_inner - 0.045 * a4 - 0.01 * a9,
        "brow_shift": (
            0.120 * a1 + 0.02 * a2 - 0.115 * a4 - 0.045 * a9,
            0.095 * a2 - 0.10 * a4 + 0.03 * a1 - 0.03 * a9,
            0.095 * a2 + 0.01 * a1 - 0.045 * a4,
        ),
    }


def _lid_features(who: Identity, units: Mapping[int, float], g: Gains) -> dict:
    a = units.get
    a4, a5, a6, a7, a9 = (
        a(4, 0) * g.au4,
        a(5, 0) * g.au5,
        a(6, 0) * g.au6,
        a(7, 0) * g.au7,
        a(9, 0) * g.au9,
    )
    upper = 1 + 0.52 * a5 - 0.26 * a7 - 0.10 * a4 - 0.20 * a6 - 0.15 * a9 - 0.95 * a(43, 0)
    lower = 1 + 0.12 * a5 - 0.45 * a7 - 0.55 * a6 - 0.3 * a9
    return {
        "eye_width": who.eye_width * 1.0247,
        "lid_upper": max(0.006, who.lid_upper * upper * g.eye_size),
        "lid_lower": max(0.004, who.lid_lower * lower * g.eye_size),
    }


def _mouth_features(who: Identity, units: Mapping[int, float], g: Gains) -> dict:
    a = {k: units.get(k, 0.0) for k in ACTION_UNITS}
    jaw = (0.10 * a[26] + 0.20 * a[27]) * g.jaw
    parted = min(1.0, a[25] * 2)
    lift = (0.012 * a[25] + 0.045 * a[10] * g.au10 * parted + 0.030 * a[12] * parted) * g.lip_lift
    gap = (
        max(0.0, 0.055 * a[25] * g.lip_gap + 0.95 * jaw + lift)
        if a[25] > 0.02 or jaw > 0.03
        else 0.0
    )
    seam = who.mouth_y + 0.02 * a[17] + 0.010 * a[10] + 0.01 * a[9]
    smile = min(1.0, a[12])
    stretch = (
        0.085 * a[12] * g.au12_x
        + 0.06 * a[20] * g.au20
        - 0.012 * a[23]
        - 0.02 * a[24]
        + 0.012 * a[15]
    )
    narrow = min(0.5, g.au27_narrow * (0.16 * a[27] + 0.07 * a[26] * (1 - smile)))
    corner = (
        who.mouth_corner
        + g.mouth_corner
        + 0.110 * a[12] * g.au12_y
        - 0.095 * a[15] * g.au15
        - 0.03 * a[20] * g.au20
        - 0.02 * a[17]
        - 0.010 * a[4]
        + gap * 0.45 * smile
    )
    thin = (1 - min(0.8, 0.5 * a[23] * g.lip_thin)) * (1 - min(0.8, 0.45 * a[24] * g.lip_thin))
    teeth = max(a[10] if a[25] > 0.3 else 0.0, a[27], a[20] * 0.8) > 0.45
    return {
        "jaw_drop": jaw,
        "mouth_y": seam - gap * 0.5 + lift,
        "mouth_width": (who.mouth_width + stretch) * (1 - narrow),
        "mouth_corner": corner,
        "seam_at_rest": seam,
        "half_gap": gap * 0.5,
        "lip_upper": who.lip_upper * thin * (1 - 0.30 * a[12]) * (1 - 0.15 * a[20]),
        "lip_lower": who.lip_lower * thin * (1 - 0.18 * a[12]) * (1 + 0.08 * a[17]),
        "lip_arch": 0.022 * a[17] * g.au17,
        "lip_raise": 0.045 * a[10] * g.au10 + 0.03 * a[9] * g.au9,
        "lower_teeth": float(teeth),
    }
