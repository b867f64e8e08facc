"""A spec as functions over plain arrays: what every language is written from."""

from __future__ import annotations

import dataclasses

from facelab.preprocess.emit.printing._specialise import Functions
from facelab.preprocess.spec import PreprocessSpec

ERRORS = {
    "OK": (0, "the tensor is written"),
    "SIZE": (1, "the picture's width or height is 0, too large, or not what the spec states"),
    "FRAME": (2, "the frame has a different number of bytes than width and height say"),
    "ORIENTATION": (3, "the EXIF orientation is not 1 to 8"),
    "FACE": (4, "the face box is missing, empty or not finite"),
    "LANDMARKS": (5, "the five landmarks are missing, not finite, or define no transform"),
    "CROP": (6, "the crop leaves nothing of the picture, or is too large"),
    "WORKSPACE": (7, "the workspace is too small"),
    "OUTPUT": (
        8,
        "the output is missing, not aligned, shares memory with the frame, or has a different length than the tensor",
    ),
}
"""What an emitted program answers: name → (code, meaning)."""

BOX = "x1, y1, x2, y2 of the face in the upright picture; whole numbers are edges of pixels"
MARKS = "x, y of left eye, right eye, nose, left and right mouth corner, as seen; whole numbers are centres of pixels"


@dataclasses.dataclass(frozen=True)
class Buffer:
    """Memory that a program needs: its element type (`Bytes`, `Ints`, `Reals`, `Out`) and length in elements."""

    name: str
    kind: str
    length: str


@dataclasses.dataclass
class View:
    """Where an image's pixels are: array, first element, steps to the next column, row and channel."""

    src: str
    kind: str
    at: str
    sx: str
    sy: str
    sc: int
    c: int
    w: str
    h: str


@dataclasses.dataclass
class Program:
    """A spec as functions over plain arrays; see `facelab.preprocess.emit.lowering.lower`."""

    spec: PreprocessSpec
    functions: Functions
    fields: dict[str, str]
    buffers: list[Buffer]
    constants: dict[str, tuple[str, list[float]]]
    needs: tuple[str, ...]
    shape: list[str]
    count: str
    frame_length: str
    out: str
    out_doc: str
