"""The single changes of an alignment or a warp that are tried: kernel, template, estimator, landmarks, or its lack."""

from __future__ import annotations

from collections.abc import Iterator

from facelab.fingerprint.model._operations import Align, Crop, Resize, Warp, replaced
from facelab.fingerprint.model._pipeline_state import Change, Hypothesis, State, templates
from facelab.fingerprint.model._planner import NETWORKS

WARP_KERNELS = {
    "nearest": "nearest",
    "bilinear": "bilinear",
    "bilinear32": "bilinear",
    "bicubic75": "bicubic (a=−0.75)",
}


def other_alignments(state: State, i: int, op: Align | Warp) -> Iterator[Hypothesis]:
    """Yield `state` with the step `op` at place `i` of its chain changed in one thing."""
    yield from _warp_kernels(state, i, op)
    if isinstance(op, Align):
        yield from _in_two_steps(state, i, op)
        yield from _align(state, i, op)


def _warp_kernels(state: State, i: int, op: Align | Warp) -> Iterator[Hypothesis]:
    for kernel, text in WARP_KERNELS.items():
        if text != WARP_KERNELS[op.kernel]:
            yield Hypothesis(
                state._replace(chain=replaced(state.chain, i, op._replace(kernel=kernel))),
                (Change("resize_kernel", "align", WARP_KERNELS[op.kernel], text),),
            )


ALIGNED_AT = (96, 112, 128, 160, 224, 256)
NARROW = 8
"""Columns on each side of a well-known template of 112×112 that its form of 96×112 does without."""


def _in_two_steps(state: State, i: int, op: Align) -> Iterator[Hypothesis]:
    """Aligned at another size and resized then; or at 96×112 and stretched to the square."""
    w, h = op.size
    now = f"aligned at {w}×{h}"
    for side in ALIGNED_AT:
        if side == w or w != h:
            continue
        points = tuple((x * side / w, y * side / w) for x, y in op.points)
        first = op._replace(points=points, size=(side, side))
        for antialias in (False, True) if side > w else (False,):
            ops = first, Resize(op.size, antialias=antialias)
            change = Change("resize_order", "align", now, f"at {side}×{side}, then resized")
            yield Hypothesis(state._replace(chain=replaced(state.chain, i, *ops)), (change,), 1.2)
    if w == h:
        cut = NARROW * w / 112
        points = tuple((x - cut, y) for x, y in op.points)
        size = round(w - 2 * cut), h
        ops = op._replace(points=points, size=size), Resize(op.size)
        change = Change("aspect", "align", now, f"at {size[0]}×{h}, then stretched to {w}×{h}")
        yield Hypothesis(state._replace(chain=replaced(state.chain, i, *ops)), (change,), 1.2)


OTHER_LANDMARKS = {
    "eyes_swapped": "left and right eye swapped",
    "mouth_swapped": "left and right corner of the mouth swapped",
    "mirrored": "left and right swapped",
    "rows_first": "x and y swapped",
    "x_first": "x1…x5, y1…y5 read as five pairs",
    "y_last": "five pairs read as x1…x5, y1…y5",
    "box_relative": "relative to the face box, used on the whole picture",
    **{
        f"network_{n}": f"in pixels of a network input of {n}, used on the picture"
        for n in NETWORKS
    },
    "quarter": "of a picture a quarter as large",
    "half": "of a picture half as large",
    "double": "of a picture twice as large",
    "half_off": "half a pixel further right and down",
    "rounded": "rounded to whole pixels",
    "truncated": "truncated to whole pixels",
    "no_nose": "eyes and mouth only",
    "no_mouth": "eyes and nose only",
    "eyes": "eyes only",
}


ESTIMATORS = {
    "umeyama": "similarity on five points",
    "rigid": "turned and moved onto the points, not scaled",
    "affine3": "affine map through eyes and mouth",
    "affine5": "affine map by least squares on five points",
    "affine_first3": "affine map through eyes and nose",
    "affine_lmeds": "affine map estimated robustly (estimateAffine2D, LMEDS)",
    "affine_ransac": "affine map estimated robustly (estimateAffine2D, RANSAC)",
    "partial_lmeds": "similarity estimated robustly (estimateAffinePartial2D, LMEDS)",
    "partial_ransac": "similarity estimated robustly (estimateAffinePartial2D, RANSAC)",
}


def _align(state: State, i: int, op: Align) -> Iterator[Hypothesis]:
    for name, points in templates(op.size).items():
        if max(abs(p - q) for a, b in zip(points, op.points) for p, q in zip(a, b)) > 1e-6:
            yield Hypothesis(
                state._replace(chain=replaced(state.chain, i, op._replace(points=points))),
                (Change("alignment_template", "align", "training's template", name),),
            )
    for estimator, words in ESTIMATORS.items():
        if estimator != op.estimator:
            chain = replaced(state.chain, i, op._replace(estimator=estimator))
            change = Change("alignment_template", "align", ESTIMATORS[op.estimator], words)
            yield Hypothesis(state._replace(chain=chain), (change,), 1.1)
    # landmarks that lie alike in every picture are not known well enough: `registration.reordered`
    for landmarks, text in OTHER_LANDMARKS.items() if op.at is None else ():
        if landmarks == op.landmarks or (op.estimator != "umeyama" and text.endswith("only")):
            continue
        yield Hypothesis(
            state._replace(chain=replaced(state.chain, i, op._replace(landmarks=landmarks))),
            (Change("alignment_template", "align", "landmarks as they are", text),),
            1.1,
        )
    for region in ("face", "square", "full"):
        ops = (
            (Crop(region, outside="constant"), Resize(op.size))
            if region != "full"
            else (Resize(op.size),)
        )
        yield Hypothesis(
            state._replace(chain=replaced(state.chain, i, *ops)),
            (
                Change(
                    "alignment_template",
                    "align",
                    "aligned by landmarks",
                    {
                        "face": "face box, not aligned",
                        "square": "centre square, not aligned",
                        "full": "whole picture, not aligned",
                    }[region],
                ),
            ),
            1.1,
        )
