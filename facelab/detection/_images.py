"""What detectors and embedders take as an image: checked arrays, RGB uint8; and the files of a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.files import IMAGE_SUFFIXES
from facelab.core.narrow import is_array

if TYPE_CHECKING:
    from jaxtyping import Shaped, UInt8

SUFFIXES = frozenset({*IMAGE_SUFFIXES, ".gif"})


def as_rgb(image: Shaped[np.ndarray, "h w *channels"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return `image` as contiguous RGB uint8 (height, width, 3).

    Takes uint8 or uint16 (its high byte), gray (height, width) or (height, width, 1), RGB, or RGBA (alpha dropped).
    Raises BadInputError for anything else: floats are refused, since 0…1 and 0…255 look alike to a program.

    Parameters
    ----------
    image : ndarray
        A picture, (height, width) or (height, width, 3) uint8.

    Returns
    -------
    ndarray
        `image` as contiguous RGB uint8 (height, width, 3).

    Raises
    ------
    BadInputError
        The value is not an array of uint8 or uint16 pixels, has the wrong shape, or is empty.

    Examples
    --------
    >>> as_rgb(np.zeros((2, 3), np.uint8)).shape
    (2, 3, 3)
    """
    if not is_array(image):
        raise BadInputError(
            "an image is a numpy array",
            got=type(image).__name__,
            fix="decode files with facelab.preprocess.image.read_image",
        )
    if image.dtype.kind == "f":
        bad = "has NaN or infinity" if not np.isfinite(image).all() else "is float"
        raise BadInputError(
            f"the image {bad}",
            expected="uint8 pixels 0…255",
            got=str(image.dtype),
            fix="give pixels; the model's spec normalises them",
        )
    if image.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise BadInputError(
            "the image has a different number type",
            expected="uint8 (or uint16)",
            got=str(image.dtype),
            fix='convert it first: (image * 255).astype("uint8") for values from 0 to 1',
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise BadInputError(
            "the array is not an image",
            expected="(height, width) or (height, width, 1, 3 or 4)",
            got=str(image.shape),
            fix="pass one image at a time, channels last",
        )
    if image.size == 0:
        raise BadInputError(
            "the image is empty",
            expected="at least 1×1 pixel",
            got=str(image.shape),
            fix="check the crop that made it, or that the file is whole",
        )
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(image[..., :3])


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the image files below `folder`, sorted by path.

    Parameters
    ----------
    folder : str or path
        The folder to search, with those below it.

    Returns
    -------
    list of path
        The image files below `folder`, sorted by path.

    Raises
    ------
    BadInputError
        If there are none.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("b.jpg", "a.png", "notes.txt"):
    ...     _ = (folder / name).write_bytes(b"")
    >>> [p.name for p in find_images(folder)]
    ['a.png', 'b.jpg']
    """
    root = Path(folder)
    if not root.exists():
        raise BadInputError("the folder of images does not exist", where=root, fix="check the path")
    if root.is_file():
        return [root]
    found = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise BadInputError(
            "no images in the folder",
            where=root,
            expected=", ".join(sorted(SUFFIXES)),
            got="none of these",
            fix="check the folder",
        )
    return found
