"""From image to tensor by a preprocessing spec, and back from tensor pixels to image pixels."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.preprocess import apply
from facelab.preprocess.align import invert
from facelab.preprocess.geometry import Face, Planner
from facelab.preprocess.ops import DECODE_RGB
from facelab.preprocess.spec import PreprocessSpec

if TYPE_CHECKING:
    from jaxtyping import UInt8

BILINEAR = {
    "kernel": "bilinear",
    "antialias": False,
    "pixel_centers": "half",
    "rounding": "half_even",
}
SMOOTH = {**BILINEAR, "antialias": True, "edge": "renormalize"}
FASTEST = ("opencv", "pillow", "reference")
"""Backends for Python-side inference, fastest first; the reference can do every spec."""


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Where the tensor's pixels are in the image: the 2×3 matrix `back` from tensor to image, and the tensor's size."""

    back: np.ndarray
    size: tuple[int, int]

    def points_to_image(self, points: np.ndarray) -> np.ndarray:
        """Map (n, k, 2) tensor points to image pixels."""
        return points @ self.back[:, :2].T + self.back[:, 2]

    def boxes_to_image(self, boxes: np.ndarray) -> np.ndarray:
        """Map (n, 4) tensor boxes to image pixels, upright again where the spec turned the image."""
        corners = self.points_to_image(np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2))
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


@functools.lru_cache(maxsize=64)
def geometry(spec: PreprocessSpec, size: tuple[int, int]) -> Geometry:
    """Follow an image of `size` (width, height) through the spec's stages; images of one size share the answer.

    Raises BadInputError for a spec that needs a face before one is found (align, a face crop).

    >>> back = geometry(detector_spec("x", size=(320, 320), fit="letterbox"), (640, 480)).back
    >>> back.round(6).tolist()
    [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """
    for i, stage in enumerate(spec.stages):
        if stage.op == "align" or (stage.op == "crop" and stage.region == "face"):
            raise BadInputError(
                "a detector's spec cannot use a face that is still to be found",
                where=f"{spec.name}: stage {i + 1} ({stage.op})",
                expected="color, resize, pad, normalize, layout, cast, quantize",
                got=stage.op,
                fix="remove the stage; it belongs to an embedder's spec",
            )
    planner = Planner(spec.input_order, size, 1, Face())
    for i, stage in enumerate(spec.stages[1:], 1):
        planner.plan(stage, f"{spec.name}: stage {i + 1} ({stage.op})")
    back = invert(planner.matrix)
    back.flags.writeable = False
    return Geometry(back, planner.size)


def detector_spec(
    name: str,
    *,
    size: tuple[int, int] | None,
    fit: str,
    order: str = "rgb",
    mean: Sequence[float] = (),
    scale: Sequence[float] = (),
    layout: str = "nchw",
    value: float = 0,
    multiple: int = 32,
    kernel: dict[str, Any] = BILINEAR,
) -> PreprocessSpec:
    """Build the spec that most detectors use.

    `fit`: `stretch`, `letterbox` (top left), `letterbox_center`, or `pad` (no resize; right and bottom padded to a
    `multiple`). `mean` and `scale` are in 0–255 units, per channel in `order`; empty means no normalisation.
    """
    stages: list[dict[str, Any]] = [dict(DECODE_RGB)]
    if order != "rgb":
        stages.append({"op": "color", "from": "rgb", "to": order})
    if fit == "pad":
        stages.append(
            {"op": "pad", "multiple": multiple, "anchor": "top_left"}
            | {"border": "constant", "value": [value]}
        )
    elif size is None:
        raise BadInputError(
            "a network whose input size is free needs a size to resize to",
            where=name,
            fix='pass a spec with a resize stage, or choose fit="pad"',
        )
    elif fit == "stretch":
        stages.append({"op": "resize", "size": list(size), "mode": "stretch", **kernel})
    else:
        anchor = "center" if fit == "letterbox_center" else "top_left"
        stages.append(
            {
                "op": "resize",
                "size": list(size),
                "mode": "letterbox",
                "anchor": anchor,
                "value": [value],
                "size_rounding": "floor",
                **kernel,
            }
        )
    if len(mean) or len(scale):
        stages.append(
            {
                "op": "normalize",
                "mean": list(map(float, mean)) or [0.0],
                "scale": list(map(float, scale)) or [1.0],
                "units": "0-255",
            }
        )
    stages += [{"op": "layout", "to": layout}, {"op": "cast", "dtype": "float32"}]
    return PreprocessSpec(name, stages)


class Preparation:
    """A spec made ready to be applied to decoded RGB images (see `prepared`).

    `max_side` bounds specs that keep the image's size (a 10 000-pixel image would need gigabytes): a longer image is
    first shrunk by area averaging to that many pixels, and the geometry accounts for it.
    """

    def __init__(self, spec: PreprocessSpec, *, max_side: int = 4096):
        self.spec, self.max_side = spec, max_side
        width, height = _spatial(spec)
        self.fixed_size = (width, height) if width and height else None
        geometry(spec, self.fixed_size or (64, 64))

    def __call__(self, rgb: np.ndarray) -> tuple[np.ndarray, Geometry]:
        """Return the tensor and where the image is in it."""
        rgb, shrink = bounded(rgb, self.max_side) if self.fixed_size is None else (rgb, (1.0, 1.0))
        where = geometry(self.spec, (rgb.shape[1], rgb.shape[0]))
        if shrink != (1.0, 1.0):
            where = dataclasses.replace(where, back=where.back / np.array(shrink)[:, None])
        return prepared(self.spec, in_order(rgb, self.spec.input_order)), where


def prepared(spec: PreprocessSpec, pixels: np.ndarray, face: object = None) -> np.ndarray:
    """Carry a spec out on decoded pixels by the first backend of `FASTEST` that does exactly what it says.

    Parameters
    ----------
    spec : PreprocessSpec
        The preprocessing to apply.
    pixels : ndarray
        The picture after decoding.
    face : object
        The face box and landmarks in the picture.

    Returns
    -------
    ndarray
        The tensor.
    """
    for backend in FASTEST[:-1]:
        try:
            return apply(spec, pixels, backend=backend, face=face)
        except UnsupportedError:
            # not a fallback to something else: every backend does what the spec says, or refuses
            continue
    return apply(spec, pixels, backend=FASTEST[-1], face=face)


def in_order(rgb: UInt8[np.ndarray, "h w 3"], order: str) -> UInt8[np.ndarray, "h w *c"]:
    """Return RGB pixels as a spec's decode stage would have given them: `rgb`, `bgr` or `gray` (BT.601 luma).

    Parameters
    ----------
    rgb : ndarray
        A picture, (height, width, 3) uint8 RGB.
    order : str
        The channel order that is wanted.

    Returns
    -------
    ndarray
        RGB pixels as a spec's decode stage would have given them.

    Examples
    --------
    >>> import numpy as np
    >>> red = np.array([[[255, 0, 0]]], np.uint8)
    >>> in_order(red, "bgr").tolist(), in_order(red, "gray").tolist()
    ([[[0, 0, 255]]], [[76]])
    """
    if order == "rgb":
        return rgb
    import cv2

    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY if order == "gray" else cv2.COLOR_RGB2BGR)


def bounded(
    rgb: UInt8[np.ndarray, "h w 3"], max_side: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """Shrink an image whose longer side exceeds `max_side`; return it and the (x, y) scale that was applied.

    Parameters
    ----------
    rgb : ndarray
        A picture, (height, width, 3) uint8 RGB.
    max_side : int
        The longest side that is kept, in pixels.

    Returns
    -------
    tuple[ndarray, tuple[float, float]]
        The picture, and the (x, y) scale that maps its boxes back.

    Examples
    --------
    >>> import numpy as np
    >>> small, scale = bounded(np.zeros((200, 400, 3), np.uint8), 100)
    >>> small.shape, scale
    ((50, 100, 3), (0.25, 0.25))
    """
    height, width = rgb.shape[:2]
    if max(height, width) <= max_side:
        return rgb, (1.0, 1.0)
    import cv2

    ratio = max_side / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), (size[0] / width, size[1] / height)


def _spatial(spec: PreprocessSpec) -> tuple[int | None, int | None]:
    """Return the fixed (width, height) of the spec's tensor; None for a side that follows the image."""
    layout, shape = spec.states[-1].layout, spec.output_shape()
    return shape[layout.index("w")], shape[layout.index("h")]
