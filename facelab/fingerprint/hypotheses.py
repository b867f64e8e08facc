"""A hypothetical pipeline and what was changed in it; the words for resamplers, templates, shifts and motions."""

from __future__ import annotations

from typing import NamedTuple

from facelab.fingerprint.chain import Affine, Align, Crop, Resize, Shift, Warp
from facelab.preprocess.align import template

RESAMPLERS = tuple(
    [(k, False, c) for k in ("nearest", "bilinear", "bicubic", "bicubic75") for c in ("half", "legacy", "corner")]
    + [(k, True, "half") for k in ("bilinear", "bicubic", "bicubic75", "area", "lanczos3", "hamming", "box")]
    + [("lanczos3", False, "half"), ("lanczos4", False, "half"), ("gaussian", True, "half"), ("mitchell", True, "half")]
)
"""(kernel, antialias, pixel centres) as the field's libraries offer them."""
RINGING = ("bicubic", "bicubic75", "lanczos3", "lanczos4", "mitchell")
"""Kernels with negative lobes: whether their overshoot is clipped shows."""
FAMILY = {"bicubic75": "bicubic", "lanczos4": "lanczos", "lanczos3": "lanczos", "gaussian": "bilinear", "box": "area"}


class State(NamedTuple):
    """A hypothetical pipeline: geometry, and tones before (`head`) and behind (`tail`) it."""

    chain: tuple
    head: tuple = ()
    tail: tuple = ()


class Change(NamedTuple):
    """One difference: its kind, the stage it concerns, and the two values in words."""

    kind: str
    stage: str
    before: str
    after: str


class Hypothesis(NamedTuple):
    """A changed pipeline, what was changed, and a price: among equals the cheapest wins."""

    state: State
    changes: tuple[Change, ...]
    price: float = 1.0


def resampler_name(op: Resize) -> str:
    """Return a resampler in words.

    >>> resampler_name(Resize((8, 8)))
    'bilinear, no antialias, half-pixel centres'
    """
    smooth = "antialias" if op.antialias else "no antialias"
    places = {"half": "half-pixel centres", "legacy": "top-left centres", "corner": "aligned corners"}[op.centers]
    name = {"bicubic": "bicubic (a=−0.5)", "bicubic75": "bicubic (a=−0.75)"}.get(op.kernel, op.kernel)
    return f"{name}, {places}" if op.kernel in ("nearest", "area", "box") else f"{name}, {smooth}, {places}"


def resampler_changes(a: Resize, b: Resize) -> tuple[Change, ...]:
    """Return what differs between two resamplers, kernel first."""
    out = []
    fixed = ("nearest", "area", "box")
    words = resampler_name(a), resampler_name(b)
    same_family = FAMILY.get(a.kernel, a.kernel) == FAMILY.get(b.kernel, b.kernel)
    if not same_family or (a.kernel != b.kernel and a.antialias == b.antialias):
        out.append(Change("resize_kernel", "resize", *words))
    if a.antialias != b.antialias and a.kernel not in fixed and b.kernel not in fixed:
        out.append(Change("antialias", "resize", *words))
    if a.centers != b.centers and (same_family or b.kernel not in fixed) and not (a.antialias or b.antialias):
        out.append(Change("pixel_centers", "resize", *words))
    return tuple(out) or (Change("resize_kernel", "resize", *words),)


def templates(size: tuple[int, int]) -> dict[str, tuple]:
    """Return the alignment templates in use, each as points for an output of `size`."""
    w, h = size
    base = template("arcface", (112, 112))
    plain = base - (8.0, 0.0)
    known = {
        "ArcFace 112 template": base * (w / 112),
        "ArcFace template scaled by size/112 with size/128's shift": base * (w / 128) + (8 * w / 128, 0),
        "96×112 template without the +8 in x": plain * (w / 112),
        "96×112 template stretched to the square": plain * (w / 96, h / 112),
        "ArcFace template scaled by size/128": base * (w / 128),
        "ArcFace template of 128 cut at the top left": base * (128 / 112),
        "dlib's five-point template": template("dlib5", size, 0.25),
    }
    return {name: tuple(map(tuple, points.tolist())) for name, points in known.items()}


KIND_OF = {
    "flip_horizontal": "flip",
    "flip_vertical": "flip",
    "rotate90": "rotation",
    "rotate180": "rotation",
    "rotate270": "rotation",
    "transpose": "transpose",
    "transverse": "transpose",
}
TRANSFORMS = ("flip_horizontal", "flip_vertical", "rotate90", "rotate180", "rotate270", "transpose", "transverse")


def shifted(state: State, dx: int, dy: int, wrap: bool) -> Hypothesis:
    """Return `state` moved by whole output pixels."""
    return Hypothesis(
        state._replace(chain=(*state.chain, Shift(dx, dy, wrap))),
        (Change("shift", "output", "in place", f"moved by ({dx}, {dy}) pixels"),),
    )


def moved(state: State, affine: Affine, place: str) -> Hypothesis:
    """Return `state` with a small affine motion behind (`output`) or before (`input`) its resampling."""
    parts = []
    aligned = any(isinstance(op, (Align, Warp)) for op in state.chain)
    if abs(affine.degrees) > 0.25:
        parts.append(Change("rotation", place, "upright", f"turned by {affine.degrees:.1f}°"))
    if abs(affine.aspect - 1) > 0.008:
        parts.append(Change("aspect", place, "aspect kept", f"x stretched by {1 / affine.aspect:.3f}"))
    if abs(affine.zoom - 1) > 0.006:
        kind = "margin" if affine.zoom > 1 else "crop"
        if any(isinstance(op, Crop) and op.region == "face" for op in state.chain) or aligned:
            kind = "margin"
        parts.append(Change(kind, place, "scale 1", f"shows {affine.zoom:.3f} times as much on each side"))
    if abs(affine.dx) > 0.2 or abs(affine.dy) > 0.2:
        parts.append(Change("shift", place, "in place", f"moved by ({affine.dx:.2f}, {affine.dy:.2f}) pixels"))
    at = len(state.chain)
    if place == "input":
        at = next((i for i, op in enumerate(state.chain) if isinstance(op, (Resize, Align, Warp, Crop))), at)
    return Hypothesis(
        state._replace(chain=(*state.chain[:at], affine, *state.chain[at:])),
        tuple(parts),
        1.0 + 0.5 * max(0, len(parts) - 1),
    )
