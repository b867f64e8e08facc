"""Scenes of many faces for detectors: 0 to 30 people of 16 to 400 pixels before clutter that is not a face."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.datasets.synthetic._numerics import DEGREE, exp, log, sincos, sq
from facelab.datasets.synthetic._render import View
from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.appearance._background import background, letters
from facelab.datasets.synthetic.appearance._light import draw_lighting
from facelab.datasets.synthetic.camera._filters import area_resize
from facelab.datasets.synthetic.camera._optics import FULL, Optics, draw_optics, expose
from facelab.datasets.synthetic.geometry._expression import EMOTIONS
from facelab.datasets.synthetic.geometry._identity import SKIN, draw_identity
from facelab.datasets.synthetic.tasks import _sets as sets
from facelab.datasets.synthetic.tasks._make import draw_layer
from facelab.datasets.synthetic.tasks._recipe import Recipe, Spread, draw_recipe

DEFAULT_SIZE = (1024, 768)
MOST_FACES, SMALLEST, LARGEST = 30, 16, 400
HEIGHT_UNITS = 1.85  # a face's box is about this many units of 100 mm high
CROWD = Spread(yaw=20, pitch=7, roll=7, occluded=0)
SUBSETS = {"easy": 50, "medium": 30, "hard": 10}


@dataclass(frozen=True)
class SceneFace:
    """One face in a scene. `box` xyxy and `landmarks` (5, 2) in pixels; `visibility`: share of its face to be seen."""

    box: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    visibility: float
    recipe: Recipe
    blur: int  # WIDER: 0 clear, 1 normal, 2 heavy
    occlusion: int  # WIDER: 0 none, 1 partial, 2 heavy
    invalid: bool  # WIDER: too hidden to count

    @property
    def height(self) -> float:
        """Return the box's height in pixels."""
        return float(self.box[3] - self.box[1])

    def in_subset(self, name: str) -> bool:
        """Return whether the face counts in `easy`, `medium` or `hard` (each holds the one before).

        WIDER FACE's subsets come from how hard faces were to propose, which goes with their height: at least 50, 30
        and 10 pixels here. Heavily hidden faces count in `hard` only, barely visible ones nowhere.
        """
        allowed = 2 if name == "hard" else 1
        return not self.invalid and self.height >= SUBSETS[name] and self.occlusion <= allowed


@dataclass(frozen=True)
class Scene:
    """A picture (h, w, 3) uint8 RGB with all its faces, far ones first, and its split."""

    image: np.ndarray
    faces: tuple[SceneFace, ...]
    split: str
    optics: Optics


@dataclass
class _Placed:
    recipe: Recipe
    box: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    visibility: float
    region: np.ndarray  # (h, w) bool: its face pixels still seen
    pixels: int


def scene(
    seed: int,
    index: int,
    size: tuple[int, int] = DEFAULT_SIZE,
    *,
    faces: int | None = None,
    smallest: float = SMALLEST,
    largest: float = LARGEST,
    faults: float = 0.6,
    worn: float = 0.05,
    spread: Spread = CROWD,
) -> Scene:
    """Return one scene, made alone from (seed, index); `size` is (width, height).

    `faces` sets how many people are asked for (drawn from 0 … 30 otherwise; fewer where there is no room), `smallest`
    and `largest` bound the height of their boxes in pixels, `faults` the camera's (0 … 1); `worn` is the share of
    people with a mask, and again with sunglasses; `spread` says how far poses and expressions reach. Raises
    BadInputError.
    """
    seed, index = sets.check_number("seed", seed), sets.check_number("index", index)
    width, height = (sets.check_number("size", s, 64) for s in size)
    if not 8 <= smallest <= largest <= 1000:
        raise BadInputError(
            "the face sizes are out of range",
            expected="8 <= smallest <= largest <= 1000 pixels",
            got=f"{smallest} … {largest}",
            fix="choose smallest and largest within these limits",
        )
    r = Stream(seed, "detection", index, "scene")
    count = _count(r) if faces is None else sets.check_number("number of faces", faces)
    image = background(
        Stream(seed, "detection", index, "background"), (width, height), clutter=1.5
    ).astype(np.float64)
    clutter = Stream(seed, "detection", index, "clutter")
    for _ in range(clutter.integer(5)):
        _add_clutter(image, clutter, index)
    lighting = draw_lighting(Stream(seed, "detection", index, "light"))
    placed: list[_Placed] = []
    for k, (x, y, h) in enumerate(_places(r, count, width, height, smallest, largest)):
        recipe = _person(seed, index, k, lighting, worn, spread)
        _add_person(image, recipe, x, y, h, placed)
    optics = draw_optics(Stream(seed, "detection", index, "camera"), width, faults)
    optics = replace(optics, defocus=min(optics.defocus, 1.6))
    picture = expose(
        np.clip(np.rint(image), 0, FULL).astype(np.int32),
        optics,
        Stream(seed, "detection", index, "sensor"),
    )
    return Scene(picture, tuple(_finish(p, optics) for p in placed), sets.split_of(index), optics)


def _count(r: Stream) -> int:
    """Draw 0 … 30 faces: none in a twelfth of the scenes, few more often than many."""
    if r.chance(1 / 12):
        return 0
    return min(MOST_FACES, int(exp(r.uniform(0, log(MOST_FACES + 1.0)))))


def _places(
    r: Stream, count: int, width: int, height: int, smallest: float, largest: float
) -> list[tuple[float, float, float]]:
    """Return (x, y, box height) of people, far ones first: smaller faces higher up, as in a crowd on level ground.

    No two faces share a spot; one person in five may stand before the face of another.
    """
    largest = min(largest, height * 0.62)
    heights = sorted(
        float(exp(r.uniform(log(min(smallest, largest)), log(largest)))) for _ in range(count)
    )
    out: list[tuple[float, float, float]] = []
    for h in heights:
        w, near = 0.77 * h, h / largest
        may_hide = r.chance(0.2)
        for _ in range(60):
            x = r.uniform(0.55 * w, width - 0.55 * w)
            y = 0.60 * h + (height - 1.22 * h) * r.unit() * (0.6 + 0.4 * near)
            if all(_apart((x, y, h), other, may_hide) for other in out):
                out.append((x, y, h))
                break
    return out


def _apart(
    new: tuple[float, float, float], other: tuple[float, float, float], may_hide: bool
) -> bool:
    """Return whether a nearer person may be at `new` while another stands farther at `other`."""
    dx, dy = abs(new[0] - other[0]), other[1] - new[1]
    mean = 0.5 * (new[2] + other[2])
    if dx < 0.77 * 0.9 * mean and abs(dy) < 1.2 * mean:
        return False
    shoulders = 0.95 * new[2] + 0.38 * other[2]
    return may_hide or dy < 0 or dx > shoulders


def _person(seed: int, index: int, k: int, lighting: Any, worn: float, spread: Spread) -> Recipe:
    name = (seed, "detection", index, "person", k)
    number = sets.identity_number(seed, "detection", index * MOST_FACES + k)
    emotion = Stream(*name, "emotion").choice(EMOTIONS)
    recipe = draw_recipe(name, draw_identity(number), emotion, 160, spread, sets.split_of(index))
    r = Stream(*name, "worn")
    return replace(
        recipe, lighting=lighting, mask=r.chance(worn), eyewear="sun" if r.chance(worn) else None
    )


def _add_person(
    image: np.ndarray, recipe: Recipe, x: float, y: float, height: float, placed: list[_Placed]
) -> None:
    """Draw one person over the image, and note what is hidden of those behind."""
    h, w, _ = image.shape
    scale = height / HEIGHT_UNITS
    reach = int(scale * 2.1) + 3
    x0, x1, y0 = max(0, int(x) - reach), min(w, int(x) + reach), max(0, int(y - scale * 1.9))
    y1 = h  # people stand: their bodies reach below the picture
    centre = (x - x0, y - y0 - 0.28 * scale)
    layer = draw_layer(
        recipe,
        View(
            (x1 - x0, y1 - y0),
            centre,
            scale,
            recipe.yaw,
            recipe.pitch,
            recipe.roll,
            recipe.distance,
        ),
    )
    alpha = layer.alpha
    patch = image[y0:y1, x0:x1]
    patch *= 1 - alpha[..., None]
    patch += layer.colour
    for other in placed:
        other.region[y0:y1, x0:x1] &= alpha <= 0.5
        for k, (lx, ly) in enumerate(np.floor(other.landmarks).astype(np.int64).tolist()):
            if x0 <= lx < x1 and y0 <= ly < y1 and alpha[ly - y0, lx - x0] > 0.5:
                other.visible[k] = False
    region = np.zeros((h, w), bool)
    region[y0:y1, x0:x1] = layer.face
    offset = np.array([x0, y0], np.float64)
    landmarks = layer.landmarks + offset
    visible = (
        layer.visible & (landmarks >= 0).all(1) & (landmarks[:, 0] < w) & (landmarks[:, 1] < h)
    )
    if recipe.mask:
        visible[2:] = False
    if recipe.eyewear == "sun":
        visible[:2] = False
    placed.append(
        _Placed(
            recipe,
            layer.box + np.tile(offset, 2),
            landmarks,
            visible,
            layer.visibility,
            region,
            max(1, int(layer.face.sum())),
        )
    )


def _finish(p: _Placed, optics: Optics) -> SceneFace:
    visibility = p.visibility * int(p.region.sum()) / p.pixels
    worn = 0.45 if p.recipe.mask else 0.2 if p.recipe.eyewear == "sun" else 0.0
    hidden = 1 - visibility * (1 - worn)
    height = float(p.box[3] - p.box[1])
    blur = max(optics.defocus, optics.shake / 2) / height
    return SceneFace(
        p.box,
        p.landmarks,
        p.visible,
        visibility * (1 - worn),
        p.recipe,
        2 if blur > 0.05 or height < 20 else 1 if blur > 0.02 or height < 40 else 0,
        2 if hidden > 0.4 else 1 if hidden > 0.12 else 0,
        visibility < 0.2,
    )


# ---------------------------------------------------------------- clutter
def _add_clutter(image: np.ndarray, r: Stream, index: int) -> None:
    """Add a thing that a poor detector might take for a face: a skin-coloured blob, a shuffled face, letters."""
    h, w, _ = image.shape
    side = r.integer(24, max(25, min(140, h // 3)))
    x, y = r.integer(w - side), r.integer(h - side)
    kind = r.integer(3)
    patch = image[y : y + side, x : x + side]
    u, v = (np.arange(side) + 0.5) / side, (np.arange(side)[:, None] + 0.5) / side
    if kind == 0:
        s, c = sincos(r.uniform(-30, 30) * DEGREE)
        dx, dy = u - 0.5, v - 0.5
        inside = sq((dx * c + dy * s) * 3) + sq((dy * c - dx * s) * 2) < 1
        shade = 0.75 + 0.25 * np.broadcast_to(u, inside.shape)[inside]
        patch[inside] = np.array(r.choice(SKIN)) * (FULL / 255) * shade[:, None]
    elif kind == 1:
        patch[:] = _shuffled_face(r, side)
    else:
        patch[letters(r, u, v * 2.5)] = [r.unit() * FULL for _ in range(3)]


def _shuffled_face(r: Stream, side: int) -> np.ndarray:
    """Return a face cut into 4×4 tiles in random order: a face's texture without a face's layout."""
    recipe = draw_recipe(
        ("shuffled", r.integer(1 << 31)), draw_identity(r.integer(1 << 31)), "neutral", 96, Spread()
    )
    layer = draw_layer(recipe, View((96, 96), (48, 46), 40, recipe.yaw, recipe.pitch, recipe.roll))
    flat = np.rint(layer.colour + 1800 * (1 - layer.alpha[..., None])).astype(np.int32)
    tiles = flat.reshape(4, 24, 4, 24, 3).transpose(0, 2, 1, 3, 4).reshape(16, 24, 24, 3)
    mixed = (
        tiles[r.permutation(16)]
        .reshape(4, 4, 24, 24, 3)
        .transpose(0, 2, 1, 3, 4)
        .reshape(96, 96, 3)
    )
    return area_resize(mixed, (side, side))
