"""The other side's pipeline, found by changing the training side's as little as possible."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.fingerprint.model._observed import FLOOR, Observed
from facelab.fingerprint.model._operations import (
    Align,
    Chain,
    Crop,
    Orient,
    Refused,
    Resize,
    Warp,
)
from facelab.fingerprint.model._pipeline_state import Change, State
from facelab.fingerprint.model._planner import plan
from facelab.fingerprint.search._identify import explore
from facelab.fingerprint.search._per_picture import other_contrasts
from facelab.fingerprint.search._sides import Identified, border_levels
from facelab.fingerprint.search.candidates import _colour as colour
from facelab.fingerprint.search.candidates._sizes import (
    fits,
    follows_picture,
    rule_words,
    size_rules,
    with_sizes,
)


def resized(state: State, size: tuple[int, int]) -> State:
    """Return `state` with its final size changed to `size`."""
    chain, last = list(state.chain), None
    for i, op in enumerate(chain):
        if getattr(op, "size", None) is not None or getattr(op, "to", None) is not None:
            last = i
    if last is None:
        return state._replace(chain=(*chain, Resize(size)))
    op: Any = chain[last]
    before: Any = chain[last - 1]
    own: Any = getattr(op, "size", None)
    if type(op) is Crop and last and isinstance(before, Resize):
        scaled = zip(before.size or size, size, own or size)
        sides = tuple(max(1, round(b * s / o)) for b, s, o in scaled)
        chain[last - 1] = before._replace(size=sides)
    if (back := getattr(op, "back", None)) is not None:
        ratio = (own[0] / size[0], own[1] / size[1], 1.0) * 2
        op = op._replace(back=tuple(v * r for v, r in zip(back, ratio)))
    if (points := getattr(op, "points", None)) is not None:
        ratio = size[0] / own[0], size[1] / own[1]
        op = op._replace(points=tuple((x * ratio[0], y * ratio[1]) for x, y in points))
    chain[last] = op._replace(to=size) if hasattr(op, "to") else op._replace(size=size)
    return state._replace(chain=tuple(chain))


def starts_for(state: State, observed: Observed) -> list[tuple[State, tuple[Change, ...]]]:
    """Return where to look for the other side's pipeline: the training state, made to give the observed size."""
    if follows_picture(observed) or not _one_size(state, observed):
        return _other_rules(state, observed)
    name = observed.screen[0]
    try:
        have = plan(state.chain, observed.source(name, state.head))[1]
    except Refused:
        have = None
    want = observed.size[name]
    if have == want or have is None:
        return [(state, ())]
    change = Change("size", "resize", f"{have[0]}×{have[1]}", f"{want[0]}×{want[1]}")
    out = [(resized(state, want), (change,))]
    if have == want[::-1]:
        turned = Change("transpose", "output", "height × width", "width × height")
        out.insert(0, (state._replace(chain=(*state.chain, Orient(False, "transpose"))), (turned,)))
        for name in ("rotate90", "rotate270"):
            out.insert(
                1,
                (
                    state._replace(chain=(*state.chain, Orient(False, name))),
                    (Change("rotation", "output", "upright", name),),
                ),
            )
    return out


def _one_size(state: State, observed: Observed) -> bool:
    try:
        sizes = {plan(state.chain, observed.pictures[n].source)[1] for n in observed.plain}
    except Refused:
        return True
    return len(sizes) == 1


def _other_rules(state: State, observed: Observed) -> list[tuple[State, tuple[Change, ...]]]:
    """Where only one side brings every picture to one size, or they follow the picture by other rules."""
    if fits(observed, state.chain):
        return [(state, ())]
    resize = next((op for op in state.chain if isinstance(op, Resize)), Resize((1, 1)))
    was = rule_words(state.chain)
    return [
        (state._replace(chain=chain), (Change("size", "resize", was, rule_words(chain)),))
        for ops in size_rules(observed, resize)
        for chain in [with_sizes(state.chain, ops)]
    ] or [(state, ())]


def infer_side(train: Identified, observed: Observed) -> Identified:
    """Find the other side's pipeline by changing the training side's as little as possible."""
    gray = tuple(train.linear.weights[0]) if train.linear.matrix.shape[0] == 1 else None
    border = border_levels(train)
    if border is not None and np.isfinite(border).all():
        observed.border = np.full(3, border.mean(), dtype=np.float32)
    observed.means = colour.means_of(train.linear)
    best: Identified | None = None
    starts = starts_for(train.state, observed)
    own = next((s for s, changes in starts if not changes), None)
    if own is not None:
        # what training does may explain this side, too
        same = [(state, ()) for state in (own, *twins(own))]
        for state, changes in (*same, *other_contrasts(own, observed)):
            if not may_explain(observed, state):
                continue
            linear = observed.score(state, observed.plain, full=True)
            steps = [(c, np.inf, linear.loss) for c in changes]
            side = Identified(observed, state, linear, steps, np.inf if changes else linear.loss)
            if side.good:
                return side
    if len(starts) > 1:
        starts = sorted(starts, key=lambda s: observed.score(s[0]).loss)[:4]
    for state, changes in starts:
        side = explore(
            observed, state, gray=gray, floor=max(FLOOR, 1.2 * min(train.linear.loss, 4.0))
        )
        side.steps = [(c, np.inf, side.linear.loss) for c in changes] + side.steps
        if best is None or side.linear.loss < 0.8 * best.linear.loss:
            best = side
        if best.good or not observed.budget.left:
            break
    assert best is not None  # there is always a start
    return best


FEW = 2
"""Pictures that show at once that a pipeline does not explain a side."""


def may_explain(observed: Observed, state: State) -> bool:
    """Whether a pipeline may explain a side, going by few pictures: what is left of them alone is left of all."""
    few = observed.colourful[:FEW]
    if len(few) < FEW or len(observed.plain) < 2 * FEW:
        return True
    side = Identified(observed, state, observed.score(state, few, full=True), [])
    return side.linear.loss * np.sqrt(len(few) / len(observed.plain)) <= 2 * 1.35 * side.floor


TWINS = {"bilinear": "bilinear32", "bilinear32": "bilinear"}


def twins(state: State) -> list[State]:
    """Return the same pipeline in another arithmetic: a warp's weights exact or, as OpenCV has them, in 32nds."""
    chain = tuple(
        op._replace(kernel=TWINS[op.kernel])
        if isinstance(op, (Align, Warp)) and op.kernel in TWINS
        else op
        for op in state.chain
    )
    return [state._replace(chain=chain)] if chain != state.chain else []


def other_geometry(train: Chain, infer: Chain) -> Change | None:
    """Say in one cause how two chains differ that no single change leads from one to the other; None if they do not."""
    if train == infer:
        return None
    aligned = [any(isinstance(op, (Align, Warp)) for op in chain) for chain in (train, infer)]
    words = [
        ", ".join(type(op).__name__.lower() for op in chain if not isinstance(op, Orient))
        for chain in (train, infer)
    ]
    if any(aligned):
        if all(aligned):
            words = [
                "aligned to the training template",
                "aligned to another template, or by other landmarks",
            ]
        return Change("alignment_template", "align", *words)
    kind = "crop" if any(isinstance(op, Crop) for op in (*train, *infer)) else "aspect"
    return Change(kind, "resize", *words)
