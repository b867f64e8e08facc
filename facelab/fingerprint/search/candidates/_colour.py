"""What the colours of two linear maps say: order, gray weights, a YUV matrix or range read wrongly, mean and scale."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from facelab.fingerprint.model._linear_fit import (
    LEVELS,
    ORDERS,
    Floats,
    Linear,
    Scaling,
    compare_scaling,
    describe_scaling,
    level_size,
    name_weights,
    range_name,
)
from facelab.fingerprint.model._pipeline_state import Change
from facelab.fingerprint.model._tones import rgb_to_ycc
from facelab.fingerprint.search.candidates._tone import SPANS, recode_changes

GRAY_TOLERANCE = 0.012
RECODED = 3.0
"""A YUV matrix or range is believed only where the linear map leaves no more than this many levels RMS."""


class Explained(NamedTuple):
    """The changes that turn the training map into the inference one, and the largest error left, in levels."""

    changes: tuple[Change, ...]
    error: float


def recode_map(written: tuple[str, str], read: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Return (matrix, offset) on RGB of YUV written with one matrix and range and read with another, unclipped."""
    forward, back = rgb_to_ycc(written[0]), np.linalg.inv(rgb_to_ycc(read[0]))
    span, offset = np.ones(3), np.zeros(3)
    if written[1] == "limited":
        span, offset = span * (219 / 255, 224 / 255, 224 / 255), np.array([16.0, 0, 0])
    if read[1] == "limited":
        span, offset = (
            span * (255 / 219, 255 / 224, 255 / 224),
            (offset - (16.0, 0, 0)) * (255 / 219, 1, 1),
        )
    return back @ (span[:, None] * forward), back @ offset


def explain(a: Linear, b: Linear, *, whole: bool = False, bent: bool = False) -> Explained:
    """Say what turns the training side's map `a` into the inference side's `b`, in as few causes as possible.

    `whole` says that only the inference side gives whole numbers: one scale and zero point for all channels is then a
    quantisation. `bent` says that a tone curve was found as well, which is known less well than a line.
    """
    if a.matrix.shape[0] != b.matrix.shape[0]:
        return _other_channels(a, b)
    slack = (3.5 if bent else 1.0) + max(0.0, abs(b.loss - a.loss) - 0.5)
    best: tuple[tuple[float, float], tuple[Change, ...], list[tuple[str, str]], float] | None = None
    for changes, matrix, offset in _colours(a, b):
        error = float(np.abs(shares_of(matrix) - shares_of(b.matrix)).max())
        limit = GRAY_TOLERANCE + 0.006 * min(b.loss, 8.0)
        if error > limit:
            continue
        scaling = compare_scaling(*_scales(matrix, offset, b), slack=slack)
        # a known mistake is a better explanation than weights that fit because they are free
        free = (
            0.5
            if any(c.kind == "gray_weights" and c.after.startswith("(") for c in changes)
            else 0.0
        )
        rank = (len(changes) + len(scaling) + free, round(error, 3))
        if best is None or rank < best[0]:
            best = (rank, changes, scaling, error)
    if best is None:
        changes = _constant_channels(a, b) or _oddity(a, b)
        error = float(np.abs(shares_of(a.matrix) - shares_of(b.matrix)).max() * 255)
        return Explained(changes, error)
    words = _scaling_words(a), _scaling_words(b)
    scaled = tuple(
        Change(kind, "color", "pixels 0…255", remark)
        if kind == "yuv_range"
        else Change(kind, "normalize", words[0], f"{words[1]}: {remark}")
        for kind, remark in best[2]
    )
    if whole and scaled and (integers := _quantised(a, b)) is not None:
        was, now = "real numbers, " + words[0], integers
        if range_name(a.gain, a.offset) == "[−128, 127]":
            was, now = "signed bytes, " + words[0], "signed bytes, " + words[1]
        scaled = (Change("quantization", "quantize", was, now),)
    return Explained((*best[1], *scaled), best[3] * 255)


def _quantised(a: Linear, b: Linear) -> str | None:
    """The scale and zero point by which b follows from a in every channel; None for raw pixels and other maps."""
    if len(a.gain) != len(b.gain) or range_name(b.gain, b.offset) == "[0, 255]":
        return None
    scale = a.gain / b.gain
    zero = b.offset - a.offset / scale
    if np.ptp(scale) > 0.02 * abs(scale).max() or np.ptp(zero) > 2:
        return None
    return f"whole numbers of scale {scale.mean():.4g} and zero point {zero.mean():.0f}"


def _scaling_words(x: Linear) -> str:
    """(x − mean) / scale, or the planes' ranges where some plane does not answer to gray."""
    if (np.abs(x.gain) > CHROMA * np.abs(x.matrix).sum(axis=1)).all():
        return describe_scaling(x.gain, x.offset)
    numbers = [
        ", ".join(f"{v:.3g}" for v in values)
        for values in (level_size(x.matrix) * LEVELS, x.offset)
    ]
    return f"planes of range [{numbers[0]}] with black at [{numbers[1]}]"


CHROMA = 0.05
"""A row whose entries sum to less than this share of their size answers to colour, not to gray."""


def shares_of(matrix: np.ndarray) -> np.ndarray:
    """Return each row over the size of its entries; what answers to gray is given a positive sum."""
    gray = matrix.sum(axis=1)
    size = np.abs(matrix).sum(axis=1)
    turned = (gray < 0) & (np.abs(gray) > CHROMA * size)
    return matrix / np.where(turned, -1.0, 1.0)[:, None] / np.maximum(size, 1e-12)[:, None]


def _scales(matrix: np.ndarray, offset: np.ndarray, b: Linear) -> tuple[Scaling, Scaling]:
    """(gain, offset) of both maps: the answer to gray, or the size of the rows where some row has none."""
    maps = ((matrix, offset), (b.matrix, b.offset))
    if all((np.abs(m.sum(axis=1)) > CHROMA * np.abs(m).sum(axis=1)).all() for m, _ in maps):
        first, second = ((m.sum(axis=1), o) for m, o in maps)
    else:
        first, second = ((np.maximum(np.abs(m).sum(axis=1), 1e-12), o) for m, o in maps)
    return first, second


def _constant_channels(a: Linear, b: Linear) -> tuple[Change, ...]:
    """Some of b's channels are one value everywhere, and the others are channels of a: bytes read at another place."""
    constant = np.abs(b.matrix).sum(axis=1) == 0
    if not constant.any() or constant.all() or a.matrix.shape != (3, 3):
        return ()
    letters = _order_of(a.weights)
    letters = letters if len(letters) == 3 else "123"
    words: list[str] = []
    for k in range(3):
        rows = [
            i
            for i in range(3)
            if not constant[k]
            and np.abs(a.matrix[i] - b.matrix[k]).max() < 0.02 * np.abs(a.matrix[i]).sum()
            and abs(a.offset[i] - b.offset[k]) < 1.5 * np.abs(a.matrix[i]).sum()
        ]
        own = None if constant[k] or rows else _channel_in_place(a, b, k)
        if not constant[k] and not rows and own is None:
            return ()
        words.append("one value" if constant[k] else own or letters[rows[0]])
    return (Change("channel_order", "color", ", ".join(letters), ", ".join(words)),)


def _channel_in_place(a: Linear, b: Linear, k: int) -> str | None:
    """The letter of the pixels' channel that b has at place `k` with the mean and scale that a has there."""
    j = int(np.argmax(np.abs(b.matrix[k])))
    alone = abs(b.matrix[k, j]) > 0.97 * np.abs(b.matrix[k]).sum()
    level = abs(a.gain[k])
    same = (
        abs(b.gain[k] - a.gain[k]) < 0.02 * level and abs(a.offset[k] - b.offset[k]) < 1.5 * level
    )
    return "RGB"[j] if alone and same else None


def _colours(a: Linear, b: Linear) -> Iterator[tuple[tuple[Change, ...], Floats, Floats]]:
    """Yield (changes, matrix, offset): the training map after each change of colour."""
    yield (), a.matrix, a.offset
    if a.matrix.shape[0] == 1:
        yield from _grays(a, b)
    else:
        base = _planes_of(a.matrix)
        for p in itertools.permutations(range(3)):
            if p != (0, 1, 2):
                names = base, _planes_of(a.matrix[list(p)])
                change = (Change("channel_order", "color", *names),)
                yield change, a.matrix[:, list(p)], a.offset
                yield change, a.matrix[list(p)], a.offset[list(p)]
        gray = b.weights.mean(axis=0)
        if (
            np.abs(b.weights - gray).max()
            < GRAY_TOLERANCE
            < np.abs(a.weights - a.weights.mean(axis=0)).max()
        ):
            matrix = a.gain[:, None] * gray
            yield (
                (Change("gray_weights", "color", "colour", f"gray ({name_weights(gray)})"),),
                matrix,
                a.offset,
            )
        if _is_gray(a) and (order := _order_of(b.weights)) in ORDERS.values():
            was = f"gray ({name_weights(a.weights.mean(axis=0))}) in all channels"
            change = Change("gray_weights", "color", was, f"colour ({order})")
            yield (change,), a.gain[:, None] * b.weights, a.offset
    if a.matrix.shape[0] == 3:
        forward = rgb_to_ycc("bt601")
        swapped = np.linalg.inv(forward) @ forward[[0, 2, 1]]
        yield (
            (Change("channel_order", "color", "chroma in order U, V", "U and V swapped"),),
            a.matrix @ swapped,
            a.offset,
        )
        yield from _spaces(a)
    if b.loss > RECODED:
        return
    for written, read in itertools.product(SPANS, SPANS):
        if written != read:
            m, o = recode_map(written, read)
            yield recode_changes(written, read), a.matrix @ m, a.offset + a.matrix @ o


def _spaces(a: Linear) -> Iterator[tuple[tuple[Change, ...], Floats, Floats]]:
    """Yield the training map with another colour space than its own: RGB, YCrCb or YCbCr (full range)."""
    neutral = np.array([0.0, 128.0, 128.0])
    ycc = rgb_to_ycc("bt601")
    spaces = {
        f"{name} of {order}": (ycc[rows][:, columns], neutral)
        for name, rows in (("YCbCr", [0, 1, 2]), ("YCrCb", [0, 2, 1]))
        for order, columns in (("RGB", [0, 1, 2]), ("BGR", [2, 1, 0]))
    }
    spaces |= {"RGB": (np.eye(3), np.zeros(3)), "BGR": (np.eye(3)[::-1], np.zeros(3))}
    for own, (matrix, offset) in spaces.items():
        gain = a.matrix @ np.linalg.inv(matrix)
        size = np.abs(gain).max()
        if np.abs(gain - np.diag(np.diag(gain))).max() > 0.02 * size:
            continue
        for other, (m, o) in spaces.items():
            if other != own and ("Y" in own or "Y" in other):
                change = Change("channel_order", "color", own, other)
                yield (change,), gain @ m, a.offset - gain @ offset + gain @ o


def _grays(a: Linear, b: Linear) -> Iterator[tuple[tuple[Change, ...], Floats, Floats]]:
    wa, wb = a.weights[0], b.weights[0]
    if np.abs(wa[::-1] - wb).max() < GRAY_TOLERANCE:
        yield (
            (
                Change(
                    "channel_order", "color", "RGB before gray", "red and blue swapped before gray"
                ),
            ),
            a.matrix[:, ::-1],
            a.offset,
        )
        return
    change = Change("gray_weights", "color", name_weights(wa), name_weights(wb))
    yield (change,), a.gain[:, None] * b.weights, a.offset


def means_of(a: Linear) -> tuple[float, ...] | None:
    """Return what a side takes off each of red, green and blue, in whole levels; None for mixed channels."""
    if a.matrix.shape[0] != 3 or (order := _order_of(a.weights)) not in ORDERS.values():
        return None
    means = dict(zip(order, -a.offset / a.gain, strict=True))
    whole = tuple(float(round(means[c])) for c in "RGB")
    return whole if any(abs(m) >= 8 for m in whole) else None


def _order_of(weights: np.ndarray) -> str:
    for p, name in ORDERS.items():
        if np.abs(weights - np.eye(3)[list(p)]).max() < 0.1:
            return name
    return "mixed channels"


def _planes_of(matrix: np.ndarray) -> str:
    """The order of the channels, or Y, Cb and Cr, or that they are mixed."""
    gain = matrix.sum(axis=1, keepdims=True)
    letters = _order_of(matrix / np.where(np.abs(gain) < 1e-12, 1e-12, gain))
    if letters in ORDERS.values():
        return letters
    known, rows = shares_of(rgb_to_ycc("bt601")), shares_of(matrix)
    far = np.abs(rows[:, None] - known[None]).max(axis=2)
    if (far.min(axis=1) > 0.05).any():
        return letters
    nearest: list[int] = far.argmin(axis=1).tolist()
    return ", ".join(("Y", "Cb", "Cr")[k] for k in nearest)


def _oddity(a: Linear, b: Linear) -> tuple[Change, ...]:
    return (
        Change(
            "unknown", "color", "colours mixed by " + _matrix(a.weights), "by " + _matrix(b.weights)
        ),
    )


def _matrix(m: Floats) -> str:
    return "[" + "; ".join(", ".join(f"{v:.2f}" for v in row) for row in m) + "]"


def _other_channels(a: Linear, b: Linear) -> Explained:
    na, nb = a.matrix.shape[0], b.matrix.shape[0]
    if {na, nb} == {1, 3}:
        words = [
            f"gray ({name_weights(x.weights.mean(axis=0))})"
            if _is_gray(x)
            else f"{_order_of(x.weights)} colour"
            for x in (a, b)
        ]
        kind = "layout" if _is_gray(a) and _is_gray(b) else "gray_weights"
        changes = [
            Change(kind, "color", f"{words[0]}, {na} channel(s)", f"{words[1]}, {nb} channel(s)")
        ]
        pair = (
            (a.gain.mean(keepdims=True), a.offset.mean(keepdims=True)),
            (b.gain.mean(keepdims=True), b.offset.mean(keepdims=True)),
        )
        if np.ptp(a.gain) < 0.02 * abs(a.gain[0]) and np.ptp(b.gain) < 0.02 * abs(b.gain[0]):
            words = describe_scaling(*pair[0]), describe_scaling(*pair[1])
            changes += [
                Change(k, "normalize", words[0], f"{words[1]}: {r}")
                for k, r in compare_scaling(*pair)
            ]
        return Explained(tuple(changes), 0.0)
    return Explained((Change("layout", "output", f"{na} channels", f"{nb} channels"),), 0.0)


def _is_gray(x: Linear) -> bool:
    return bool(np.abs(x.weights - x.weights.mean(axis=0)).max() < GRAY_TOLERANCE)


def error_of(
    a: Linear, x: np.ndarray, y: np.ndarray, limits: tuple[float, float] | None = None
) -> float:
    """Return the RMS deviation of `y` from map `a` on pixels `x` (clipped to `limits`), in levels of `a`."""
    if a.matrix.shape[0] != y.shape[1]:
        return float("inf")
    expected = x @ a.matrix.T + a.offset
    if limits is not None:
        expected = np.clip(expected, *limits)
    return float(np.sqrt(np.mean(((y - expected) / level_size(a.matrix)) ** 2)))
