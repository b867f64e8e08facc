"""What a plan consists of: steps on pictures of known sizes. Sizes are (width, height) in pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facelab.fingerprint.model._operations import Resize, Size


class Turn(NamedTuple):
    """Mirror or transpose a picture of `size`, by the name that EXIF's transforms have."""

    name: str
    size: Size


class Cut(NamedTuple):
    """Take `box` (left, top, width, height) of a picture of `size`; `outside` says what is beyond its border."""

    box: tuple[int, int, int, int]
    size: Size
    outside: str


class Resample(NamedTuple):
    """Resample from `before` to `after`; `windows` are the (start, length) that are looked at across and down."""

    before: Size
    after: Size
    how: Resize
    windows: tuple[tuple[float, float], tuple[float, float]] | None = None


class Gather(NamedTuple):
    """Take each pixel of an output of `size` from where `back` (2×3) says."""

    back: NDArray[np.float64]
    size: Size
    kernel: str


class Roll(NamedTuple):
    """Move a picture of `size` by whole pixels; what leaves comes in on the other side."""

    dx: int
    dy: int
    size: Size


class Smear(NamedTuple):
    """Blur a picture of `size` with a Gaussian of `sigma` pixels."""

    size: Size
    sigma: float


Step = Turn | Cut | Resample | Gather | Roll | Smear
