"""The single changes of geometry that are tried: each names its kind, and says what it was and what it would be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from facelab.fingerprint.model._operations import (
    Align,
    Blur,
    Crop,
    Orient,
    Pad,
    Resize,
    Shrink,
    Warp,
    op_at,
    places,
    replaced,
)
from facelab.fingerprint.model._pipeline_state import (
    KIND_OF,
    RESAMPLERS,
    RINGING,
    TRANSFORMS,
    Change,
    Hypothesis,
    State,
    resampler_changes,
)
from facelab.fingerprint.search.candidates._alignment import other_alignments
from facelab.fingerprint.search.candidates._faces import face_crops


def neighbours(state: State) -> Iterator[Hypothesis]:
    """Yield every pipeline that differs from `state` by one change of geometry."""
    for i, op in enumerate(state.chain):
        if isinstance(op, Resize):
            yield from _resize(state, i, op)
        elif isinstance(op, Crop):
            yield from _crop(state, i, op)
        elif isinstance(op, (Align, Warp)):
            yield from other_alignments(state, i, op)
        elif isinstance(op, Pad):
            if op.square:
                yield from _not_square_first(state, i)
            for anchor, words in ANCHORS.items():
                if anchor != op.anchor:
                    chain = replaced(state.chain, i, op._replace(anchor=anchor))
                    change = Change("shift", "pad", f"picture {ANCHORS[op.anchor]}", words)
                    yield Hypothesis(state._replace(chain=chain), (change,))
    yield from _turned(state)
    yield from _orders(state)
    yield from _blurs(state)
    yield from _cut(state)


def _not_square_first(state: State, i: int) -> Iterator[Hypothesis]:
    """Resized before it is padded, or not padded at all, where training pads to a square first."""
    j, resize = next(((j, op) for j, op in places(state.chain, Resize) if j > i), (None, None))
    if j is None or resize is None:
        return
    was = "padded to a square, then resized"
    without = state.chain[:i] + state.chain[i + 1 :]
    stretched = Change("aspect", "pad", was, "stretched, not padded")
    yield Hypothesis(state._replace(chain=without), (stretched,))
    pad = op_at(state.chain, i, Pad)
    later = Change("resize_order", "pad", was, "resized, then padded to a square")
    for rounding in ("half_up", "floor"):
        boxed = resize._replace(mode="letterbox", anchor=pad.anchor, size_rounding=rounding)
        chain = replaced(without, j - 1, boxed)
        yield Hypothesis(state._replace(chain=chain), (later,), 1.1)


def _resize(state: State, i: int, op: Resize) -> Iterator[Hypothesis]:
    for kernel, antialias, centers in RESAMPLERS:
        if (kernel, antialias, centers) != (op.kernel, op.antialias, op.centers):
            other = op._replace(kernel=kernel, antialias=antialias, centers=centers)
            changes = resampler_changes(op, other)
            rare = (
                0.3
                if kernel in ("hamming", "mitchell", "box", "gaussian") or centers == "corner"
                else 0.0
            )
            yield Hypothesis(
                state._replace(chain=replaced(state.chain, i, other)), changes, len(changes) + rare
            )
            if kernel in RINGING:
                chain = replaced(state.chain, i, other._replace(clip=not op.clip))
                yield Hypothesis(state._replace(chain=chain), changes, len(changes) + rare + 0.1)
    yield from _fit(state, i, op)


ANCHORS = {
    "center": "in the middle",
    "top_left": "at the top left",
    "center_up": "in the middle, an odd pixel before it",
    "center_exact": "in the middle by its unrounded size",
}
"""Where a padded picture lies."""
CUT_FROM = (256 / 224, 72 / 64, 48 / 44, 128 / 112, 1.25)
"""Customary ratios of what is resized to what is cut out of it."""
MODES = {
    "stretch": "stretched to {}",
    "letterbox": "letterboxed into {}, {}",
    "cover": "scaled to cover {}, centre cut",
}


def _fit(state: State, i: int, op: Resize) -> Iterator[Hypothesis]:
    """Other ways of bringing a picture of another shape to the size."""
    following: Any = state.chain[i + 1] if i + 1 < len(state.chain) else None
    cut = type(following) is Crop and following.region == "center"
    final: Any = following.size if cut else op.size
    rest = state.chain[i + 2 :] if cut else state.chain[i + 1 :]
    now = (
        f"{op.mode}, centre cut"
        if cut
        else op.mode + (f" {op.anchor}" if op.mode == "letterbox" else "")
    )
    base = op._replace(size=final, mode="stretch")
    options = {
        "stretch": (base,),
        "letterbox center": (base._replace(mode="letterbox", anchor="center"),),
        "letterbox top_left": (base._replace(mode="letterbox", anchor="top_left"),),
        "letterbox center_up": (base._replace(mode="letterbox", anchor="center_up"),),
        "letterbox center_exact": (base._replace(mode="letterbox", anchor="center_exact"),),
        "cover, centre cut": (
            base._replace(mode="cover"),
            following if cut else Crop("center", size=final),
        ),
    }
    for name, ops in options.items():
        if name == now or (state.chain[:i] + ops + rest) == state.chain:
            continue
        kind = "shift" if name.startswith("letterbox") and now.startswith("letterbox") else "aspect"
        if "cut" in name:
            kind = "crop" if now == "stretch" else "aspect"
        elif name == "stretch" and now == "stretch, centre cut":
            kind = "crop"
        change = Change(kind, "resize", _placed(now), _placed(name))
        yield Hypothesis(state._replace(chain=state.chain[:i] + ops + rest), (change,))
    if not cut:
        yield from _cut_from_larger(state, i, op, now)
    if cut:
        # other sizes before the centre cut, and the same size without keeping the aspect
        for side in sorted(
            {
                round(max(final) * k)
                for k in (1.0, 1.03, 1.036, 1.05, 1.07, 1.1, 1.143, 1.2, 1.25, 1.33)
            }
        ):
            if side != op.size[0] and min(op.size) == max(op.size):
                chain = replaced(state.chain, i, op._replace(size=(side, side)))
                yield Hypothesis(
                    state._replace(chain=chain),
                    (
                        Change(
                            "crop",
                            "resize",
                            f"resized to {op.size[0]} before the cut",
                            f"to {side}",
                        ),
                    ),
                    1.1,
                )
        w, h = final
        chain = replaced(state.chain, i + 1, Crop("box", box=(0, 0, w, h)))
        change = Change("crop", "crop", f"the middle {w}×{h} cut out", "the top left cut out")
        yield Hypothesis(state._replace(chain=chain), (change,), 1.1)
        if op.mode == "cover":
            yield Hypothesis(
                state._replace(chain=replaced(state.chain, i, op._replace(mode="stretch"))),
                (
                    Change(
                        "aspect", "resize", "aspect kept, centre cut", "stretched, then centre cut"
                    ),
                ),
            )
    if op.mode == "letterbox":
        small = op._replace(enlarge=not op.enlarge)
        words = ("small pictures enlarged", "small pictures left as they are, in a wider border")
        yield Hypothesis(
            state._replace(chain=replaced(state.chain, i, small)),
            (Change("margin", "resize", *(words if op.enlarge else words[::-1])),),
        )
    if op.mode != "stretch":
        for rounding in ("floor", "half_up", "ceil"):
            if rounding != op.size_rounding:
                yield Hypothesis(
                    state._replace(
                        chain=replaced(state.chain, i, op._replace(size_rounding=rounding))
                    ),
                    (Change("size", "resize", f"free side rounded {op.size_rounding}", rounding),),
                    1.2,
                )


def _cut_from_larger(state: State, i: int, op: Resize, now: str) -> Iterator[Hypothesis]:
    """The shorter side resized to more than is wanted, and the middle of that cut out."""
    w, h = op.size
    if w != h or op.mode not in ("stretch", "cover"):
        return
    for side in sorted({round(w * k) for k in CUT_FROM}):
        for rounding, style in itertools.product(("floor", "half_up"), ("size", "even")):
            first = op._replace(size=(side, side), mode="cover", size_rounding=rounding)
            ops = first, Crop("center", size=op.size, style=style)
            text = f"shorter side {side}, then the middle {w}×{h} cut out"
            yield Hypothesis(
                state._replace(chain=replaced(state.chain, i, *ops)),
                (Change("crop", "resize", now, text),),
                1.3,
            )


def _placed(name: str) -> str:
    mode, _, anchor = name.partition(" ")
    return f"{mode}, {ANCHORS[anchor]}" if anchor in ANCHORS else name


def _crop(state: State, i: int, op: Crop) -> Iterator[Hypothesis]:
    without = state.chain[:i] + state.chain[i + 1 :]
    if op.region == "face":
        yield from face_crops(state, i, op)
    if op.region == "fraction" and op.fraction < 1:
        chain = replaced(state.chain, i, op, op)
        change = Change("crop", "crop", "the middle is cut out once", "the middle is cut out twice")
        yield Hypothesis(state._replace(chain=chain), (change,), 1.1)
    if op.region == "center":
        words = "where the middle begins is rounded down", "half to even"
        even = op.style == "even"
        chain = replaced(state.chain, i, op._replace(style="size" if even else "even"))
        change = Change("crop", "crop", *(words[::-1] if even else words))
        yield Hypothesis(state._replace(chain=chain), (change,), 1.3)
    if op.region != "center" and op.region != "full":
        yield Hypothesis(
            state._replace(chain=without),
            (Change("crop", "crop", f"crop {op.region}", "no crop: the whole picture"),),
        )


RATIOS = ((16, 9), (4, 3), (3, 2), (9, 16), (3, 4), (2, 3))
"""Shapes that cameras and screens cut a picture to."""


def _turned(state: State) -> Iterator[Hypothesis]:
    """Mirrored, turned or transposed at the end, or right after decoding where that is not the same."""
    front, first = next(iter(places(state.chain, Orient)), (None, None))
    same_place = not any(
        isinstance(op, (Align, Warp, Pad))
        or (isinstance(op, Crop) and op.region in ("box", "face", "center"))
        or (isinstance(op, Resize) and op.mode == "letterbox" and op.anchor == "top_left")
        for op in state.chain
    )
    for name in TRANSFORMS:
        last = state.chain[-1]
        if isinstance(last, Orient) and last.transform != "none":
            continue
        change = (Change(KIND_OF[name], "output", "upright", name),)
        yield Hypothesis(state._replace(chain=(*state.chain, Orient(False, name))), change)
        if front is not None and first and not same_place and first.transform == "none":
            chain = replaced(state.chain, front, first._replace(transform=name))
            yield Hypothesis(
                state._replace(chain=chain), (change[0]._replace(stage="orient"),), 1.1
            )
    for i, op in enumerate(state.chain):
        if isinstance(op, Orient) and op.transform != "none":
            yield Hypothesis(
                state._replace(chain=replaced(state.chain, i, op._replace(transform="none"))),
                (Change(KIND_OF[op.transform], "orient", op.transform, "upright"),),
            )


def _orders(state: State) -> Iterator[Hypothesis]:
    """Two operations the other way round, one resize too many, or one too few."""
    chain = state.chain
    resizes = places(chain, Resize)
    yield from _cut_order(state)
    yield from _reductions(state)
    for i in range(len(chain) - 1):
        a, b = chain[i], chain[i + 1]
        if (
            isinstance(a, (Resize, Crop, Pad))
            and isinstance(b, (Resize, Crop, Pad))
            and type(a) is not type(b)
        ):
            swapped = (*chain[:i], b, a, *chain[i + 2 :])
            yield Hypothesis(
                state._replace(chain=swapped),
                (
                    Change(
                        "resize_order",
                        "resize",
                        f"{_name(a)}, then {_name(b)}",
                        f"{_name(b)}, then {_name(a)}",
                    ),
                ),
                1.2,
            )
    for i, op in resizes:
        if len(resizes) > 1:
            yield Hypothesis(
                state._replace(chain=chain[:i] + chain[i + 1 :]),
                (
                    Change(
                        "resize_order",
                        "resize",
                        f"{len(resizes)} resizes",
                        f"the one to {op.size} is missing",
                    ),
                ),
            )
        elif op.mode == "stretch":
            for side in sorted(
                {
                    24,
                    32,
                    40,
                    48,
                    56,
                    64,
                    80,
                    96,
                    112,
                    128,
                    160,
                    192,
                    224,
                    256,
                    2 * op.size[0],
                    op.size[0] // 2,
                }
            ):
                if side != op.size[0] and side >= 8:
                    first = op._replace(size=(side, side))
                    yield Hypothesis(
                        state._replace(chain=(*chain[:i], first, op, *chain[i + 1 :])),
                        (
                            Change(
                                "resize_order",
                                "resize",
                                f"one resize, to {op.size}",
                                f"first to {side}×{side}, then to {op.size}",
                            ),
                        ),
                        1.3,
                    )
    if len(resizes) == 2:
        (i, first), (j, second) = resizes
        ops = list(chain)
        ops[i], ops[j] = second._replace(size=first.size), first._replace(size=second.size)
        if ops[i] != first:
            yield Hypothesis(
                state._replace(chain=tuple(ops)),
                (Change("resize_order", "resize", "two resizes", "their kernels are swapped"),),
                1.2,
            )


def _reductions(state: State) -> Iterator[Hypothesis]:
    """Pictures read or reduced at a whole fraction of their size, or fitted into it first."""
    resizes = places(state.chain, Resize)
    if len(resizes) != 1 or any(isinstance(op, Shrink) for op in state.chain):
        return
    i, op = resizes[0]
    now = f"one resize, to {op.size}"
    for gap in (1.0, 1.1, 1.5, 2.0, 3.0):
        chain = replaced(state.chain, i, op._replace(gap=gap))
        text = f"reduced to whole blocks first (Pillow's reducing_gap {gap:g})"
        yield Hypothesis(
            state._replace(chain=chain), (Change("resize_order", "resize", now, text),), 1.3
        )
    for shrink, text in _shrinks():
        chain = (state.chain[0], shrink, *state.chain[1:])
        yield Hypothesis(
            state._replace(chain=chain), (Change("resize_order", "decode", now, text),), 1.3
        )
    if op.mode == "stretch":
        for second in dict.fromkeys((op, op._replace(kernel="bicubic", antialias=True))):
            chain = replaced(state.chain, i, second._replace(mode="inside"), second)
            text = "fitted into the size first (thumbnail), then stretched"
            yield Hypothesis(
                state._replace(chain=chain), (Change("resize_order", "resize", now, text),), 1.4
            )


def _shrinks() -> Iterator[tuple[Shrink, str]]:
    """Ways of reading a picture at a whole fraction of its size, in words."""
    for factor in (2, 3, 4, 8):
        for blocks in (False, True):
            yield Shrink(factor, blocks), f"read at 1/{factor} of the size first"
    for factor in (2, 3, 4):
        for every, what in (("pixels", "row and column"), ("rows", "row")):
            yield Shrink(factor, every=every), f"first one {what} of {factor} is taken"


def _cut_order(state: State) -> Iterator[Hypothesis]:
    """Cutting a square and resizing it, against resizing the shorter side and cutting then."""
    for i in range(len(state.chain) - 1):
        a, b = state.chain[i], state.chain[i + 1]
        words = "cut, then resized", "resized, then cut"
        if (
            isinstance(a, Crop)
            and a.region == "square"
            and isinstance(b, Resize)
            and b.size[0] == b.size[1]
        ):
            for rounding in ("floor", "half_up"):
                ops = b._replace(mode="cover", size_rounding=rounding), Crop("center", size=b.size)
                yield Hypothesis(
                    state._replace(chain=state.chain[:i] + ops + state.chain[i + 2 :]),
                    (Change("resize_order", "crop", *words),),
                    1.1,
                )
        if (
            isinstance(a, Resize)
            and a.mode == "cover"
            and isinstance(b, Crop)
            and b.region == "center"
            and a.size == b.size
        ):
            ops = Crop("square"), a._replace(mode="stretch")
            yield Hypothesis(
                state._replace(chain=state.chain[:i] + ops + state.chain[i + 2 :]),
                (Change("resize_order", "crop", *words[::-1]),),
                1.1,
            )


def _name(op: Crop | Pad | Resize) -> str:
    if isinstance(op, Crop):
        return f"crop {op.region}"
    return "pad" if isinstance(op, Pad) else f"resize to {op.size[0]}×{op.size[1]} ({op.mode})"


def _blurs(state: State) -> Iterator[Hypothesis]:
    """A Gaussian blur before the first resize, or at the end."""
    if any(isinstance(op, Blur) for op in state.chain):
        return
    first = next(
        (i for i, op in enumerate(state.chain) if isinstance(op, (Resize, Align, Warp))),
        len(state.chain),
    )
    for place, i in (("before the resize", first), ("at the end", len(state.chain))):
        for sigma in (0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0):
            yield Hypothesis(
                state._replace(chain=(*state.chain[:i], Blur(sigma), *state.chain[i:])),
                (
                    Change(
                        "antialias",
                        "resize",
                        "no extra blur",
                        f"a Gaussian blur of {sigma:g} pixels {place}",
                    ),
                ),
                1.4,
            )


def _cut(state: State) -> Iterator[Hypothesis]:
    """A crop before the first resize that should not be there."""
    i = next((k for k, op in enumerate(state.chain) if isinstance(op, Resize)), None)
    if i is None or any(
        isinstance(op, (Align, Warp)) or (isinstance(op, Crop) and op.region != "square")
        for op in state.chain
    ):
        return
    squared = any(isinstance(op, Crop) for op in state.chain)
    for crop, kind, text in (
        [] if squared else [(Crop("square"), "crop", "largest centred square")]
    ) + (
        [
            (Crop("fraction", fraction=f), "crop", f"centred {f:.3g} of each side")
            for f in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.875, 0.9, 0.92, 0.95, 0.97)
        ]
    ):
        yield Hypothesis(
            state._replace(chain=(*state.chain[:i], crop, *state.chain[i:])),
            (Change(kind, "crop", "whole picture", text),),
        )
    for (w, h), style in itertools.product(RATIOS, ("size", "rows", "columns")):
        crop = Crop("ratio", fraction=w / h, style=style)
        yield Hypothesis(
            state._replace(chain=(*state.chain[:i], crop, *state.chain[i:])),
            (Change("crop", "crop", "whole picture", f"the middle in {w}:{h}"),),
            1.1,
        )
    for side in (1, 2, 4, 8, 12, 16, 24, 32):
        crop = Crop("sides", box=(side,) * 4, style="pixels")
        yield Hypothesis(
            state._replace(chain=(*state.chain[:i], crop, *state.chain[i:])),
            (
                Change(
                    "crop",
                    "crop",
                    "whole picture",
                    f"{side} pixel{'s' * (side > 1)} cut off each side",
                ),
            ),
            1.2,
        )
    for share in (0.1, 0.2):
        for corner in ((1, 1, 0, 0), (1, 0, 0, 1), (0, 1, 1, 0), (0, 0, 1, 1)):
            crop = Crop("sides", box=tuple(share * c for c in corner))
            yield Hypothesis(
                state._replace(chain=(*state.chain[:i], crop, *state.chain[i:])),
                (Change("crop", "crop", "whole picture", "cut off centre"),),
                1.2,
            )
    for f in (1.1, 1.2, 1.25, 1.3, 1.4, 1.5, 1.6):
        for outside in ("constant", "replicate"):
            yield Hypothesis(
                state._replace(
                    chain=(
                        *state.chain[:i],
                        Crop("fraction", fraction=f, outside=outside),
                        *state.chain[i:],
                    )
                ),
                (Change("margin", "crop", "whole picture", f"{f:.3g} times the picture's sides"),),
                1.1,
            )
