"""One side's output samples against what a supposed pipeline would have put there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facelab.fingerprint.document._schema import Fingerprint
from facelab.fingerprint.document._statistics import lines
from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._budget import Budget, fit_work, prediction_work, tone_work
from facelab.fingerprint.model._linear_fit import LEVELS, Linear, fit, fit_wrapped, level_size
from facelab.fingerprint.model._operations import Chain, Refused, Resample, Resize
from facelab.fingerprint.model._pipeline_state import Hypothesis, State
from facelab.fingerprint.model._planner import plan
from facelab.fingerprint.model._predictor import Values, predict
from facelab.fingerprint.model._resampling import ties
from facelab.fingerprint.model._spaces import unsteady
from facelab.fingerprint.model._tones import Tone, Tones
from facelab.fingerprint.model._whole import Whole
from facelab.fingerprint.probes._cache import LARGE, RAW_SCREEN, SCREEN, Picture, Source, pictures

FITTED = ("censor", "curve")
"""Marks on a state that concern the fit, not the pixels."""
CHANNELS: Literal["channels"] = "channels"
Gray = tuple[float, ...] | Literal["channels"] | None
Floats = NDArray[Any]
"""Predicted or observed values, float32 or float64."""
Looked = tuple[Whole, Floats, Floats | None]
"""A whole picture, its cover (height, width), and what a line for each picture in front of it makes of a level (3,)."""
KEPT_BYTES = 24 << 20
"""Bytes of cover up to which whole pictures are kept; their values and what is known of them take ten times as much."""
FLOOR = 0.62
"""RMS residual in pixel levels below which nothing is left to explain: rounding once or twice leaves 0.3 to 0.5."""


@dataclasses.dataclass
class Scored:
    """A hypothesis with the linear fit that belongs to it; `cost` is what hypotheses are ranked by."""

    hypothesis: Hypothesis
    linear: Linear

    @property
    def loss(self) -> float:
        return self.linear.loss

    @property
    def cost(self) -> float:
        return self.loss * (1 + 0.03 * self.hypothesis.price) + 0.01 * self.hypothesis.price


class Observed:
    """One side's output samples, and what a supposed pipeline would give at the same places."""

    def __init__(
        self, fingerprint: Fingerprint, names: Iterable[str], budget: Budget | None = None
    ):
        known = pictures()
        self.budget = budget or Budget()
        self.fingerprint = fingerprint
        self.pictures: dict[str, Picture] = {n: known[n] for n in names}
        self.y: dict[str, np.ndarray] = {}
        self.size: dict[str, tuple[int, int]] = {}
        self.rows: dict[str, tuple[int, ...]] = {}
        self.columns: dict[str, tuple[int, ...]] = {}
        self._toned: dict[tuple[str, Tones], Source] = {}
        self._kept: dict[tuple[str, Chain, Tones, bool], Values] = {}
        self._predicted: dict[tuple[str, Chain, Tones, Tones], tuple[Floats, Floats]] = {}
        self._gains: dict[tuple[str, Chain, Tones, Tones], Floats] = {}
        self._wholes: dict[tuple[str, Chain, Tones, Tones], Looked] = {}
        self._sources: dict[tuple[str, Tones], Whole] = {}
        from facelab.fingerprint.document._schema import hwc

        for n in self.pictures:
            entry = fingerprint.output[n]
            h, w, _ = hwc(entry["shape"], entry["layout"])
            samples = fingerprint.samples(n)
            self.size[n] = (w, h)
            self.rows[n], self.columns[n] = lines(h, samples.shape[0]), lines(w, samples.shape[1])
            self.y[n] = samples
        self.families = {p.family for p in self.pictures.values()}
        family = next(
            iter(
                sorted(
                    self.families,
                    key=lambda f: ("image", "rgb24", "bgr24", "yuyv", "nv12", "gray8").index(f),
                )
            )
        )
        wanted = SCREEN if family == "image" else [f"{s}_{family}" for s in RAW_SCREEN]
        self.family = family
        self.screen = [n for n in wanted if n in self.pictures]
        self.plain = [
            n
            for n, p in self.pictures.items()
            if p.family == family
            and (p.plain or (p.range == "limited" and family in ("yuyv", "nv12")))
        ]
        self.screen = self.screen or self.plain
        if LARGE in self.pictures and max(self.size[LARGE]) > 200:
            self.screen.insert(2, LARGE)
        self._border: np.ndarray | None = None
        self.glances: dict[tuple[str, Chain, Tones], Values] = {}
        """What geometries put at a few lines of a picture."""
        self.lines_kept: dict[tuple[State, tuple[str, ...]], float] = {}
        """What their own lines for each picture leave, per state and probes."""
        self.means: tuple[float, ...] | None = None
        """What the other side takes off each of red, green and blue, where that is known."""

    @property
    def colourful(self) -> list[str]:
        """The probes of the screen on which tones and colours are distinguished best: colours, a picture, all grays."""
        found = [
            n
            for k in ("bars", "portrait", "texture", "zone")
            for n in self.screen
            if n.split("_")[0] == k
        ]
        return (found or self.screen)[:3]

    @property
    def border(self) -> np.ndarray | None:
        """The pixel that fills what the picture does not cover, where it is known: tones of whole pictures see it."""
        return self._border

    @border.setter
    def border(self, value: np.ndarray | None) -> None:
        self._border = value
        self._predicted.clear()
        self._gains.clear()
        self._wholes.clear()

    @property
    def channels(self) -> int:
        return self.y[self.screen[0]].shape[2]

    def source(self, name: str, head: Tones) -> Source:
        """Return a probe's source with the tones of `head` applied."""
        if not head:
            return self.pictures[name].source
        key = (name, head)
        if key not in self._toned:
            self.refuse_if_gone()
            before = self.source(name, head[:-1])
            picture = self._sources.setdefault((name, head[:-1]), Whole(before.pixels))
            x = tone.seen(head[-1], picture)[0]
            self.budget.spend(tone_work(head[-1], x.size, x.size, again=picture.tried(head[-1][0])))
            self._toned[key] = before._replace(pixels=np.ascontiguousarray(x))
        return self._toned[key]

    def predicted(self, state: State, name: str) -> tuple[Floats, Floats]:
        """Return (values n × 3, cover n) at this side's sample places. Raises Refused."""
        key = _key(state, name)
        if key not in self._predicted:
            if len(self._predicted) > 256:
                self._predicted.clear()
                self._gains.clear()
            self._predicted[key] = self._toned_values(*key)
        return self._predicted[key]

    def magnified(self, state: State, name: str) -> Floats:
        """Return how many levels behind the tones a rounding of one level before them comes to, at least 1, (3,).

        A division by the deviation of a nearly flat picture makes much of a level. Raises Refused.
        """
        self.predicted(state, name)
        return self._gains.get(_key(state, name), np.ones(3))

    def cover(self, state: State, name: str) -> np.ndarray:
        """Return how much of each sample is picture rather than border, n. Raises Refused."""
        return self.predicted(state._replace(head=(), tail=()), name)[1]

    def _toned_values(
        self, name: str, chain: Chain, head: Tones, tail: Tones
    ) -> tuple[Floats, Floats]:
        source = self.source(name, head)
        if plan(chain, source)[1] != self.size[name]:
            raise Refused("the output has a different size")
        last = max((i for i, t in enumerate(tail) if t[0] in tone.WHOLE), default=-1)
        if last < 0:
            values, cover = self._base(chain, head, name, source, whole=False)
            cover = self._untied(chain, source, name, cover)
        else:
            picture, cover, slope = self._whole(name, chain, head, tail[:last])
            at = np.ix_(self.rows[name], self.columns[name])
            values, own = tone.seen(tail[last], picture, at)
            again = picture.tried(tail[last][0])
            self.budget.spend(tone_work(tail[last], picture.pixels.size, values.size, again=again))
            cover, slope = cover[at], slope if own is None else own
            if slope is not None:
                self._gains[name, chain, head, tail] = np.maximum(slope, 1.0)
        for t in tail[last + 1 :]:
            values, cover = self._pointwise(t, values, cover)
        return values.reshape(-1, 3).astype(np.float64), cover.ravel()

    def _whole(self, name: str, chain: Chain, head: Tones, tail: Tones) -> Looked:
        """The whole picture that a last tone looks at, kept while such tones are tried on it."""
        key = (name, chain, head, tail)
        if key not in self._wholes:
            values, cover = self._base(chain, head, name, self.source(name, head), whole=True)
            if self.border is not None:
                # what looks at the whole picture sees the border too
                values, cover = values + (1 - cover)[..., None] * self.border, np.ones_like(cover)
            slope = None
            for t in tail:
                if t[0] in tone.LINES:
                    slope = tone.lined(t[0], Whole(values))[1]
                values, cover = self._pointwise(t, values, cover)
            if sum(one[1].nbytes for one in self._wholes.values()) > KEPT_BYTES:
                self._wholes.clear()
            self._wholes[key] = Whole(values), cover, slope
        return self._wholes[key]

    def _pointwise(self, t: Tone, values: Floats, cover: Floats) -> tuple[Floats, Floats]:
        self.budget.spend(tone_work(t, values.size if t[0] in tone.WHOLE else 0, values.size))
        if t[0] == "space":
            # neither picture nor border, so that such samples are left out
            cover = np.where(unsteady(values, t[1]), np.minimum(cover, 0.5), cover)
        return tone.apply(t, values), cover

    def _untied(self, chain: Chain, source: Source, name: str, cover: Floats) -> Floats:
        """Leave out, as neither picture nor border, what nearest neighbour takes from the border of two pixels."""
        if not any(isinstance(op, Resize) and op.kernel == "nearest" for op in chain):
            return cover
        steps = plan(chain, source)[0]
        if not steps:
            return cover  # every picture has its size already
        last = steps[-1]
        if not isinstance(last, Resample) or last.how.kernel != "nearest":
            return cover
        if last.how.centers != "half":
            return cover
        (w, h), (nw, nh) = last.before, last.after
        tied = ties(h, nh, self.rows[name])[:, None] | ties(w, nw, self.columns[name])[None]
        return np.where(tied & (cover > 0), np.minimum(cover, 0.5), cover)

    def _base(
        self, chain: Chain, head: Tones, name: str, source: Source, whole: bool
    ) -> tuple[Floats, Floats]:
        """The chain's prediction, kept while tones are tried on it."""
        key = (name, chain, head, whole)
        if key not in self._kept:
            self.refuse_if_gone()
            if len(self._kept) > 48:
                self._kept.clear()
            rows, columns = (None, None) if whole else (self.rows[name], self.columns[name])
            self.budget.spend(prediction_work(chain, source, _count(rows), _count(columns)))
            self._kept[key] = predict(chain, source, rows, columns)
        return self._kept[key]

    def everywhere(self, state: State, name: str) -> Values:
        """Return what a pipeline's geometry puts everywhere, in front of its tail: values (h, w, 3), cover (h, w).

        Raises Refused.
        """
        return self._base(state.chain, state.head, name, self.source(name, state.head), whole=True)

    def refuse_if_gone(self) -> None:
        """Raise Refused once everything that may be tried was tried."""
        if self.budget.gone:
            raise Refused("everything that may be tried was tried")

    def stacked(self, state: State, names: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (predicted n × 3, observed n × channels, cover n) over several probes. Raises Refused."""
        parts = [
            (*self.predicted(state, n), self.y[n].reshape(-1, self.y[n].shape[2])) for n in names
        ]
        return (
            np.concatenate([p[0] for p in parts]),
            np.concatenate([p[2] for p in parts]),
            np.concatenate([p[1] for p in parts]),
        )

    def score(self, state: State, names: list[str] | None = None, *, full: bool = False) -> Linear:
        """Fit the output on `state`'s prediction; a state that is impossible or comes too late has infinite loss."""
        try:
            self.refuse_if_gone()
            return self._scored(state, names or self.screen, full)
        except Refused:
            return Linear(np.ones((1, 3)), np.zeros(1), np.inf, np.inf, 0)

    def _scored(self, state: State, names: list[str], full: bool) -> Linear:
        x, y, cover = self.stacked(state, names)
        inside = cover > 1 - 1e-4
        for t in state.tail:
            if t[0] == "censor":
                inside = inside & ((y > t[1][0]) & (y < t[1][1])).all(axis=1)
        self.budget.spend(fit_work(len(x)))
        wraps = any(t[0] == "wrap" for t in state.tail)
        noise = self._noise(state, names)
        linear = (
            fit_wrapped(x[inside], y[inside])
            if wraps
            else fit(
                x[inside], y[inside], full=full, noise=noise if noise is None else noise[inside]
            )
        )
        mixed = tone.gray_of((*state.head, *state.tail))
        if mixed is not None:
            linear = dataclasses.replace(linear, matrix=linear.gain[:, None] * np.asarray(mixed))
        linear = _with_border(linear, y[cover < 1e-4], full)
        for name, parameter in state.head:
            if name == "limit":
                # a level of what is left between the limits is less of a level than before
                share = (parameter[1] - parameter[0]) / LEVELS
                linear = dataclasses.replace(linear, loss=linear.loss / share)
        for t in state.tail:
            if t[0] == "curve" and np.isfinite(linear.loss):
                parts = self.curve_parts(state, linear, names, t[1])
                residuals = [curve_residual(z, v) for z, v in parts]
                loss = float(np.sqrt(np.mean(residuals))) if residuals else np.inf
                linear = dataclasses.replace(linear, loss=loss)
        return linear

    def apart(self, state: State, other: State, name: str, linear: Linear) -> float:
        """Return how far one picture behind `other` is from a line of itself behind `state`, in levels RMS, with
        the colours of `linear`; infinite where it is impossible."""
        try:
            (x, cover), (y, _) = self.predicted(state, name), self.predicted(other, name)
        except Refused:
            return np.inf
        inside = cover > 1 - 1e-4
        noise = self._noise(state, [name])
        noise = noise if noise is None else noise[inside]
        self.budget.spend(fit_work(len(x)))
        return fit(x[inside], y[inside] @ linear.matrix.T, noise=noise).loss

    def _noise(self, state: State, names: list[str]) -> Floats | None:
        """What a rounding comes to at each sample (n × 3); None where it stays what it is."""
        if not any(t[0] in tone.LINES for t in state.tail):
            return None
        parts = [
            np.broadcast_to(self.magnified(state, n), (self.y[n][..., 0].size, 3)) for n in names
        ]
        return np.concatenate(parts)

    def curve_parts(
        self, state: State, linear: Linear, names: list[str], gray: Gray
    ) -> list[tuple[Floats, Floats]]:
        """Return, probe by probe, (predicted, observed) inside the picture, both in pixel levels, n × channels.

        `gray` are the weights of a gray pipeline, or `CHANNELS` where each output channel follows one of the pixels'.
        """
        if gray == CHANNELS:
            matrix = _whole_channels(linear.matrix)
        elif gray is not None and self.channels == 1:
            matrix = linear.gain[:, None] * np.asarray(gray)
        else:
            matrix = linear.matrix
        unit = level_size(matrix)
        parts: list[tuple[Floats, Floats]] = []
        for n in names:
            x, cover = self.predicted(state, n)
            inside = cover > 1 - 1e-4
            if inside.sum() > 16:
                y = self.y[n].reshape(-1, self.channels)[inside]
                parts.append(((x[inside] @ matrix.T) / unit, y / unit))
        return parts


def _count(positions: tuple[int, ...] | None) -> int | None:
    """Return how many positions are wanted; None for all there are."""
    return None if positions is None else len(positions)


def _key(state: State, name: str) -> tuple[str, Chain, Tones, Tones]:
    """What a prediction depends on."""
    return name, state.chain, state.head, tuple(t for t in state.tail if t[0] not in FITTED)


def _whole_channels(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix with only its largest entry in each row, where that is most of it: a curve that is fitted by
    lines mixes channels that have nothing to do with each other."""
    if matrix.shape[0] != 3:
        return matrix
    size = np.abs(matrix)
    largest = size == size.max(axis=1, keepdims=True)
    most = (size.max(axis=1) > 0.6 * size.sum(axis=1)).all()
    return np.where(largest, matrix, 0.0) if most and largest.sum() == 3 else matrix


def curve_residual(z: np.ndarray, y: np.ndarray) -> float:
    """Return the mean squared residual of y about a free curve in z, channel by channel: half the mean squared step
    of y between neighbours in z."""
    total = 0.0
    for c in range(y.shape[1]):
        steps: Floats = np.diff(y[np.argsort(z[:, c], kind="stable"), c])
        total += float(np.mean(steps**2)) / 2
    return total / y.shape[1]


def _with_border(linear: Linear, border: np.ndarray, full: bool) -> Linear:
    """Where the hypothesis puts a border, the output must be constant; what it varies there counts as residual."""
    if len(border) < 8 or not np.isfinite(linear.loss):
        return linear
    r = (border - np.median(border, axis=0)) / level_size(linear.matrix)
    n, m = linear.n, len(border)
    loss = float(np.sqrt((linear.loss**2 * n + float(np.mean(r**2)) * m) / (n + m)))
    return dataclasses.replace(linear, loss=loss)
