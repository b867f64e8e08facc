"""Rows and columns of a picture mixed by two matrices, most of whose entries are 0: `a · picture · bᵀ`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Axis = NDArray[Any]
"""Where an axis takes its values: positions (n,), −1 for nothing, or weights (n, lines of the source)."""
Pixels = NDArray[Any]
"""A picture (height, width, channel)."""
Band = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Each output line's first source line (n,), and the weights of that one and its neighbours (n, few)."""
FEW = 4
"""Source lines to an output line up to which their weighted sum is faster than a product of matrices."""
CHUNK = 1 << 15
"""Values that are worked on at once, so that they stay near the processor."""
STEP = 16
"""Output lines at least that are worked on at once."""


def mixed(pixels: Pixels, a: Axis, b: Axis) -> NDArray[np.float32]:
    """Return `pixels` (h, w, c) with rows mixed as `a` says and columns as `b` says, float32 (rows, columns, c).

    >>> picture = np.arange(6.0).reshape(2, 3, 1)
    >>> mixed(picture, np.array([[0.5, 0.5]], np.float32), np.array([2, 0]))[..., 0].tolist()
    [[3.5, 1.5]]
    """
    pixels, a, b = _cut_to_use(pixels, a, b)
    h, w, c = pixels.shape
    down, across = _band(a), _band(b)
    flat = pixels.reshape(h, w * c)
    if down is None:
        flat = flat.astype(np.float32, copy=False)
    out = np.empty((len(a), len(b), c), np.float32)
    step = max(STEP, CHUNK // (w * c))
    for at in range(0, len(a), step):
        part = slice(at, at + step)
        rows = _product(a[part], flat) if down is None else _summed(flat, down, part)
        rows = rows.reshape(-1, w, c)
        if across is None:
            _multiply_columns(rows, b, out[part])
        else:
            _sum_columns(rows, across, out[part])
    return out


def _product(matrix: NDArray[np.float32], flat: Pixels) -> NDArray[np.float32]:
    """Return matrix · flat, of which only the lines count that some weight touches."""
    first, last = _used(matrix, matrix.shape[1])
    return matrix[:, first:last] @ flat[first:last]


def _multiply_columns(
    rows: NDArray[np.float32], matrix: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Put the columns of `rows` (h, w, c) mixed by `matrix` (n, w) into `out` (h, n, c)."""
    planes = np.ascontiguousarray(rows.transpose(2, 1, 0))
    for at in range(0, len(matrix), 2 * STEP):
        part = slice(at, at + 2 * STEP)
        first, last = _used(matrix[part], matrix.shape[1])
        for k, plane in enumerate(planes):
            out[:, part, k] = (matrix[part, first:last] @ plane[first:last]).T


def _cut_to_use(pixels: Pixels, a: Axis, b: Axis) -> tuple[Pixels, Axis, Axis]:
    """The part of the picture that some weight touches, where that is much less than the whole."""
    (top, bottom), (left, right) = _used(a, pixels.shape[0]), _used(b, pixels.shape[1])
    if (bottom - top) * (right - left) > 0.7 * pixels.shape[0] * pixels.shape[1]:
        return np.ascontiguousarray(pixels), a, b
    part = np.ascontiguousarray(pixels[top:bottom, left:right])
    return part, _moved(a, top, bottom), _moved(b, left, right)


def _used(axis: Axis, n: int) -> tuple[int, int]:
    """The first line that is used, and the one behind the last."""
    lines = axis[axis >= 0] if axis.ndim == 1 else np.flatnonzero(axis.any(axis=0))
    return (int(lines.min()), int(lines.max()) + 1) if len(lines) else (0, n)


def _moved(axis: Axis, start: int, stop: int) -> Axis:
    if axis.ndim == 2:
        return axis[:, start:stop]
    return np.where(axis < 0, axis, axis - start)


def _band(axis: Axis) -> Band | None:
    """The few neighbouring lines that each output line takes; None where they are many."""
    if axis.ndim == 1:
        return np.maximum(axis, 0), (axis >= 0).astype(np.float32)[:, None]
    n = axis.shape[1]
    used = axis != 0
    first = used.argmax(axis=1)
    last = n - 1 - used[:, ::-1].argmax(axis=1)
    width = int((last - first + 1).max(where=used.any(axis=1), initial=1))
    if width > FEW:
        return None
    first = np.minimum(first, n - width)
    weights = np.take_along_axis(axis, first[:, None] + np.arange(width), axis=1)
    return first, weights.astype(np.float32, copy=False)


def _summed(flat: Pixels, band: Band, part: slice) -> NDArray[np.float32]:
    """The rows `part` as weighted sums of few source rows each."""
    first, weights = band[0][part], band[1][part]
    out = flat.take(first, axis=0) * weights[:, :1]
    for k in range(1, weights.shape[1]):
        out += flat.take(first + k, axis=0) * weights[:, k : k + 1]
    return out


def _sum_columns(rows: NDArray[np.float32], band: Band, out: NDArray[np.float32]) -> None:
    """Put the columns of `rows` (h, w, c), as weighted sums of few each, into `out` (h, n, c)."""
    (first, weights), (h, _, c) = band, rows.shape
    flat = out.reshape(h, -1)
    np.multiply(rows.take(first, axis=1).reshape(h, -1), np.repeat(weights[:, 0], c), out=flat)
    for k in range(1, weights.shape[1]):
        more = rows.take(first + k, axis=1).reshape(h, -1)
        more *= np.repeat(weights[:, k], c)
        flat += more
