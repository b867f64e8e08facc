"""From two fingerprints to causes: identify each side's pipeline, and say what differs."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from facelab.fingerprint.document._schema import Fingerprint
from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._linear_fit import LEVELS, Linear
from facelab.fingerprint.model._observed import FLOOR, Observed, Scored
from facelab.fingerprint.model._operations import (
    Align,
    Crop,
    Orient,
    Refused,
    Resize,
    Warp,
    from_stages,
    replaced,
)
from facelab.fingerprint.model._pipeline_state import RINGING, Change, Hypothesis, State
from facelab.fingerprint.model._planner import plan
from facelab.fingerprint.search._motion import motions
from facelab.fingerprint.search._per_picture import (
    LINES,
    other_contrasts,
    tiled_starts,
    toned_starts,
)
from facelab.fingerprint.search._ranking import rank, supposed
from facelab.fingerprint.search._refinement import refine_cut, refine_detour
from facelab.fingerprint.search._registration import registered, reordered
from facelab.fingerprint.search._tone_search import bends, odd_steps, tonal_steps
from facelab.fingerprint.search.candidates import _colour as colour
from facelab.fingerprint.search.candidates._geometry import neighbours
from facelab.fingerprint.search.candidates._placement import AS_GIVEN, ORDERS, Pixels, Shares
from facelab.fingerprint.search.candidates._sizes import (
    fits,
    follows_picture,
    rule_words,
    size_rules,
    with_sizes,
)

HIDING = ("crop", "margin", "antialias", "resize_order")
FAR, CLOSE = 15.0, 3.0
"""RMS residuals in levels: none of the common pipelines is near; a pipeline is known but for details."""


@dataclasses.dataclass
class Identified:
    """What one side was found to do: a state, its linear map over all plain probes, and the changes that led there
    from where the search began, each with the loss before and after."""

    observed: Observed
    state: State
    linear: Linear
    steps: list[tuple[Change, float, float]]
    screened: float = np.inf
    """The loss on the screen's probes alone."""

    @property
    def good(self) -> bool:
        """Whether the state explains the side's output to within rounding."""
        return self.linear.loss <= self.floor * 1.35

    @property
    def floor(self) -> float:
        return max(FLOOR, lattice(self), self.enlarged)

    @property
    def has_contrast(self) -> bool:
        """Whether some tone looks at the whole picture."""
        return any(t[0] in tone.WHOLE for t in (*self.state.head, *self.state.tail))

    @functools.cached_property
    def enlarged(self) -> float:
        """What a contrast of whole pictures makes of a rounding before it, in levels RMS."""
        return self.observed.enlarged(self.state, self.linear)


def lattice(side: Identified) -> float:
    """Return the RMS error in levels that the output's own step size leaves, 0 where its values are dense."""
    step = steps_of(side.observed, side.linear)
    return 1.1 * step / np.sqrt(12) if step > 1.2 else 0.0


def steps_of(observed: Observed, linear: Linear) -> float:
    """Return the spacing of the output's values in pixel levels (1 for 8-bit pixels scaled to floats, about 0 for
    real-valued resampling)."""
    values = np.concatenate([observed.y[n][..., 0].ravel() for n in observed.plain])
    unique = np.unique(np.round(values / linear.unit[0], 3))
    if len(unique) < 3:
        return 0.0
    return float(np.percentile(np.diff(unique), 10))


def start_of(fingerprint: Fingerprint, observed: Observed) -> State | None:
    """Return the state that the fingerprint's own spec states, or None for a black box."""
    if not fingerprint.spec:
        return None
    stages = fingerprint.spec["stages"]
    head: tuple = ()
    if observed.family in ("yuyv", "nv12"):
        color = next((s for s in stages if s["op"] == "color" and s.get("from") == "yuv"), None)
        head = (("yuv", (color["matrix"], color["range"]) if color else ("bt601", "limited")),)
    return State(from_stages(stages), head)


def identify(
    fingerprint: Fingerprint, observed: Observed, start: State | None = None, *, warps: bool = True
) -> Identified:
    """Find the pipeline of one side: the spec's where there is one and it fits, else by searching from common ones.

    `warps` says whether a warp to fixed points is looked for, too.
    """
    start = start or start_of(fingerprint, observed)
    if start is not None:
        linear = observed.score(start, observed.plain, full=True)
        side = Identified(observed, start, linear, [])
        if side.good:
            return side
    states = [*([start] if start else []), *supposed(observed)]
    ranked = rank(observed, [Hypothesis(s, (), 0.0) for s in states], keep=3)
    if not ranked:
        return Identified(
            observed, states[0], Linear(np.ones((1, 3)), np.zeros(1), np.inf, np.inf, 0), []
        )
    sides = []
    if start is None and ranked[0].loss > CLOSE:
        for s in toned_starts(observed, states, ranked[0].loss):
            found = s.hypothesis.state
            linear = observed.score(found, observed.plain, full=True)
            sides.append(Identified(observed, found, linear, [], s.loss))
            if sides[-1].good:
                return sides[-1]
    far = warps and ranked[0].loss > FAR and start is None
    for placement in (Shares, Pixels) if far else ():
        if (found := registered(observed, placement)) is not None:
            sides.append(explore(observed, found, depth=1))
            if sides[-1].linear.loss < CLOSE:
                return sides[-1]
    for s in ranked[:2]:
        sides.append(explore(observed, s.hypothesis.state))
        if sides[-1].good or not observed.budget.left:
            break
    if start is None and ranked[0].loss > CLOSE and not any(side.good for side in sides):
        for s in tiled_starts(observed, states):
            found = s.hypothesis.state
            linear = observed.score(found, observed.plain, full=True)
            sides.append(Identified(observed, found, linear, [], s.loss))
    good = [side for side in sides if side.good]
    return min(good or sides, key=lambda side: side.linear.loss)


def explore(
    observed: Observed,
    start: State,
    *,
    gray: tuple | None = None,
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
            floor = max(floor, 2.5)  # equalising enlarges every rounding before it
        current = found
        if any(c.kind == "quantization" for c in found.hypothesis.changes) and any(
            t[0] == "curve" for t in found.hypothesis.state.tail
        ):
            break  # so few values tell no more
    state = current.hypothesis.state
    linear = observed.score(state, observed.plain, full=True)
    steps = [(c, before, after) for changes, before, after in trail for c in changes]
    if linear.loss > 1.35 * floor and current.loss <= 1.35 * floor:
        found = settled(observed, Scored(current.hypothesis, linear))
        if found is not None:
            # a detail of a change that was made is no change of its own
            changes = () if steps else found.hypothesis.changes
            steps += [(c, linear.loss, found.loss) for c in changes]
            state, linear = found.hypothesis.state, found.linear
    return Identified(observed, state, linear, steps, current.loss)


def settled(observed: Observed, current: Scored) -> Scored | None:
    """Return the pipeline one change away that holds on every plain probe, where `current` holds on the screen only."""
    losses = {n: observed.score(current.hypothesis.state, [n]).loss for n in observed.plain}
    worst = max(losses, key=losses.__getitem__)
    tried = []
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
    observed: Observed, current: Scored, gray: tuple | None, floor: float
) -> Scored | None:
    """Return the single change that helps most, cheap kinds of change first; None if none takes a quarter away."""
    state = current.hypothesis.state
    options = [
        refine_cut(observed, refine_detour(observed, s))
        if floor < s.loss < 0.85 * current.loss
        else s
        for s in rank(observed, neighbours(state), keep=2)
    ]

    def done(limit=floor):
        return not observed.budget.left or (bool(options) and min(o.loss for o in options) <= limit)

    if not done(max(floor, CLOSE)):
        options += _landmarks(observed, current, ORDERS)
    alone, together = (np.inf, np.inf) if done() else bends(observed, current, gray)
    # what takes most away is followed at once; a cut or a blur, which hide what is out of place, only if nearly all
    hides = bool(options) and any(
        c.kind in HIDING for c in min(options, key=lambda o: o.loss).hypothesis.changes
    )
    enough = max(floor, (0.2 if hides else 0.42) * current.loss)
    # right geometry leaves a curve thin; where one hardly fits, the picture has moved rather than changed its tones
    bent, thin = (min(alone, together) < share * current.loss for share in (0.85, 0.5))
    frames = observed.family in ("yuyv", "nv12")
    tonal = [tonal_steps if bent or frames else odd_steps]
    for look in (*tonal, _motions, _elsewhere) if thin else (_motions, _elsewhere, *tonal):
        if not done(enough):
            options += look(observed, current, gray, floor, (alone, together), options)
    helps = [o for o in options if o.loss <= min(0.75 * current.loss, current.loss - 0.35)]
    # whatever is out of place differs less once it is blurred
    sharp = [
        o for o in helps if not blurs(o.hypothesis) or o.loss <= max(3 * floor, 0.35 * current.loss)
    ]
    return min(sharp or helps, key=lambda s: s.cost, default=None)


def blurs(hypothesis: Hypothesis) -> bool:
    """Whether a hypothesis adds a blur, or a resize more."""
    return any(c.kind == "resize_order" or "blur" in c.after for c in hypothesis.changes)


def _landmarks(observed: Observed, current: Scored, orders: dict[str, tuple]) -> list[Scored]:
    """A placement that is the same for every picture, but elsewhere, or of landmarks mixed up, as it fits."""
    state = current.hypothesis.state
    i = next((i for i, op in enumerate(state.chain) if isinstance(op, (Align, Warp))), None)
    if i is None or current.loss < FAR:
        return []
    op = state.chain[i]
    if (
        isinstance(op, Align)
        and op.at is None
        and (orders is ORDERS or op.landmarks != "given" or op.estimator != "umeyama")
    ):
        return []  # single changes, which `neighbours` has
    found = reordered(observed, op, orders)
    if found is None:
        return []
    changed = state._replace(chain=replaced(state.chain, i, found[1]))
    change = Change("alignment_template", "align", "by landmarks in training's order", found[0])
    return [Scored(Hypothesis(changed, (change,), 1.3), observed.score(changed))]


def _elsewhere(observed, current, gray, floor, bent, options) -> list[Scored]:
    return _landmarks(observed, current, AS_GIVEN)


def _motions(observed, current, gray, floor, bent, options) -> list[Scored]:
    return motions(observed, current.hypothesis.state)


def resized(state: State, size: tuple[int, int]) -> State:
    """Return `state` with its final size changed to `size`."""
    chain, last = list(state.chain), None
    for i, op in enumerate(chain):
        if getattr(op, "size", None) is not None or getattr(op, "to", None) is not None:
            last = i
    if last is None:
        return state._replace(chain=(*chain, Resize(size)))
    op = chain[last]
    if isinstance(op, Crop) and last and isinstance(chain[last - 1], Resize):
        before = chain[last - 1]
        chain[last - 1] = before._replace(
            size=tuple(max(1, round(b * s / o)) for b, s, o in zip(before.size, size, op.size))
        )
    if hasattr(op, "back"):
        ratio = (op.size[0] / size[0], op.size[1] / size[1], 1.0) * 2
        op = op._replace(back=tuple(v * r for v, r in zip(op.back, ratio)))
    if hasattr(op, "points"):
        ratio = size[0] / op.size[0], size[1] / op.size[1]
        op = op._replace(points=tuple((x * ratio[0], y * ratio[1]) for x, y in op.points))
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
    best: Identified | None = None
    starts = starts_for(train.state, observed)
    own = next((s for s, changes in starts if not changes), None)
    if own is not None:
        linear = observed.score(own, observed.plain, full=True)
        side = Identified(observed, own, linear, [], linear.loss)
        if side.good:
            return side  # what training does explains this side, too
        for state, changes in other_contrasts(own, observed):
            linear = observed.score(state, observed.plain, full=True)
            side = Identified(observed, state, linear, [(c, np.inf, linear.loss) for c in changes])
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
    return best


def other_geometry(train: tuple, infer: tuple) -> Change | None:
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


def applies_exif(side: Identified) -> bool | None:
    """Say whether a side turns pictures by their EXIF orientation; None if it cannot be told."""
    names = [n for n, p in side.observed.pictures.items() if p.source.orientation != 1]
    if any(t[0] in tone.WHOLE for t in side.state.tail):
        names = names[::3]  # whole pictures cost more to predict
    losses = {}
    for choice in (True, False):
        chain = tuple(
            op._replace(exif=choice) if isinstance(op, Orient) and i == _first(side.state) else op
            for i, op in enumerate(side.state.chain)
        )
        kept = [
            r for n in names if (r := _rms(side, side.state._replace(chain=chain), n)) is not None
        ]
        losses[choice] = float(np.mean(kept)) if kept else np.inf
    if not names or not np.isfinite(min(losses.values())):
        return None
    if max(losses.values()) < 1.5 * min(losses.values()) + 0.5:
        return None
    return losses[True] < losses[False]


def _first(state: State) -> int:
    return next((i for i, op in enumerate(state.chain) if isinstance(op, Orient)), -1)


def _rms(side: Identified, state: State, name: str) -> float | None:
    try:
        x, cover = side.observed.predicted(state, name)
    except Refused:
        return None
    inside = cover > 1 - 1e-4
    y = side.observed.y[name].reshape(-1, side.observed.y[name].shape[2])[inside]
    if not inside.any():
        return None
    limits = next((t[1] for t in side.state.tail if t[0] == "censor"), None)
    return colour.error_of(side.linear, x[inside], y, limits)


def lossy_error(side: Identified) -> float | None:
    """Return the side's RMS deviation in levels on upright JPEG probes, predicted with the accurate decoder."""
    names = [n for n, p in side.observed.pictures.items() if p.lossy and p.source.orientation == 1]
    states = [side.state]
    if any(isinstance(op, Resize) and op.kernel in RINGING for op in side.state.chain):
        # whether overshoot is clipped may show on these pictures only
        states += [
            side.state._replace(
                chain=tuple(
                    op._replace(clip=not op.clip) if isinstance(op, Resize) else op
                    for op in side.state.chain
                )
            )
        ]
    per_state = [[e for n in names if (e := _rms(side, state, n)) is not None] for state in states]
    return min(max(errors) for errors in per_state) if per_state[0] else None


def plain_error(side: Identified) -> float:
    """Return the side's largest RMS deviation in levels on a probe that every decoder reads alike."""
    return max(
        (e for n in side.observed.plain if (e := _rms(side, side.state, n)) is not None),
        default=0.0,
    )


def comparable_scaling(train: Identified, infer: Identified) -> bool:
    """Whether mean and scale of both sides mean the same: not if only one brings each picture to its own scale."""
    lines = [
        {t[0] for t in (*side.state.tail, *side.state.head) if t[0] in LINES}
        for side in (train, infer)
    ]
    curved = any(t[0] == "curve" for t in (*infer.state.tail, *infer.state.head))
    return lines[0] == lines[1] and not curved


def border_levels(side: Identified) -> np.ndarray | None:
    """Return the value of a letterbox border in pixel levels per channel, None where there is no border."""
    values = []
    for n in side.observed.plain:
        try:
            cover = side.observed.cover(side.state, n)
        except Refused:
            continue
        y = side.observed.y[n].reshape(-1, side.observed.channels)[cover < 1e-4]
        if len(y):
            values.append(y)
    if not values:
        return None
    median = np.median(np.concatenate(values), axis=0)
    gain = side.linear.gain
    return np.where(
        np.abs(gain) > 1e-9, (median - side.linear.offset) / np.where(gain == 0, 1, gain), LEVELS
    )
