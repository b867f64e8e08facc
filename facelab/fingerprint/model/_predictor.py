"""What a chain puts at a few output positions, without making the whole image.

A resize, crop, pad, flip or shift acts on rows and columns apart, so what any such chain puts at some output rows and
columns is `A · image · Bᵀ` with two thin matrices. That makes a hypothesis about another pipeline cost a fraction of
a millisecond per probe instead of a whole image. Rotations and alignments are gathered point by point.
Pixels between stages are not rounded here; the error is at most half a level a stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facelab.fingerprint.model._operations import (
    Chain,
    Cut,
    Gather,
    Refused,
    Resample,
    Resize,
    Roll,
    Size,
    Smear,
    Step,
    Turn,
)
from facelab.fingerprint.model._planner import FLIPS, SWAPS, plan
from facelab.fingerprint.model._resampling import Axis, Pixels, blur, kernel_value, mixed, weights
from facelab.fingerprint.probes._cache import Source

Values = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Values (rows, columns, channel), and which share of each is picture (rows, columns)."""


def predict(
    chain: Chain, source: Source, rows: ArrayLike | None = None, columns: ArrayLike | None = None
) -> Values:
    """Return (values, cover) of the chain's output at the crossings of `rows` and `columns` (all when None).

    `values`: float32 rows × columns × channel in the units of the source's pixels, 0 where nothing of the picture is;
    `cover`: rows × columns, 1 where the value is all picture, 0 where it is all border. Raises Refused.
    """
    steps, (w, h) = plan(chain, source)
    a: Axis = np.arange(h) if rows is None else np.asarray(rows)
    b: Axis = np.arange(w) if columns is None else np.asarray(columns)
    if len(a) and (a.max() >= h or b.max() >= w):
        raise Refused("the output has a different size")
    values, cover = _run(steps, source.pixels, a, b)
    if any(isinstance(op, Resize) and op.clip for op in chain):
        np.clip(values, 0, 255, out=values)
    return values, cover


def _run(steps: Sequence[Step], pixels: Pixels, rows: Axis, columns: Axis) -> Values:
    a, b, swapped = rows, columns, False
    for k in range(len(steps) - 1, -1, -1):
        match steps[k]:
            case Gather() as step:
                values, cover = _warp(steps[:k], pixels, step, a, b)
                break
            case Turn() as step:
                a, b, swapped = _transform(step, a, b, swapped)
            case Cut((x, y, cw, ch), (w, h), outside):
                a, b = _cut(a, y, h, ch, outside), _cut(b, x, w, cw, outside)
            case Smear((w, h), sigma):
                a, b = _smear(a, h, sigma), _smear(b, w, sigma)
            case Roll(dx, dy, (w, h)):
                a, b = _roll(a, dy, h), _roll(b, dx, w)
            case Resample((w, h), (nw, nh), op, windows):
                across, down = windows or (None, None)
                a, b = _resample(a, h, nh, op, down), _resample(b, w, nw, op, across)
    else:
        values, cover = _apply(pixels, a, b)
    return (values.swapaxes(0, 1), cover.T) if swapped else (values, cover)


def _transform(step: Turn, a: Axis, b: Axis, swapped: bool) -> tuple[Axis, Axis, bool]:
    name, (w, h) = step
    rows_reversed, columns_reversed = FLIPS[name]
    # sizes after the swap of axes, which is what the reversals act on
    nw, nh = (h, w) if name in SWAPS else (w, h)
    a = _reverse(a, nh) if rows_reversed else a
    b = _reverse(b, nw) if columns_reversed else b
    return (b, a, not swapped) if name in SWAPS else (a, b, swapped)


def _reverse(axis: Axis, n: int) -> Axis:
    return np.where(axis < 0, axis, n - 1 - axis) if axis.ndim == 1 else axis[:, ::-1]


def _roll(axis: Axis, d: int, n: int) -> Axis:
    return np.where(axis < 0, axis, (axis - d) % n) if axis.ndim == 1 else np.roll(axis, -d, axis=1)


def _smear(axis: Axis, n: int, sigma: float) -> Axis:
    matrix = blur(n, sigma)
    return matrix[np.maximum(axis, 0)] * (axis >= 0)[:, None] if axis.ndim == 1 else axis @ matrix


FOLDED: dict[str, Callable[[Axis, int], Axis]] = {
    "replicate": lambda j, n: np.clip(j, 0, n - 1),
    "reflect": lambda j, n: np.clip(
        np.where(j < 0, -j - 1, np.where(j >= n, 2 * n - 1 - j, j)), 0, n - 1
    ),
    "reflect101": lambda j, n: np.clip(
        np.where(j < 0, -j, np.where(j >= n, 2 * n - 2 - j, j)), 0, n - 1
    ),
}
"""Which line stands for one beyond the border."""


def _cut(axis: Axis, start: int, n: int, length: int, outside: str) -> Axis:
    """An axis on the cut piece → on the whole: positions outside are −1 (nothing), or the line that stands for them."""
    if axis.ndim == 1:
        moved = axis + start
        if outside in FOLDED:
            return np.where(axis < 0, -1, FOLDED[outside](moved, n))
        return np.where((axis < 0) | (moved < 0) | (moved >= n), -1, moved)
    out = np.zeros((len(axis), n), np.float32)
    j = np.arange(length) + start
    if outside in FOLDED:
        np.add.at(out.T, FOLDED[outside](j, n), axis.T)
    else:
        ok = (j >= 0) & (j < n)
        out[:, j[ok]] = axis[:, ok]
    return out


def _resample(
    axis: Axis, n: int, target: int, op: Resize, window: tuple[float, float] | None = None
) -> Axis:
    if axis.ndim == 1:
        if n == target and window is None:
            return axis
        at = tuple(np.maximum(axis, 0).tolist())
        matrix = weights(n, target, op.kernel, op.antialias, op.centers, at, window)
        return matrix * (axis >= 0)[:, None].astype(np.float32) if (axis < 0).any() else matrix
    if n == target and window is None:
        return axis
    return axis @ weights(n, target, op.kernel, op.antialias, op.centers, None, window)


def _apply(pixels: Pixels, a: Axis, b: Axis) -> Values:
    cover = np.outer(_cover(a), _cover(b)).astype(np.float32)
    if a.ndim == 1 and b.ndim == 1:
        values = pixels[np.maximum(a, 0)][:, np.maximum(b, 0)].astype(np.float32)
        return values * cover[..., None], cover
    if cover.size > SMALL:
        return mixed(pixels, a, b), cover
    rows, a = _narrow(a, pixels.shape[0])
    columns, b = _narrow(b, pixels.shape[1])
    if isinstance(rows, slice) and pixels.dtype == np.uint8:
        # nearly every line is used, and will be again
        pixels = _floats(pixels)
    block = np.ascontiguousarray(pixels[rows][:, columns], dtype=np.float32)
    half = (a @ block.reshape(block.shape[0], -1)).reshape(len(a), *block.shape[1:])
    return np.matmul(b, half), cover


SMALL = 1024
"""Output pixels up to which two products of matrices cost least."""


def _floats(pixels: Pixels) -> Pixels:
    return _kept((id(pixels),), pixels, lambda: pixels.astype(np.float32))


def _cover(axis: Axis) -> Axis:
    return (axis >= 0).astype(np.float64) if axis.ndim == 1 else axis.sum(axis=1)


def _narrow(axis: Axis, n: int) -> tuple[slice | Axis, Axis]:
    """Return the source lines that some weight touches, and the weights on them."""
    if axis.ndim == 1:
        used, place = np.unique(np.maximum(axis, 0), return_inverse=True)
        matrix = np.zeros((len(axis), len(used)), np.float32)
        matrix[np.arange(len(axis)), place] = axis >= 0
        return used, matrix
    used = np.flatnonzero(axis.any(axis=0))
    used = used if len(used) else np.zeros(1, dtype=np.int64)
    if len(used) > 0.7 * n:
        return slice(0, n), axis
    return used, axis[:, used]


def _warp(before: Sequence[Step], pixels: Pixels, step: Gather, a: Axis, b: Axis) -> Values:
    """Gather behind `before`; the axes behind the warp may be positions or matrices."""
    back, size, kernel = step
    if a.ndim == 1 and b.ndim == 1:
        both = sample(_framed(before, pixels), back, np.maximum(a, 0), np.maximum(b, 0), kernel)
        both *= np.outer(a >= 0, b >= 0)[..., None]
    else:
        both, _ = _apply(_warped(before, pixels, back, size, kernel), a, b)
    return both[..., :-1], both[..., -1]


_KEPT: dict[tuple[object, ...], tuple[Pixels, Pixels]] = {}
"""The last few pictures as floats, framed or warped; each holds its source, so that no id is used twice."""


def _kept(key: tuple[object, ...], pixels: Pixels, make: Callable[[], Pixels]) -> Pixels:
    if key not in _KEPT:
        if len(_KEPT) > 48:
            _KEPT.clear()
        _KEPT[key] = pixels, make()
    return _KEPT[key][1]


def _framed(before: Sequence[Step], pixels: Pixels) -> Pixels:
    """What `before` gives, in a frame of nothing, cover as one more channel."""

    def make() -> Pixels:
        return bordered(_run(before, pixels, *_whole(before, pixels))[0] if before else pixels)

    return _kept((id(pixels), repr(before)), pixels, make)


def _warped(
    before: Sequence[Step], pixels: Pixels, back: NDArray[np.float64], size: Size, kernel: str
) -> Pixels:
    def make() -> Pixels:
        return sample(_framed(before, pixels), back, np.arange(size[1]), np.arange(size[0]), kernel)

    return _kept((id(pixels), repr(before), back.tobytes(), size, kernel), pixels, make)


def _whole(steps: Sequence[Step], pixels: Pixels) -> tuple[Axis, Axis]:
    """All positions of what `steps` give."""
    h, w = pixels.shape[:2]
    for step in steps:
        match step:
            case Turn(name, _) if name in SWAPS:
                w, h = h, w
            case Cut((_, _, cw, ch), _, _):
                w, h = cw, ch
            case Resample(_, after, _, _):
                w, h = after
            case Gather(_, size, _):
                w, h = size
            case _:
                pass
    return np.arange(h), np.arange(w)


def bordered(image: Pixels) -> NDArray[np.float32]:
    """Return the image as float32 with its cover as one more channel, inside a frame one pixel wide of nothing."""
    h, w, c = image.shape
    out = np.zeros((h + 2, w + 2, c + 1), np.float32)
    out[1:-1, 1:-1, :c] = image
    out[1:-1, 1:-1, c] = 1
    return out


AT_ONCE = 1 << 15
"""Places that are sampled at once, so that they stay near the processor."""


def sample(
    framed: Pixels,
    back: NDArray[np.float64],
    rows: Axis,
    columns: Axis,
    kernel: str = "bilinear",
) -> NDArray[np.float32]:
    """Sample what `bordered` made at back · (column, row): float32 rows × columns × (channel and cover).

    `kernel` is nearest, bilinear, bilinear32 (places rounded to 1/32 pixel, as OpenCV does) or bicubic75 (OpenCV's, its
    places rounded as well, its overshoot cut at 0 and 255).
    """
    if len(rows) * len(columns) > AT_ONCE and len(rows) > 1:
        step = max(1, AT_ONCE // len(columns))
        parts = [rows[i : i + step] for i in range(0, len(rows), step)]
        return np.concatenate([sample(framed, back, part, columns, kernel) for part in parts])
    h, w, c = framed.shape
    x, y = columns[None].astype(np.float64), rows[:, None].astype(np.float64)
    sx, sy = (row[0] * x + row[1] * y + row[2] + 1 for row in np.asarray(back)[:2])
    if kernel in ("bilinear32", "bicubic75"):
        sx, sy = np.rint(sx * 32) / 32, np.rint(sy * 32) / 32
    # anything beyond the frame is as good as on it
    sx, sy = np.clip(sx, 0, w - 1.001), np.clip(sy, 0, h - 1.001)
    flat = framed.reshape(-1, c)
    if kernel == "nearest":
        return flat.take(np.rint(sy).astype(np.int64) * w + np.rint(sx).astype(np.int64), axis=0)
    x0, y0 = sx.astype(np.int64), sy.astype(np.int64)
    fx, fy = (sx - x0).astype(np.float32)[..., None], (sy - y0).astype(np.float32)[..., None]
    if kernel == "bicubic75":
        return _cubic_sample(flat, (w, h), x0, y0, fx, fy)
    at = y0 * w + x0
    top, bottom = flat.take(at, axis=0), flat.take(at + w, axis=0)
    top += fx * (flat.take(at + 1, axis=0) - top)
    bottom += fx * (flat.take(at + w + 1, axis=0) - bottom)
    return top + fy * (bottom - top)


def _cubic_sample(
    flat: Pixels,
    size: Size,
    x0: NDArray[np.int64],
    y0: NDArray[np.int64],
    fx: NDArray[np.float32],
    fy: NDArray[np.float32],
) -> NDArray[np.float32]:
    w, h = size
    out = np.zeros((*x0.shape, flat.shape[1]), np.float32)
    for j in range(-1, 3):
        row = np.clip(y0 + j, 0, h - 1) * w
        for i in range(-1, 3):
            weight = kernel_value("bicubic75", fy - j) * kernel_value("bicubic75", fx - i)
            out += weight * flat.take(row + np.clip(x0 + i, 0, w - 1), axis=0)
    np.clip(out[..., :-1], 0, 255, out=out[..., :-1])
    return out
