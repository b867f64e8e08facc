"""Resampling as matrices: which source pixels make an output pixel, for every kernel met in the field.

Used to predict what another pipeline would have produced at a few output positions, without making the whole image.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

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


def _spline(x: Floats) -> Floats:
    """The cardinal cubic spline: B-splines whose coefficients interpolate (Unser, "Splines: a perfect fit for signal
    and image processing", 1999)."""
    pole = np.sqrt(3) - 2
    out = np.zeros(np.shape(x))
    for k in range(-11, 12):
        d = np.abs(x - k)
        b = np.where(d < 1, 2 / 3 - d * d + d**3 / 2, np.where(d < 2, (2 - d) ** 3 / 6, 0.0))
        out += np.sqrt(3) * pole ** abs(k) * b
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
