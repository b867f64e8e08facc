"""Lights of a scene: ambient, lamps, and how soft skin and shadows are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.datasets.synthetic._numerics import DEGREE, sincos
from facelab.datasets.synthetic._stream import Stream

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Lamp:
    """A distant light: `direction` towards it (unit length), `colour` around 1, `power` of its light."""

    direction: Vector
    colour: Vector
    power: float


@dataclass(frozen=True)
class Lighting:
    """All light in a scene: `ambient` colour, lamps, and how soft shadows and skin are (100 mm; shares)."""

    ambient: Vector
    lamps: tuple[Lamp, ...]
    shadow_softness: float = 0.03
    shadow_strength: float = 0.7
    wrap: float = 0.2


def _unit(v: Any) -> Vector:
    x, y, z = v
    length = float(np.sqrt(x * x + y * y + z * z))
    return (x / length, y / length, z / length)


def _warm(s: float) -> Vector:
    return (1 + s, 1.0, 1 - s)


def direction(azimuth: float, elevation: float) -> Vector:
    """Return the unit vector towards a light at degrees to the image's right and up, 0 being the camera."""
    sa, ca = sincos(azimuth * DEGREE)
    se, ce = sincos(elevation * DEGREE)
    return (sa * ce, se, ca * ce)


def draw_lighting(r: Stream) -> Lighting:
    """Draw a key light within 65° of the camera, a fill from the other side, a weak top light."""
    azimuth, elevation = r.uniform(-65, 65), r.uniform(0, 60)
    other = direction(-azimuth + r.normal(0, 23), 0)
    tint, strength = r.normal(0, 0.04), r.uniform(0.28, 0.55)
    lamps = (
        Lamp(direction(azimuth, elevation), _warm(r.normal(0.02, 0.06)), r.uniform(0.45, 1.0)),
        Lamp(
            _unit((other[0] * 0.8, 0.15, max(0.3, other[2]))),
            _warm(r.normal(0, 0.06)),
            r.uniform(0.08, 0.4),
        ),
        Lamp(_unit((r.normal(0, 0.2), 0.9, 0.5)), _warm(0), r.uniform(0, 0.25)),
    )
    red, green, blue = _warm(tint)
    return Lighting(
        (strength * red, strength * green, strength * blue),
        lamps,
        r.uniform(0.01, 0.05),
        r.uniform(0.45, 0.9),
        r.uniform(0.12, 0.3),
    )


def side_light(azimuth: float, elevation: float = 20.0) -> Lighting:
    """Return one hard lamp with little ambient light, for tests of illumination."""
    return Lighting(
        (0.16, 0.16, 0.16),
        (Lamp(direction(azimuth, elevation), _warm(0.02), 1.0),),
        0.015,
        0.9,
        0.12,
    )
