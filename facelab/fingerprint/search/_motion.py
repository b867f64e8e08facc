"""Whole-pixel shifts and small affine motions, found on dense predictions instead of tried one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._budget import fit_work, prediction_work
from facelab.fingerprint.model._linear_fit import fit
from facelab.fingerprint.model._observed import FITTED, Observed, Scored
from facelab.fingerprint.model._operations import Affine, Refused
from facelab.fingerprint.model._pipeline_state import FILLS, Hypothesis, State, moved, shifted
from facelab.fingerprint.model._planner import turned_back
from facelab.fingerprint.model._predictor import Pixels, bordered, predict, sample
from facelab.fingerprint.probes._cache import LARGE

Dense = tuple[Pixels, Pixels, Pixels]
"""What a pipeline gives everywhere: values, cover, and both in a frame."""
Pick = Callable[[Pixels, Pixels, Pixels, Sequence[int], Sequence[int]], tuple[Pixels, Pixels]]
"""Takes values and cover at some rows and columns from what is dense."""


def motions(observed: Observed, state: State) -> list[Scored]:
    """Return the best whole-pixel shift and the best small affine motion, found on dense predictions."""
    names = [n for n in observed.screen if n != LARGE][:4]
    dense: dict[str, Dense] = {}
    try:
        for n in names:
            values, cover = predict(state.chain, observed.source(n, state.head))
            if values.shape[1::-1] != observed.size[n]:
                return []
            for t in state.tail:
                values = tone.apply(t, values) if t[0] not in FITTED else values
            dense[n] = (values, cover, bordered(np.concatenate([values, cover[..., None]], axis=2)))
            observed.budget.spend(
                3 * prediction_work(state.chain, observed.source(n, state.head), None, None)
            )
    except Refused:
        return []
    return [
        s
        for s in (_best_shift(observed, state, dense), _best_affine(observed, state, dense))
        if s is not None
    ]


def _dense_loss(observed: Observed, dense: Mapping[str, Dense], pick: Pick) -> float:
    xs: list[Pixels] = []
    ys: list[Pixels] = []
    for n, arrays in dense.items():
        x, c = pick(*arrays, observed.rows[n], observed.columns[n])
        inside = c.ravel() > 1 - 1e-4
        xs.append(x.reshape(-1, 3)[inside])
        ys.append(observed.y[n].reshape(-1, observed.y[n].shape[2])[inside])
    x, y = np.concatenate(xs), np.concatenate(ys)
    observed.budget.spend(0.1 + fit_work(len(x)) + 5e-5 * len(x))
    total = sum(observed.y[n].shape[0] * observed.y[n].shape[1] for n in dense)
    return fit(x, y).loss if len(x) > 0.3 * total else np.inf


def _shift_pick(dx: int, dy: int) -> Pick:
    def pick(
        values: Pixels, cover: Pixels, _: Pixels, rows: Sequence[int], columns: Sequence[int]
    ) -> tuple[Pixels, Pixels]:
        h, w = cover.shape
        r, c = np.asarray(rows) - dy, np.asarray(columns) - dx
        ok = ((r >= 0) & (r < h))[:, None] & ((c >= 0) & (c < w))[None]
        index = np.clip(r, 0, h - 1)[:, None], np.clip(c, 0, w - 1)[None]
        return values[index], cover[index] * ok

    return pick


def _best_shift(
    observed: Observed, state: State, dense: Mapping[str, Dense], reach: int = 12
) -> Scored | None:
    first = dict(list(dense.items())[:2])
    table = {
        (dx, dy): _dense_loss(observed, first, _shift_pick(dx, dy))
        for dx in range(-reach, reach + 1)
        for dy in range(-reach, reach + 1)
        if (dx or dy)
        and ((abs(dx) <= 4 and abs(dy) <= 4) or dx == 0 or dy == 0 or abs(dx) == abs(dy))
    }
    (dx, dy), loss = min(table.items(), key=lambda kv: kv[1])
    better = True
    while better:  # walk on from the best of the table, which has no long oblique moves
        near = [(dx + x, dy + y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
        values = {p: table.get(p) or _dense_loss(observed, first, _shift_pick(*p)) for p in near}
        best = min(values, key=values.__getitem__)
        better = values[best] < loss and max(abs(best[0]), abs(best[1])) <= 2 * reach
        if better:
            (dx, dy), loss = best, values[best]
    if not np.isfinite(loss):
        return None
    options = [shifted(state, dx, dy, fill) for fill in FILLS]
    options += [h for h in [moved(state, Affine(dx=dx, dy=dy), "folded")] if h.changes]
    return min((Scored(h, observed.score(h.state)) for h in options), key=lambda s: s.cost)


def _affine_pick(a: Affine) -> Pick:
    def pick(
        _: Pixels, cover: Pixels, framed: Pixels, rows: Sequence[int], columns: Sequence[int]
    ) -> tuple[Pixels, Pixels]:
        h, w = cover.shape
        both = sample(framed, turned_back(a, (w, h)), np.asarray(rows), np.asarray(columns))
        return both[..., :3].astype(np.float64), both[..., 3] * (both[..., 4] > 1 - 1e-6)

    return pick


STARTS = tuple(
    [
        Affine(degrees=d)
        for d in (-45, -30, -20, -15, -10, -7, -5, -3, -2, 2, 3, 5, 7, 10, 15, 20, 30, 45)
    ]
    + [Affine(zoom=z) for z in (0.6, 0.7, 0.8, 0.875, 0.93, 1.07, 1.15, 1.3, 1.5)]
    + [Affine(aspect=a) for a in (0.75, 0.85, 0.93, 1.07, 1.17, 1.33)]
    + [Affine(dx=x, dy=y) for x in (-3, -1, 0, 1, 3) for y in (-3, -1, 0, 1, 3)]
    + [Affine(dx=x, dy=y) for x in (-0.5, 0, 0.5) for y in (-0.5, 0, 0.5) if x or y]
)
_STEPS = {"degrees": 1.0, "zoom": 0.03, "aspect": 0.03, "dx": 0.6, "dy": 0.6}


def _best_affine(observed: Observed, state: State, dense: Mapping[str, Dense]) -> Scored | None:
    def loss(a: Affine, some: Mapping[str, Dense]) -> float:
        return _dense_loss(observed, some, _affine_pick(a))

    two = dict(list(dense.items())[:2])
    starts = sorted(((loss(a, two), a) for a in STARTS), key=lambda p: p[0])[:3]
    if not starts or not np.isfinite(starts[0][0]):
        return None
    found = min(
        (_descend(lambda a: loss(a, two), a, lambda: observed.budget.left) for _, a in starts),
        key=lambda p: p[0],
    )[1]
    found = _snap(lambda a: loss(a, dense), found)
    aim = _folded_finely(observed, state, found)
    places = (("output", found), ("input", _source_units(state, found)), ("folded", aim))
    options = [moved(state, a, place) for place, a in places]
    options += turned_before(observed, state, found.degrees)
    options = [h for h in options if h.changes]
    if not options:
        return None
    small = [n for n in observed.screen if n != LARGE]
    best = min(
        (Scored(h, observed.score(h.state, small)) for h in options), key=lambda s: s.cost
    ).hypothesis
    return Scored(best, observed.score(best.state))


def _folded_finely(observed: Observed, state: State, start: Affine) -> Affine:
    """Search an alignment's other aim on what it would give, for a motion of its output resamples twice."""
    if not moved(state, start, "folded").changes:
        return start
    names = [n for n in observed.screen if n != LARGE][:2]

    def loss(a: Affine) -> float:
        return observed.score(moved(state, a, "folded").state, names).loss

    return _snap(loss, _descend(loss, start, lambda: observed.budget.left, (0.3, 0.08, 0.02))[1])


def turned_before(observed: Observed, state: State, degrees: float) -> list[Hypothesis]:
    """Return the turn before the resampling that fits best, from the angle found behind it: the two differ where the
    resampling stretches or cuts."""
    if abs(degrees) < 1:
        return []

    def hypothesis(d: float) -> Hypothesis:
        return moved(state, Affine(degrees=round(d, 2)), "input")

    names = [n for n in observed.screen if n != LARGE][:2]
    best, value = degrees, observed.score(hypothesis(degrees).state, names).loss
    for step in (3.0, 1.0, 0.4, 0.2):
        for sign in (1, -1):
            while observed.budget.left:
                loss = observed.score(hypothesis(best + sign * step).state, names).loss
                if loss >= value:
                    break
                best, value = best + sign * step, loss
    return [hypothesis(best)]


def _source_units(state: State, a: Affine) -> Affine:
    return a._replace(dx=0.0, dy=0.0) if abs(a.dx) < 0.3 and abs(a.dy) < 0.3 else a


def _descend(
    loss: Callable[[Affine], float],
    start: Affine,
    going: Callable[[], bool],
    shrinks: tuple[float, ...] = (1.0, 0.4, 0.15),
) -> tuple[float, Affine]:
    """Coordinate descent with shrinking steps over the five numbers of an affine motion."""
    best, value = start, loss(start)
    for shrink in shrinks:
        for _ in range(3):
            if not going():
                break
            before = value
            for name, step in _STEPS.items():
                for sign in (1, -1):
                    for _ in range(6):
                        trial = best._replace(**{name: getattr(best, name) + sign * step * shrink})
                        if trial.zoom < 0.3 or trial.aspect < 0.3 or (v := loss(trial)) >= value:
                            break
                        best, value = trial, v
            if value > before * 0.97:
                break
    return value, best


def _snap(loss: Callable[[Affine], float], a: Affine) -> Affine:
    """Drop what hardly helps: a motion is as simple as its loss allows."""
    value = loss(a)
    for name, neutral in (
        ("dx", 0.0),
        ("dy", 0.0),
        ("aspect", 1.0),
        ("zoom", 1.0),
        ("degrees", 0.0),
    ):
        simpler = a._replace(**{name: neutral})
        if getattr(a, name) != neutral and (v := loss(simpler)) <= value * 1.12 + 0.05:
            a, value = simpler, v
    return a
