"""The single changes of an alignment or a warp that are tried: kernel, template, estimator, landmarks, or its lack."""

from __future__ import annotations

from collections.abc import Iterator

from facelab.fingerprint.model._operations import Align, Crop, Resize, Warp, replaced
from facelab.fingerprint.model._pipeline_state import Change, Hypothesis, State, templates

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
        yield from _align(state, i, op)


def _warp_kernels(state, i, op):
    for kernel, text in WARP_KERNELS.items():
        if text != WARP_KERNELS[op.kernel]:
            yield Hypothesis(
                state._replace(chain=replaced(state.chain, i, op._replace(kernel=kernel))),
                (Change("resize_kernel", "align", WARP_KERNELS[op.kernel], text),),
            )


OTHER_LANDMARKS = {
    "eyes_swapped": "left and right eye swapped",
    "mirrored": "left and right swapped",
    "rows_first": "x and y swapped",
    "half_off": "half a pixel further right and down",
    "rounded": "rounded to whole pixels",
    "truncated": "truncated to whole pixels",
    "no_nose": "eyes and mouth only",
    "no_mouth": "eyes and nose only",
    "eyes": "eyes only",
}


def _align(state, i, op):
    for name, points in templates(op.size).items():
        if max(abs(p - q) for a, b in zip(points, op.points) for p, q in zip(a, b)) > 1e-6:
            yield Hypothesis(
                state._replace(chain=replaced(state.chain, i, op._replace(points=points))),
                (Change("alignment_template", "align", "the spec's template", name),),
            )
    if op.estimator == "umeyama":
        yield Hypothesis(
            state._replace(chain=replaced(state.chain, i, op._replace(estimator="affine3"))),
            (
                Change(
                    "alignment_template",
                    "align",
                    "similarity on five points",
                    "affine map through eyes and mouth",
                ),
            ),
            1.1,
        )
    # landmarks that lie alike in every picture are not known well enough: `registration.reordered`
    for landmarks, text in OTHER_LANDMARKS.items() if op.at is None else ():
        if op.estimator == "affine3" and text.endswith("only"):
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
