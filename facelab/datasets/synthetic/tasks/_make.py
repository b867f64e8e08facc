"""The picture made from a recipe: head, background, thing in front, camera."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.datasets.synthetic._develop import over
from facelab.datasets.synthetic._numerics import DEGREE, sincos
from facelab.datasets.synthetic._render import Layer, Look, View, render
from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.appearance._background import background
from facelab.datasets.synthetic.camera._filters import bilinear_sample
from facelab.datasets.synthetic.camera._optics import FULL, expose
from facelab.datasets.synthetic.geometry._expression import pose_features
from facelab.datasets.synthetic.tasks._recipe import Occluder, Recipe, Sample

UNIT_PER_WIDTH = 2.0  # a head scale of size / 2 px per 100 mm fills a square picture's width


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


def _check_size(size: int) -> None:
    if not 16 <= size <= 2048:
        raise BadInputError(
            "the picture's size is out of range",
            expected="16 … 2048 pixels",
            got=size,
            fix="choose a size within these limits",
        )


def _worn(recipe: Recipe, visible: np.ndarray) -> np.ndarray:
    """Return which landmarks are visible behind what is worn: a mask hides nose and mouth, sunglasses the eyes."""
    if recipe.mask:
        visible = visible & np.array([True, True, False, False, False])
    if recipe.eyewear == "sun":
        visible = visible & np.array([False, False, True, True, True])
    return visible


def make(recipe: Recipe, size: int) -> Sample:
    """Draw a recipe as a square picture of `size` pixels. Raises BadInputError for a size outside 16 … 2048."""
    _check_size(size)
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
        picture = bilinear_sample(picture, grid[None], grid[:, None]).astype(np.uint8)
    visible = _worn(recipe, visible)
    depth = layer.depth
    if work != size:
        near = np.minimum(((np.arange(size) + 0.5) / ratio).astype(np.int64), work - 1)
        depth = depth[near][:, near]
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
        depth,
        recipe.split,
        recipe,
    )


def _occlude(image: np.ndarray, layer: Layer, thing: Occluder) -> tuple[np.ndarray, Any, float]:
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
