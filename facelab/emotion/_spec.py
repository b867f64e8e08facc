"""The preprocessing of emotion classifiers, and its two halves: pixels, and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.detection.internals import in_order
from facelab.preprocess import PreprocessSpec, apply, read_image
from facelab.preprocess.ops import DECODE_RGB, FACE_SQUARE, RESIZE_ANTIALIASED, UPRIGHT

if TYPE_CHECKING:
    from jaxtyping import Num, UInt8

SIZE, MARGIN = 64, 0.1
BACKENDS = ("pillow", "opencv", "reference")
PIXEL_OPS = ("decode", "orient", "color", "crop", "align", "resize", "pad")


def emotion_spec(size: int = SIZE, margin: float = MARGIN) -> PreprocessSpec:
    """Return the spec: RGB, the face box with `margin` a side made square, `size`×`size`, in [-1, 1], NHWC float32.

    The resize is Pillow's bilinear (antialiased), which OpenCV's does not equal: it keeps small faces from aliasing.

    Parameters
    ----------
    size : int
        The size (width, height) in pixels.
    margin : float
        The share that is added around a face box.

    Returns
    -------
    PreprocessSpec
        The spec.

    Examples
    --------
    >>> spec = emotion_spec(48)
    >>> [stage.op for stage in spec.stages], spec.output_shape(), spec.output_dtype
    (['decode', 'orient', 'crop', 'resize', 'normalize', 'layout', 'cast'], (1, 48, 48, 3), 'float32')
    """
    return PreprocessSpec(
        f"emotion-{size}",
        [
            DECODE_RGB,
            UPRIGHT,
            {**FACE_SQUARE, "margin": margin},
            {**RESIZE_ANTIALIASED, "size": [size, size]},
            {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"},
            {"op": "layout", "to": "nhwc"},
            {"op": "cast", "dtype": "float32"},
        ],
    )


def pixel_part(spec: PreprocessSpec) -> PreprocessSpec:
    """Return the stages that still give uint8 pixels: what training data is stored as."""
    return PreprocessSpec(
        f"{spec.name}-pixels", [s.to_dict() for s in spec.stages if s.op in PIXEL_OPS]
    )


def number_part(spec: PreprocessSpec) -> PreprocessSpec:
    """Return the stages after the pixels, behind a decode stage that takes the pixels as they are."""
    order, (width, height) = pixel_order(spec), face_size(spec)
    form = {"rgb": "rgb24", "bgr": "bgr24", "gray": "gray8"}[order]
    decode = {"op": "decode", "format": form, "order": order, "size": [width, height]}
    return PreprocessSpec(
        f"{spec.name}-numbers",
        [decode, *(s.to_dict() for s in spec.stages if s.op not in PIXEL_OPS)],
    )


def pixel_order(spec: PreprocessSpec) -> str:
    """Return the channel order of the pixels that normalisation sees: `rgb`, `bgr` or `gray`."""
    stage = next((s for s in reversed(spec.stages) if s.op == "color"), None)
    return spec.input_order if stage is None else str(stage.to_dict()["to"])


def face_size(spec: PreprocessSpec) -> tuple[int, int]:
    """Return (width, height) of a face crop. Raises UnsupportedError where a spec cannot crop classified faces.

    >>> face_size(emotion_spec(48))
    (48, 48)
    """
    ops = [s.op in PIXEL_OPS for s in spec.stages]
    shape = pixel_part(spec).output_shape()
    height, width = (*shape, None, None)[:2]
    if (
        ops != sorted(ops, reverse=True)
        or pixel_order(spec) not in ("rgb", "bgr", "gray")
        or not (height and width)
    ):
        raise UnsupportedError(
            "faces cannot be cut by this preprocessing",
            where=spec.name,
            expected="stages on pixels (RGB, BGR or gray, of a fixed size) before stages on numbers",
            got=" → ".join(s.op for s in spec.stages),
            fix="describe the model's input by a resize to its size, then normalize, layout and cast",
        )
    return int(width), int(height)


def normalized_by(spec: PreprocessSpec) -> tuple[float, float]:
    """Return the mean and scale of a spec that subtracts one number and divides by another, for every channel."""
    stage = spec.find("normalize")
    if stage is None:
        raise BadInputError(
            "the spec has no normalize",
            where=spec.name,
            fix="add normalize with one mean and scale",
        )
    return float(stage.mean[0]), float(stage.scale[0])


def has_face_crop(spec: PreprocessSpec) -> bool:
    """Return whether the spec itself says how much around a face's box is cut."""
    crop = spec.find("crop")
    return crop is not None and crop.region == "face"


def quantized(spec: PreprocessSpec, *, scale: float, zero_point: int, dtype: str) -> PreprocessSpec:
    """Return the spec of the same model with an integer input: one more stage, rounding half to even and saturating.

    Parameters
    ----------
    spec : PreprocessSpec
        The preprocessing to apply.
    scale : float
        The scale of the input.
    zero_point : int
        The zero point of the input.
    dtype : str
        The type of the input.

    Returns
    -------
    PreprocessSpec
        The spec of the same model with an integer input.

    Examples
    --------
    >>> quantized(emotion_spec(), scale=2 / 255, zero_point=0, dtype="int8").output_dtype
    'int8'
    """
    stage = {
        "op": "quantize",
        "scale": scale,
        "zero_point": zero_point,
        "dtype": dtype,
        "rounding": "half_even",
        "saturate": True,
    }
    return PreprocessSpec(f"{spec.name}-{dtype}", [*(s.to_dict() for s in spec.stages), stage])


def crop_face(spec: PreprocessSpec, image: np.ndarray, face: Any) -> np.ndarray:
    """Return one face as RGB uint8 (height, width, 3); a gray spec's crop has three equal channels.

    `image` is a path, bytes or RGB pixels, `face` a box (x1, y1, x2, y2). Runs on Pillow where it does what the spec
    says, which is three times faster than the reference and differs from it by one step of 255 at most, else on the
    first backend that does. A spec without a crop of the face gets the box's own pixels.
    """
    own = has_face_crop(spec)
    if not own or spec.input_order != "rgb":
        image = in_order(_cut(_pixels(image), None if own else face), spec.input_order)
    made = _by_first(pixel_part(spec), image, face if own else None)
    if made.dtype != np.uint8:
        raise UnsupportedError(
            "the pixels of a face are not whole numbers by this preprocessing",
            where=spec.name,
            expected="uint8 after the last stage on pixels",
            got=made.dtype,
            fix="state the rounding of the resize: half_up or half_even",
        )
    made = made.reshape(*made.shape[:2], -1)
    if made.shape[2] == 1:
        return np.repeat(made, 3, axis=2)
    return made[..., ::-1] if pixel_order(spec) == "bgr" else made


def _by_first(spec: PreprocessSpec, image: np.ndarray, face: Any) -> np.ndarray:
    for backend in BACKENDS[:-1]:
        try:
            return apply(spec, image, face=face, backend=backend)
        except UnsupportedError:  # every backend does what the spec says, or refuses
            continue
    return apply(spec, image, face=face, backend=BACKENDS[-1])


def _pixels(image: np.ndarray) -> np.ndarray:
    return image if isinstance(image, np.ndarray) else read_image(image)


def _cut(image: np.ndarray, box: Any) -> np.ndarray:
    if box is None:
        return image
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    part = image[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)]
    if not part.size:
        raise BadInputError(
            "the face box lies outside the image",
            expected="a box in the image",
            got=box,
            fix="correct the box",
        )
    return np.ascontiguousarray(part)


def to_tensor(
    spec: PreprocessSpec, images: UInt8[np.ndarray, "n h w 3"]
) -> Num[np.ndarray, "n ..."]:
    """Return the model's input for RGB uint8 crops (n, height, width, 3): the spec's number stages, image by image.

    Parameters
    ----------
    spec : PreprocessSpec
        The preprocessing to apply.
    images : ndarray
        Pictures (n, height, width, 3) uint8 RGB.

    Returns
    -------
    ndarray
        The model's input for RGB uint8 crops (n, height, width, 3).

    Examples
    --------
    >>> import numpy as np
    >>> from facelab.emotion import emotion_spec
    >>> x = to_tensor(emotion_spec(8), np.full((2, 8, 8, 3), 255, np.uint8))
    >>> x.shape, float(x.max())
    ((2, 8, 8, 3), 1.0)
    """
    numbers, order = number_part(spec), pixel_order(spec)
    if not len(images):
        return np.empty((0, *(n or 0 for n in numbers.output_shape()[1:])), numbers.output_dtype)
    if order != "rgb":
        images = images[..., :1] if order == "gray" else images[..., ::-1]
    return np.concatenate([apply(numbers, np.ascontiguousarray(image)) for image in images])
