"""What one level of the pixels comes to in training's tensor, where tones enlarge some roundings."""

from __future__ import annotations

import dataclasses

import numpy as np

from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._linear_fit import LEVELS, Floats, magnified
from facelab.fingerprint.model._operations import Refused
from facelab.fingerprint.search._sides import Identified, enlargement

ALONE = 0.97
"""Share of a row's weights from which an output channel is one of the pixels' alone."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """The tone curves that training applies last, and its map behind them: gain and offset of each channel."""

    tones: tone.Tones
    gain: np.ndarray
    offset: np.ndarray

    def before(self, values: Floats) -> Floats:
        """Return training's values (…, channels) as levels in front of its curves."""
        x: Floats = np.clip((values - self.offset) / self.gain, 0, LEVELS)
        for t in reversed(self.tones):
            x = tone.apply(tone.undone(t), x)
        return x


def curve_of(training: Identified) -> Curve | None:
    """Return the tone curves that training was found to end with, None where there are none or it mixes channels."""
    if not training.good:
        return None
    tail = training.state.tail
    tones = tuple(t for t in tail if t[0] in tone.CURVES)
    if not tones or any(t[0] not in (*tone.CURVES, "gray") for t in tail):
        return None
    weights: Floats = np.abs(training.linear.weights)
    if tone.gray_of((*training.state.head, *tail)) is None and weights.max(axis=1).min() < ALONE:
        return None
    return Curve(tones, training.linear.gain, training.linear.offset)


def level_in(training: Identified, name: str, unit: Floats) -> Floats:
    """Return what a level comes to in one picture, at least `unit`: more where training divides by the picture's own
    range or deviation and that is small.

    A picture is as flat in a geometry that is nearly training's, so the tone counts even if it is not yet whole.
    """
    if not any(t[0] in tone.LINES for t in training.state.tail):
        return unit
    try:
        gains = enlargement(training.observed, training.state, name)
    except Refused:
        return unit
    linear = training.linear
    if linear.matrix.shape[0] != len(unit):
        return unit
    return np.maximum(unit, linear.unit * magnified(linear.matrix, gains))
