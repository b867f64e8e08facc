"""How output values follow from pixel values: a linear map solved in closed form, and what its coefficients mean.

For every hypothesis about geometry the colour order, gray weights, mean and scale need no search: a least-squares fit
of output samples on predicted red, green and blue gives them all at once, and its residual judges the geometry.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facelab.preprocess.colour import GRAY_WEIGHTS

LEVELS = 255.0
Floats = NDArray[np.floating[Any]]
Scaling = tuple[Floats, Floats]
"""Gain and offset per channel."""


@dataclasses.dataclass(frozen=True)
class Linear:
    """output = matrix · (red, green, blue) + offset; `matrix` (channels × 3), pixels 0…255.

    `gain` is each channel's answer to gray (row sums), `weights` the matrix over the gain, `loss` the RMS residual in
    pixel levels, `spread` its 99.5th percentile, `n` the number of samples.
    """

    matrix: np.ndarray
    offset: np.ndarray
    loss: float
    spread: float
    n: int

    @property
    def gain(self) -> np.ndarray:
        return self.matrix.sum(axis=1)

    @property
    def weights(self) -> np.ndarray:
        g = self.gain
        return self.matrix / np.where(np.abs(g) < 1e-12, 1e-12, g)[:, None]

    @property
    def unit(self) -> np.ndarray:
        """Size of one pixel level in each output channel."""
        return level_size(self.matrix)


def magnified(matrix: Floats, noise: Floats) -> Floats:
    """Return how many levels of each output channel a rounding of `noise` (… × 3) levels of the pixels comes to."""
    return noise @ np.abs(matrix).T / level_size(matrix)


def level_size(matrix: np.ndarray) -> np.ndarray:
    """Return how much one 8-bit level moves each output channel, (channels,)."""
    return np.maximum(np.abs(matrix).sum(axis=1), 1e-12)


def fit(
    x: NDArray[Any], y: NDArray[Any], *, full: bool = False, noise: Floats | None = None
) -> Linear:
    """Fit output samples `y` (n × channels) on predicted pixels `x` (n × 3).

    A small ridge keeps gray-only data solvable: the weight is then shared out equally. `noise` (n × 3) says how many
    levels of `x` a rounding of one level before it comes to; samples count for as much as they are sure, and residuals
    are in levels before it.
    """
    n = len(x)
    if n < 8:
        channels = int(y.shape[1])
        return Linear(np.zeros((channels, 3)), np.zeros(channels), np.inf, np.inf, n)
    xc, yc, weighted, mx, my = _centred(x, y, noise)
    gram: Floats = weighted.T @ xc
    crossed: Floats = weighted.T @ yc
    diagonal: Floats = gram.diagonal()
    ridge = np.eye(3) * max(1e-3, 1e-6 * float(diagonal.sum()))
    matrix: Floats = np.linalg.solve(gram + ridge, crossed).T
    offset: Floats = np.subtract(my, matrix @ mx)
    residual = (yc - xc @ matrix.T) / level_size(matrix)
    if noise is not None:
        # a channel of one value answers to nothing, and so enlarges nothing
        residual /= np.maximum(magnified(matrix, noise), 1e-12)
    # an output that hardly answers to the pixels has a tiny gain and an enormous relative residual, as it should;
    # a channel that is one value everywhere says nothing
    spread_of = yc.std(axis=0)
    varies = spread_of > 1e-7 * max(float(spread_of.max()), 1e-12)
    loss = float(np.sqrt(np.mean(residual[:, varies] ** 2))) if varies.any() else np.inf
    matrix[~varies] = 0.0
    spread = float(np.percentile(np.abs(residual), 99.5)) if full else np.nan
    return Linear(matrix, offset, loss, spread, n)


def _centred(
    x: NDArray[Any], y: NDArray[Any], noise: Floats | None
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return x and y about their means, x by each sample's share, and the means."""
    if noise is None:
        mx: Floats = x.mean(axis=0)
        my: Floats = y.mean(axis=0)
        return x - mx, y - my, (x - mx) / len(x), mx, my
    share: Floats = 1 / noise.mean(axis=1) ** 2
    share = share / share.sum()
    mx, my = share @ x, share @ y
    return x - mx, y - my, (x - mx) * share[:, None], mx, my


WRAP = 256.0
"""Levels by which a value jumps where it wraps around in eight bits."""


TURNED = 60.0
"""Levels that a side costs whose every sample is a whole turn off, so that a wrong place of the wrap shows."""


EDGE = 2.0
"""Levels from the wrap's edge within which two roundings decide on which side a sample falls."""


def fit_wrapped(x: np.ndarray, y: np.ndarray) -> Linear:
    """Fit as `fit` does where `x` wraps around: a rounding at the wrap's edge costs a whole turn: not an error.

    Samples that are off by more than half a turn are left out of a second fit, and residuals are counted modulo a
    turn.
    """
    linear = fit(x, y)
    for _ in range(3):
        if not np.isfinite(linear.loss):
            return linear
        residual: Floats = (y - x @ linear.matrix.T - linear.offset) / linear.unit
        near = (np.abs(residual) < WRAP / 3).all(axis=1)
        if near.all() or near.sum() < 0.8 * len(x):
            break
        linear = fit(x[near], y[near])
    residual = (y - x @ linear.matrix.T - linear.offset) / linear.unit
    folded: Floats = np.mod(residual + WRAP / 2, WRAP) - WRAP / 2
    # a rounding takes what lies at the wrap's edge over it, and costs nothing
    inner = ((x > EDGE) & (x < WRAP - 1 - EDGE)).all(axis=1, keepdims=True)
    turned = float(((np.abs(residual) > WRAP / 2) & inner).mean())
    loss = float(np.sqrt(np.mean(folded**2) + (TURNED * turned) ** 2))
    return dataclasses.replace(linear, loss=loss, n=len(x))


GRAYS = {
    **{name: GRAY_WEIGHTS[name] for name in ("bt601", "bt709", "average")},
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
}
ORDERS = {p: "".join("RGB"[i] for i in p) for p in itertools.permutations(range(3))}


def name_weights(w: np.ndarray, tolerance: float = 0.012) -> str:
    """Return the name of gray weights, or the three numbers."""
    for name, known in GRAYS.items():
        for order, label in (
            (slice(None), name),
            (slice(None, None, -1), f"{name} on swapped channels"),
        ):
            if np.abs(np.asarray(known)[order] - w).max() < tolerance:
                return label
    return "({:.3f}, {:.3f}, {:.3f})".format(*w)


CUSTOMARY = (0.0, 1.0, 255.0, 127.5, 128.0, 127.0, 65025.0)


def number(value: float) -> str:
    """Return a number as code has it: no exponent, at most four significant digits unless it is whole.

    >>> number(104.0), number(65025.0), number(0.01742), number(58.395)
    ('104', '65025', '0.01742', '58.4')
    """
    if abs(value - round(value)) < 1e-6 * max(1.0, abs(value)) and abs(value) < 1e9:
        return str(round(value))
    text = f"{value:.4g}"
    return text if "e" not in text else f"{value:.0f}" if abs(value) >= 1 else f"{value:.3g}"


def _tidy(values: np.ndarray, error: float = 0.15) -> np.ndarray:
    """Show a fitted number that is within its error of a customary or whole one as that."""
    out = np.array(values, dtype=np.float64)
    whole = np.rint(out)
    if (np.abs(out - whole) < error).all() and (np.abs(whole) >= 8).all():
        out = whole
    for known in CUSTOMARY:
        out[np.abs(out - known) < max(0.0012 * known, 0.08 if known == 0 else 0.0)] = known
    return out


def describe_scaling(gain: np.ndarray, offset: np.ndarray) -> str:
    """Return (x − mean) / scale for a reader, from output = gain · x + offset.

    >>> describe_scaling(np.full(3, 1 / 255), np.zeros(3)), describe_scaling(np.array([-1 / 255]), np.ones(1))
    ('x / 255', '(255 − x) / 255')
    """
    scale, mean = (_tidy(v) for v in (1 / gain, -offset / gain))
    if np.abs(gain - 1).max() < 5e-3 and np.abs(offset).max() < 0.5:
        return "raw 0…255"
    over = _said_once(np.abs(scale) if (scale < 0).all() else scale, 1e-3 * abs(scale[0]))
    over = "" if over == "1" else f" / {over}"
    if np.abs(mean).max() < 0.05 and (scale > 0).all():
        return f"x{over}"
    low = _said_once(np.abs(mean) if (mean < 0).all() else mean, 0.05)
    if (scale < 0).all():
        text = f"−x − {low}" if (mean < 0).all() else f"{low} − x"
    else:
        text = f"x + {low}" if (mean < 0).all() else f"x − {low}"
    return f"({text}){over}" if over else text


def _said_once(values: np.ndarray, spread: float) -> str:
    """One number where all are alike, else all of them in brackets."""
    if np.ptp(values) <= spread:
        return number(float(values[0]))
    return "[" + ", ".join(map(number, values)) + "]"


def _close(a: Scaling, b: Scaling, unit: Floats, pixels: float = 1.0) -> bool:
    """Whether two linear maps (gain, offset) differ by at most `pixels` levels anywhere between black and white."""
    (ga, oa), (gb, ob) = a, b
    black, white = np.abs(oa - ob), np.abs(ga * LEVELS + oa - gb * LEVELS - ob)
    return bool((np.maximum(black, white) <= pixels * unit).all())


RANGES = {
    "[0, 1]": (1 / 255, 0.0),
    "[−1, 1]": (2 / 255, -1.0),
    "[0, 255]": (1.0, 0.0),
    "[−0.5, 0.5]": (1 / 255, -0.5),
    "[−128, 127]": (1.0, -128.0),
    "[−127.5, 127.5]": (1.0, -127.5),
}


def range_name(gain: np.ndarray, offset: np.ndarray, pixels: float = 1.6) -> str | None:
    """Return the customary range that black to white maps onto, or None."""
    for name, (g, o) in RANGES.items():
        if _close(
            (gain, offset),
            (np.full_like(gain, g), np.full_like(offset, o)),
            np.full_like(gain, abs(g)),
            pixels,
        ):
            return name
    return None


def compare_scaling(train: Scaling, infer: Scaling, *, slack: float = 1.0) -> list[tuple[str, str]]:
    """Return [(kind, remark)] that turn the training side's (gain, offset) into the inference side's.

    Both in pixel units per channel. Empty when they agree within `slack` levels (more than one where the geometry is
    explained in part only, for then the fit of mean and scale is off as well). One cause that explains everything is
    preferred to two: raw pixels, a normalisation applied twice, another customary range, mean and scale in other
    units, then mean and scale each for itself.
    """
    (ga, oa), (gb, ob) = train, infer
    unit = np.minimum(np.abs(ga), np.abs(gb))
    alike = (np.abs(ga / gb - 1) < 0.05 * slack).all()
    if _close(train, infer, np.maximum(np.abs(ga), np.abs(gb)) if alike else unit, slack):
        return []

    def same(g: Floats, o: Floats) -> bool:
        # what most of a level means to the training side is how well its offset is known
        return _close((g, o), infer, np.maximum(np.abs(g) * 1.5, 0.8 * np.abs(ga)))

    ranges = range_name(ga, oa), range_name(gb, ob)
    if ranges[1] == "[0, 255]" and ranges[0] != "[0, 255]":
        return [("missing_normalization", "pixels arrive raw, 0…255")]
    once = [(1 / 255, 0.0, "the division by 255"), (2 / 255, -1.0, "x / 127.5 − 1")]
    for g, o, what in (
        (ga, oa, "the whole normalisation"),
        # pixels that training leaves raw are not normalised twice by being normalised
        *(once if ranges[0] != "[0, 255]" else []),
    ):
        if same(ga * g, ga * o + oa):
            return [("double_normalization", f"{what} was applied twice")]
    if ranges[0] is None and same(ga * ga * LEVELS, ga * oa * LEVELS + oa):
        return [("double_normalization", "mean and scale (in units of 0…1) were applied twice")]
    if ranges[0] is None and ranges[1] == "[0, 1]":
        return [
            (
                "missing_normalization",
                "pixels are divided by 255, but mean and scale are not applied",
            )
        ]
    if ranges[0] and ranges[1] and ranges[0] != ranges[1]:
        return [("value_range", f"{ranges[1]} instead of {ranges[0]}")]
    for factor, what in (
        (255.0, "pixels 0…255 meet a mean and scale meant for 0…1"),
        (1 / 255, "pixels 0…1 meet a mean and scale meant for 0…255"),
    ):
        if same(ga * factor, oa):
            return [("value_range", what)]
    for share, what in (
        (219 / 255, "squeezed into 16…235"),
        (255 / 219, "16…235 spread over all levels"),
    ):
        begin = 16.0 if share < 1 else -16.0 * share
        if same(ga * share, ga * begin + oa):
            return [("yuv_range", f"pixels {what}")]
    return _mean_and_scale(ga, oa, gb, ob)


def _mean_and_scale(ga: Floats, oa: Floats, gb: Floats, ob: Floats) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    ma, mb, sa, sb = -oa / ga, -ob / gb, 1 / ga, 1 / gb
    mean_moved = np.abs(ma - mb).max() > 0.6
    scale_moved = np.abs(sb / sa - 1).max() > 0.004
    if np.abs(oa - ob).max() < 0.5 * np.abs(gb).max() and scale_moved and np.abs(ma).max() > 0.6:
        # the same offset after another factor: x · g + o, where only g moved
        mean_moved = False
    if mean_moved:
        swapped = len(ma) == 3 and np.abs(ma[::-1] - mb).max() < 0.6
        found.append(
            (
                "mean",
                "the channels' means are in the other order"
                if swapped
                else f"mean {_list(mb)} instead of {_list(ma)} (pixel units)",
            )
        )
    if scale_moved:
        found.append(("scale", f"scale {_list(sb)} instead of {_list(sa)} (pixel units)"))
    return found


def _list(values: np.ndarray) -> str:
    tidy = _tidy(values)
    if np.ptp(values) < 1e-3 * max(1.0, np.abs(values).max()) or np.ptp(tidy) == 0:
        return number(float(tidy.mean()))
    return "[" + ", ".join(map(number, tidy)) + "]"


def with_rest(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return (loss in levels, matrix, residual) of the linear map from one or three values x to y, row by row."""
    if x.shape[1] == 3:
        linear = fit(x, y)
        return linear.loss, linear.matrix, y - x @ linear.matrix.T - linear.offset
    a = np.stack([x[:, 0], np.ones(len(x))], axis=1)
    solution = np.linalg.lstsq(a, y[:, 0], rcond=None)[0]
    rest = y[:, 0] - a @ solution
    return (
        float(np.sqrt(np.mean(rest**2))) / max(abs(solution[0]), 1e-12),
        solution[:1, None],
        rest[:, None],
    )
