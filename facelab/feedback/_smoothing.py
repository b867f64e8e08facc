"""Emotion scores that arrive frame by frame become a label that does not flicker; every constant is in seconds."""

from __future__ import annotations

import abc
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.feedback._numbers import positive, share


@dataclass(frozen=True)
class Smoothed:
    """What a smoother says at one moment.

    Parameters
    ----------
    time_s
        The time of the scores.
    label
        The emotion to show, or None while nothing is known (no face so far, or none for longer than `hold_s`).
    scores
        (labels,) float64, the smoothed scores; None while nothing is known.
    changed
        Whether the label differs from the one before.
    """

    time_s: float
    label: str | None
    scores: np.ndarray | None
    changed: bool


class Smoother(abc.ABC):
    """Turns scores at any times into a label.

    Parameters
    ----------
    labels
        The emotions, in the order of the scores.
    hold_s
        Seconds without scores for which the last label is kept. After that it is None, and the state is empty.
    """

    name: ClassVar[str] = ""
    """The name in `SMOOTHERS`."""

    def __init__(self, labels: Sequence[str], *, hold_s: float = 1.0) -> None:
        self.labels = tuple(labels)
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise BadInputError(
                "a smoother needs two or more different labels",
                where="labels",
                got=", ".join(map(str, self.labels)) or "none",
                fix="give each emotion once",
            )
        self.hold_s = positive("hold_s", hold_s)
        self.restarts = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything that was seen."""
        self._time: float | None = None
        self._seen: float | None = None
        self._label: int | None = None
        self._last: np.ndarray | None = None
        self._clear()

    def update(self, time_s: float, scores: Sequence[float] | np.ndarray | None) -> Smoothed:
        """Take the scores of one frame.

        Parameters
        ----------
        time_s
            Seconds on any clock. A step back (a restarted camera) starts again and is counted in `restarts`.
        scores
            (labels,) probabilities, or None where the frame shows no face.

        Returns
        -------
        Smoothed
            The label to show now.

        Raises
        ------
        BadInputError
            The scores are not probabilities of these labels.
        """
        if not math.isfinite(time_s):
            raise BadInputError("a time is not finite", got=time_s, fix="give seconds of one clock")
        if self._time is not None and time_s < self._time:
            self.reset()
            self.restarts += 1
        before = self._label
        if self._seen is not None and time_s - self._seen > self.hold_s:
            self._label, self._last, self._seen = None, None, None
            self._clear()
        if scores is not None:
            step = 0.0 if self._seen is None else time_s - self._seen
            self._last = self._smooth(time_s, step, self._checked(scores))
            self._label = self._choose(self._last)
            self._seen = time_s
        self._time = time_s
        label = None if self._label is None else self.labels[self._label]
        return Smoothed(time_s, label, self._last, self._label != before)

    def run(
        self, times_s: Sequence[float] | np.ndarray, scores: np.ndarray
    ) -> tuple[list[str | None], np.ndarray]:
        """Return the labels and the smoothed scores of a whole sequence; rows of NaN are frames without a face.

        Parameters
        ----------
        times_s
            (n,) seconds.
        scores
            (n, labels) probabilities.

        Returns
        -------
        tuple[list[str | None], numpy.ndarray]
            n labels, and (n, labels) float64 with NaN where nothing is known.
        """
        labels: list[str | None] = []
        rows = np.full((len(scores), len(self.labels)), np.nan)
        for k, (time_s, row) in enumerate(zip(times_s, np.asarray(scores, float), strict=True)):
            found = self.update(float(time_s), None if np.isnan(row).all() else row)
            labels.append(found.label)
            if found.scores is not None:
                rows[k] = found.scores
        return labels, rows

    def _checked(self, scores: Sequence[float] | np.ndarray) -> np.ndarray:
        row = np.asarray(scores, float)
        wrong = None
        if row.shape != (len(self.labels),):
            wrong = f"an array of shape {row.shape}"
        elif not np.isfinite(row).all() or row.min() < -0.05:
            wrong = f"values such as {row[~np.isfinite(row) | (row < -0.05)][0]:g}"
        elif not 0.9 <= row.sum() <= 1.1:
            wrong = f"a sum of {row.sum():.3g}"
        if wrong is not None:
            raise BadInputError(
                "the scores are not probabilities of the labels",
                where=", ".join(self.labels),
                expected=f"{len(self.labels)} numbers from 0 to 1 that sum to 1",
                got=wrong,
                fix="give the classifier's probabilities; logits go through a softmax first",
            )
        row = np.clip(row, 0.0, None)
        return row / row.sum()

    def _clear(self) -> None:  # noqa: B027 (most smoothers keep nothing but what is kept here)
        """Empty the state of the subclass."""

    @abc.abstractmethod
    def _smooth(self, time_s: float, step_s: float, scores: np.ndarray) -> np.ndarray:
        """Return the smoothed scores; `step_s` is the time since the last scores, 0 for the first."""

    def _choose(self, smoothed: np.ndarray) -> int:
        return int(smoothed.argmax())


class Newest(Smoother):
    """No smoothing: the label of the newest frame."""

    name = "argmax"

    def _smooth(self, time_s: float, step_s: float, scores: np.ndarray) -> np.ndarray:
        return scores


class Ema(Smoother):
    """Exponential mean of the scores, and a margin that another label must lead by.

    Parameters
    ----------
    tau_s
        Time constant of the mean.
    margin
        Lead in probability that a label needs to replace the one that is shown; 0 is a plain mean.
    """

    name = "ema"

    def __init__(
        self,
        labels: Sequence[str],
        *,
        tau_s: float = 0.6,
        margin: float = 0.15,
        hold_s: float = 1.0,
    ) -> None:
        self.tau_s = positive("tau_s", tau_s)
        self.margin = share("margin", margin)
        super().__init__(labels, hold_s=hold_s)

    def _smooth(self, time_s: float, step_s: float, scores: np.ndarray) -> np.ndarray:
        if self._last is None:
            return scores
        return self._last + (1.0 - math.exp(-step_s / self.tau_s)) * (scores - self._last)

    def _choose(self, smoothed: np.ndarray) -> int:
        best = int(smoothed.argmax())
        if self._label is None or smoothed[best] - smoothed[self._label] > self.margin:
            return best
        return self._label


class Majority(Smoother):
    """The most frequent label of a time window; among equals the one that is shown stays.

    Parameters
    ----------
    window_s
        Length of the window.
    """

    name = "majority"

    def __init__(
        self, labels: Sequence[str], *, window_s: float = 1.0, hold_s: float = 1.0
    ) -> None:
        self.window_s = positive("window_s", window_s)
        super().__init__(labels, hold_s=hold_s)

    def _clear(self) -> None:
        self._window: deque[tuple[float, int]] = deque()

    def _smooth(self, time_s: float, step_s: float, scores: np.ndarray) -> np.ndarray:
        self._window.append((time_s, int(scores.argmax())))
        while self._window[0][0] <= time_s - self.window_s:
            self._window.popleft()
        counts = np.bincount([k for _, k in self._window], minlength=len(self.labels))
        return counts / counts.sum()

    def _choose(self, smoothed: np.ndarray) -> int:
        best = int(smoothed.argmax())
        if self._label is None or smoothed[best] > smoothed[self._label]:
            return best
        return self._label


ONE_MOMENT_S = 1e-6
"""Times closer than this are one moment: a speed between them would be noise of the clock, or no finite number."""


class OneEuro(Smoother):
    """The One-Euro filter on each score: slow scores are smoothed more than fast ones.

    Parameters
    ----------
    min_cutoff_hz
        Cut-off frequency for scores that stand still.
    beta
        How much the cut-off grows with the speed of a score (Hz for a change of 1 per second).
    speed_cutoff_hz
        Cut-off frequency of the speed itself.

    References
    ----------
    Casiez, Roussel, Vogel: 1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems,
    CHI 2012.
    """

    name = "one-euro"

    def __init__(
        self,
        labels: Sequence[str],
        *,
        min_cutoff_hz: float = 0.25,
        beta: float = 0.05,
        speed_cutoff_hz: float = 1.0,
        hold_s: float = 1.0,
    ) -> None:
        self.min_cutoff_hz = positive("min_cutoff_hz", min_cutoff_hz)
        self.beta = share("beta", beta, most=100.0)
        self.speed_cutoff_hz = positive("speed_cutoff_hz", speed_cutoff_hz)
        super().__init__(labels, hold_s=hold_s)

    def _clear(self) -> None:
        self._speed = np.zeros(len(self.labels))

    def _smooth(self, time_s: float, step_s: float, scores: np.ndarray) -> np.ndarray:
        if self._last is None or step_s < ONE_MOMENT_S:
            return scores if self._last is None else self._last
        speed = (scores - self._last) / step_s
        self._speed += _share_of(self.speed_cutoff_hz, step_s) * (speed - self._speed)
        cutoff = self.min_cutoff_hz + self.beta * np.abs(self._speed)
        return self._last + _share_of(cutoff, step_s) * (scores - self._last)


class Hmm(Smoother):
    """The forward filter of a hidden Markov model whose states are the emotions.

    Parameters
    ----------
    dwell_s
        Mean time for which an emotion stays.
    evidence_s
        Frames within this time count as one independent look, since errors of neighbouring frames agree.

    References
    ----------
    Rabiner: A Tutorial on Hidden Markov Models, Proceedings of the IEEE 77(2), 1989.
    """

    name = "hmm"

    def __init__(
        self,
        labels: Sequence[str],
        *,
        dwell_s: float = 8.0,
        evidence_s: float = 0.2,
        hold_s: float = 1.0,
    ) -> None:
        self.dwell_s = positive("dwell_s", dwell_s)
        self.evidence_s = positive("evidence_s", evidence_s)
        super().__init__(labels, hold_s=hold_s)

    def _smooth(self, time_s: float, step_s: float, scores: np.ndarray) -> np.ndarray:
        n = len(self.labels)
        if self._last is None:
            belief, weight = np.full(n, 1.0 / n), 1.0
        else:
            stay = math.exp(-step_s / self.dwell_s)
            belief = stay * self._last + (1.0 - stay) * (1.0 - self._last) / (n - 1)
            weight = min(1.0, step_s / self.evidence_s)
        # one wrong certainty must not outweigh everything: no score counts as less than a thousandth
        belief = belief * np.maximum(scores, 1e-3) ** weight
        return belief / belief.sum()


SMOOTHERS: dict[str, type[Smoother]] = {
    kind.name: kind for kind in (Ema, Majority, OneEuro, Hmm, Newest)
}
"""Name → smoother; `ema` is the default, `argmax` shows the newest frame without smoothing."""


def smoother(labels: Sequence[str], kind: str = "ema", **constants: Any) -> Smoother:
    """Return a smoother by its name.

    Parameters
    ----------
    labels
        The emotions, in the order of the scores.
    kind
        A name of `SMOOTHERS`.
    **constants
        Of that smoother, such as `tau_s` and `margin` of `ema`; times in seconds.

    Returns
    -------
    Smoother
        Empty; feed it with `update(time_s, scores)`.

    Raises
    ------
    BadInputError
        The name or a constant is not known or out of range.

    Examples
    --------
    >>> steady = smoother(["anger", "joy"], "ema", tau_s=0.5, margin=0.1)
    >>> steady.update(0.0, [0.1, 0.9]).label, steady.update(0.1, [0.9, 0.1]).label
    ('joy', 'joy')
    """
    if kind not in SMOOTHERS:
        raise BadInputError(
            f"there is no such smoother{did_you_mean(kind, SMOOTHERS)}",
            expected=", ".join(SMOOTHERS),
            got=kind,
            fix="name one of these",
        )
    try:
        return SMOOTHERS[kind](labels, **constants)
    except TypeError as e:
        raise BadInputError(
            "the smoother does not take this constant",
            where=kind,
            got=str(e).partition("() ")[2],
            fix="look at its docstring for its constants",
        ) from None


def _share_of(cutoff_hz: Any, step_s: float) -> Any:
    """Return how much of the way a low-pass of this cut-off goes in one step."""
    return 1.0 - np.exp(-2.0 * math.pi * cutoff_hz * step_s)
