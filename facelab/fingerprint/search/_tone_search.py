"""One step of the search among tones: colour matrices, curves, contrast, clipping and fewer levels."""

from __future__ import annotations

import itertools

import numpy as np

from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._observed import (
    CHANNELS,
    Gray,
    Observed,
    Scored,
    curve_residual,
)
from facelab.fingerprint.model._operations import Refused
from facelab.fingerprint.model._pipeline_state import Change, Hypothesis, State
from facelab.fingerprint.model._tones import Weights
from facelab.fingerprint.search._ranking import rank
from facelab.fingerprint.search.candidates._tone import (
    before_geometry,
    odd_tones,
    recodings,
    refine_gamma,
    refine_limits,
    spaces,
    tiles,
    tones,
)


def distinct(observed: Observed) -> int:
    """Return how many different values the first channel of the output takes."""
    return len(np.unique(np.concatenate([observed.y[n][..., 0].ravel() for n in observed.plain])))


def tonal_steps(
    observed: Observed,
    current: Scored,
    gray: Weights | None,
    floor: float,
    bent: tuple[float, float],
    options: list[Scored],
) -> list[Scored]:
    """Try colour matrices, tones, free curves and clipping."""
    state = current.hypothesis.state
    found: list[Scored] = []
    if any(t[0] in tone.WHOLE for t in (*state.head, *state.tail)):
        # contrast that depends on the picture enlarges every rounding; a curve on top of it would only fit that
        return []

    def least() -> float:
        return min((o.loss for o in (*options, *found)), default=np.inf)

    # a matrix or range read wrongly is linear except for the clipping, so it is believed only if nothing remains but
    # the rounding of YUV bytes
    limit = min(max(floor, 1.6), 0.6 * current.loss)
    found += [s for s in rank(observed, recodings(state), keep=1, large=False) if s.loss <= limit]
    if least() > floor and observed.budget.left:
        best = rank(observed, tones(observed, state, gray), keep=2, large=False)
        best = [
            refine_limits(observed, refine_gamma(observed, before_geometry(observed, s, state)))
            for s in best
        ]
        # a curve that leaves most of it is not a tone curve, however much it takes away
        found += [s for s in best if s.loss <= max(0.5 * current.loss, 3 * floor)]
    for look in (odd_steps, _tiles):
        if least() > max(4 * floor, 0.3 * current.loss) and observed.budget.left:
            found += look(observed, current, gray, floor, bent, options)
    if least() > 3 * floor:
        free = curved(observed, current, gray, *bent)
        if free is not None and free.loss < 0.7 * least():
            found.append(free)
    if least() > floor:
        found += [s for s in [censored(observed, state)] if s is not None and s.loss <= 1.5 * floor]
    # an exponent of almost one only fixes what something else bent
    return [
        s
        for s in found
        if not any(t[0] == "gamma" and abs(t[1] - 1) < 0.04 for t in s.hypothesis.state.tail)
    ]


def _tiles(
    observed: Observed,
    current: Scored,
    gray: Weights | None,
    floor: float,
    bent: tuple[float, float],
    options: list[Scored],
) -> list[Scored]:
    """Try contrast equalised tile by tile."""
    return rank(observed, tiles(observed, current.hypothesis.state, gray), keep=1, large=False)


STRANGE = 15.0
"""RMS residual in levels that pixels of another colour space leave at least; less has a different cause."""


def other_spaces(
    observed: Observed,
    current: Scored,
    gray: Weights | None,
    floor: float,
    bent: tuple[float, float],
    options: list[Scored],
) -> list[Scored]:
    """Try pixels of another colour space."""
    state = current.hypothesis.state
    own = any(t[0] == "space" for t in state.tail)
    if observed.channels != 3 or (not own and current.loss < STRANGE):
        return []
    found = rank(observed, spaces(state), keep=1, large=False)
    return [s for s in found if s.loss <= max(1.6 * floor, 0.2 * current.loss)]


def odd_steps(
    observed: Observed,
    current: Scored,
    gray: Weights | None,
    floor: float,
    bent: tuple[float, float],
    options: list[Scored],
) -> list[Scored]:
    """Try fewer levels, grays that are not a weighted sum and values that wrap around; they leave no curve to see."""
    found = rank(observed, odd_tones(observed, current.hypothesis.state, gray), keep=1, large=False)
    found = [refine_limits(observed, s) for s in found]
    return [s for s in found if s.loss <= max(1.6 * floor, 0.2 * current.loss)]


def censored(observed: Observed, state: State) -> Scored | None:
    """Try the hypothesis that values are clipped: fit without those at the extremes, whose predictions must lie
    beyond them. None if nothing is clipped."""
    values = np.concatenate([observed.y[n].ravel() for n in observed.screen])
    limits = float(values.min()), float(values.max())
    if any(t[0] == "censor" for t in state.tail) or limits[0] == limits[1]:
        return None
    trial = state._replace(tail=(*state.tail, ("censor", limits)))
    linear = observed.score(trial)
    if linear.n < 64 or not np.isfinite(linear.loss):
        return None
    try:
        x, y, cover = observed.stacked(state, observed.screen)
    except Refused:
        return None
    inside = cover > 1 - 1e-4
    free = x[inside] @ linear.matrix.T + linear.offset
    low, high = ((limits[0] - free) / linear.unit).max(), ((free - limits[1]) / linear.unit).max()
    at = (y[inside] <= limits[0]) | (y[inside] >= limits[1])
    beyond = (free < limits[0] + linear.unit * 1.5) | (free > limits[1] - linear.unit * 1.5)
    if max(low, high) < 4 or not at.any() or (beyond & at).sum() < 0.9 * at.sum():
        return None
    lo, hi = (f"{v:.4g}" for v in limits)
    return Scored(
        Hypothesis(
            trial, (Change("saturation", "cast", "not clipped", f"clipped to {lo}…{hi}"),), 1.0
        ),
        linear,
    )


def bends(observed: Observed, current: Scored, gray: Gray) -> tuple[float, float]:
    """Return the RMS residual in levels of a free curve through prediction and output for each probe alone, and of
    one curve for all: where they fit much better than a line, there is a tone curve, or a contrast that depends on the
    picture. Infinite where nothing can be predicted."""
    if not np.isfinite(current.loss):
        return np.inf, np.inf
    try:
        parts = observed.curve_parts(
            current.hypothesis.state, current.linear, observed.screen, gray
        )
    except Refused:
        return np.inf, np.inf
    if not parts:
        return np.inf, np.inf
    alone = float(np.sqrt(np.mean([curve_residual(z, y) for z, y in parts])))
    z, y = (np.concatenate(p) for p in zip(*parts))
    return alone, float(np.sqrt(curve_residual(z, y)))


OVERLAP = 2.5
"""Levels by which the pixels of neighbouring output values may overlap where fewer levels are the cause."""


def step_overlap(observed: Observed, current: Scored, gray: Gray) -> float:
    """Return by how many levels the predicted pixels of two neighbouring output values overlap, at most.

    Rounding leaves about one; a picture that is out of place mixes all of them.
    """
    try:
        parts = observed.curve_parts(current.hypothesis.state, current.linear, observed.plain, gray)
    except Refused:
        return np.inf
    worst = 0.0
    for c in range(observed.channels):
        z, y = (np.concatenate([p[k][:, c] for p in parts]) for k in (0, 1))
        values, counts = np.unique(y, return_counts=True)
        groups = [z[y == v] for v, n in zip(values, counts) if n >= 8]
        for low, high in itertools.pairwise(groups):
            worst = max(worst, float(np.percentile(low, 99.5) - np.percentile(high, 0.5)))
    return worst


def curved(
    observed: Observed, current: Scored, gray: Gray, alone: float, together: float
) -> Scored | None:
    """Return the hypothesis of a free curve, one for all probes or one per probe, where that explains most."""
    state = current.hypothesis.state
    if any(t[0] == "curve" for t in state.tail) or alone > 0.3 * current.loss:
        return None
    common = together < 1.5 * alone + 0.3
    change = (
        Change("gamma", "color", "linear in the pixels", "a tone curve, the same for every picture")
        if common
        else Change(
            "histogram",
            "color",
            "contrast as it is",
            "a tone curve that differs from picture to picture",
        )
    )
    few = distinct(observed)
    if few <= 64 and observed.channels == 3:
        gray = CHANNELS
    if (common or few <= 16) and few <= 64 and step_overlap(observed, current, gray) <= OVERLAP:
        change = Change(
            "quantization", "quantize", "as many levels as pixels have", f"{few} distinct values"
        )
    trial = state._replace(tail=(*state.tail, ("curve", gray)))
    return Scored(Hypothesis(trial, (change,), 1.5), observed.score(trial))
