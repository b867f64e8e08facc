"""A side whose contrast depends on each picture: its geometry is found first, by a line for each picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._linear_fit import fit
from facelab.fingerprint.model._observed import (
    CHANNELS,
    FLOOR,
    Observed,
    Scored,
    curve_residual,
)
from facelab.fingerprint.model._operations import Refused
from facelab.fingerprint.model._pipeline_state import Change, Hypothesis, State
from facelab.fingerprint.model._tones import Tone, Tones
from facelab.fingerprint.search.candidates._geometry import neighbours
from facelab.fingerprint.search.candidates._tone import describe

LINES = tone.LINES
EQUAL = ("equalize_each", "equalize_luma")
TILED = ("clahe",)
LIKELY = 48
"""Geometries that are held against a second probe."""
NEAR = 20.0
"""RMS levels about their own lines within which a geometry is worth trying tones on."""
WORTH = 0.4
"""The share of the loss that their own lines may leave for a contrast of whole pictures to be looked for."""
MIXES = ((0.299, 0.587, 0.114), (0.114, 0.587, 0.299), (1 / 3, 1 / 3, 1 / 3))


def own_lines(observed: Observed, state: State, names: list[str] | None = None) -> float:
    """Return the RMS residual in levels about its own line for each picture; infinite where impossible."""
    key = state, tuple(names or observed.screen)
    if key not in observed.lines_kept:
        observed.lines_kept[key] = _own_lines(observed, *key)
    return observed.lines_kept[key]


def _own_lines(observed: Observed, state: State, names: tuple[str, ...]) -> float:
    losses: list[float] = []
    try:
        for _, x, y, size in _seen(observed, state, names):
            observed.budget.spend(0.1 + 1e-4 * size)
            losses.append(min(fit(x, y).loss, 255.0))
    except Refused:
        return float("inf")
    return float(np.sqrt(np.mean(np.square(losses)))) if losses else float("inf")


def _seen(
    observed: Observed, state: State, names: Iterable[str]
) -> Iterator[tuple[str, np.ndarray, np.ndarray, int]]:
    """Yield name, prediction and observation of each picture that says something, and its number of pixels.

    Raises Refused where the pipeline cannot be predicted.
    """
    for n in names:
        x, cover = observed.predicted(state, n)
        inside = cover > 1 - 1e-4
        y = observed.y[n].reshape(-1, observed.channels)
        if inside.sum() >= 24 and y[inside].std() != 0:
            yield n, x[inside], y[inside], len(x)


def own_curves(observed: Observed, state: State, names: list[str] | None = None) -> float:
    """Return the RMS residual in levels about its own curve for each picture; infinite where impossible."""
    left: list[float] = []
    try:
        for n, x, y, size in _seen(observed, state, names or observed.screen):
            observed.budget.spend(0.1 + 1e-4 * size)
            for z, v in observed.curve_parts(state, fit(x, y), [n], CHANNELS):
                left.append(min(curve_residual(z, v), curve_residual(v, z)))
    except Refused:
        return float("inf")
    return float(np.sqrt(np.mean(left))) if left else float("inf")


BENT = 0.5
"""The share of the loss that a free curve may leave for customary ones to be tried."""


def curved_starts(observed: Observed, states: list[State], plain: float) -> list[Scored]:
    """Return the pipelines with a customary tone curve that explain a side, best first.

    `plain` is the least loss without one: the curve must leave much less. Which geometry is near is asked of free
    curves, since none of them fits a line.
    """
    quick = observed.screen[:3]
    likely = sorted(states, key=lambda s: own_lines(observed, s, quick[:1]))[:LIKELY]
    first = sorted((own_curves(observed, s, quick[:1]), i) for i, s in enumerate(likely))[:8]
    near = sorted((own_curves(observed, likely[i], quick), i) for _, i in first)[:3]
    if not near or near[0][0] > BENT * plain:
        return []
    mix = (("gray", MIXES[0]),) if observed.channels == 1 else ()
    tried: list[Scored] = []
    for _, i in near:
        for t in tone.CUSTOMARY:
            state = likely[i]._replace(tail=(*mix, t, *likely[i].tail))
            tried.append(Scored(Hypothesis(state, (), 0.0), observed.score(state)))
    found = sorted((s for s in tried if s.loss < WORTH * plain), key=lambda s: s.cost)
    return found[:2]


def bare(state: State) -> State:
    """Return `state` without tones that look at the whole picture."""
    return state._replace(
        head=tuple(t for t in state.head if t[0] not in tone.WHOLE),
        tail=tuple(t for t in state.tail if t[0] not in tone.WHOLE),
    )


TONED_WORK, TILED_WORK = 400.0, 400.0
"""Units of `budget.Budget` that looking for a contrast, and for tiles, may take, whatever was spent before it."""


def toned_starts(observed: Observed, states: list[State], plain: float) -> list[Scored]:
    """Return the pipelines whose contrast depends on the picture that explain a side, best first.

    `plain` is the least loss without such a contrast: their own lines must leave much less.
    """
    quick = observed.screen[:2]
    likely = sorted(states, key=lambda s: own_lines(observed, s, quick[:1]))[:LIKELY]
    first = sorted(likely, key=lambda s: own_lines(observed, s, quick))[:6]
    geometry = sorted(((own_lines(observed, s), s) for s in first), key=lambda t: t[0])[:3]
    if not geometry:
        return []
    near = min(NEAR, WORTH * plain)
    if geometry[0][0] > near and own_curves(observed, geometry[0][1]) > near / 2:
        return []
    observed.budget.grant(TONED_WORK)
    loss, state = _sharpened(observed, *geometry[0])
    shapes = (
        [state] if loss <= FLOOR * 1.5 else [state, *(s for _, s in geometry if s != state)][:2]
    )
    found: list[Scored] = []
    for shape in shapes:
        if found and not observed.budget.left:
            break
        lines = loss <= FLOOR * 1.5
        found += _with_borders(observed, shape, only=LINES if lines else (*LINES, *EQUAL, *TILED))
    return sorted(found, key=lambda s: s.cost)[:2]


BORDERS = (128.0, 114.0, 255.0)
"""Levels of a border that are tried, black first: a contrast of whole pictures sees the border too."""


def _with_borders(observed: Observed, shape: State, *, only: tuple[str, ...]) -> list[Scored]:
    """Score the tones of whole pictures on one geometry, with the border that fits best where it leaves one."""
    best = _tones_on(observed, shape, only=only)
    if observed.border is not None or not best or not _bordered(observed, shape):
        return best
    for level in BORDERS:
        if best[0].loss <= FLOOR * 1.5 or not observed.budget.left:
            break
        kept, observed.border = observed.border, np.full(3, level, np.float32)
        found = _tones_on(observed, shape, only=only)
        if found and found[0].loss < 0.5 * best[0].loss:
            best = found
        else:
            observed.border = kept
    return best


def _bordered(observed: Observed, shape: State) -> bool:
    """Whether a geometry leaves a border around some picture."""
    try:
        return any((observed.cover(shape, n) < 1e-4).any() for n in observed.screen)
    except Refused:
        return False


def tiled_starts(observed: Observed, states: list[State]) -> list[Scored]:
    """Return the pipelines whose contrast is equalised tile by tile that explain a side, best first: contrast that
    differs from place to place follows neither a line nor a curve for each picture."""
    observed.budget.grant(TILED_WORK)
    quick = observed.screen[:2]
    likely = sorted(states, key=lambda s: own_lines(observed, s, quick[:1]))[:LIKELY]
    near = [(own_lines(observed, s, quick), s) for s in likely]
    best = sorted((t for t in near if t[0] <= NEAR), key=lambda t: t[0])[:4]
    trials = [s for _, state in best for s in _trials_on(observed, state, only=TILED)]
    return _on_every_picture(observed, trials)[:1]


def _sharpened(observed: Observed, loss: float, state: State) -> tuple[float, State]:
    """Follow single changes of geometry while their own lines fit better."""
    for _ in range(2):
        if loss <= FLOOR or not observed.budget.left:
            break
        names = observed.screen[:2]
        tried = [(own_lines(observed, h.state, names), h.state) for h in neighbours(state)]
        near = sorted(tried, key=lambda t: t[0])[:4]
        whole = [(own_lines(observed, s), s) for _, s in near]
        better = min(whole, key=lambda t: t[0])
        if better[0] > 0.7 * loss:
            break
        loss, state = better
    return loss, state


def _lines(observed: Observed) -> tuple[str, ...]:
    """The tones that differ from each other on a side's channels: one channel is the whole picture."""
    return tuple(n for n in LINES if observed.channels != 1 or not n.endswith("_each"))


def _tones_on(observed: Observed, state: State, *, only: tuple[str, ...]) -> list[Scored]:
    """Score the tones of whole pictures behind and before one geometry, best first."""
    return _on_every_picture(observed, _trials_on(observed, state, only=only))


def _on_every_picture(observed: Observed, trials: list[Scored]) -> list[Scored]:
    """Score the best of what was tried on few probes on all of them, best first."""
    whole: list[Scored] = []
    for s in sorted((s for s in trials if np.isfinite(s.loss)), key=lambda s: s.cost)[:4]:
        if whole and not observed.budget.left:
            break
        whole.append(Scored(s.hypothesis, observed.score(s.hypothesis.state)))
    return sorted(whole, key=lambda s: s.cost)


def _trials_on(observed: Observed, state: State, *, only: tuple[str, ...]) -> list[Scored]:
    """Score the tones of whole pictures behind and before one geometry on few probes."""
    lines_only = only == LINES
    tones: list[Tone] = [(name, None) for name in _lines(observed) if name in only]
    tones += [(name, None) for name in EQUAL if name in only]
    if TILED[0] in only:
        on = "gray" if observed.channels == 1 else "lab"
        tones += [("clahe", (clip, n, on)) for n in (8, 4) for clip in (2.0, 3.0, 4.0, 40.0)]
    mixes: tuple[Tones, ...] = ((),)
    if observed.channels == 1:
        mixes = tuple((("gray", m),) for m in MIXES)
    quick = observed.colourful[:2]
    trials: list[Scored] = []
    for t in tones:
        for mix in mixes if t[0] != "clahe" else ((),):
            places = [state._replace(tail=(*mix, t)), state._replace(head=(*state.head, *mix, t))]
            for s in places[: 1 if t[0] in LINES and lines_only else 2]:
                if trials and not observed.budget.left:
                    break
                change = Change("histogram", "color", "contrast as it is", describe(t))
                trials.append(Scored(Hypothesis(s, (change,), 1.0), observed.score(s, quick)))
    return trials


def other_contrasts(state: State, observed: Observed) -> list[tuple[State, tuple[Change, ...]]]:
    """Return `state` without its contrast of whole pictures, and with each other kind of it, and what that changes."""
    found = [t for t in (*state.head, *state.tail) if t[0] in tone.WHOLE]
    if not found:
        return []
    was, plain = describe(found[0]), bare(state)
    out = [(plain, (Change("histogram", "color", was, "contrast as it is"),))]
    mix = tuple(t for t in state.head if t[0] == "gray")
    for name in (*_lines(observed), "equalize_each", "equalize_luma"):
        t = (name, None)
        if name != found[0][0]:
            changed = plain._replace(tail=(*plain.tail, *mix, t))
            out.append((changed, (Change("histogram", "color", was, describe(t)),)))
    return out
