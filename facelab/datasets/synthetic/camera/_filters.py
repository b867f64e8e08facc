"""Blur and resampling in whole numbers, whose sums do not depend on their order: exact, whatever the processor."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import kernel
from facelab.datasets.synthetic._numerics import exp

TAP_BITS = 12


@lru_cache(maxsize=256)
def gaussian_taps(sigma: float) -> tuple[int, ...]:
    """Return the whole-number taps of a Gaussian, their sum exactly 4096, radius 3 sigma."""
    radius = max(1, int(3 * sigma + 0.999))
    half = [exp(-0.5 * x * x) for x in (k / max(sigma, 1e-3) for k in range(radius, -1, -1))]
    total = 0.0
    for v in (*half, *half[-2::-1]):
        total += v
    taps = [round(v / total * (1 << TAP_BITS)) for v in half]
    taps[radius] = (1 << TAP_BITS) - 2 * sum(taps[:radius])
    return (*taps, *taps[-2::-1])


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return an integer image (h, w) or (h, w, c), |values| < 2**18, blurred along both axes with rounding; int32.

    The border is repeated.
    """
    taps = np.array(gaussian_taps(round(float(sigma), 4)), np.int32)
    h = len(image)
    channels = image.shape[2] if image.ndim == 3 else 1
    flat = np.ascontiguousarray(image, np.int32).reshape(h, -1)
    return _blur(flat, taps, channels).reshape(image.shape)


@kernel
def _blur(image: np.ndarray, taps: np.ndarray, channels: Any) -> np.ndarray:
    """Convolve along both axes with symmetric taps; pixels of a row are `channels` numbers each."""
    h, w = image.shape
    n = taps.shape[0]
    radius = n // 2
    tall, out = np.empty((h, w), np.int32), np.empty((h, w), np.int32)
    total, half = np.empty(w, np.int32), np.int32(1 << 11)
    centre = taps[radius]
    for i in range(h):
        for j in range(w):
            total[j] = half + image[i, j] * centre
        for k in range(radius):
            above, below, tap = max(i + k - radius, 0), min(i + radius - k, h - 1), taps[k]
            for j in range(w):
                total[j] += (image[above, j] + image[below, j]) * tap
        for j in range(w):
            tall[i, j] = total[j] >> 12
    margin = radius * channels
    padded = np.empty(w + 2 * margin, np.int32)
    for i in range(h):
        for j in range(w):
            padded[margin + j] = tall[i, j]
        for j in range(margin):
            padded[j] = tall[i, j % channels]
            padded[margin + w + j] = tall[i, w - channels + j % channels]
        for j in range(w):
            total[j] = half + padded[j + margin] * centre
        for k in range(radius):
            left, right, tap = k * channels, (n - 1 - k) * channels, taps[k]
            for j in range(w):
                total[j] += (padded[j + left] + padded[j + right]) * tap
        for j in range(w):
            out[i, j] = total[j] >> 12
    return out


@kernel
def _area_sums(image: np.ndarray, target: Any) -> np.ndarray:
    """Return sums over `target` equal stretches of the first axis of (h, w), times `target`, in whole numbers."""
    source, w = image.shape
    out = np.zeros((target, w), np.int64)
    for i in range(target):
        # in units of 1/target of a source row, the stretch reaches from i·source to (i+1)·source
        start, end = i * source, (i + 1) * source
        for row in range(start // target, (end - 1) // target + 1):
            weight = min(end, (row + 1) * target) - max(start, row * target)
            for j in range(w):
                out[i, j] += image[row, j] * weight
    return out


def area_resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return float64 area averages of an integer image (h, w, c) at (width, height), exact before one division."""
    h, w, c = image.shape
    width, height = size
    tall = _area_sums(np.ascontiguousarray(image, np.int64).reshape(h, -1), height).reshape(
        height, w, c
    )
    wide = _area_sums(np.ascontiguousarray(tall.transpose(1, 0, 2)).reshape(w, -1), width).reshape(
        width, height, c
    )
    return np.ascontiguousarray(wide.transpose(1, 0, 2)) / (h * w)


def bilinear_sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return samples of an integer image (h, w, c) at pixel positions (x, y) (centres at whole numbers).

    Positions are rounded to 1/256 pixel and held at the border; the result is rounded to int32.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim == y.ndim == 2 and len(x) == y.shape[1] == 1:
        grid = np.empty((len(y), x.shape[1], image.shape[2]), np.int32)
        _sample_grid(np.ascontiguousarray(image, np.int32), _places(x), _places(y), grid)
        return grid
    x, y = np.broadcast_arrays(x, y)
    out = np.empty((x.size, image.shape[2]), np.int32)
    source = np.ascontiguousarray(image, np.int32)
    _sample(source, np.ascontiguousarray(x).ravel(), np.ascontiguousarray(y).ravel(), out)
    return out.reshape(*x.shape, image.shape[2])


def _places(x: np.ndarray) -> np.ndarray:
    """Return positions in whole steps of 1/256 pixel, not yet held at the far border."""
    return np.clip(np.rint(x.ravel() * 256), 0, 1 << 24).astype(np.int64)


@kernel
def _sample_grid(image: np.ndarray, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """Sample at every x (w,) of every y (h,), both in steps of 1/256 pixel."""
    h, w, channels = image.shape
    for i in range(y.shape[0]):
        fy = min(y[i], (h - 1) * 256)
        y0, ay = fy >> 8, fy & 255
        y1 = min(y0 + 1, h - 1)
        for j in range(x.shape[0]):
            fx = min(x[j], (w - 1) * 256)
            x0, ax = fx >> 8, fx & 255
            x1 = min(x0 + 1, w - 1)
            for c in range(channels):
                top = image[y0, x0, c] * (256 - ax) + image[y0, x1, c] * ax
                bottom = image[y1, x0, c] * (256 - ax) + image[y1, x1, c] * ax
                out[i, j, c] = (top * (256 - ay) + bottom * ay + (1 << 15)) >> 16


@kernel
def _sample(image: np.ndarray, x: Any, y: Any, out: np.ndarray) -> None:
    h, w, channels = image.shape
    for k in range(x.shape[0]):
        fx = int(min(max(np.rint(x[k] * 256), 0.0), (w - 1) * 256.0))
        fy = int(min(max(np.rint(y[k] * 256), 0.0), (h - 1) * 256.0))
        x0, y0, ax, ay = fx >> 8, fy >> 8, fx & 255, fy & 255
        x1, y1 = min(x0 + 1, w - 1), min(y0 + 1, h - 1)
        for c in range(channels):
            top = image[y0, x0, c] * (256 - ax) + image[y0, x1, c] * ax
            bottom = image[y1, x0, c] * (256 - ax) + image[y1, x1, c] * ax
            out[k, c] = (top * (256 - ay) + bottom * ay + (1 << 15)) >> 16
