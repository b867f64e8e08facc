"""Resampling as matrices: which source pixels make an output pixel, for every kernel met in the field.

Used to predict what another pipeline would have produced at a few output positions, without making the whole image, or
everywhere: most entries of such matrices are 0, which `mixed` makes use of.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
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

KERNELS = (
    "nearest",
    "bilinear",
    "bicubic",
    "bicubic75",
    "area",
    "area_cv",
    "lanczos3",
    "lanczos4",
    "hamming",
    "gaussian",
    "mitchell",
    "box",
    "spline3",
    "gaussian_spline3",
)
"""`bicubic` has a = −0.5 (Pillow, TF 2), `bicubic75` a = −0.75 (OpenCV, TF 1, PyTorch); `gaussian` is a Gaussian
blur before bilinear, as `skimage.transform.resize` does, `spline3` its cubic spline (order 3), `gaussian_spline3` the
two together; `area_cv` is OpenCV's area, which interpolates where only one axis is enlarged."""
_SUPPORT = {
    "bilinear": 1.0,
    "bicubic": 2.0,
    "bicubic75": 2.0,
    "lanczos3": 3.0,
    "lanczos4": 4.0,
    "hamming": 1.0,
    "mitchell": 2.0,
    "box": 0.5,
    "spline3": 12.0,
}


def _cubic(x: Floats, a: float) -> Floats:
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


SPLINES = 12
"""B-splines on each side from which on they count for nothing."""
COEFFICIENTS = np.array([np.sqrt(3) * (np.sqrt(3) - 2) ** k for k in range(SPLINES)] + [0.0])
"""What each of them counts for."""


def _spline(x: Floats) -> Floats:
    """The cardinal cubic spline: B-splines whose coefficients interpolate (Unser, "Splines: a perfect fit for signal
    and image processing", 1999)."""
    x = np.asarray(x, dtype=np.float64)
    nearest, out = np.floor(x), np.zeros(np.shape(x))
    for k in (nearest - 1, nearest, nearest + 1, nearest + 2):
        # the B-splines that reach so far
        d = np.abs(x - k)
        b = np.where(d < 1, 2 / 3 - d * d + d**3 / 2, np.where(d < 2, (2 - d) ** 3 / 6, 0.0))
        out += COEFFICIENTS[np.minimum(np.abs(k), SPLINES).astype(int)] * b
    return out


def _mitchell(x: Floats) -> Floats:
    x = np.abs(x)
    near = (7 * x - 12) * x * x + 16 / 3
    far = ((-7 / 3 * x + 12) * x - 20) * x + 32 / 3
    return np.where(x < 1, near, np.where(x < 2, far, 0.0)) / 6


def kernel_value(name: str, x: NDArray[Any]) -> NDArray[Any]:
    """Return the continuous kernel at distances `x` (in taps)."""
    if name == "bilinear":
        return np.maximum(0.0, 1 - np.abs(x))
    if name in ("bicubic", "bicubic75"):
        return _cubic(x, -0.5 if name == "bicubic" else -0.75)
    if name == "mitchell":
        return _mitchell(x)
    if name == "hamming":
        return np.where(np.abs(x) < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0.0)
    if name == "box":
        return ((x > -0.5) & (x <= 0.5)).astype(float)
    if name == "spline3":
        return _spline(x)
    lobes = _SUPPORT[name]
    return np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0.0)


@functools.lru_cache(maxsize=4096)
def weights(
    source: int,
    target: int,
    kernel: str,
    antialias: bool,
    centers: str,
    positions: tuple[int, ...] | None = None,
    window: tuple[float, float] | None = None,
) -> NDArray[np.float32]:
    """Return the matrix (positions × source) that resamples `source` pixels to `target` pixels.

    `positions` are the output indices wanted (all when None); `window` is the (start, length) of the source that is
    looked at, in pixels (the whole when None). Rows sum to one; beyond the border counts the border pixel, or, for an
    antialiased kernel, nothing, as in the field's libraries. The array is float32 (exact to 1e-4 levels), read-only
    and shared.

    >>> weights(4, 2, "area", True, "half").tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    i = np.arange(target) if positions is None else np.asarray(positions)
    start, length = window or (0.0, float(source))
    scale = length / target
    if kernel == "area_mixed":
        matrix = _area_mixed(i, source, target)
    elif kernel == "area":
        matrix = _area(i, source, scale, start)
    elif kernel == "gaussian":
        matrix = weights(source, target, "bilinear", False, "half", positions, window) @ blur(
            source, (scale - 1) / 2
        )
    elif kernel == "gaussian_spline3":
        matrix = weights(source, target, "spline3", False, "half", positions, window) @ blur(
            source, (scale - 1) / 2
        )
    elif kernel == "nearest" and window is None:
        matrix = _nearest(i, source, target, centers)
    elif kernel == "nearest":
        matrix = _one_hot(np.floor(start + (i + 0.5) * scale), source)
    elif antialias and scale > 1:
        matrix = _antialiased(i, source, scale, kernel, start)
    else:
        corner = (length - 1) / max(target - 1, 1)
        at: dict[str, Floats] = {
            "half": (i + 0.5) * scale - 0.5,
            "legacy": i * scale,
            "corner": i * corner,
        }
        x = at[centers] + start
        matrix = _taps(x, source, kernel)
    matrix = matrix.astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def ties(source: int, target: int, positions: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which output positions nearest neighbour takes from the very border of two pixels, where the last bit
    of a product decides.

    >>> ties(4, 3, (0, 1, 2)).tolist()
    [False, True, False]
    """
    i = np.asarray(positions)
    return (2 * i + 1) * source % (2 * target) == 0


def _one_hot(j: NDArray[Any], source: int) -> Floats:
    matrix = np.zeros((len(j), source))
    matrix[np.arange(len(j)), np.clip(j, 0, source - 1).astype(int)] = 1
    return matrix


def _nearest(i: NDArray[np.int64], source: int, target: int, centers: str) -> Floats:
    if centers == "corner" and target > 1:
        return _one_hot(np.floor(i * ((source - 1) / (target - 1)) + 0.5), source)
    # integers, so that 0.999999 never becomes the wrong pixel
    return _one_hot(
        ((2 * i + 1) * source) // (2 * target) if centers == "half" else (i * source) // target,
        source,
    )


def _taps(x: Floats, source: int, kernel: str) -> Floats:
    reach = max(1, int(_SUPPORT[kernel]))
    base = np.floor(x).astype(int)
    matrix = np.zeros((len(x), source))
    rows = np.arange(len(x))
    for k in range(1 - reach, reach + 1):
        # each row once, so that plain += adds up
        matrix[rows, np.clip(base + k, 0, source - 1)] += kernel_value(kernel, x - base - k)
    return matrix / matrix.sum(axis=1, keepdims=True)


def _antialiased(
    i: NDArray[np.int64], source: int, scale: float, kernel: str, start: float
) -> Floats:
    center = start + (i[:, None] + 0.5) * scale
    matrix = kernel_value(kernel, (np.arange(source)[None] + 0.5 - center) / scale)
    total = matrix.sum(axis=1, keepdims=True)
    outside = np.abs(total[:, 0]) < 1e-9
    matrix[outside] = _one_hot(np.floor(center[outside, 0]), source)
    return matrix / np.where(outside[:, None], 1.0, total)


def _area_mixed(i: NDArray[np.int64], source: int, target: int) -> Floats:
    """What OpenCV's INTER_AREA does on both axes where one is enlarged and the other is not."""
    scale = source / target
    base = np.floor(i * scale + 1e-9).astype(int)
    f = (i + 1) - (base + 1) / scale
    f = np.where(f <= 0, 0.0, f - np.floor(f))
    f = np.where(base >= source - 1, 0.0, f)
    matrix = np.zeros((len(i), source))
    rows = np.arange(len(i))
    matrix[rows, np.clip(base, 0, source - 1)] += 1 - f
    matrix[rows, np.clip(base + 1, 0, source - 1)] += f
    return matrix


def _area(i: NDArray[np.int64], source: int, scale: float, start: float) -> Floats:
    lo, hi = start + i[:, None] * scale, start + (i[:, None] + 1) * scale
    j = np.arange(source)[None]
    matrix = np.maximum(0.0, np.minimum(hi, j + 1) - np.maximum(lo, j))
    total = matrix.sum(axis=1, keepdims=True)
    outside = total[:, 0] < 1e-9
    matrix[outside] = _one_hot(np.floor(lo[outside, 0]), source)
    return matrix / np.where(outside[:, None], 1.0, total)


@functools.lru_cache(maxsize=128)
def blur(n: int, sigma: float) -> NDArray[np.float32]:
    """Return the n × n matrix of a Gaussian blur, cut at four deviations, mirrored at the border."""
    if sigma <= 0:
        return np.eye(n, dtype=np.float32)
    reach = int(4 * sigma + 0.5)
    k = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    k /= k.sum()
    matrix = np.zeros((n, n))
    for offset, w in zip(range(-reach, reach + 1), k):
        j = np.arange(n) + offset
        j = np.where(j < 0, -j, j)  # scipy's "mirror"
        j = np.where(j >= n, 2 * n - 2 - j, j)
        matrix[np.arange(n), np.clip(j, 0, n - 1)] += w
    return matrix.astype(np.float32)


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
    shares = np.take_along_axis(axis, first[:, None] + np.arange(width), axis=1)
    return first, shares.astype(np.float32, copy=False)


def _summed(flat: Pixels, band: Band, part: slice) -> NDArray[np.float32]:
    """The rows `part` as weighted sums of few source rows each."""
    first, shares = band[0][part], band[1][part]
    out = flat.take(first, axis=0) * shares[:, :1]
    for k in range(1, shares.shape[1]):
        out += flat.take(first + k, axis=0) * shares[:, k : k + 1]
    return out


def _sum_columns(rows: NDArray[np.float32], band: Band, out: NDArray[np.float32]) -> None:
    """Put the columns of `rows` (h, w, c), as weighted sums of few each, into `out` (h, n, c)."""
    (first, shares), (h, _, c) = band, rows.shape
    flat = out.reshape(h, -1)
    np.multiply(rows.take(first, axis=1).reshape(h, -1), np.repeat(shares[:, 0], c), out=flat)
    for k in range(1, shares.shape[1]):
        more = rows.take(first + k, axis=1).reshape(h, -1)
        more *= np.repeat(shares[:, k], c)
        flat += more
