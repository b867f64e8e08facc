"""How the inference side's samples follow from the training side's own, where no known pipeline explains either.

Flips, quarter turns, single-pixel shifts, colour, scaling and tone need no model of the geometry in front of them: the
samples lie on a mirrored grid of neighbouring pairs, so the two sides' values can be held against each other directly.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.model._linear_fit import LEVELS, RANGES, Floats, Linear, fit
from facelab.fingerprint.model._observed import Observed
from facelab.fingerprint.model._pipeline_state import KIND_OF, TRANSFORMS, Change
from facelab.fingerprint.model._planner import FLIPS, SWAPS
from facelab.fingerprint.search.candidates._tone import GAMMAS, SPANS, describe, recode_changes

KNOWN = (
    *((np.array([gain]), np.array([offset])) for gain, offset in RANGES.values()),
    *(
        (1 / np.array(scale)[order], -(np.array(mean) / np.array(scale))[order])
        for mean, scale in (
            ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
            ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
            ((127.5, 127.5, 127.5), (128.0, 128.0, 128.0)),
        )
        for order in (slice(None), slice(None, None, -1))
    ),
)
"""Customary (gain, offset) of pixels, to which the range of a side's values is rounded."""


OVERLAP, NEIGHBOURS = 0.6, 0.4
"""The least share of the samples that upright sides have in common which a turn must lay over each other, and how much
less a shift by a pixel along each axis may: half of the lines have no sampled neighbour there."""


@dataclasses.dataclass
class Relation:
    """`train` and `infer` are the sides' linear maps from the training side's pixels, as far as its range shows;
    `changes` the turns, shifts and tones; `before` and `loss` the RMS difference in levels without and with all."""

    train: Linear
    infer: Linear
    changes: list[Change]
    before: float
    loss: float
    turn: str = "none"
    shift: tuple[int, int] = (0, 0)
    known: bool = True
    """Whether the training side's range is a customary one; else its pixels cannot be described."""
    tones: tone.Tones = ()
    """What is done to the training side's pixels in front of the inference side's map."""

    def unlike(self, left: Observed, right: Observed, names: list[str]) -> list[str]:
        """Return those of `names` that the relation does not explain as well as the others, worst first."""
        if any(c.kind in ("gamma", "histogram") for c in self.changes):
            return []
        errors: dict[str, float] = {}
        for n in names:
            x, y = _pairs(left, right, [n], self.train, self.turn, self.shift)
            if len(x):
                x = _through(self.tones, x)
                residual = (y - x @ self.infer.matrix.T - self.infer.offset) / self.infer.unit
                errors[n] = float(np.sqrt(np.mean(residual**2)))
        worse = [n for n, e in errors.items() if e > 2 * self.loss + 1.5]
        return sorted(worse, key=errors.__getitem__, reverse=True)

    @property
    def share(self) -> float:
        """The share of the difference's power that is explained."""
        return 1 - (self.loss / self.before) ** 2 if self.before > 0 else 0.0


class _Tried(NamedTuple):
    """The samples laid over each other after a turn and a shift, and the line through them."""

    linear: Linear
    turn: str
    shift: tuple[int, int]
    x: Floats
    y: Floats


def relate(left: Observed, right: Observed) -> Relation | None:
    """Return how `right` follows from `left`, None where their samples cannot be laid over each other."""
    train, known = _scaling(left)
    names = [n for n in left.plain if n in right.y]
    best: _Tried | None = None
    most = 0.0
    for turn in ("none", *TRANSFORMS):
        for shift in [(0, 0), *((dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy)]:
            x, y = _pairs(left, right, names, train, turn, shift)
            if len(x) < max(64.0, most * NEIGHBOURS ** sum(d != 0 for d in shift)):
                continue
            if shift == (0, 0):
                # a turn that only the square pictures can be held against says nothing of the others
                most = max(most, OVERLAP * len(x))
            linear = fit(x, y)
            if best is None or linear.loss < 0.8 * best.linear.loss - 0.2:
                best = _Tried(linear, turn, shift, x, y)
    if best is None or not np.isfinite(best.linear.loss):
        return None
    linear, turn, shift, x, y = best
    changes = [Change(KIND_OF[turn], "output", "upright", turn)] if turn != "none" else []
    if shift != (0, 0):
        changes.append(Change("shift", "output", "in place", f"moved by {shift} pixels"))
    linear, bent, steps = _bent(linear, x, y, train)
    x, y = _pairs(left, right, names, train, "none", (0, 0))
    before = float("inf")
    if len(x) and x.shape[1] >= y.shape[1]:
        same = (
            train.matrix
            if y.shape[1] == train.matrix.shape[0]
            else train.matrix.mean(axis=0, keepdims=True)
        )
        offset = (
            train.offset if y.shape[1] == len(train.offset) else train.offset.mean(keepdims=True)
        )
        rest: Floats = (y - x @ same.T - offset) / np.abs(same).sum(axis=1)
        before = float(np.sqrt(np.mean(rest**2)))
    where = turn, shift
    return Relation(train, linear, changes + bent, before, linear.loss, *where, known, steps)


def _scaling(side: Observed) -> tuple[Linear, bool]:
    """The map from pixels 0…255 to a side's values, from their extremes, and whether it is a customary one."""
    values = [side.fingerprint.output[n]["moments"] for n in side.plain]
    lo, hi = np.min([v["min"] for v in values], axis=0), np.max([v["max"] for v in values], axis=0)
    gain, offset, limit = np.maximum(hi - lo, 1e-12) / LEVELS, lo, 0.03 * LEVELS
    customary = False
    for known in KNOWN:
        g, o = (
            np.broadcast_to(v, len(gain)) if len(np.atleast_1d(v)) == 1 else v[: len(gain)]
            for v in known
        )
        far = max(np.abs(o - lo).max(), np.abs(g * LEVELS + o - hi).max()) / g.min()
        if far < limit:
            gain, offset, limit, customary = g, o, far, True
    matrix = np.diag(gain) if len(gain) == 3 else np.repeat(gain[:, None], 3, axis=1) / 3
    return Linear(matrix, offset, 0.0, 0.0, 0), customary


def _pairs(
    left: Observed,
    right: Observed,
    names: list[str],
    train: Linear,
    turn: str,
    shift: tuple[int, int],
) -> tuple[Floats, Floats]:
    """The training side's samples in pixels (n × 3) and the inference side's (n × channels) at the same places."""
    xs: list[Floats] = []
    ys: list[Floats] = []
    for n in names:
        rows, columns = (
            (left.columns[n], left.rows[n]) if turn in SWAPS else (left.rows[n], left.columns[n])
        )
        if (rows, columns) != (right.rows[n], right.columns[n]):
            continue
        x = left.y[n].swapaxes(0, 1) if turn in SWAPS else left.y[n]
        x = x[:: -1 if FLIPS[turn][0] else 1, :: -1 if FLIPS[turn][1] else 1]
        r, from_r = _moved(rows, shift[1])
        c, from_c = _moved(columns, shift[0])
        xs.append(x[np.ix_(from_r, from_c)].reshape(-1, x.shape[2]))
        ys.append(right.y[n][np.ix_(r, c)].reshape(-1, right.y[n].shape[2]))
    if not xs:
        return np.empty((0, 3)), np.empty((0, right.channels))
    pixels: Floats = (np.concatenate(xs) - train.offset) / np.abs(train.matrix).sum(axis=1)
    return (
        np.repeat(pixels, 3, axis=1) if pixels.shape[1] == 1 else pixels[:, :3]
    ), np.concatenate(ys)


def _moved(lines: tuple[int, ...], d: int) -> tuple[list[int], list[int]]:
    """Indices of lines whose neighbour `d` before them is sampled too, and the indices of those."""
    at = {v: i for i, v in enumerate(lines)}
    kept = [i for i, v in enumerate(lines) if v - d in at]
    return kept, [at[lines[i] - d] for i in kept]


Pair = tuple[tuple[str, str], tuple[str, str]]
"""(matrix, range) that YUV is written and read with."""
RECODED = 0.3
"""The share of the difference that another reading of YUV may leave."""


CURVES: tuple[tone.Tones, ...] = ((), *((t, tone.undone(t)) for t in tone.CUSTOMARY))
"""Curves that both sides may apply behind their pixels, each with what undoes it."""
THINNED = 4000
"""Samples on which the readings of YUV are tried first."""
SAME_GAIN, SAME_OFFSET = 0.02, 2.0
"""Share of the gain, and levels, by which two maps may be apart that are taken for one."""


def _recoded(
    x: Floats, y: Floats, train: Linear, limit: float
) -> tuple[Linear, list[Change], tone.Tones] | None:
    """Return another reading of YUV in front of a curve that both sides share, if that leaves less than `limit`."""
    gray = y.shape[1] == 1
    # matrices act on colour only, and one plane shows a change of range alone
    spans = SPANS[:2] if gray else SPANS
    pairs = [(w, r) for w in spans for r in spans if w != r]
    thin = slice(None, None, max(1, len(x) // THINNED))

    def tried(curve: tone.Tones, pair: Pair, part: slice) -> tuple[Linear, tone.Tones]:
        read: tone.Tones = (("recode", pair),)
        steps = (curve[1], *read, curve[0]) if curve else read
        return fit(_through(steps, x[part]), y[part]), steps

    quick = [(tried(c, p, thin)[0].loss, c, p) for c in CURVES for p in pairs]
    for loss, curve, pair in sorted(quick, key=lambda t: t[0])[:3]:
        if loss < 2 * limit:
            found, steps = tried(curve, pair, slice(None))
            # little is left by a free line in front of any curve, so with a curve nothing else may change
            if found.loss < limit and (not (curve or gray) or _as_training(train, found)):
                return found, list(recode_changes(*pair)), steps
    return None


def _through(steps: tone.Tones, x: Floats) -> Floats:
    """Return pixels (n × 3) behind some tones; what is gray stays so to the last bit."""
    gray = bool((x == x[:, :1]).all())
    for step in steps:
        x = tone.apply(step, x)
    return np.repeat(x[:, :1], 3, axis=1) if gray else x


def _as_training(train: Linear, found: Linear) -> bool:
    """Whether mean and scale are training's."""
    if train.gain.shape != found.gain.shape:
        return False
    gain: Floats = np.abs(found.gain / train.gain - 1)
    offset: Floats = np.abs(found.offset - train.offset) / train.unit
    return bool(gain.max() < SAME_GAIN and offset.max() < SAME_OFFSET)


def _bent(
    linear: Linear, x: Floats, y: Floats, train: Linear
) -> tuple[Linear, list[Change], tone.Tones]:
    """Try other readings of YUV, then tone curves, where a straight line leaves much."""
    if linear.loss < 1.6:
        return linear, [], ()
    # little is left by many a matrix where there is little to explain
    recoded = _recoded(x, y, train, min(1.6, RECODED * linear.loss))
    if recoded is not None:
        return recoded
    tried = [(fit(tone.apply(("gamma", g), x), y), g) for g in GAMMAS]
    best, g = min(tried, key=lambda t: t[0].loss)
    for step in (1.05, 1.02, 1.007):
        for _ in range(3):
            near = min(
                ((fit(tone.apply(("gamma", h), x), y), h) for h in (g * step, g / step)),
                key=lambda t: t[0].loss,
            )
            if near[0].loss >= best.loss:
                break
            best, g = near
    if best.loss < max(0.8, 0.1 * linear.loss):
        change = Change("gamma", "color", "linear in the pixels", describe(("gamma", g)))
        return best, [change], (("gamma", g),)
    return linear, [], ()
