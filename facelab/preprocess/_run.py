"""`apply` and `stages`: carry a spec out on one image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, at
from facelab.core.narrow import is_array
from facelab.preprocess.backends import make
from facelab.preprocess.geometry import Face, Planner
from facelab.preprocess.image import read_bytes
from facelab.preprocess.spec import PreprocessSpec

if TYPE_CHECKING:
    from jaxtyping import Float64


def apply(
    spec: PreprocessSpec,
    image: np.ndarray | str | os.PathLike[str] | bytes,
    *,
    backend: str = "reference",
    face: Any = None,
    decode_with: str | None = None,
) -> np.ndarray:
    """Preprocess one image and return the tensor.

    `image` is a file (a path or its bytes), or pixels that stand for the decode stage's result: uint8
    height × width × channel (gray also height × width) in the order that decode states. `face` is a box
    (x1, y1, x2, y2), five landmarks, or a mapping with both, in pixels of the image after decode and a leading
    orient stage. `decode_with` names another backend for the decode stage alone.

    Raises UnsupportedError naming the stage where `backend` cannot do exactly what the spec says, BadInputError for
    an unreadable image or a missing face.

    Parameters
    ----------
    spec : PreprocessSpec
        The preprocessing to apply.
    image : ndarray or str or path or bytes
        A picture: pixels (height, width, channel), a file or its bytes.
    backend : str
        The backend.
    face : Any
        The face box and landmarks in the picture.
    decode_with : str or None
        The decoder; None for the one of the backend.

    Returns
    -------
    ndarray
        The tensor.

    Raises
    ------
    UnsupportedError
        The backend cannot do exactly what the spec says; naming the stage.
    BadInputError
        The image cannot be read, or a face is missing.

    Examples
    --------
    >>> spec = PreprocessSpec("s", [{"op": "decode", "format": "rgb24", "order": "rgb", "size": [2, 1]},
    ...                             {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"},
    ...                             {"op": "layout", "to": "nchw"}, {"op": "cast", "dtype": "float32"}])
    >>> apply(spec, bytes([0, 255, 0, 255, 0, 255])).tolist()
    [[[[-1.0, 1.0]], [[1.0, -1.0]], [[-1.0, 1.0]]]]
    """
    engine, pixels, orientation = _begun(spec, image, backend, decode_with)
    values = carry_out(
        spec, engine, pixels, orientation=orientation, face=face, sooner=engine.layout_sooner
    )
    return engine.arrays(values[-1:])[0]


def stages(
    spec: PreprocessSpec,
    image: np.ndarray | str | os.PathLike[str] | bytes,
    *,
    backend: str = "reference",
    face: Any = None,
    decode_with: str | None = None,
) -> list[tuple[str, np.ndarray]]:
    """Return [(name, array)] after each stage; names are `01_decode`, `02_color`, … See `apply`.

    Parameters
    ----------
    spec : PreprocessSpec
        The preprocessing to apply.
    image : ndarray or str or path or bytes
        A picture: pixels (height, width, channel), a file or its bytes.
    backend : str
        The backend.
    face : Any
        The face box and landmarks in the picture.
    decode_with : str or None
        The decoder; None for the one of the backend.

    Returns
    -------
    list of tuple[str, ndarray]
        [(name, array)] after each stage.

    Raises
    ------
    UnsupportedError
        The backend cannot do exactly what the spec says; naming the stage.
    BadInputError
        The image cannot be read, or a face is missing.

    Examples
    --------
    >>> from facelab.preprocess import PreprocessSpec
    >>> spec = PreprocessSpec("s", [{"op": "decode", "format": "gray8", "order": "gray", "size": [2, 1]},
    ...                             {"op": "cast", "dtype": "float32"}])
    >>> [(name, array.dtype.name) for name, array in stages(spec, bytes([0, 255]))]
    [('01_decode', 'uint8'), ('02_cast', 'float32')]
    """
    engine, pixels, orientation = _begun(spec, image, backend, decode_with)
    arrays = engine.arrays(carry_out(spec, engine, pixels, orientation=orientation, face=face))
    return [(f"{i:02d}_{s.op}", a) for i, (s, a) in enumerate(zip(spec.stages, arrays), 1)]


def input_to_output(
    spec: PreprocessSpec, size: tuple[int, int], *, face: Any = None, orientation: int = 1
) -> Float64[np.ndarray, "2 3"]:
    """Return the 2×3 matrix from pixels of the oriented input of `size` (width, height) to those of the result.

    Pixel edges are at whole numbers in both (box corners map as they are; add ½ to a pixel's centre first). Invert
    it (`facelab.preprocess.align.invert`) to bring a detector's boxes back.

    Parameters
    ----------
    spec : PreprocessSpec
        The preprocessing to apply.
    size : tuple[int, int]
        The size (width, height) in pixels.
    face : Any
        The face box and landmarks in the picture.
    orientation : int
        The EXIF orientation, 1 to 8.

    Returns
    -------
    ndarray
        The 2×3 matrix from pixels of the oriented input of `size` (width, height) to those
        of the result.

    Examples
    --------
    >>> from facelab.preprocess import PreprocessSpec
    >>> spec = PreprocessSpec("s", [{"op": "decode", "format": "rgb24", "order": "rgb", "size": [8, 6]},
    ...                             {"op": "crop", "region": "box", "box": [2, 1, 6, 5], "box_rounding": "nearest",
    ...                              "outside": "clip"}])
    >>> input_to_output(spec, (8, 6)).tolist()
    [[1.0, 0.0, -2.0], [0.0, 1.0, -1.0]]
    """
    planner = Planner(spec.input_order, size, orientation, Face.of(face))
    for i, stage in enumerate(spec.stages[1:], 1):
        planner.plan(stage, f"stage {i + 1} ({stage.op})")
    return planner.matrix


def _begun(
    spec: PreprocessSpec | Any, image: Any, backend: Any, decode_with: Any
) -> tuple[Any, np.ndarray, int]:
    """Return the backend, the decoded pixels and their EXIF orientation."""
    if not isinstance(spec, PreprocessSpec):
        raise BadInputError(
            "the first argument is not a PreprocessSpec",
            got=type(spec).__name__,
            fix="use PreprocessSpec.load(path)",
        )
    engine = make(backend)
    decoder = make(decode_with) if decode_with else engine
    first = f"{spec.name}: stage 1 (decode)"
    with at(first):
        pixels, orientation = _decoded(spec, image, decoder, first)
    return engine, pixels, orientation


def carry_out(
    spec: PreprocessSpec,
    engine: Any,
    pixels: np.ndarray,
    *,
    orientation: int = 1,
    face: Any = None,
    sooner: bool = False,
) -> list[Any]:
    """Run every stage after decode on a backend object and return its values, the decoded pixels' first.

    With `sooner`, only the last value is as the spec says: channels are moved before the numbers change (`_sooner`).
    """
    planner = Planner(
        spec.input_order, (pixels.shape[1], pixels.shape[0]), orientation, Face.of(face)
    )
    values = [engine.begin(pixels)]
    numbered = list(enumerate(spec.stages, 1))[1:]
    for number, stage in _sooner(numbered) if sooner else numbered:
        where = f"{spec.name}: stage {number} ({stage.op})"
        value = values[-1]
        with at(where):
            for action, args in planner.plan(stage, where).actions:
                value = getattr(engine, action)(value, **args)
        values.append(value)
    return values


def _sooner(numbered: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Put a layout that moves the channels to the front before the stages that change each number on its own.

    The result is the same to the bit, and moving bytes costs a quarter of moving floats.
    """
    place = next((k for k, (_, s) in enumerate(numbered) if s.op == "layout"), None)
    if place is None or not numbered[place][1].to.endswith("chw"):
        return numbered
    first = place
    while first and numbered[first - 1][1].op in ("normalize", "cast", "quantize"):
        first -= 1
    return [*numbered[:first], numbered[place], *numbered[first:place], *numbered[place + 1 :]]


def _decoded(spec: PreprocessSpec, image: Any, decoder: Any, where: str) -> tuple[np.ndarray, int]:
    stage = spec.decoding
    if not is_array(image):
        data, name = read_bytes(image)
        return decoder.decode(data, stage, name)
    channels = 1 if stage.order == "gray" else 3
    pixels = image[..., None] if image.ndim == 2 and channels == 1 else image
    if (
        pixels.dtype != np.uint8
        or pixels.ndim != 3
        or pixels.shape[2] != channels
        or 0 in pixels.shape
    ):
        raise BadInputError(
            "the pixels are not what the decode stage gives",
            where=where,
            expected=f"uint8, height × width × {channels} ({stage.order})",
            got=f"{image.dtype}, shape {image.shape}",
            fix="read the file with read_image(path)",
        )
    return pixels, 1
