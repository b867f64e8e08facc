"""The geometry of a pipeline as a short chain of operations, and the chain that a spec states."""

from __future__ import annotations

from typing import Any, NamedTuple

from facelab.preprocess.align import template


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
    box: tuple | None = None
    size: tuple | None = None
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


class Resize(NamedTuple):
    """Resample; `mode` and `kernel` as in `facelab.preprocess` and `facelab.fingerprint.model._resampling`."""

    size: tuple[int, int]
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

    to: tuple | None = None
    multiple: int | None = None
    anchor: str = "top_left"
    square: bool = False


class Align(NamedTuple):
    """Warp five landmarks onto points of the output (`points` in output pixels). `at` are the landmarks' places as
    shares of the picture's width and height, the same for every picture; the probe's own landmarks when None."""

    points: tuple
    size: tuple[int, int]
    estimator: str = "umeyama"
    landmarks: str = "given"
    kernel: str = "bilinear"
    at: tuple | None = None


class Warp(NamedTuple):
    """Resample with one affine map for every picture: `back` (2×3, row by row) from output to input positions."""

    back: tuple
    size: tuple[int, int]
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


class Refused(Exception):
    """This chain cannot run on this probe (no landmarks, an empty crop)."""


def replaced(chain: tuple, i: int, *ops: Any) -> tuple:
    """Return `chain` with the step at place `i` replaced by `ops`."""
    return chain[:i] + ops + chain[i + 1 :]


def from_stages(stages: list[dict[str, Any]]) -> tuple:
    """Return the chain of a spec's stages (plain dictionaries); stages that touch no geometry are left out."""
    chain: list = [_FROM[s["op"]](s) for s in stages if s["op"] in _FROM]
    if not any(isinstance(op, Orient) for op in chain):
        chain.insert(0, Orient(exif=False))
    return tuple(chain)


def _from_crop(s):
    return Crop(
        s["region"],
        box=tuple(s["box"]) if s.get("box") else None,
        size=tuple(s["size"]) if s.get("size") else None,
        margin=s.get("margin") or 0.0,
        aspect=s.get("aspect") or "keep",
        outside=s.get("outside") or "clip",
    )


def _from_resize(s):
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


def _from_align(s):
    points = template(s["template"], tuple(s["size"]), s.get("padding"))
    kernel = (
        "nearest"
        if s.get("kernel") == "nearest"
        else "bilinear32"
        if s.get("coordinates") == "1/32"
        else "bilinear"
    )
    return Align(
        tuple(map(tuple, points.tolist())), tuple(s["size"]), s["estimator"], kernel=kernel
    )


_FROM = {
    "orient": lambda s: Orient(s["exif"] == "apply", s["transform"]),
    "crop": _from_crop,
    "resize": _from_resize,
    "align": _from_align,
    "pad": lambda s: Pad(tuple(s["to"]) if s.get("to") else None, s.get("multiple"), s["anchor"]),
}
