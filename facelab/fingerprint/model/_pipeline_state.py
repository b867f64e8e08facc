"""A hypothetical pipeline and what was changed in it; the words for resamplers, templates, shifts and motions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facelab.fingerprint.model._operations import (
    Affine,
    Align,
    Chain,
    Crop,
    Points,
    Resize,
    Shift,
    Size,
    Warp,
    points_of,
)
from facelab.fingerprint.model._planner import turned_back
from facelab.fingerprint.model._tones import Tones
from facelab.preprocess.align import invert, template

CUBICS = ("bicubic", "bicubic75")
RESAMPLERS = tuple(
    [
        (k, False, c)
        for k in ("nearest", "bilinear", "bicubic", "bicubic75")
        for c in ("half", "legacy", "corner")
    ]
    + [
        (k, True, "half")
        for k in (
            "bilinear",
            *CUBICS,
            "area",
            "area_cv",
            "lanczos3",
            "hamming",
            "box",
        )
    ]
    + [
        ("lanczos3", False, "half"),
        ("lanczos4", False, "half"),
        ("gaussian", True, "half"),
        ("mitchell", True, "half"),
    ]
    + [("spline3", False, "half"), ("gaussian_spline3", True, "half")]
)
"""(kernel, antialias, pixel centres) as the field's libraries offer them."""
RINGING = (
    *CUBICS,
    "lanczos3",
    "lanczos4",
    "mitchell",
    "spline3",
    "gaussian_spline3",
)
"""Kernels with negative lobes: whether their overshoot is clipped shows."""
FAMILY = {
    "bicubic75": "bicubic",
    "lanczos4": "lanczos",
    "lanczos3": "lanczos",
    "gaussian": "bilinear",
    "box": "area",
    "area_cv": "area",
}
FAMILY["gaussian_spline3"] = "spline3"


class State(NamedTuple):
    """A hypothetical pipeline: geometry, and tones before (`head`) and behind (`tail`) it."""

    chain: Chain
    head: Tones = ()
    tail: Tones = ()


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
    places = {
        "half": "half-pixel centres",
        "legacy": "top-left centres",
        "corner": "aligned corners",
    }[op.centers]
    name = NAMES.get(op.kernel, op.kernel)
    return (
        f"{name}, {places}"
        if op.kernel in ("nearest", "area", "area_cv", "box")
        else f"{name}, {smooth}, {places}"
    )


def resampler_changes(a: Resize, b: Resize) -> tuple[Change, ...]:
    """Return what differs between two resamplers, kernel first."""
    out: list[Change] = []
    fixed = ("nearest", "area", "area_cv", "box")
    words = resampler_name(a), resampler_name(b)
    same_family = FAMILY.get(a.kernel, a.kernel) == FAMILY.get(b.kernel, b.kernel)
    if not same_family or (a.kernel != b.kernel and a.antialias == b.antialias):
        out.append(Change("resize_kernel", "resize", *words))
    if a.antialias != b.antialias and a.kernel not in fixed and b.kernel not in fixed:
        out.append(Change("antialias", "resize", *words))
    if (
        a.centers != b.centers
        and (same_family or (a.kernel not in fixed and b.kernel not in fixed))
        and not (a.antialias or b.antialias)
    ):
        out.append(Change("pixel_centers", "resize", *words))
    return tuple(out) or (Change("resize_kernel", "resize", *words),)


def templates(size: Size) -> dict[str, Points]:
    """Return the alignment templates in use, each as points for an output of `size`."""
    w, h = size
    base = template("arcface", (112, 112))
    plain = base - (8.0, 0.0)
    known = {
        "ArcFace 112 template": base * (w / 112),
        "ArcFace template scaled by size/112 with size/128's shift": base * (w / 128)
        + (8 * w / 128, 0),
        "96×112 template without the +8 in x": plain * (w / 112),
        "96×112 template stretched to the square": plain * (w / 96, h / 112),
        "ArcFace template scaled by size/128": base * (w / 128),
        "ArcFace template of 128 cut at the top left": base * (128 / 112),
        "dlib's five-point template": template("dlib5", size, 0.25),
    }
    return {name: points_of(points) for name, points in known.items()}


KIND_OF = {
    "flip_horizontal": "flip",
    "flip_vertical": "flip",
    "rotate90": "rotation",
    "rotate180": "rotation",
    "rotate270": "rotation",
    "transpose": "transpose",
    "transverse": "transpose",
}
NAMES = {
    "bicubic": "bicubic (a=−0.5)",
    "bicubic75": "bicubic (a=−0.75)",
    "area_cv": "area (OpenCV's)",
    "spline3": "cubic spline",
    "gaussian_spline3": "cubic spline behind a Gaussian blur",
}
TRANSFORMS = (
    "flip_horizontal",
    "flip_vertical",
    "rotate90",
    "rotate180",
    "rotate270",
    "transpose",
    "transverse",
)


FILLS = ("constant", "wrap", "replicate", "reflect", "reflect101")


def shifted(state: State, dx: int, dy: int, fill: str) -> Hypothesis:
    """Return `state` moved by whole output pixels."""
    return Hypothesis(
        state._replace(chain=(*state.chain, Shift(dx, dy, fill))),
        (Change("shift", "output", "in place", f"moved by ({dx}, {dy}) pixels"),),
    )


def _folded(chain: Chain, affine: Affine) -> tuple[Chain, Size] | None:
    """The chain with its last warp aimed elsewhere, as by another template, and its size: nothing is resampled
    twice."""
    if not chain or not isinstance(chain[-1], (Align, Warp)):
        return None
    op = chain[-1]
    turn = turned_back(affine, op.size)
    if isinstance(op, Warp):
        back = np.vstack([np.reshape(op.back, (2, 3)), (0, 0, 1)]) @ np.vstack([turn, (0, 0, 1)])
        return (*chain[:-1], op._replace(back=tuple(back[:2].ravel().tolist()))), op.size
    there = invert(turn)
    points = np.array(op.points) @ there[:, :2].T + there[:, 2]
    return (*chain[:-1], op._replace(points=points_of(points))), op.size


def moved(state: State, affine: Affine, place: str) -> Hypothesis:
    """Return `state` with a small affine motion behind its resampling (`output`), before it (`input`) or as another
    aim of its alignment (`folded`)."""
    parts: list[Change] = []
    aligned = any(isinstance(op, (Align, Warp)) for op in state.chain)
    if abs(affine.degrees) > 0.25:
        parts.append(Change("rotation", place, "upright", f"turned by {affine.degrees:.1f}°"))
    if abs(affine.aspect - 1) > 0.008:
        parts.append(
            Change("aspect", place, "aspect kept", f"x stretched by {1 / affine.aspect:.3f}")
        )
    if abs(affine.zoom - 1) > 0.006:
        kind = "margin" if affine.zoom > 1 else "crop"
        if any(isinstance(op, Crop) and op.region == "face" for op in state.chain) or aligned:
            kind = "margin"
        parts.append(
            Change(kind, place, "scale 1", f"shows {affine.zoom:.3f} times as much on each side")
        )
    if abs(affine.dx) > 0.2 or abs(affine.dy) > 0.2:
        parts.append(
            Change(
                "shift", place, "in place", f"moved by ({affine.dx:.2f}, {affine.dy:.2f}) pixels"
            )
        )
    if place == "folded":
        folded = _folded(state.chain, affine)
        if folded is None:
            return Hypothesis(state, (), 1.0)
        chain, size = folded
        eight = 8 * size[0] / 112
        if len(parts) > 1 or (
            parts
            and parts[0].kind == "shift"
            and abs(abs(affine.dx) - eight) + abs(affine.dy) < 0.3
        ):
            words = ", ".join(c.after for c in parts)
            parts = [
                Change(
                    "alignment_template",
                    "align",
                    "the training template",
                    f"{words}, of training's",
                )
            ]
        return Hypothesis(state._replace(chain=chain), tuple(parts), 1.0)
    at = len(state.chain)
    if place == "input":
        at = next(
            (i for i, op in enumerate(state.chain) if isinstance(op, (Resize, Align, Warp, Crop))),
            at,
        )
    return Hypothesis(
        state._replace(chain=(*state.chain[:at], affine, *state.chain[at:])),
        tuple(parts),
        1.0 + 0.5 * max(0, len(parts) - 1),
    )
