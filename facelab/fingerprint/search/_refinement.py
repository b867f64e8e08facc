"""Find a hypothesis's number more finely, once its kind is known to help."""

from __future__ import annotations

import itertools

from facelab.fingerprint.model._observed import FLOOR, Observed, Scored
from facelab.fingerprint.model._operations import Crop, Resize, op_at, places, replaced
from facelab.fingerprint.model._pipeline_state import Hypothesis
from facelab.fingerprint.search.candidates._faces import FACE_STYLES
from facelab.fingerprint.search.candidates._geometry import ANCHORS
from facelab.fingerprint.search.candidates._sizes import ROUNDINGS


def refine_detour(observed: Observed, scored: Scored) -> Scored:
    """Find the size of a surplus first resize pixel by pixel, from the best of the customary sizes."""
    state = scored.hypothesis.state
    pairs = [
        (i, first, second)
        for i, (first, second) in enumerate(itertools.pairwise(state.chain))
        if isinstance(first, Resize) and isinstance(second, Resize)
        if first.mode == "stretch" and second.mode == "stretch"
    ]
    if not pairs or not any(c.kind == "resize_order" for c in scored.hypothesis.changes):
        return scored
    (i, first, second), best = pairs[0], scored
    for step in (8, 4, 2, 1):
        improved = True
        while improved and observed.budget.left:
            improved = False
            side = op_at(best.hypothesis.state.chain, i, Resize).size[0]
            for n in (side - step, side + step):
                if n < 8:
                    continue
                chain = replaced(state.chain, i, first._replace(size=(n, n)))
                changes = tuple(
                    c._replace(after=f"first to {n}×{n}, then to {second.size}")
                    if c.kind == "resize_order"
                    else c
                    for c in scored.hypothesis.changes
                )
                trial = Scored(
                    Hypothesis(state._replace(chain=chain), changes, scored.hypothesis.price),
                    observed.score(state._replace(chain=chain)),
                )
                if trial.loss < 0.97 * best.loss:
                    best, improved = trial, True
    return best


def refine_fit(observed: Observed, scored: Scored) -> Scored:
    """Find together where a letterboxed picture lies and how its free side is rounded: each alone hardly helps."""
    chain = scored.hypothesis.state.chain
    boxed = [(i, op) for i, op in places(chain, Resize) if op.mode == "letterbox"]
    if not boxed or not any(c.kind in ("aspect", "shift") for c in scored.hypothesis.changes):
        return scored
    (i, first), best = boxed[0], scored
    for anchor, rounding in itertools.product(ANCHORS, ROUNDINGS):
        op = first._replace(anchor=anchor, size_rounding=rounding)
        if op == best.hypothesis.state.chain[i] or not observed.budget.left:
            continue
        state = scored.hypothesis.state._replace(chain=replaced(chain, i, op))
        linear = observed.score(state)
        if linear.loss < 0.9 * best.loss:
            text = f"letterbox, {ANCHORS[anchor]}"
            changes = tuple(
                c._replace(after=text) if c.kind in ("aspect", "shift") else c
                for c in scored.hypothesis.changes
            )
            best = Scored(Hypothesis(state, changes, scored.hypothesis.price), linear)
    return best


def refine_cover(observed: Observed, scored: Scored) -> Scored:
    """Find the size to which a picture is brought before its centre is cut out, pixel by pixel."""
    chain = scored.hypothesis.state.chain
    pairs = [
        (i, resize, cut.size)
        for i, (resize, cut) in enumerate(itertools.pairwise(chain))
        if isinstance(resize, Resize) and isinstance(cut, Crop)
        if cut.region == "center" and cut.size and resize.size[0] == resize.size[1]
    ]
    if not pairs or not any(c.kind == "crop" for c in scored.hypothesis.changes):
        return scored
    (i, resize, final), best = pairs[0], scored
    for step in (4, 2, 1):
        for sign in (1, -1):
            side = op_at(best.hypothesis.state.chain, i, Resize).size[0] + sign * step
            if side < max(final) or not observed.budget.left:
                continue
            op = resize._replace(size=(side, side))
            state = scored.hypothesis.state._replace(chain=replaced(chain, i, op))
            linear = observed.score(state)
            if linear.loss < 0.97 * best.loss:
                changes = tuple(
                    c._replace(after=f"to {side}") if c.after.startswith("to ") else c
                    for c in scored.hypothesis.changes
                )
                best = Scored(Hypothesis(state, changes, scored.hypothesis.price), linear)
    return best


def refine_cut(observed: Observed, scored: Scored) -> Scored:
    """Find the share that a centred crop keeps, or the margin about a face, and how it was rounded to pixels."""
    chain = scored.hypothesis.state.chain
    crops = places(chain, Crop)
    sides = next((i for i, op in crops if op.region == "sides"), None)
    if sides is not None:
        return _refine_sides(observed, scored, sides)
    i, crop = next(((i, op) for i, op in crops if op.region in ("fraction", "face")), (None, None))
    if (
        i is None
        or crop is None
        or not any(c.kind in ("crop", "margin") for c in scored.hypothesis.changes)
    ):
        return scored
    face = crop.region == "face"
    styles = ("size",) if face else ("size", "side", "inset", "floor", "corner", "edges")
    best = scored
    for style in () if face else styles:  # the customary share itself, before others fit by chance
        best = _recut(observed, best, i, crop._replace(style=style))
    for step in (0.02, 0.01, 0.005, 0.0025) if best.loss > FLOOR else ():
        for style in styles:
            for sign in (0, 1, -1):
                op = op_at(best.hypothesis.state.chain, i, Crop)
                if face and op.pixels:
                    trial = op._replace(pixels=round(op.pixels + sign * step * 100, 6))
                elif face:
                    trial = op._replace(margin=round(op.margin + sign * step, 6))
                else:
                    trial = op._replace(style=style, fraction=round(op.fraction + sign * step, 6))
                best = _recut(observed, best, i, trial)
        if best.loss <= FLOOR or not observed.budget.left:
            break
    return best


def polished(observed: Observed, scored: Scored, names: list[str] | None = None) -> Scored:
    """Bring a supposed crop about the face nearer: its rounding and antialiasing together, then its margin.

    `names` are the probes it is held against, by default the screen's.
    """
    chain = scored.hypothesis.state.chain
    i = next((i for i, op in places(chain, Crop) if op.region == "face"), None)
    j = next((j for j, _ in places(chain, Resize)), None)
    if i is None or j is None:
        return scored
    best = scored
    for steps in ((0.02, 0.01, 0.005), (0.005, 0.0025)):
        best = _styled(observed, best, i, j, names)
        for step in steps:
            for sign in (1, -1):
                crop = op_at(best.hypothesis.state.chain, i, Crop)
                name, size = ("pixels", 100) if crop.pixels else ("margin", 1)
                moved = round(getattr(crop, name) + sign * step * size, 6)
                best = _better(observed, best, i, crop._replace(**{name: moved}), names=names)
        if best.loss <= FLOOR or not observed.budget.left:
            break
    return _scanned(observed, best, i, names) if names and best.loss > FLOOR else best


SPAN, FINE = 0.012, 0.0005
"""How far about a margin, and how finely, it is looked for: whole pixels make its loss a staircase."""


def _scanned(observed: Observed, best: Scored, i: int, names: list[str]) -> Scored:
    """Look for the margin on the probes that fit worst, all values about it; the others belie no wrong one."""
    state = best.hypothesis.state
    crop = op_at(state.chain, i, Crop)
    if crop.pixels or best.loss > 30:
        return best
    single = {n: observed.score(state, [n]).loss for n in names}
    worst = sorted(single, key=single.__getitem__)[-3:]

    def loss(margin: float) -> float:
        chain = replaced(state.chain, i, crop._replace(margin=margin))
        return observed.score(state._replace(chain=chain), worst).loss

    steps = range(-round(SPAN / FINE), round(SPAN / FINE) + 1)
    tried = {m: loss(m) for k in steps for m in [round(crop.margin + k * FINE, 6)]}
    least = min(tried.values())
    equal = [m for m, v in tried.items() if v <= least + 1e-9]
    return _better(observed, best, i, crop._replace(margin=equal[len(equal) // 2]), names=names)


def _styled(observed: Observed, best: Scored, i: int, j: int, names: list[str] | None) -> Scored:
    """Try each rounding of the crop at place `i` with and without antialiasing of the resize at place `j`."""
    for style, antialias in itertools.product(FACE_STYLES, (False, True)):
        chain = best.hypothesis.state.chain
        resize, crop = op_at(chain, j, Resize), op_at(chain, i, Crop)
        if resize.kernel == "bilinear":
            other = j, resize._replace(antialias=antialias)
            best = _better(observed, best, i, crop._replace(style=style), other, names)
    return best


def _better(
    observed: Observed,
    best: Scored,
    i: int,
    op: Crop,
    other: tuple[int, Resize] | None = None,
    names: list[str] | None = None,
) -> Scored:
    """The better of `best` and the same with other steps."""
    chain = list(best.hypothesis.state.chain)
    chain[i] = op
    if other is not None:
        chain[other[0]] = other[1]
    if tuple(chain) == best.hypothesis.state.chain or not observed.budget.left:
        return best
    state = best.hypothesis.state._replace(chain=tuple(chain))
    linear = observed.score(state, names)
    return (
        Scored(best.hypothesis._replace(state=state), linear) if linear.loss < best.loss else best
    )


def _refine_sides(observed: Observed, best: Scored, i: int) -> Scored:
    """Find what is cut off each of the four sides."""
    pixels = op_at(best.hypothesis.state.chain, i, Crop).style == "pixels"
    if not pixels:
        best = _customary_sides(observed, best, i)
    for step in (8, 4, 2, 1) if pixels else (0.08, 0.04, 0.02, 0.01, 0.005):
        improved = True
        while improved and observed.budget.left and best.loss > FLOOR:
            before = best.loss
            for group in ((0, 1, 2, 3), (0, 2), (1, 3), (0,), (1,), (2,), (3,)):
                for sign in (1, -1):
                    op = op_at(best.hypothesis.state.chain, i, Crop)
                    box = tuple(
                        round(v + sign * step * (k in group), 6) for k, v in enumerate(op.cut_off)
                    )
                    best = _recut(observed, best, i, op._replace(box=box))
            improved = best.loss < 0.9 * before
    return best


CUSTOMARY = (1 / 16, 0.1, 1 / 8, 0.15, 1 / 6, 0.2, 0.25, 0.3, 1 / 3, 0.4, 0.5)


def _customary_sides(observed: Observed, best: Scored, i: int) -> Scored:
    """The same share off each side that is cut, as people write it, rounded or truncated to whole pixels."""
    start = op_at(best.hypothesis.state.chain, i, Crop)
    for share in CUSTOMARY:
        for style in ("size", "floor"):
            box = tuple(share if v else 0.0 for v in start.cut_off)
            best = _recut(observed, best, i, start._replace(box=box, style=style))
            if best.loss <= FLOOR or not observed.budget.left:
                return best
    return best


def _recut(observed: Observed, best: Scored, i: int, op: Crop) -> Scored:
    """The better of `best` and the same with crop `op` at place `i`."""
    chain = best.hypothesis.state.chain
    if op == chain[i]:
        return best
    state = best.hypothesis.state._replace(chain=replaced(chain, i, op))
    text = f"{op.fraction:.3g} times the picture's sides"
    if op.region == "sides":
        unit = "pixels" if op.style == "pixels" else "of the sides"
        shares = ", ".join(f"{v:g}" for v in op.cut_off)
        text = f"cut off left, top, right, bottom: {shares} {unit}"
    elif op.region == "face":
        text = f"{op.pixels:g} pixels on each side" if op.pixels else f"{100 * op.margin:.3g}%"
        if op.tall is not None:
            text = f"{100 * op.margin:.3g}% left and right, {100 * op.tall:.3g}% above and below"
        if op.above is not None:
            text = f"{op.pixels:g} pixels left and right, {op.above:g} above and below"
    elif op.fraction < 1:
        text = f"centred {op.fraction:.3g} of each side"
    changes = tuple(
        c._replace(after=text) if c.kind in ("crop", "margin") else c
        for c in best.hypothesis.changes
    )
    linear = observed.score(state)
    if linear.loss >= 0.98 * best.loss:
        return best
    return Scored(Hypothesis(state, changes, best.hypothesis.price), linear)
