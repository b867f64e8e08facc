"""JPEG's losses in whole numbers: exact, whatever the processor.

Products and sums of whole numbers below 2**53 are exact in float64, even where the processor fuses them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from facelab.datasets.synthetic._compiled import kernel, part
from facelab.datasets.synthetic._numerics import cos

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


EVEN_FIRST = (0, 2, 4, 6, 1, 3, 5, 7)


@lru_cache(maxsize=1)
def _halves() -> np.ndarray:
    """Return the left half of the 8-point DCT-II, (4 places, 8 frequencies), in steps of 2**-13.

    Whole numbers in float64. Even frequencies come first: they are symmetric about the middle, the odd ones change
    their sign there, so that half of the matrix is enough.
    """
    k, n = np.arange(8)[:, None], np.arange(4)[None]
    matrix = cos(k * (2 * n + 1) * (3.141592653589793 / 16)) * 0.5
    matrix[0] = np.sqrt(0.125)
    return np.ascontiguousarray(np.rint(matrix * (1 << DCT_BITS))[list(EVEN_FIRST)].T)


@kernel
def _blocks_round_trip(plane: np.ndarray, table: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Quantise one plane (h, w) of whole numbers around 0 in 8×8 blocks, and return it decoded.

    `table` and `half` come in the order of `_halves`. The border is repeated to whole blocks.
    """
    h, w = plane.shape
    out = np.empty((h, w), np.int32)
    block, rows = np.empty((8, 8)), np.empty((8, 8))
    scale = 2.0**-26  # twice DCT_BITS
    for top in range(0, h, 8):
        for left in range(0, w, 8):
            _take(plane, top, left, block)
            _transform(block, rows, half)
            for i in range(8):
                for j in range(8):
                    block[i, j] = np.rint(block[i, j] * scale / table[i, j]) * table[i, j]
            _restore(block, rows, half)
            _give(block, scale, top, left, out)
    return out


@part
def _take(plane: Any, top: int, left: int, block: Any) -> None:
    """Copy a block out of a plane; the fast way is for blocks that lie in it whole."""
    h, w = plane.shape
    if top + 8 <= h and left + 8 <= w:
        for i in range(8):
            for j in range(8):
                block[i, j] = plane[top + i, left + j]
        return
    for i in range(8):
        for j in range(8):
            block[i, j] = plane[min(top + i, h - 1), min(left + j, w - 1)]


@part
def _give(block: Any, scale: float, top: int, left: int, out: Any) -> None:
    """Write a block, times `scale` and rounded, into a plane as far as it reaches."""
    h, w = out.shape
    if top + 8 <= h and left + 8 <= w:
        for i in range(8):
            for j in range(8):
                out[top + i, left + j] = np.int32(np.rint(block[i, j] * scale))
        return
    for i in range(min(8, h - top)):
        for j in range(min(8, w - left)):
            out[top + i, left + j] = np.int32(np.rint(block[i, j] * scale))


@part
def _transform(block: Any, rows: Any, half: Any) -> None:
    """Replace an 8×8 block by its DCT along both axes, even frequencies first along each."""
    # down: sums of mirrored rows hold the even frequencies, differences the odd ones
    for n in range(4):
        for j in range(8):
            rows[n, j] = block[n, j] + block[7 - n, j]
            rows[4 + n, j] = block[n, j] - block[7 - n, j]
    for k in range(8):
        first = k & 4
        a0, a1, a2, a3 = half[0, k], half[1, k], half[2, k], half[3, k]
        for j in range(8):
            low = a0 * rows[first, j] + a1 * rows[first + 1, j]
            block[k, j] = low + (a2 * rows[first + 2, j] + a3 * rows[first + 3, j])
    for k in range(8):  # across
        b0, b1, b2, b3 = block[k, 0], block[k, 1], block[k, 2], block[k, 3]
        b4, b5, b6, b7 = block[k, 4], block[k, 5], block[k, 6], block[k, 7]
        s0, s1, s2, s3 = b0 + b7, b1 + b6, b2 + b5, b3 + b4
        d0, d1, d2, d3 = b0 - b7, b1 - b6, b2 - b5, b3 - b4
        for j in range(4):
            low = s0 * half[0, j] + s1 * half[1, j]
            block[k, j] = low + (s2 * half[2, j] + s3 * half[3, j])
        for j in range(4, 8):
            low = d0 * half[0, j] + d1 * half[1, j]
            block[k, j] = low + (d2 * half[2, j] + d3 * half[3, j])


@part
def _restore(block: Any, rows: Any, half: Any) -> None:
    """Replace frequencies, as `_transform` leaves them, by the block that they stand for."""
    for n in range(4):  # down
        e0, e1, e2, e3 = half[n, 0], half[n, 1], half[n, 2], half[n, 3]
        o0, o1, o2, o3 = half[n, 4], half[n, 5], half[n, 6], half[n, 7]
        for j in range(8):
            even = (e0 * block[0, j] + e1 * block[1, j]) + (e2 * block[2, j] + e3 * block[3, j])
            odd = (o0 * block[4, j] + o1 * block[5, j]) + (o2 * block[6, j] + o3 * block[7, j])
            rows[n, j], rows[7 - n, j] = even + odd, even - odd
    for i in range(8):  # across
        c0, c1, c2, c3 = rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3]
        c4, c5, c6, c7 = rows[i, 4], rows[i, 5], rows[i, 6], rows[i, 7]
        for n in range(4):
            even = (c0 * half[n, 0] + c1 * half[n, 1]) + (c2 * half[n, 2] + c3 * half[n, 3])
            odd = (c4 * half[n, 4] + c5 * half[n, 5]) + (c6 * half[n, 6] + c7 * half[n, 7])
            block[i, n], block[i, 7 - n] = even + odd, even - odd


@kernel
def _split(rgb: Any, luma: np.ndarray, blue: Any, red: Any) -> None:
    """Write luma − 128 (h, w) and both chroma planes, averaged over 2×2 pixels with the border repeated."""
    h, w, _ = rgb.shape
    for i in range(blue.shape[0]):
        for j in range(blue.shape[1]):
            blue[i, j], red[i, j] = 2, 2
    for i in range(h + (h & 1)):
        y = min(i, h - 1)
        for j in range(w + (w & 1)):
            x = min(j, w - 1)
            r, g, b = np.int32(rgb[y, x, 0]), np.int32(rgb[y, x, 1]), np.int32(rgb[y, x, 2])
            if i < h and j < w:
                luma[i, j] = ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16) - 128
            blue[i >> 1, j >> 1] += (-11059 * r - 21709 * g + 32768 * b + 32768) >> 16
            red[i >> 1, j >> 1] += (32768 * r - 27439 * g - 5329 * b + 32768) >> 16
    for i in range(blue.shape[0]):
        for j in range(blue.shape[1]):
            blue[i, j], red[i, j] = blue[i, j] >> 2, red[i, j] >> 2


@kernel
def _join(luma: np.ndarray, blue: Any, red: Any, out: np.ndarray) -> None:
    h, w = luma.shape
    for i in range(h):
        for j in range(w):
            y = ((luma[i, j] + 128) << 16) + 32768
            cb, cr = blue[i >> 1, j >> 1], red[i >> 1, j >> 1]
            out[i, j, 0] = min(max((y + 91881 * cr) >> 16, 0), 255)
            out[i, j, 1] = min(max((y - 22554 * cb - 46802 * cr) >> 16, 0), 255)
            out[i, j, 2] = min(max((y + 116130 * cb) >> 16, 0), 255)


@lru_cache(maxsize=100)
def _tables(quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps of luma and chroma in the order of `_halves`, (8, 8) float64 each."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = (
        np.clip((t * scale + 50) // 100, 1, 255).astype(np.float64)[np.ix_(EVEN_FIRST, EVEN_FIRST)]
        for t in (LUMA_TABLE, CHROMA_TABLE)
    )
    return luma, chroma


def jpeg_losses(rgb: np.ndarray, quality: int) -> np.ndarray:
    """Return an image (h, w, 3) uint8 with the losses of baseline JPEG: 4:2:0 chroma and Annex K's tables.

    Tables are scaled as libjpeg does for `quality` 1 … 100. Entropy coding loses nothing, so none is done. The result
    is not any library's to the last bit (their rounding differs), and needs none of them.
    """
    for_luma, for_chroma = _tables(quality)
    h, w, _ = rgb.shape
    luma = np.empty((h, w), np.int32)
    blue, red = np.empty((2, (h + 1) // 2, (w + 1) // 2), np.int32)
    _split(rgb, luma, blue, red)
    half = _halves()
    luma = _blocks_round_trip(luma, for_luma, half)
    blue = _blocks_round_trip(blue, for_chroma, half)
    red = _blocks_round_trip(red, for_chroma, half)
    out = np.empty_like(rgb)
    _join(luma, blue, red, out)
    return out
