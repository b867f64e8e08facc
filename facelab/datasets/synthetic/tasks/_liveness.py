"""Live faces and three spoofs with a depth camera: flat print, bent print, screen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facelab.datasets.synthetic._numerics import DEGREE, TURN, F, exp, log, sin, sincos, sq
from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.appearance._background import background
from facelab.datasets.synthetic.camera._filters import bilinear_sample, gaussian_blur
from facelab.datasets.synthetic.camera._optics import FULL, expose
from facelab.datasets.synthetic.geometry._expression import EMOTIONS
from facelab.datasets.synthetic.geometry._identity import draw_identity
from facelab.datasets.synthetic.tasks import _sets as sets
from facelab.datasets.synthetic.tasks._make import make
from facelab.datasets.synthetic.tasks._recipe import Recipe, Sample, Spread, draw_recipe

KINDS = ("live", "print_flat", "print_bent", "screen")
_CYCLE = ("live", "print_flat", "live", "print_bent", "live", "screen")
MAX_MILLIMETRES = 5000


@dataclass(frozen=True)
class Sheet:
    """A sheet of paper or a screen before the camera: corners in the picture, tilt, bend, distance in millimetres."""

    tilt: tuple[float, float]
    zoom: float
    shift: tuple[float, float]
    distance: float
    width: float
    bend: float


def liveness_recipe(seed: int, index: int, size: int) -> Recipe:
    """Plan one picture of the set `liveness`: every other one is live, the rest take turns at the three spoofs."""
    kind = _CYCLE[index % len(_CYCLE)]
    name = (seed, "liveness", index)
    emotion = (
        "neutral"
        if Stream(*name, "emotion").chance(0.6)
        else Stream(*name, "which").choice(EMOTIONS)
    )
    person = draw_identity(sets.identity_number(seed, "liveness", index))
    recipe = draw_recipe(
        name,
        person,
        emotion,
        size,
        Spread(yaw=9, pitch=5, roll=4, faults=0.6, occluded=0),
        sets.split_of(index // len(_CYCLE)),
    )
    return replace(recipe, distance=Stream(*name, "distance").uniform(4, 8), tags={"kind": kind})


def make_liveness(recipe: Recipe, size: int) -> Sample:
    """Draw a recipe of the set `liveness` (its tag `kind` says what): true depth of what stands before the camera.

    `depth` (h, w) float32 in millimetres has no gaps: the wall behind is part of it. See `sense_depth` for a sensor's.
    """
    kind = str(recipe.tags.get("kind", "live"))
    if kind == "live":
        s = make(recipe, size)
        wall = _wall(recipe, size)
        return replace(s, depth=np.where(np.isnan(s.depth), wall, s.depth).astype(F))
    return _spoof(recipe, size, kind)


def _wall(recipe: Recipe, size: int) -> np.ndarray:
    r = Stream("wall", *recipe.noise)
    x, y = np.arange(size) - size / 2, np.arange(size)[:, None] - size / 2
    return r.uniform(900, 2500) + r.normal(0, 1) * x + r.normal(0, 1) * y


# ---------------------------------------------------------------- spoofs
def _draw_sheet(r: Stream, kind: str) -> Sheet:
    bend = r.choice((-1, 1)) * r.uniform(8, 30) if kind == "print_bent" else 0.0
    return Sheet(
        (r.normal(0, 0.18, 2), r.normal(0, 0.18, 2)),
        r.uniform(0.92, 1.15),
        (r.normal(0, 0.03, 2), r.normal(0, 0.03, 2)),
        r.uniform(350, 750),
        r.uniform(150, 300),
        bend,
    )


def _homography(sheet: Sheet, size: int) -> np.ndarray:
    """Return the 3×3 map from sheet coordinates (−½ … ½) to pixels: perspective of a tilted plane."""
    a, b = sheet.tilt
    k = size * sheet.zoom
    cx, cy = size * (0.5 + sheet.shift[0]), size * (0.5 + sheet.shift[1])
    g, h = 0.6 * sheet.zoom * a, 0.6 * sheet.zoom * b
    return np.array([[k + cx * g, cx * h, cx], [cy * g, k + cy * h, cy], [g, h, 1.0]])


def _inverse(m: np.ndarray) -> np.ndarray:
    """Return the inverse of a 3×3 matrix up to scale (its adjugate), in a fixed order of operations."""
    (a, b, c), (d, e, f), (g, h, i) = m.tolist()
    return np.array(
        [
            [e * i - f * h, c * h - b * i, b * f - c * e],
            [f * g - d * i, a * i - c * g, c * d - a * f],
            [d * h - e * g, b * g - a * h, a * e - b * d],
        ]
    )


def _apply(m: np.ndarray, x: Any, y: Any) -> tuple[Any, Any]:
    w = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    return (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / w, (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / w


def _spoof(recipe: Recipe, size: int, kind: str) -> Sample:
    r = Stream("spoof", *recipe.noise)
    side = int(size * 1.3)
    source = make(
        replace(
            recipe, roll=0.0, occluder=None, optics=replace(recipe.optics, noise=1.5, shake=0.0)
        ),
        side,
    )
    surface = _on_screen(r, source.image) if kind == "screen" else _on_paper(r, source.image)
    sheet = _draw_sheet(r, kind)
    to_picture = _homography(sheet, size)
    px, py = np.broadcast_arrays(np.arange(size) + 0.5, np.arange(size)[:, None] + 0.5)
    u, v = _apply(_inverse(to_picture), px, py)
    if sheet.bend:  # a bent sheet shows its picture stretched along the bend
        u = u * (1 + 0.12 * sheet.bend / 30 * (sq(u) * 4 - 1))
    covered = (np.abs(u) <= 0.5) & (np.abs(v) <= 0.5)
    seen = bilinear_sample(surface, (u + 0.5) * side - 0.5, (v + 0.5) * side - 0.5)
    light = 1 + 0.25 * r.normal() * (px / size - 0.5)
    if sheet.bend:
        light = light * (1 - 0.5 * u * sheet.bend / 30)
    behind = background(Stream("background", recipe.background), (size, size))
    image = np.where(
        covered[..., None], np.rint(seen * np.clip(light, 0.4, 1.6)[..., None]), behind
    )
    picture = expose(
        np.clip(image, 0, FULL).astype(np.int32), recipe.optics, Stream("sensor", *recipe.noise)
    )
    plane = (
        sheet.distance
        + (sheet.tilt[0] * u + sheet.tilt[1] * v) * sheet.width
        + sheet.bend * 4 * (sq(u) - 0.08)
    )
    depth = np.where(covered, plane, _wall(recipe, size)).astype(F)

    def onto_picture(points):
        x, y = points[:, 0] / side - 0.5, points[:, 1] / side - 0.5
        return np.stack(_apply(to_picture, x, y), 1)

    x1, y1, x2, y2 = source.box
    corners = onto_picture(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]))
    return replace(
        source,
        image=picture,
        box=np.concatenate([corners.min(0), corners.max(0)]),
        depth=depth,
        landmarks=onto_picture(source.landmarks),
        recipe=recipe,
        split=recipe.split,
    )


def _on_paper(r: Stream, image: np.ndarray) -> np.ndarray:
    """Return a print of a picture: grayer, with a halftone screen, paper grain and sometimes a margin; 0 … 4095."""
    x = 0.06 + 0.86 * (image.astype(np.float64) / 255)
    gray = ((x[..., 0] + x[..., 1] + x[..., 2]) / 3)[..., None]
    x = gray + (x - gray) * r.uniform(0.6, 0.95)
    side = len(x)
    s, c = sincos(r.uniform(0.1, 0.7))
    pitch, strength = r.uniform(2.2, 4.0), 0.10 * r.uniform(0.3, 1)
    px, py = np.arange(side, dtype=np.float64), np.arange(side, dtype=np.float64)[:, None]
    dots = sin((px * c + py * s) * (TURN / pitch)) * sin((py * c - px * s) * (TURN / pitch))
    x = x * (1 + strength * dots[..., None]) + 0.015 * r.normals((side, side, 1))
    margin = int(side * r.uniform(0, 0.05))
    return _framed(x, margin, 0.9)


def _on_screen(r: Stream, image: np.ndarray) -> np.ndarray:
    """Return a picture shown by a screen: gamma, bluish white, moiré, bands, a reflection, a bezel; 0 … 4095."""
    side = len(image)
    level = r.uniform(0.85, 1.12)
    codes = np.rint(np.clip(np.arange(256) / 255 * level, 0, 1) * FULL)
    gamma = r.uniform(0.9, 1.25)
    curve = np.where(codes > 0, exp(gamma * np.asarray(log(np.maximum(codes / FULL, 1e-9)))), 0.0)
    x = curve[image] * np.array([0.92, 0.98, 1.08])
    px, py = np.arange(side, dtype=np.float64), np.arange(side, dtype=np.float64)[:, None]
    # the screen's pixel grid beats against the camera's: a pitch close to two camera pixels
    s, c = sincos(r.normal(0, 3.4) * DEGREE)
    pitch, strength = r.uniform(1.85, 2.25), r.uniform(0.06, 0.22)
    u, v = px * c + py * s, py * c - px * s
    grid = np.stack([sin(TURN * (u / pitch + k / 3)) for k in range(3)], -1) * 0.7
    x = x * (1 + strength * (grid + 0.5 * sin(TURN * v / pitch)[..., None]))
    gx, gy, reach = r.uniform(0, side), r.uniform(0, side), r.uniform(0.08, 0.3) * side
    glare = r.uniform(0, 0.35) * exp(
        -np.minimum((sq(px - gx) + sq(py - gy)) / (reach * reach), 50.0)
    )
    bands = 0.03 * sin(py * (TURN / r.uniform(18, 50)) + r.uniform(0, 6))
    return _framed(x + (glare + bands)[..., None], int(side * r.uniform(0, 0.06)), 0.03)


def _framed(x: np.ndarray, margin: int, value: float) -> np.ndarray:
    if margin:
        x[:margin], x[-margin:], x[:, :margin], x[:, -margin:] = value, value, value, value
    return np.rint(np.clip(x, 0, 1) * FULL).astype(np.int32)


# ---------------------------------------------------------------- the depth camera
def sense_depth(depth: np.ndarray, *name: int | str) -> np.ndarray:
    """Return what an active-stereo sensor reports of a true depth in millimetres: uint16, 0 where it reports nothing.

    Noise grows with the square of the distance (1.5 mm at 600 mm); pixels drop out at depth edges, at random, and in
    patches. `name` names the stream that draws them.
    """
    r = Stream(*name, "depth sensor")
    h, w = depth.shape
    noise = gaussian_blur(np.rint(r.normals((h, w)) * 4096).astype(np.int32), 0.8) * (1.9 / 4096)
    true = np.where(np.isnan(depth), 0, depth).astype(np.float64)
    out = true + 1.5 * sq(true / 600) * noise + r.normal(0, 3)
    gap = np.isnan(depth) | (r.units((h, w)) < 0.004)
    jump = np.zeros((h, w), bool)
    jump[:, 1:-1] = np.abs(true[:, 2:] - true[:, :-2]) > 60
    jump[1:-1] |= np.abs(true[2:] - true[:-2]) > 60
    gap |= jump & (r.units((h, w)) < 0.6)
    coarse = np.rint(r.units((max(2, h // 8), max(2, w // 8), 1)) * 4096).astype(np.int32)
    x, y = np.arange(w) * (coarse.shape[1] / w), np.arange(h) * (coarse.shape[0] / h)
    patches = bilinear_sample(coarse, x[None], y[:, None])[..., 0]
    gap |= patches > 4096 * (0.93 + 0.05 * r.unit())
    return np.where(gap, 0, np.clip(np.rint(out), 0, MAX_MILLIMETRES)).astype(np.uint16)
