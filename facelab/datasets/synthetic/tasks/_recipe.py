"""One picture of one face as a list of named factors, and the picture made from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.appearance._light import Lighting, draw_lighting
from facelab.datasets.synthetic.camera._optics import Optics, draw_optics
from facelab.datasets.synthetic.geometry._expression import (
    ACTION_UNITS,
    EMOTIONS,
    draw_expression,
)
from facelab.datasets.synthetic.geometry._face import BEARDS, HAIR_STYLES
from facelab.datasets.synthetic.geometry._identity import GLASSES, Identity, draw_identity

LIMITS = {
    "yaw": (-75, 75),
    "pitch": (-45, 45),
    "roll": (-180, 180),
    "intensity": (0, 1),
    "fill": (0.05, 2.0),
    "distance": (3, 100),
    "exposure": (0.05, 4),
}


@dataclass(frozen=True)
class Occluder:
    """A flat thing between camera and face: centre, width, height as shares of the picture, degrees, sRGB colour."""

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0
    colour: tuple[float, float, float] = (0.2, 0.2, 0.25)


@dataclass(frozen=True)
class Recipe:
    """Every factor of one picture. Angles in degrees (see View), `fill` is the head's width against the picture's.

    `noise` names the stream of the sensor's noise, `background` and `outfit` the streams of those. `resolution` is the
    side in pixels at which the camera works before the picture is enlarged to its size (None: the size itself).
    """

    person: Identity
    emotion: str
    intensity: float
    action_units: Mapping[int, float]
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    fill: float = 0.72
    shift: tuple[float, float] = (0.0, 0.0)
    distance: float = 9.0
    lighting: Lighting = field(default_factory=lambda: draw_lighting(Stream("default light")))
    exposure: float = 1.0
    gaze: tuple[float, float] = (0.0, 0.0)
    pupil: float = 0.024
    eyewear: str | None = None
    mask: bool = False
    occluder: Occluder | None = None
    outfit: int = 0
    background: int = 0
    optics: Optics = field(default_factory=Optics)
    resolution: int | None = None
    noise: tuple[int, ...] = (0,)
    split: str = ""
    tags: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """One labelled picture of one face; coordinates in pixels of `image`, boxes xyxy, angles in degrees.

    `image` (h, w, 3) uint8 RGB; `landmarks` (5, 2): left eye, right eye, nose tip, left and right mouth corner as seen
    in the image; `visible` (5,) bool; `visibility`: share of the face turned to the camera that can be seen;
    `depth` (h, w) float32: millimetres from the camera, NaN on the background.
    """

    image: np.ndarray
    identity: int
    emotion: str
    intensity: float
    action_units: dict[int, float]
    yaw: float
    pitch: float
    roll: float
    box: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    visibility: float
    depth: np.ndarray
    split: str
    recipe: Recipe


@dataclass(frozen=True)
class Spread:
    """How far the nuisances of a set reach: standard deviations in degrees, camera faults 0 … 1, occluder share."""

    yaw: float = 9.4
    pitch: float = 5.0
    roll: float = 3.8
    faults: float = 1.0
    occluded: float = 0.04
    intensity: tuple[float, float] = (0.35, 1.0)


def draw_recipe(
    name: tuple[int | str, ...],
    person: Identity,
    emotion: str,
    size: int,
    spread: Spread,
    split: str = "",
) -> Recipe:
    """Draw every nuisance of one picture, each from its own stream named by `name` and the factor."""

    def stream(factor: str) -> Stream:
        return Stream(*name, factor)

    r = stream("expression")
    intensity = r.uniform(*spread.intensity)
    pose, place, eyes, camera, cover = (
        stream(k) for k in ("pose", "place", "eyes", "camera", "occluder")
    )
    yaw = min(3 * spread.yaw, max(-3 * spread.yaw, pose.normal(0, spread.yaw)))
    exposure = camera.uniform(0.75, 1.25)
    return Recipe(
        person=person,
        emotion=emotion,
        intensity=0.0 if emotion == "neutral" else intensity,
        action_units=draw_expression(emotion, r, intensity),
        yaw=yaw,
        pitch=pose.normal(0, spread.pitch, 3),
        roll=pose.normal(0, spread.roll, 3),
        fill=0.72 * place.uniform(0.9, 1.1),
        shift=(place.normal(0, 0.03, 2), place.normal(0, 0.03, 2)),
        distance=place.uniform(6, 13),
        lighting=draw_lighting(stream("light")),
        exposure=exposure,
        gaze=(eyes.normal(0, 0.18), eyes.normal(0, 0.18)),
        pupil=eyes.uniform(0.018, 0.030),
        occluder=draw_occluder(cover) if cover.chance(spread.occluded) else None,
        outfit=place.integer(4),
        background=stream("background").integer(1 << 31),
        optics=draw_optics(camera, size, spread.faults),
        noise=tuple(Stream(*name, "noise").integer(1 << 31) for _ in range(1)),
        split=split,
    )


def draw_occluder(r: Stream) -> Occluder:
    """Draw a thing that hides a part of the lower or outer face."""
    red, green, blue = (0.1 + 0.7 * r.unit() for _ in range(3))
    return Occluder(
        r.uniform(0.2, 0.8),
        r.uniform(0.55, 0.9),
        r.uniform(0.12, 0.3),
        r.uniform(0.15, 0.4),
        r.uniform(-40, 40),
        (red, green, blue),
    )


# ---------------------------------------------------------------- changing factors
_OPTICS = (*(f.name for f in dataclasses.fields(Optics) if f.name != "noise"), "sensor_noise")
_FACTORS = tuple(f.name for f in dataclasses.fields(Recipe))
FACTORS = tuple(
    sorted(
        {*_FACTORS, *_OPTICS, "identity", "light", "age", "glasses", "beard", "hair_style"}
        - {"noise", "split", "tags"}
    )
)
"""What `change` can set."""


def change(recipe: Recipe, **factors: Any) -> Recipe:
    """Return the recipe with some factors set and every other left alone.

    Beyond the recipe's own fields: `identity` (whole number), `light` (a number that draws one, or a Lighting), `age`,
    `beard`, `hair_style`, `glasses` (of the person), `defocus`, `shake`, `shake_angle`, `gain`, `offset`,
    `sensor_noise`, `jpeg` (of the camera). A new `emotion` or `intensity` draws its action units again in the style
    that the recipe's noise names. Raises BadInputError for an unknown factor or a value out of range.
    """
    for name in factors:
        if name not in FACTORS:
            raise BadInputError(
                "there is no such factor",
                expected=", ".join(FACTORS),
                got=repr(name),
                fix="use one of the names" + did_you_mean(name, FACTORS),
            )
    values = {k: v for k, v in factors.items() if k in _FACTORS}
    values |= _person_factors(recipe, factors) | _camera_factors(recipe, factors)
    if "light" in factors:
        light = factors["light"]
        values["lighting"] = (
            light if isinstance(light, Lighting) else draw_lighting(Stream("light", int(light)))
        )
    out = dataclasses.replace(recipe, **values)
    if "action_units" not in factors and {"emotion", "intensity"} & set(factors):
        _check_emotion(out.emotion)
        style = Stream("style", *recipe.noise)
        out = dataclasses.replace(
            out, action_units=draw_expression(out.emotion, style, out.intensity)
        )
    return check(out)


def _person_factors(recipe: Recipe, factors: dict) -> dict:
    person = factors.get("person", recipe.person)
    if "identity" in factors:
        number = factors["identity"]
        if not isinstance(number, (int, np.integer)) or number < 0:
            raise BadInputError(
                "an identity is a whole number",
                expected=">= 0",
                got=repr(number),
                fix="give a whole number from 0 on",
            )
        person = draw_identity(int(number))
    own = {k: factors[k] for k in ("age", "beard", "hair_style", "glasses") if k in factors}
    for name, known in (("beard", BEARDS), ("hair_style", HAIR_STYLES), ("glasses", GLASSES)):
        if own.get(name, known[0]) not in known:
            raise BadInputError(
                f"there is no such {name}",
                expected=", ".join(known),
                got=repr(own[name]),
                fix="use one of the names" + did_you_mean(str(own[name]), known),
            )
    if own:
        person = dataclasses.replace(person, **own)
    return {"person": person}


def _camera_factors(recipe: Recipe, factors: dict) -> dict:
    chosen = {("noise" if k == "sensor_noise" else k): factors[k] for k in _OPTICS if k in factors}
    return (
        {"optics": dataclasses.replace(factors.get("optics", recipe.optics), **chosen)}
        if chosen
        else {}
    )


def _check_emotion(emotion: str) -> None:
    if emotion not in EMOTIONS:
        raise BadInputError(
            "there is no such emotion",
            expected=", ".join(EMOTIONS),
            got=repr(emotion),
            fix="use one of the names" + did_you_mean(emotion, EMOTIONS),
        )


def check(recipe: Recipe) -> Recipe:
    """Return the recipe, or raise BadInputError naming the first factor that is out of range."""
    _check_emotion(recipe.emotion)
    for name, (low, high) in LIMITS.items():
        value = getattr(recipe, name)
        if not low <= value <= high:
            raise BadInputError(
                f"the factor {name!r} is out of range",
                expected=f"{low} … {high}",
                got=value,
                fix="choose a value within these limits",
            )
    unknown = set(recipe.action_units) - set(ACTION_UNITS)
    if unknown:
        raise BadInputError(
            "an action unit is not modelled",
            expected=", ".join(map(str, ACTION_UNITS)),
            got=", ".join(map(str, sorted(unknown))),
            fix="use only the listed action units",
        )
    if recipe.eyewear not in (None, *GLASSES):
        raise BadInputError(
            "there is no such eyewear",
            expected=", ".join(GLASSES),
            got=repr(recipe.eyewear),
            fix="use one of the names",
        )
    jpeg = recipe.optics.jpeg
    if jpeg is not None and not 1 <= jpeg <= 100:
        raise BadInputError(
            "the JPEG quality is out of range",
            expected="1 … 100 or None",
            got=jpeg,
            fix="choose a quality within these limits, or None for lossless",
        )
    return recipe
