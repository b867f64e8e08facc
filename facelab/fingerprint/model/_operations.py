"""The geometry of a pipeline as a short chain of operations, and the chain that a spec states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from facelab.preprocess.align import template

Size = tuple[int, int]
"""(width, height) in pixels."""
Points = tuple[tuple[float, ...], ...]
"""Places (x, y), one per landmark."""
Stage = Mapping[str, Any]
"""A stage of a spec as plain JSON, checked by `facelab.preprocess`."""


class Orient(NamedTuple):
    """Apply the EXIF orientation or not, then turn or mirror."""

    exif: bool = True
    transform: str = "none"


class Crop(NamedTuple):
    """Cut out a region: `full`, `square`, `center` (size), `fraction` (centred, share of each side), `box`, `face`,
    `ratio` (the largest centred part whose width is `fraction` times its height, or only `rows` or `columns` of a
    picture that is too high or too wide), `sides` (what `box` says is cut off
    left, top, right and bottom, as shares of the sides or, as `style` says, in pixels)."""

    region: str
    box: tuple[float, ...] | None = None
    size: Size | None = None
    fraction: float = 1.0
    margin: float = 0.0
    aspect: str = "keep"
    outside: str = "clip"
    style: str = "size"
    """How a fraction becomes whole pixels (how a face box does: `size` rounds half up, `even` half to even, `floor`,
    `outward`): `size` rounds the new size, `side` what is cut or added on each side,
    `inset` truncates what is cut on each side, `floor` the new size, `corner` where it begins and its size, `edges`
    where it begins and ends."""
    pixels: float = 0.0
    """A margin about the face in pixels, on each side, besides the share `margin`."""
    above: float | None = None
    """The margin in pixels above and below, where it is another one than on the left and right."""
    tall: float | None = None
    """The share of the face box above and below, where it is another one than on the left and right."""
    early: bool = False
    """Whether the face box is cut at the picture's border before the margin is added."""

    @property
    def cut_off(self) -> tuple[float, ...]:
        """What the region `sides` cuts off left, top, right and bottom."""
        assert self.box is not None, "the region `sides` says in `box` what is cut off"
        return self.box


class Resize(NamedTuple):
    """Resample; `mode` and `kernel` as in `facelab.preprocess` and `facelab.fingerprint.model._resampling`."""

    size: Size
    mode: str = "stretch"
    kernel: str = "bilinear"
    antialias: bool = False
    centers: str = "half"
    anchor: str = "center"
    size_rounding: str = "floor"
    clip: bool = False
    """Whether overshoot is cut at 0 and 255, as whatever stores pixels does."""
    enlarge: bool = True
    """Whether a picture smaller than the letterbox is enlarged."""
    gap: float = 0.0
    """Pillow's `reducing_gap`: first averaged over whole blocks, so that at least this many times the size is left."""


class Pad(NamedTuple):
    """Add a border, to a size, to a multiple or to a square."""

    to: Size | None = None
    multiple: int | None = None
    anchor: str = "top_left"
    square: bool = False


class Align(NamedTuple):
    """Warp five landmarks onto points of the output (`points` in output pixels). `at` are the landmarks' places as
    shares of the picture's width and height, the same for every picture; the probe's own landmarks when None."""

    points: Points
    size: Size
    estimator: str = "umeyama"
    landmarks: str = "given"
    kernel: str = "bilinear"
    at: Points | None = None


class Warp(NamedTuple):
    """Resample with one affine map for every picture: `back` (2×3, row by row) from output to input positions."""

    back: tuple[float, ...]
    size: Size
    kernel: str = "bilinear"


class Shift(NamedTuple):
    """Move the picture by whole pixels; what leaves is lost. `fill` says what comes in: `constant`, `wrap`,
    `replicate`, `reflect` or `reflect101`."""

    dx: int
    dy: int
    fill: str = "constant"


class Affine(NamedTuple):
    """Resample the picture about its centre: turn by `degrees`, show `zoom` times more of it, stretch x by `aspect`,
    move by (dx, dy) output pixels."""

    degrees: float = 0.0
    zoom: float = 1.0
    aspect: float = 1.0
    dx: float = 0.0
    dy: float = 0.0


class Blur(NamedTuple):
    """Blur the picture with a Gaussian of `sigma` pixels."""

    sigma: float


class Shrink(NamedTuple):
    """Read the picture at a whole fraction of its size, as decoders do that are asked for a smaller one.

    With `blocks`, whole blocks are averaged and the last one is cut short, as Pillow's `reduce` does. With `every`,
    every n-th of the `pixels` on both axes is taken, or every n-th of the `rows`.
    """

    factor: int
    blocks: bool = False
    every: str = ""


Op = Orient | Crop | Resize | Pad | Align | Warp | Shift | Affine | Blur | Shrink
Chain = tuple[Op, ...]


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
"""What a plan consists of: a step on pictures of known sizes, (width, height) in pixels."""


Kind = TypeVar("Kind", Orient, Crop, Resize, Pad, Align, Warp)


def op_at(chain: Chain, i: int, kind: type[Kind]) -> Kind:
    """Return the operation at place `i` of a chain, which is one of `kind`."""
    op = chain[i]
    assert isinstance(op, kind), f"step {i} is a {type(op).__name__}, not a {kind.__name__}"
    return op


def places(chain: Chain, kind: type[Kind]) -> list[tuple[int, Kind]]:
    """Return place and operation of each operation of `kind` in a chain."""
    return [(i, op) for i, op in enumerate(chain) if isinstance(op, kind)]


class Refused(Exception):
    """This chain cannot run on this probe (no landmarks, an empty crop)."""


def replaced(chain: Chain, i: int, *ops: Op) -> Chain:
    """Return `chain` with the step at place `i` replaced by `ops`."""
    return chain[:i] + ops + chain[i + 1 :]


def from_stages(stages: Iterable[Stage]) -> Chain:
    """Return the chain of a spec's stages (plain dictionaries); stages that touch no geometry are left out."""
    chain: list[Op] = [_FROM[s["op"]](s) for s in stages if s["op"] in _FROM]
    if not any(isinstance(op, Orient) for op in chain):
        chain.insert(0, Orient(exif=False))
    return tuple(chain)


def _from_crop(s: Stage) -> Crop:
    return Crop(
        s["region"],
        box=tuple(s["box"]) if s.get("box") else None,
        size=tuple(s["size"]) if s.get("size") else None,
        margin=s.get("margin") or 0.0,
        aspect=s.get("aspect") or "keep",
        outside=s.get("outside") or "clip",
    )


def _from_resize(s: Stage) -> Resize:
    kernel = s["kernel"]
    if kernel == "bicubic":
        kernel = "bicubic75" if s.get("cubic_a") == -0.75 else "bicubic"
    elif kernel == "lanczos":
        kernel = "lanczos4" if s.get("lobes", 3) >= 4 else "lanczos3"
    return Resize(
        tuple(s["size"]),
        s["mode"],
        kernel,
        bool(s["antialias"]),
        s["pixel_centers"],
        s.get("anchor") or "center",
        s.get("size_rounding") or "floor",
        s.get("rounding") != "none",
    )


def points_of(places: NDArray[np.float64]) -> Points:
    """Return places (n, 2) as the fields of an operation hold them."""
    rows: list[list[float]] = places.tolist()
    return tuple((x, y) for x, y in rows)


def _from_align(s: Stage) -> Align:
    points = template(s["template"], tuple(s["size"]), s.get("padding"))
    kernel = (
        "nearest"
        if s.get("kernel") == "nearest"
        else "bilinear32"
        if s.get("coordinates") == "1/32"
        else "bilinear"
    )
    return Align(points_of(points), tuple(s["size"]), s["estimator"], kernel=kernel)


def _from_orient(s: Stage) -> Orient:
    return Orient(s["exif"] == "apply", s["transform"])


def _from_pad(s: Stage) -> Pad:
    return Pad(tuple(s["to"]) if s.get("to") else None, s.get("multiple"), s["anchor"])


_FROM: dict[str, Callable[[Stage], Op]] = {
    "orient": _from_orient,
    "crop": _from_crop,
    "resize": _from_resize,
    "align": _from_align,
    "pad": _from_pad,
}
