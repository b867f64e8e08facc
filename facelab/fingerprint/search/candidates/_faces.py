"""The single changes of a crop about the face that are tried: its shape, its margins, its rounding, its border."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from facelab.fingerprint.model._operations import Chain, Crop, Resize, replaced
from facelab.fingerprint.model._pipeline_state import Change, Hypothesis, State

MARGINS = (-0.1, -0.05, *(round(0.05 * k, 2) for k in range(11)), 0.6, 0.75, 1.0)
"""Customary margins about a face on each side, as shares of the box."""
OF_OUTPUT = (8, 14, 20, 32, 40, 44)


def _of_output(rest: Chain) -> list[float]:
    """The margins of a face in pixels of the output, as MTCNN's ports have them, as shares of the box."""
    size = next((op.size[0] for op in rest if isinstance(op, Resize)), 0)
    return [m / (size - m) / 2 for m in OF_OUTPUT if size >= 2 * m]


OFFSETS = ((20, 40), (30, 60), (10, 20))
"""Margins of well-known demos in pixels, beside a face and above it."""
TALL = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Customary margins as shares of the box where they differ beside the face and above it."""
FACE_STYLES = {
    "size": "rounded half up",
    "even": "rounded half to even",
    "floor": "truncated",
    "outward": "rounded outwards",
}


def face_crops(state: State, i: int, op: Crop) -> Iterator[Hypothesis]:
    """Yield `state` with the crop about the face at place `i` of its chain changed in one thing."""
    for aspect in ("keep", "square_longer", "square_shorter"):
        if aspect != op.aspect:
            yield Hypothesis(
                state._replace(chain=replaced(state.chain, i, op._replace(aspect=aspect))),
                (Change("aspect", "crop", op.aspect, aspect),),
            )
    for margin in (*MARGINS, *_of_output(state.chain[i + 1 :])):
        if abs(margin - op.margin) > 1e-6 or op.pixels:
            now = f"{op.pixels:g} pixels" if op.pixels else f"{100 * op.margin:.3g}% of the box"
            plain = op._replace(margin=margin, pixels=0.0, above=None, tall=None)
            chain = replaced(state.chain, i, plain)
            change = Change("margin", "crop", f"{now} on each side", f"{100 * margin:.3g}%")
            yield Hypothesis(state._replace(chain=chain), (change,))
    yield from _face_details(state, i, op)
    for outside in ("clip", "constant", "replicate"):
        if outside != op.outside:
            yield Hypothesis(
                state._replace(chain=replaced(state.chain, i, op._replace(outside=outside))),
                (Change("crop", "crop", f"outside {op.outside}", f"outside {outside}"),),
                1.2,
            )


def _face_details(state: State, i: int, op: Crop) -> Iterator[Hypothesis]:
    """Margins in pixels, a box that is cut at the border first, and other roundings to whole pixels."""
    was = (
        f"{op.pixels:g} pixels" if op.pixels else f"{100 * op.margin:.3g}% of the box on each side"
    )
    for pixels in (4, 8, 10, 12, 16, 20, 22, 24, 32, 40, 44):
        if pixels == op.pixels:
            continue
        changed = op._replace(margin=0.0, pixels=float(pixels), above=None, tall=None)
        yield Hypothesis(
            state._replace(chain=replaced(state.chain, i, changed)),
            (Change("margin", "crop", was, f"{pixels} pixels on each side"),),
            1.1,
        )
    for beside, above in OFFSETS:
        changed = op._replace(margin=0.0, pixels=float(beside), above=float(above), tall=None)
        text = f"{beside} pixels left and right, {above} above and below"
        yield Hypothesis(
            state._replace(chain=replaced(state.chain, i, changed)),
            (Change("margin", "crop", was, text),),
            1.2,
        )
    for beside, above in itertools.permutations(TALL, 2):
        changed = op._replace(margin=beside, tall=above, pixels=0.0, above=None)
        text = f"{100 * beside:.3g}% left and right, {100 * above:.3g}% above and below"
        yield Hypothesis(
            state._replace(chain=replaced(state.chain, i, changed)),
            (Change("margin", "crop", was, text),),
            1.2,
        )
    if op.margin or op.pixels:
        words = ("cut at the border after the margin", "before the margin")
        yield Hypothesis(
            state._replace(chain=replaced(state.chain, i, op._replace(early=not op.early))),
            (Change("margin", "crop", *(words if not op.early else words[::-1])),),
            1.2,
        )
    for style, words in FACE_STYLES.items():
        if style != op.style:
            change = Change("crop", "crop", f"box {FACE_STYLES[op.style]}", words)
            chain = replaced(state.chain, i, op._replace(style=style))
            yield Hypothesis(state._replace(chain=chain), (change,), 1.3)
