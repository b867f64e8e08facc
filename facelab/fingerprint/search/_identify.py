"""From two fingerprints to causes: identify each side's pipeline, and say what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from facelab.fingerprint.document._schema import Fingerprint
from facelab.fingerprint.model._linear_fit import Linear
from facelab.fingerprint.model._observed import FLOOR, Observed, Scored
from facelab.fingerprint.model._operations import (
    Align,
    Resize,
    Warp,
    from_stages,
    replaced,
)
from facelab.fingerprint.model._pipeline_state import RINGING, Change, Hypothesis, State
from facelab.fingerprint.model._tones import Tones, Weights
from facelab.fingerprint.search._motion import motions
from facelab.fingerprint.search._per_picture import (
    curved_starts,
    tiled_starts,
    toned_starts,
)
from facelab.fingerprint.search._ranking import rank, robust, spaced_starts, supposed, usual
from facelab.fingerprint.search._refinement import (
    polished,
    refine_cover,
    refine_cut,
    refine_detour,
    refine_fit,
)
from facelab.fingerprint.search._registration import likeliest, reordered
from facelab.fingerprint.search._sides import ENLARGED, Identified, steps_of
from facelab.fingerprint.search._tone_search import (
    bends,
    odd_steps,
    other_spaces,
    tonal_steps,
)
from facelab.fingerprint.search.candidates._geometry import neighbours
from facelab.fingerprint.search.candidates._placement import (
    AS_GIVEN,
    EYES_ALONE,
    ORDERS,
    Pixels,
    Shares,
    Template,
)

Bends = tuple[float, float]
"""What a free curve leaves for each picture alone, and for all together, RMS levels."""
HIDING = ("crop", "margin", "antialias", "resize_order")
WORTH_POLISHING = 42.0
"""RMS residual in levels within which a crop about the face may be the right one but for its rounding."""
FAR, CLOSE = 15.0, 3.0
"""RMS residuals in levels: none of the common pipelines is near; a pipeline is known but for details."""


def start_of(fingerprint: Fingerprint, observed: Observed) -> State | None:
    """Return the state that the fingerprint's own spec states, or None for a black box."""
    if not fingerprint.spec:
        return None
    stages = fingerprint.spec["stages"]
    head: Tones = ()
    if observed.family in ("yuyv", "nv12"):
        color = next((s for s in stages if s["op"] == "color" and s.get("from") == "yuv"), None)
        head = (("yuv", (color["matrix"], color["range"]) if color else ("bt601", "limited")),)
    return State(from_stages(stages), head)


def identify(
    fingerprint: Fingerprint, observed: Observed, start: State | None = None, *, warps: bool = True
) -> Identified:
    """Find the pipeline of one side: the spec's where there is one and it fits, else by searching from common ones.

    `warps` says whether points that lie alike in every picture are looked for, too.
    """
    start = start or start_of(fingerprint, observed)
    if start is not None:
        linear = observed.score(start, observed.plain, full=True)
        side = Identified(observed, start, linear, [])
        if side.good:
            return side
    if start is None and (side := _usual(observed)) is not None:
        return side
    states = [*([start] if start else []), *supposed(observed)]
    ranked = rank(observed, [Hypothesis(s, (), 0.0) for s in states], keep=3)
    if not ranked:
        return Identified(
            observed, states[0], Linear(np.ones((1, 3)), np.zeros(1), np.inf, np.inf, 0), []
        )
    odd = start is None and ranked[0].loss > CLOSE
    if odd:
        states += robust(observed)
        more = rank(observed, [Hypothesis(s, (), 0.0) for s in robust(observed)], keep=1)
        ranked = sorted([*ranked, *more], key=lambda s: s.cost)[:3]
        ranked = sorted(
            (polished(observed, s) if s.loss < WORTH_POLISHING else s for s in ranked),
            key=lambda s: s.cost,
        )
    sides: list[Identified] = []
    for side, enough in _attempts(observed, states, ranked, odd=odd, warps=warps):
        sides.append(side)
        if side.good or side.linear.loss < enough:
            return side
    good = [side for side in sides if side.good]
    return min(good or sides, key=lambda side: side.linear.loss)


def _usual(observed: Observed) -> Identified | None:
    """Return the side where one of the commonest pipelines explains every probe, None otherwise."""
    near = rank(observed, [Hypothesis(s, (), 0.0) for s in usual(observed)], keep=1)
    if not near or near[0].loss > FLOOR:
        return None
    state = near[0].hypothesis.state
    linear = observed.score(state, observed.plain, full=True)
    side = Identified(observed, state, linear, [], near[0].loss)
    return side if side.good else None


def _attempts(
    observed: Observed, states: list[State], ranked: list[Scored], *, odd: bool, warps: bool
) -> Iterator[tuple[Identified, float]]:
    """Yield what a side may do, likeliest first, and the loss below which that is believed though not all is explained.

    `odd` says that none of the pipelines that were supposed is near.
    """
    near = ranked[0].loss
    if odd and near > CLOSE:
        for s in spaced_starts(observed, states, near):
            yield explore(observed, s.hypothesis.state), 0.0
        for s in toned_starts(observed, states, near):
            yield _toned(observed, s), 0.0
        for s in curved_starts(observed, states, near):
            yield explore(observed, s.hypothesis.state), 0.0
        placements = (Template, Shares, Pixels) if warps else (Template,)
        for found in likeliest(observed, placements) if near > FAR else ():
            yield explore(observed, found, depth=1), CLOSE
    for s in ranked[:2]:
        yield explore(observed, s.hypothesis.state), 0.0
        if not observed.budget.left:
            break
    if odd and near > CLOSE:
        for s in tiled_starts(observed, states):
            yield _toned(observed, s), 0.0


def _toned(observed: Observed, s: Scored) -> Identified:
    found = s.hypothesis.state
    linear = observed.score(found, observed.plain, full=True)
    return Identified(observed, found, linear, [], s.loss)


def explore(
    observed: Observed,
    start: State,
    *,
    gray: Weights | None = None,
    depth: int = 3,
    floor: float = FLOOR,
) -> Identified:
    """Follow the steepest single changes from `start` until nothing is left to explain or nothing helps.

    A change must take away a quarter of what is left. Afterwards each change is dropped again if the rest does
    without it.
    """
    current = Scored(Hypothesis(start, (), 0.0), observed.score(start))
    step = steps_of(observed, current.linear)
    floor = max(floor, 1.1 * step / np.sqrt(12)) if 1.2 < step < 64 else floor
    trail: list[tuple[tuple[Change, ...], float, float]] = []
    for _ in range(depth):
        if current.loss <= floor or not observed.budget.left:
            break
        found = best_step(observed, current, gray, floor)
        if found is None:
            break
        trail.append((found.hypothesis.changes, current.loss, found.loss))
        if any(c.kind == "histogram" for c in found.hypothesis.changes):
            # equalising enlarges every rounding before it: what explains that much is not searched further
            made = Identified(observed, found.hypothesis.state, found.linear, []).enlarged
            floor = max(floor, 2.5, 1.35 * min(made, ENLARGED))
        current = found
        if any(c.kind == "quantization" for c in found.hypothesis.changes) and any(
            t[0] == "curve" for t in found.hypothesis.state.tail
        ):
            break  # so few values tell no more
    state = current.hypothesis.state
    linear = observed.score(state, observed.plain, full=True)
    steps = [(c, before, after) for changes, before, after in trail for c in changes]
    if linear.loss > 1.35 * floor and (cut := _clipped(state)) != state:
        trial = observed.score(cut, observed.plain, full=True)
        if trial.loss < linear.loss:
            state, linear = cut, trial
    if linear.loss > 1.35 * floor and all(c.kind in ("crop", "margin") for c, *_ in steps):
        whole = polished(observed, Scored(current.hypothesis, linear), observed.plain)
        state, linear = whole.hypothesis.state, whole.linear
    if linear.loss > 1.35 * floor and current.loss <= 1.35 * floor:
        found = settled(observed, Scored(current.hypothesis, linear))
        if found is not None:
            # a detail of a change that was made is not its own change
            changes = () if steps else found.hypothesis.changes
            steps += [(c, linear.loss, found.loss) for c in changes]
            state, linear = found.hypothesis.state, found.linear
    return Identified(observed, state, linear, steps, current.loss)


def _clipped(state: State) -> State:
    """The same pipeline with what its resize overshoots cut off at black and white."""
    chain = tuple(
        op._replace(clip=True) if isinstance(op, Resize) and op.kernel in RINGING else op
        for op in state.chain
    )
    return state._replace(chain=chain)


def settled(observed: Observed, current: Scored) -> Scored | None:
    """Return the pipeline one change away that holds on every plain probe, where `current` holds on the screen only."""
    losses = {n: observed.score(current.hypothesis.state, [n]).loss for n in observed.plain}
    worst = max(losses, key=losses.__getitem__)
    tried: list[Scored] = []
    for h in neighbours(current.hypothesis.state):
        if not observed.budget.left:
            break
        tried.append(Scored(h, observed.score(h.state, [worst])))
    near = sorted(tried, key=lambda s: s.cost)[:4]
    whole = [
        Scored(s.hypothesis, observed.score(s.hypothesis.state, observed.plain, full=True))
        for s in near
        if s.loss < 0.5 * losses[worst]
    ]
    found = min(whole, key=lambda s: s.cost, default=None)
    return found if found is not None and found.loss < 0.5 * current.loss else None


def best_step(
    observed: Observed, current: Scored, gray: Weights | None, floor: float
) -> Scored | None:
    """Return the single change that helps most, cheap kinds of change first; None if none takes a quarter away."""
    state = current.hypothesis.state
    options = [
        refine_cover(
            observed, refine_fit(observed, refine_cut(observed, refine_detour(observed, s)))
        )
        if floor < s.loss < 0.85 * current.loss
        else s
        for s in rank(observed, neighbours(state), keep=2)
    ]

    def done(limit: float = floor) -> bool:
        return not observed.budget.left or (bool(options) and min(o.loss for o in options) <= limit)

    if not done(max(floor, CLOSE)):
        options += _landmarks(observed, current, ORDERS)
    alone, together = (np.inf, np.inf) if done() else bends(observed, current, gray)
    # follow the best candidate at once; a crop or a blur hides misplacement, so it must explain nearly everything
    hides = bool(options) and any(
        c.kind in HIDING for c in min(options, key=lambda o: o.loss).hypothesis.changes
    )
    enough = max(floor, (0.2 if hides else 0.42) * current.loss)
    if hides and _holds_on_most(observed, current, min(options, key=lambda o: o.loss), floor):
        enough = np.inf
    # with the right geometry, output against input is a thin curve; if no curve fits, the geometry is wrong
    bent, thin = (min(alone, together) < share * current.loss for share in (0.85, 0.5))
    frames = observed.family in ("yuyv", "nv12")
    tonal = [other_spaces, tonal_steps if bent or frames else odd_steps]
    for look in (*tonal, _motions, _elsewhere) if thin else (_motions, _elsewhere, *tonal):
        if not done(enough):
            options += look(observed, current, gray, floor, (alone, together), options)
    helps = [o for o in options if o.loss <= min(0.75 * current.loss, current.loss - 0.35)]
    # whatever is out of place differs less once it is blurred
    sharp = [
        o for o in helps if not blurs(o.hypothesis) or o.loss <= max(3 * floor, 0.35 * current.loss)
    ]
    return min(sharp or helps, key=lambda s: s.cost, default=None)


def _holds_on_most(observed: Observed, current: Scored, best: Scored, floor: float) -> bool:
    """Whether a change leaves nothing on most pictures, which differed before: another cause shows on the rest."""
    before, after = (
        [observed.score(s.hypothesis.state, [n]).loss for n in observed.screen]
        for s in (current, best)
    )
    return float(np.median(after)) <= 1.35 * floor and float(np.median(before)) > FAR


def blurs(hypothesis: Hypothesis) -> bool:
    """Whether a hypothesis adds a blur, or a resize more."""
    return any(c.kind == "resize_order" or "blur" in c.after for c in hypothesis.changes)


def _landmarks(
    observed: Observed, current: Scored, orders: Mapping[str, tuple[int, ...]], only: str = ""
) -> list[Scored]:
    """A placement that is the same for every picture, but elsewhere, or of landmarks mixed up, as it fits.

    `only` are those of a face's own landmarks that are used, all of them when empty.
    """
    state = current.hypothesis.state
    i, op = next(
        ((i, op) for i, op in enumerate(state.chain) if isinstance(op, (Align, Warp))), (None, None)
    )
    if i is None or op is None or current.loss < FAR:
        return []
    if (
        isinstance(op, Align)
        and op.at is None
        and (orders is ORDERS or op.landmarks != "given" or op.estimator != "umeyama")
    ):
        return []  # single changes, which `neighbours` has
    if only:
        if not isinstance(op, Align) or op.at is not None:
            return []
        op = op._replace(landmarks=only)
    found = reordered(observed, op, orders)
    if found is None:
        return []
    changed = state._replace(chain=replaced(state.chain, i, found[1]))
    change = Change("alignment_template", "align", "by landmarks in training's order", found[0])
    return [Scored(Hypothesis(changed, (change,), 1.3), observed.score(changed))]


def _elsewhere(
    observed: Observed,
    current: Scored,
    gray: Weights | None,
    floor: float,
    bent: Bends,
    options: list[Scored],
) -> list[Scored]:
    found = _landmarks(observed, current, AS_GIVEN)
    if min((s.loss for s in found), default=np.inf) > 1.35 * floor and observed.budget.left:
        found += _landmarks(observed, current, EYES_ALONE, only="eyes")
    return found


def _motions(
    observed: Observed,
    current: Scored,
    gray: Weights | None,
    floor: float,
    bent: Bends,
    options: list[Scored],
) -> list[Scored]:
    return motions(observed, current.hypothesis.state)
