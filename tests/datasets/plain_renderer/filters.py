"""Blur, resampling and JPEG's losses in whole numbers: exact, whatever the processor.

Sums of integers do not depend on their order, and a matrix product of whole numbers below 2**53 in float64 is exact
even where the processor fuses multiplication and addition.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit as compiled

from tests.datasets.plain_renderer.numerics import cos, exp

TAP_BITS = 12


def box_blur(image: np.ndarray, radius: int) -> np.ndarray:
    """Return int64 sums over (2·radius+1)² windows of an integer image (h, w); outside counts as zero."""
    once = _window_sums(np.ascontiguousarray(image, np.int64), radius)
    return _window_sums(np.ascontiguousarray(once.T), radius).T


@compiled
def _window_sums(image, radius):
    """Sum along the first axis over windows of 2·radius+1 rows, by adding one row and dropping one."""
    h, w = image.shape
    out = np.empty((h, w), np.int64)
    total = np.zeros(w, np.int64)
    for i in range(min(radius, h)):
        for j in range(w):
            total[j] += image[i, j]
    for i in range(h):
        if i + radius < h:
            for j in range(w):
                total[j] += image[i + radius, j]
        if i - radius - 1 >= 0:
            for j in range(w):
                total[j] -= image[i - radius - 1, j]
        for j in range(w):
            out[i, j] = total[j]
    return out


@lru_cache(maxsize=256)
def gaussian_taps(sigma: float) -> tuple[int, ...]:
    """Return the whole-number taps of a Gaussian, their sum exactly 4096, radius 3 sigma."""
    radius = max(1, int(3 * sigma + 0.999))
    x = np.arange(-radius, radius + 1) / max(sigma, 1e-3)
    weights = exp(-0.5 * x * x)
    total = 0.0
    for v in weights.tolist():
        total += v
    taps = np.rint(weights / total * (1 << TAP_BITS)).astype(np.int64)
    taps[radius] += (1 << TAP_BITS) - int(taps.sum())
    return tuple(int(t) for t in taps)


def convolve(image: np.ndarray, taps: tuple[int, ...]) -> np.ndarray:
    """Return an integer image (h, w) convolved along its first axis, rounded to int32; the border is repeated.

    `taps` are whole numbers that sum to 4096.
    """
    return _convolve(np.ascontiguousarray(image, np.int32), np.array(taps, np.int64))


@compiled
def _convolve(image, taps):
    h, w = image.shape
    radius = taps.shape[0] // 2
    out = np.empty((h, w), np.int32)
    total = np.empty(w, np.int64)
    for i in range(h):
        total[:] = 1 << 11
        for k in range(taps.shape[0]):
            row = min(max(i + k - radius, 0), h - 1)
            for j in range(w):
                total[j] += image[row, j] * taps[k]
        for j in range(w):
            out[i, j] = total[j] >> 12
    return out


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return an integer image (h, w) or (h, w, c), |values| < 2**31, blurred along both axes with rounding; int32."""
    taps = gaussian_taps(round(float(sigma), 4))
    h, w = image.shape[:2]
    tall = convolve(image.reshape(h, -1), taps).reshape(h, w, -1)
    wide = convolve(tall.transpose(1, 0, 2).reshape(w, -1), taps).reshape(w, h, -1)
    return np.ascontiguousarray(wide.transpose(1, 0, 2)).reshape(image.shape)


@compiled
def _area_sums(image, target):
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
    h, w, _ = image.shape
    fx = np.clip(np.rint(x * 256), 0, (w - 1) * 256).astype(np.int64)
    fy = np.clip(np.rint(y * 256), 0, (h - 1) * 256).astype(np.int64)
    x0, y0 = fx >> 8, fy >> 8
    x1, y1 = np.minimum(x0 + 1, w - 1), np.minimum(y0 + 1, h - 1)
    ax, ay = (fx & 255)[..., None], (fy & 255)[..., None]
    image = image.astype(np.int64)
    top = image[y0, x0] * (256 - ax) + image[y0, x1] * ax
    bottom = image[y1, x0] * (256 - ax) + image[y1, x1] * ax
    return ((top * (256 - ay) + bottom * ay + (1 << 15)) >> 16).astype(np.int32)


# ---------------------------------------------------------------- JPEG
LUMA_TABLE = np.array(
    [
        16,
        11,
        10,
        16,
        24,
        40,
        51,
        61,
        12,
        12,
        14,
        19,
        26,
        58,
        60,
        55,
        14,
        13,
        16,
        24,
        40,
        57,
        69,
        56,
        14,
        17,
        22,
        29,
        51,
        87,
        80,
        62,
        18,
        22,
        37,
        56,
        68,
        109,
        103,
        77,
        24,
        35,
        55,
        64,
        81,
        104,
        113,
        92,
        49,
        64,
        78,
        87,
        103,
        121,
        120,
        101,
        72,
        92,
        95,
        98,
        112,
        100,
        103,
        99,
    ]
).reshape(8, 8)
CHROMA_TABLE = np.full((8, 8), 99)
CHROMA_TABLE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
DCT_BITS = 13


@lru_cache(maxsize=1)
def _dct() -> np.ndarray:
    """Return the 8-point DCT-II matrix in steps of 2**-13, as whole numbers in float64."""
    k, n = np.arange(8)[:, None], np.arange(8)[None]
    matrix = cos(k * (2 * n + 1) * (3.141592653589793 / 16)) * 0.5
    matrix[0] = np.sqrt(0.125)
    return np.rint(matrix * (1 << DCT_BITS))


def _blocks_round_trip(plane: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Quantise one plane (h, w) of whole numbers around 0 in 8×8 blocks, and return it decoded."""
    h, w = plane.shape
    padded = np.pad(plane, ((0, -h % 8), (0, -w % 8)), mode="edge").astype(np.float64)
    rows, columns = padded.shape[0] // 8, padded.shape[1] // 8
    blocks = padded.reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3)
    d = _dct()
    spectrum = np.rint((d @ blocks @ d.T) * 2.0 ** -(2 * DCT_BITS) / table) * table
    decoded = np.rint((d.T @ spectrum @ d) * 2.0 ** -(2 * DCT_BITS))
    return decoded.transpose(0, 2, 1, 3).reshape(padded.shape)[:h, :w]


def jpeg_losses(rgb: np.ndarray, quality: int) -> np.ndarray:
    """Return an image (h, w, 3) uint8 with the losses of baseline JPEG: 4:2:0 chroma and Annex K's tables.

    Tables are scaled as libjpeg does for `quality` 1 … 100. Entropy coding loses nothing, so none is done. The result
    is not any library's to the last bit (their rounding differs), and needs none of them.
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = (np.clip((t * scale + 50) // 100, 1, 255) for t in (LUMA_TABLE, CHROMA_TABLE))
    r, g, b = (rgb[..., k].astype(np.int64) for k in range(3))
    y = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16
    cb = (-11059 * r - 21709 * g + 32768 * b + 32768) >> 16
    cr = (32768 * r - 27439 * g - 5329 * b + 32768) >> 16
    y = _blocks_round_trip(y - 128, luma) + 128
    cb, cr = (_chroma_round_trip(c, chroma) for c in (cb, cr))
    y, cb, cr = (c.astype(np.int64) << 16 for c in (y, cb, cr))
    cb, cr = cb >> 16, cr >> 16
    out = np.stack([y + 91881 * cr, y - 22554 * cb - 46802 * cr, y + 116130 * cb], -1)
    return np.clip((out + 32768) >> 16, 0, 255).astype(np.uint8)


def _chroma_round_trip(plane: np.ndarray, table: np.ndarray) -> np.ndarray:
    h, w = plane.shape
    p = np.pad(plane, ((0, h % 2), (0, w % 2)), mode="edge")
    half = (p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2] + 2) >> 2
    half = _blocks_round_trip(half, table)
    return half.repeat(2, 0).repeat(2, 1)[:h, :w]
