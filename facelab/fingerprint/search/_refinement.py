"""Find a hypothesis's number more finely, once its kind is known to help."""

from __future__ import annotations

from facelab.fingerprint.model._observed import FLOOR, Observed, Scored
from facelab.fingerprint.model._operations import Crop, Resize
from facelab.fingerprint.model._pipeline_state import Hypothesis


def refine_detour(observed: Observed, scored: Scored) -> Scored:
    """Find the size of a surplus first resize pixel by pixel, from the best of the customary sizes."""
    state = scored.hypothesis.state
    pairs = [
        i
        for i in range(len(state.chain) - 1)
        if all(isinstance(op, Resize) and op.mode == "stretch" for op in state.chain[i : i + 2])
    ]
    if not pairs or not any(c.kind == "resize_order" for c in scored.hypothesis.changes):
        return scored
    i, best = pairs[0], scored
    for step in (8, 4, 2, 1):
        improved = True
        while improved and observed.budget.left:
            improved = False
            side = best.hypothesis.state.chain[i].size[0]
            for n in (side - step, side + step):
                if n < 8:
                    continue
                op = state.chain[i]._replace(size=(n, n))
                chain = (*state.chain[:i], op, *state.chain[i + 1 :])
                changes = tuple(
                    c._replace(after=f"first to {n}×{n}, then to {state.chain[i + 1].size}")
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


def refine_cut(observed: Observed, scored: Scored) -> Scored:
    """Find the share that a centred crop keeps, or the margin about a face, and how it was rounded to pixels."""
    chain = scored.hypothesis.state.chain
    sides = next(
        (i for i, op in enumerate(chain) if isinstance(op, Crop) and op.region == "sides"), None
    )
    if sides is not None:
        return _refine_sides(observed, scored, sides)
    i = next(
        (
            i
            for i, op in enumerate(chain)
            if isinstance(op, Crop) and op.region in ("fraction", "face")
        ),
        None,
    )
    if i is None or not any(c.kind in ("crop", "margin") for c in scored.hypothesis.changes):
        return scored
    face = chain[i].region == "face"
    best = scored
    for step in (0.02, 0.01, 0.005, 0.0025):
        for style in ("size",) if face else ("size", "side", "floor", "corner", "edges"):
            for sign in (0, 1, -1):
                op = best.hypothesis.state.chain[i]
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


def _refine_sides(observed, best, i):
    """Find what is cut off each of the four sides."""
    pixels = best.hypothesis.state.chain[i].style == "pixels"
    for step in (8, 4, 2, 1) if pixels else (0.08, 0.04, 0.02, 0.01, 0.005):
        improved = True
        while improved and observed.budget.left and best.loss > FLOOR:
            before = best.loss
            for group in ((0, 1, 2, 3), (0, 2), (1, 3), (0,), (1,), (2,), (3,)):
                for sign in (1, -1):
                    op = best.hypothesis.state.chain[i]
                    box = tuple(
                        round(v + sign * step * (k in group), 6) for k, v in enumerate(op.box)
                    )
                    best = _recut(observed, best, i, op._replace(box=box))
            improved = best.loss < 0.9 * before
    return best


def _recut(observed, best, i, op):
    """The better of `best` and the same with crop `op` at place `i`."""
    chain = best.hypothesis.state.chain
    if op == chain[i]:
        return best
    state = best.hypothesis.state._replace(chain=(*chain[:i], op, *chain[i + 1 :]))
    text = f"{op.fraction:.3g} times the picture's sides"
    if op.region == "sides":
        unit = "pixels" if op.style == "pixels" else "of the sides"
        text = (
            "cut off left, top, right, bottom: " + ", ".join(f"{v:g}" for v in op.box) + f" {unit}"
        )
    elif op.region == "face":
        text = f"{op.pixels:g} pixels on each side" if op.pixels else f"{op.margin:.1%}"
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
