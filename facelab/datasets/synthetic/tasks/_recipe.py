"""One picture of one face as a list of named factors, and the picture made from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.datasets.synthetic._develop import over
from facelab.datasets.synthetic._numerics import DEGREE, sincos
from facelab.datasets.synthetic._render import Layer, Look, View, render
from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.appearance._background import background
from facelab.datasets.synthetic.appearance._light import Lighting, draw_lighting
from facelab.datasets.synthetic.camera._filters import bilinear_sample
from facelab.datasets.synthetic.camera._optics import FULL, Optics, draw_optics, expose
from facelab.datasets.synthetic.geometry._expression import (
    ACTION_UNITS,
    EMOTIONS,
    draw_expression,
    pose_features,
)
from facelab.datasets.synthetic.geometry._identity import GLASSES, Identity, draw_identity

UNIT_PER_WIDTH = 2.0  # a head scale of size / 2 px per 100 mm fills a square picture's width
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
    """Draw every nuisance of one picture, each from a stream of its own named by `name` and the factor."""

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
    colour = tuple(0.1 + 0.7 * r.unit() for _ in range(3))
    return Occluder(
        r.uniform(0.2, 0.8),
        r.uniform(0.55, 0.9),
        r.uniform(0.12, 0.3),
        r.uniform(0.15, 0.4),
        r.uniform(-40, 40),
        colour,
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


def change(recipe: Recipe, **factors) -> Recipe:
    """Return the recipe with some factors set and every other left alone.

    Beyond the recipe's own fields: `identity` (whole number), `light` (a number that draws one, or a Lighting), `age`,
    `beard`, `hair_style`, `glasses` (of the person), `defocus`, `shake`, `shake_angle`, `gain`, `offset`,
    `sensor_noise`, `jpeg` (of the camera). A new `emotion` or `intensity` draws its action units anew in the style
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
            raise BadInputError("an identity is a whole number", expected=">= 0", got=repr(number))
        person = draw_identity(int(number))
    own = {k: factors[k] for k in ("age", "beard", "hair_style", "glasses") if k in factors}
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
                f"the factor {name!r} is out of range", expected=f"{low} … {high}", got=value
            )
    unknown = set(recipe.action_units) - set(ACTION_UNITS)
    if unknown:
        raise BadInputError(
            "an action unit is not modelled",
            expected=", ".join(map(str, ACTION_UNITS)),
            got=", ".join(map(str, sorted(unknown))),
        )
    if recipe.eyewear not in (None, *GLASSES):
        raise BadInputError(
            "there is no such eyewear", expected=", ".join(GLASSES), got=repr(recipe.eyewear)
        )
    jpeg = recipe.optics.jpeg
    if jpeg is not None and not 1 <= jpeg <= 100:
        raise BadInputError(
            "the JPEG quality is out of range", expected="1 … 100 or None", got=jpeg
        )
    return recipe


# ---------------------------------------------------------------- making the picture
def look_of(recipe: Recipe) -> Look:
    """Return gaze, pupil and the lamps' reflections in the eyes."""
    size = Stream("glint", *recipe.noise)
    glints = tuple(
        (
            lamp.direction[0] * 0.030,
            0.012 + lamp.direction[1] * 0.022,
            0.75 * min(1.0, lamp.power),
            size.uniform(0.009, 0.014),
        )
        for lamp in recipe.lighting.lamps[:2]
        if lamp.power > 0.25
    )
    return Look(recipe.gaze, recipe.pupil, glints)


def draw_layer(recipe: Recipe, view: View, with_body: bool = True) -> Layer:
    """Draw the recipe's head in a view, without background and camera."""
    features = pose_features(recipe.person, recipe.action_units)
    return render(
        features,
        view,
        look_of(recipe),
        recipe.lighting,
        exposure=recipe.exposure,
        eyewear=recipe.eyewear,
        mask=recipe.mask,
        outfit=recipe.outfit,
        with_body=with_body,
    )


def view_of(recipe: Recipe, size: int) -> View:
    """Return the view of a square crop of `size` pixels."""
    centre = (size * (0.5 + recipe.shift[0]), size * (0.47 + recipe.shift[1]))
    return View(
        (size, size),
        centre,
        size * recipe.fill / UNIT_PER_WIDTH,
        recipe.yaw,
        recipe.pitch,
        recipe.roll,
        recipe.distance,
    )


def make(recipe: Recipe, size: int) -> Sample:
    """Draw a recipe as a square picture of `size` pixels. Raises BadInputError for a size outside 16 … 2048."""
    if not 16 <= size <= 2048:
        raise BadInputError(
            "the picture's size is out of range", expected="16 … 2048 pixels", got=size
        )
    work = recipe.resolution or size
    layer = draw_layer(recipe, view_of(recipe, work))
    behind = background(Stream("background", recipe.background), (work, work))
    image = np.empty_like(behind)
    over(layer.colour, layer.alpha, behind, image)
    visible, visibility = layer.visible, layer.visibility
    if recipe.occluder is not None:
        image, visible, visibility = _occlude(image, layer, recipe.occluder)
    picture = expose(image, recipe.optics, Stream("sensor", *recipe.noise))
    ratio = size / work
    if work != size:
        grid = (np.arange(size) + 0.5) / ratio - 0.5
        picture = bilinear_sample(picture, *np.broadcast_arrays(grid[None], grid[:, None])).astype(
            np.uint8
        )
    if recipe.mask:
        visible = visible & np.array([True, True, False, False, False])
    if recipe.eyewear == "sun":
        visible = visible & np.array([False, False, True, True, True])
    near = np.minimum(((np.arange(size) + 0.5) / ratio).astype(np.int64), work - 1)
    return Sample(
        picture,
        recipe.person.number,
        recipe.emotion,
        recipe.intensity,
        dict(recipe.action_units),
        recipe.yaw,
        recipe.pitch,
        recipe.roll,
        layer.box * ratio,
        layer.landmarks * ratio,
        visible,
        visibility,
        layer.depth[near][:, near],
        recipe.split,
        recipe,
    )


def _occlude(image: np.ndarray, layer: Layer, thing: Occluder):
    """Lay a flat thing over the picture; return (image, landmarks still visible, visibility left)."""
    h, w, _ = image.shape
    s, c = sincos(thing.angle * DEGREE)

    def distance(x, y):
        dx, dy = x - thing.x * w, y - thing.y * h
        return np.abs(dx * c + dy * s) / (thing.width * w / 2), np.abs(dy * c - dx * s) / (
            thing.height * h / 2
        )

    along, across = distance(np.arange(w) + 0.5, (np.arange(h) + 0.5)[:, None])
    mask = (along < 1) & (across < 1)
    shade = 1 - 0.35 * np.maximum(along, across)[mask]
    image = image.copy()
    image[mask] = np.rint(np.array(thing.colour) * FULL * shade[:, None]).astype(np.int32)
    la, lb = distance(layer.landmarks[:, 0], layer.landmarks[:, 1])
    face = int(layer.face.sum())
    left = int((layer.face & ~mask).sum()) / max(1, face)
    return image, layer.visible & ~((la < 1) & (lb < 1)), layer.visibility * left
