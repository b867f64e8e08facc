"""Draw one head: meshes → z-buffer → paint → light → premultiplied colour, coverage, depth and ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facelab.datasets.synthetic._develop import (
    develop,
    face_samples,
    finish,
    gamma_codes,
    median_light,
)
from facelab.datasets.synthetic._noise import textures
from facelab.datasets.synthetic._numerics import F, power, rotation
from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.appearance._light import Lighting
from facelab.datasets.synthetic.appearance._paint import METERED, ON_FACE, SURFACE, paint
from facelab.datasets.synthetic.appearance._point import CLOTH, LOOK, POINT
from facelab.datasets.synthetic.appearance._shade import shade
from facelab.datasets.synthetic.geometry._box import face_box
from facelab.datasets.synthetic.geometry._curves import fill_tables, new_tables
from facelab.datasets.synthetic.geometry._expression import Features
from facelab.datasets.synthetic.geometry._face import face_record, linear, moles
from facelab.datasets.synthetic.geometry._head import landmarks
from facelab.datasets.synthetic.geometry._meshes import Meshes, build
from facelab.datasets.synthetic.geometry._raster import (
    CAMERA,
    NOTHING,
    PIVOT_Y,
    PIVOT_Z,
    POINT_AT,
    normals,
    pose,
    rasterize,
    resolve,
)

HIDDEN = 0.08  # a landmark this far (100 mm) behind what is drawn there cannot be seen


@dataclass(frozen=True)
class Look:
    """What is drawn again for each picture and belongs to no identity: gaze and light's reflections in the eyes."""

    gaze: tuple[float, float]
    pupil: float
    catchlights: tuple[tuple[float, float, float, float], ...]  # x, y, strength, radius


@dataclass(frozen=True)
class View:
    """Where a head is and which way it looks.

    `size` (width, height) pixels; `centre` (x, y) pixel of the point between the eyes when frontal; `scale` pixels
    per 100 mm at the head; `distance` of the camera in 100 mm; degrees: yaw > 0 turns the face to the image's right,
    pitch > 0 lifts the chin, roll > 0 turns anticlockwise.
    """

    size: tuple[int, int]
    centre: tuple[float, float]
    scale: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = 9.0


@dataclass(frozen=True)
class Layer:
    """A drawn head without background, and its ground truth in pixels of the picture.

    `colour` (h, w, 3) float64 0 … 4095, premultiplied by `alpha` (h, w) 0 … 1; `depth` (h, w) float32 millimetres from
    the camera, NaN where nothing is; `box` (4,) xyxy and `landmarks` (5, 2) float64; `visible` (5,) bool: landmark in
    the picture and not hidden; `visibility`: share of the face's surface that is turned to the camera and to be seen;
    `face` (h, w) bool: pixels of the face region.
    """

    colour: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    visibility: float
    face: np.ndarray


@dataclass(frozen=True)
class _Drawn:
    """A head on the sensor: posed meshes with their place there, and the points of them that can be seen."""

    meshes: Meshes
    marks: np.ndarray  # (5, 3) landmarks on the unposed head
    turn: np.ndarray
    camera: np.ndarray
    screen: np.ndarray
    near: np.ndarray  # (h, w) depth of the working image
    points: np.ndarray  # (n,) POINT_AT


@dataclass(frozen=True)
class _Sampling:
    """How finely a head is drawn: working pixels along a pixel's side, samples along a working pixel's side."""

    factor: int
    side: int

    @property
    def fine(self) -> int:
        """Return the number of samples along a pixel's side."""
        return self.factor * self.side

    @classmethod
    def of(cls, scale: float) -> _Sampling:
        """Choose by pixels per 100 mm: features of small faces are finer than pixels, large ones need fine edges."""
        return cls(1, 2) if scale > 40 else cls(2, 1) if scale > 12 else cls(3, 1)


def render(
    f: Features,
    view: View,
    look: Look,
    lighting: Lighting,
    *,
    exposure: float = 1.0,
    eyewear: str | None = None,
    mask: bool = False,
    outfit: int = 0,
    with_body: bool = True,
) -> Layer:
    """Draw a head (see View and Layer). `eyewear` None wears the identity's own glasses; `exposure` 1 is nominal."""
    grain = _Sampling.of(view.scale)
    scale = view.scale * grain.factor
    face, tables = face_record(f), new_tables()
    fill_tables(face[0], tables)
    worn = f.who.glasses if eyewear is None else eyewear
    drawn = _draw(f, (face, tables), view, grain, worn, with_body)
    surface, marks = _paint(f, (face, tables), drawn, look, (1 / scale, mask, outfit))
    light = shade(surface, drawn.points, drawn.near, lighting, scale)
    (width, height), on_face = view.size, np.zeros(drawn.near.shape, np.uint8)
    sums = np.zeros((height, width, 4), np.int32)
    gain = _meter(light, marks, f, exposure)
    develop(light, gain, drawn.points, gamma_codes(), drawn.near.shape[1], grain.factor, sums)
    seen = face_samples(drawn.points, marks, ON_FACE, on_face)
    colour, alpha = np.empty((height, width, 3)), np.empty((height, width))
    depth, region = np.empty((height, width), F), np.empty((height, width), bool)
    samples = grain.fine * grain.fine
    finish(
        sums,
        samples,
        drawn.near,
        on_face,
        view.distance,
        grain.factor,
        colour,
        alpha,
        depth,
        region,
    )
    return Layer(colour, alpha, depth, *_truth(drawn, view, grain, seen), region)


def _draw(
    f: Features,
    record: tuple[np.ndarray, np.ndarray],
    view: View,
    grain: _Sampling,
    eyewear: str,
    with_body: bool,
) -> _Drawn:
    face, tables = record
    fine = grain.fine
    w, h = view.size[0] * fine, view.size[1] * fine
    lowest = (view.centre[1] - view.size[1]) / view.scale * 1.35 - 0.3
    meshes = build(
        f, face, tables, view.scale * 1.5 * grain.factor, eyewear, lowest if with_body else None
    )
    marks = np.empty((5, 3))
    landmarks(face[0], *meshes.grid(0), marks)
    camera = np.array([(*view.centre, view.scale, view.distance, fine, fine)], CAMERA)
    turn = rotation(view.yaw, view.pitch, view.roll)
    still = rotation(view.yaw * 0.25, 0.0, view.roll * 0.15)
    screen = np.empty((len(meshes.points), 2), np.int32)
    pose(meshes.grids, meshes.points, meshes.paint, turn, still, camera[0], screen)
    depth, best = np.full((h, w), NOTHING, F), np.empty((h, w), np.int32)
    owners = np.empty((h, w), np.uint8)
    # the head is open at its back, 30° to both sides
    closed = abs(view.yaw) < 50 and abs(view.pitch) < 50
    covered = rasterize(meshes.grids, closed, screen, meshes.points, depth, best, owners)
    near = np.empty((h // grain.side, w // grain.side), F)
    points = np.empty(min(covered, 2 * near.size), POINT_AT)
    n = resolve(depth, best, owners, grain.side, near, points)
    return _Drawn(meshes, marks, turn, camera, screen, near, points[:n])


def _paint(
    f: Features,
    record: tuple[np.ndarray, np.ndarray],
    drawn: _Drawn,
    look: Look,
    extra: tuple[float, bool, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return (surface (8, n), marks (n,)) of the visible points, see `paint`; `extra` is pixel, mask, outfit."""
    n = len(drawn.points)
    surface, marks = np.empty((SURFACE, n), F), np.empty(n, np.uint8)
    directions = np.empty((len(drawn.meshes.points), 3))
    normals(drawn.meshes.grids, drawn.meshes.points, directions)
    pixel, mask, outfit = extra
    paint(
        record[0][0],
        record[1],
        moles(f.who),
        np.array([(*look.gaze, look.pupil, pixel, mask)], LOOK)[0],
        np.array(look.catchlights, np.float64).reshape(-1, 4),
        _cloth(f, outfit)[0],
        textures(),
        drawn.turn,
        drawn.meshes.grids,
        (drawn.screen, drawn.meshes.paint, directions),
        drawn.points,
        np.zeros(1, POINT)[0],
        surface,
        marks,
    )
    return surface, marks


def _cloth(f: Features, outfit: int) -> np.ndarray:
    """Return what a person wears, one record of CLOTH."""
    r = Stream("outfit", f.who.number, outfit)
    cloth = [0.05 + 0.8 * r.unit() for _ in range(3)]
    mean = (cloth[0] + cloth[1] + cloth[2]) / 3
    red, green, blue = (mean + (c - mean) * r.uniform(0.1, 0.8) for c in cloth)
    return np.array([(*linear((red, green, blue)), 0.06 * r.unit(), r.integer(4))], CLOTH)


def _meter(light: np.ndarray, marks: np.ndarray, f: Features, exposure: float) -> float:
    """Return by how much the light is scaled: the face's median gets a luminance that fits its skin."""
    skin = linear(f.who.skin)
    target = exposure * 0.60 * float(power((skin[0] + skin[1] + skin[2]) / 3, 0.8))
    return target / max(median_light(light, marks, METERED, 0.2), 1e-3)


def _truth(
    drawn: _Drawn, view: View, grain: _Sampling, face_samples: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return (box, landmarks, landmark visibility, share of the turned-to-us face that is visible)."""
    h, w = drawn.near.shape
    box, place, visible = np.empty(4), np.empty((5, 2)), np.zeros(5, bool)
    area = face_box(drawn.meshes.grids[0], drawn.screen, drawn.meshes.paint, box)
    turn = drawn.turn.tolist()
    for k, (x, y, z) in enumerate(drawn.marks.tolist()):
        y, z = y - PIVOT_Y, z - PIVOT_Z
        a, b, c = (row[0] * x + row[1] * y + row[2] * z for row in turn)
        b, c = b + PIVOT_Y, c + PIVOT_Z
        near = view.scale * view.distance / (view.distance - c)
        px, py = view.centre[0] + a * near, view.centre[1] - b * near
        place[k] = px, py
        px, py = int(px * grain.factor // 1), int(py * grain.factor // 1)
        if 0 <= px < w and 0 <= py < h:
            visible[k] = float(drawn.near[py, px]) - c < HIDDEN
    box /= grain.fine
    return box, place, visible, min(1.0, face_samples / max(area, 1.0))
