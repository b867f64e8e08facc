"""One side as it was found to be, and what its samples say beyond the search: EXIF, JPEG decoders, borders."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._budget import prediction_work, tone_work
from facelab.fingerprint.model._linear_fit import LEVELS, Linear
from facelab.fingerprint.model._observed import FITTED, FLOOR, Observed
from facelab.fingerprint.model._operations import Orient, Refused, Resize
from facelab.fingerprint.model._pipeline_state import RINGING, Change, State
from facelab.fingerprint.model._planner import plan
from facelab.fingerprint.model._predictor import predict
from facelab.fingerprint.model._whole import Whole
from facelab.fingerprint.search._per_picture import LINES
from facelab.fingerprint.search.candidates import _colour as colour

ENLARGED = 6.0
"""Levels RMS that a contrast may make of a rounding at most: beyond it any pipeline with such a contrast would fit."""


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
        return max(FLOOR, lattice(self), min(self.enlarged, ENLARGED))

    @property
    def has_contrast(self) -> bool:
        """Whether some tone looks at the whole picture."""
        return any(t[0] in tone.WHOLE for t in (*self.state.head, *self.state.tail))

    @functools.cached_property
    def enlarged(self) -> float:
        """What a contrast of whole pictures makes of a rounding before it, in levels RMS."""
        return _enlarged(self)


GLANCED = 256
"""Lines each way at which it is looked how contrasted a picture is."""
SEEN = 64
"""Lines each way of those at which it is looked what a contrast makes of a rounding."""


def glance(observed: Observed, state: State, name: str) -> np.ndarray:
    """Return what a pipeline's geometry puts at up to `GLANCED` lines each way, border and all, in front of its tail
    (rows, columns, 3). Raises Refused.

    It costs so little that it is done whatever was spent before.
    """
    key = name, state.chain, state.head
    if key not in observed.glances:
        source, (w, h) = observed.source(name, state.head), observed.size[name]
        if plan(state.chain, source)[1] != (w, h):
            raise Refused("the output has a different size")
        rows, columns = (np.arange(0, n, -(-n // GLANCED)) for n in (h, w))
        observed.budget.spend(prediction_work(state.chain, source, len(rows), len(columns)))
        observed.glances[key] = predict(state.chain, source, rows, columns)
    values, cover = observed.glances[key]
    if observed.border is None:
        return values
    return values + (1 - cover)[..., None] * observed.border


def enlargement(observed: Observed, state: State, name: str) -> np.ndarray:
    """Return how many levels behind the tones a rounding of one level before them comes to, at least 1, (3,), as a
    glance shows it. Raises Refused."""
    values, slope = glance(observed, state, name), np.ones(3)
    tail = [t for t in state.tail if t[0] not in FITTED]
    last = max((i for i, t in enumerate(tail) if t[0] in tone.WHOLE), default=-1)
    for i, t in enumerate(tail[: last + 1]):
        observed.budget.spend(tone_work(t, values.size, values.size if i < last else 0))
        if t[0] in tone.LINES:
            slope = tone.lined(t[0], Whole(values))[1]
        if i < last:
            values = tone.apply(t, values)
    return np.maximum(slope, 1.0)


@functools.lru_cache(maxsize=3)
def _noise(shape: tuple[int, ...]) -> np.ndarray:
    """What a rounding does to pixels: normal numbers that are the same at every call, float32."""
    return np.random.default_rng(0).normal(0, 0.3, shape).astype(np.float32)


def _enlarged(side: Identified) -> float:
    """Return the levels RMS that tones of whole pictures behind the geometry make of a rounding before them."""
    state, linear = side.state, side.linear
    if not any(t[0] in tone.WHOLE for t in state.tail):
        return 0.0
    tail = [t for t in state.tail if t[0] not in FITTED]
    errors: list[float] = []
    for n in side.observed.colourful[:2]:
        try:
            values = glance(side.observed, state, n)
        except Refused:
            continue
        height, width = int(values.shape[0]), int(values.shape[1])
        rows = np.arange(0, height, max(1, height // SEEN), dtype=np.int64)
        columns = np.arange(0, width, max(1, width // SEEN), dtype=np.int64)
        at: tuple[NDArray[np.int64], ...] = np.ix_(rows, columns)
        both: list[np.ndarray] = []
        for x in (values, np.clip(values + _noise(values.shape), 0, 255)):
            for t in tail[:-1]:
                side.observed.budget.spend(tone_work(t, x.size, x.size))
                x = tone.apply(t, x)
            side.observed.budget.spend(tone_work(tail[-1], x.size, len(rows) * len(columns) * 3))
            seen = tone.seen(tail[-1], Whole(x), at)[0]
            both.append(seen.reshape(-1, 3) @ linear.matrix.T / linear.unit)
        errors.append(float(np.mean((both[0] - both[1]) ** 2)))
    return float(np.sqrt(np.mean(errors))) if errors else 0.0


def lattice(side: Identified) -> float:
    """Return the RMS error in levels that the output's own step size leaves, 0 where its values are dense."""
    step = steps_of(side.observed, side.linear)
    return 1.1 * step / np.sqrt(12) if step > 1.2 else 0.0


def steps_of(observed: Observed, linear: Linear) -> float:
    """Return the spacing of the output's values in pixel levels (1 for 8-bit pixels scaled to floats, about 0 for
    real-valued resampling)."""
    values = np.concatenate([observed.y[n][..., 0].ravel() for n in observed.plain])
    levels: np.ndarray = values / linear.unit[0]
    unique = np.unique(np.round(levels, 3))
    if len(unique) < 3:
        return 0.0
    return float(np.percentile(np.diff(unique), 10))


def applies_exif(side: Identified) -> bool | None:
    """Say whether a side turns pictures by their EXIF orientation; None if it cannot be determined."""
    names = [n for n, p in side.observed.pictures.items() if p.source.orientation != 1]
    if any(t[0] in tone.WHOLE for t in side.state.tail):
        names = names[::3]  # whole pictures cost more to predict
    losses: dict[bool, float] = {}
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
    values: list[np.ndarray] = []
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
