"""Distances of all pairs, loop by loop: scalar, left to the auto-vectoriser, and register-blocked.

All add in pieces of 64 or 128 dimensions before adding the pieces: the float32 rounding error is then at most
(64 + d/64 + 2)·2⁻²⁴ of a squared distance (128 for the blocked kernel), under 1e-5 for d up to 2560, where one
long chain could reach d·2⁻²⁴.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import njit

from facelab.matching.intrinsics import barrier, tile_f32, tile_i8
from facelab.matching.isa import Isa

PIECE = 64
PIECE_BLOCKED = 128
_REASSOCIATE = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True)
def scalar_l2(a, b, out, first, last):
    """Fill rows first … last of out with Σ(a-b)², one number at a time, as a compiler must without fast-math.

    The barrier emits no instruction; it only keeps LLVM from packing numbers into vectors.
    """
    d = a.shape[1]
    for i in range(first, last):
        for j in range(b.shape[0]):
            total = np.float32(0)
            for start in range(0, d, PIECE):
                piece = np.float32(0)
                for k in range(start, min(start + PIECE, d)):
                    barrier()
                    delta = a[i, k] - b[j, k]
                    piece += delta * delta
                total += piece
            out[i, j] = total


@njit(cache=True, nogil=True)
def scalar_ip(a, b, out, first, last):
    """Fill rows first … last of out with Σab, one number at a time."""
    d = a.shape[1]
    for i in range(first, last):
        for j in range(b.shape[0]):
            total = np.float32(0)
            for start in range(0, d, PIECE):
                piece = np.float32(0)
                for k in range(start, min(start + PIECE, d)):
                    barrier()
                    piece += a[i, k] * b[j, k]
                total += piece
            out[i, j] = total


@njit(cache=True, nogil=True)
def scalar4_l2(a, b, out, first, last):
    """Fill rows first … last of out with Σ(a-b)² in four scalar sums side by side: what unrolling alone is worth."""
    d = a.shape[1]
    for i in range(first, last):
        for j in range(b.shape[0]):
            s0, s1, s2, s3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for k in range(0, d - 3, 4):
                barrier()
                d0 = a[i, k] - b[j, k]
                barrier()
                d1 = a[i, k + 1] - b[j, k + 1]
                barrier()
                d2 = a[i, k + 2] - b[j, k + 2]
                barrier()
                d3 = a[i, k + 3] - b[j, k + 3]
                s0 += d0 * d0
                barrier()
                s1 += d1 * d1
                barrier()
                s2 += d2 * d2
                barrier()
                s3 += d3 * d3
            for k in range(d // 4 * 4, d):
                barrier()
                delta = a[i, k] - b[j, k]
                s0 += delta * delta
            out[i, j] = (s0 + s1) + (s2 + s3)


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def simd_l2(a, b, out, first, last):
    """Fill rows first … last of out with Σ(a-b)²: the same loop with leave to reorder, vectorised by LLVM.

    Rows of b are taken in groups that stay in the first-level cache.
    """
    d, group = a.shape[1], max(1, 4096 // a.shape[1])
    for start in range(0, b.shape[0], group):
        for i in range(first, last):
            for j in range(start, min(start + group, b.shape[0])):
                total = np.float32(0)
                for k in range(d):
                    delta = a[i, k] - b[j, k]
                    total += delta * delta
                out[i, j] = total


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def simd_ip(a, b, out, first, last):
    """Fill rows first … last of out with Σab: the plain loop with leave to reorder, vectorised by LLVM."""
    d, group = a.shape[1], max(1, 4096 // a.shape[1])
    for start in range(0, b.shape[0], group):
        for i in range(first, last):
            for j in range(start, min(start + group, b.shape[0])):
                total = np.float32(0)
                for k in range(d):
                    total += a[i, k] * b[j, k]
                out[i, j] = total


@functools.cache
def blocked(isa: Isa, diff: bool):
    """Return the register-blocked kernel: a tile of sums in registers, one load serving many multiplications.

    `diff` sums (a-b)², else products. `panels` (panel, d, lanes) holds b, lanes side by side, zero where empty.
    """
    width, vectors = isa.width, 3
    height, lanes = isa.rows(3, int8=False), isa.width * 3

    @njit(cache=True, nogil=True)
    def fill(a, panels, out, first, last):
        d, m = a.shape[1], out.shape[1]
        tile = np.empty((height, lanes), np.float32)
        edge = np.zeros((height, d), np.float32)
        block = height * max(1, (192 << 10) // (4 * d * height))
        for start in range(first, last, block):
            for panel in range(panels.shape[0]):
                for r in range(start, min(start + block, last), height):
                    rows = min(height, last - r)
                    source = a.ctypes.data + 4 * d * r
                    if rows < height:
                        edge[:rows] = a[r:r + rows]
                        source = edge.ctypes.data
                    for k in range(0, d, PIECE_BLOCKED):
                        tile_f32(panels.ctypes.data + 4 * lanes * (panel * d + k), source + 4 * k, d,
                                 min(PIECE_BLOCKED, d - k), tile.ctypes.data, k == 0, width, vectors, height, diff)
                    columns = min(lanes, m - panel * lanes)
                    for i in range(rows):
                        for j in range(columns):
                            out[r + i, panel * lanes + j] = tile[i, j]
    return fill


@functools.cache
def blocked_i8(isa: Isa):
    """Return the register-blocked kernel for int8: exact integer sums, written as float32.

    metric code 0 Σ(a-b)², 1 Σab. `panels` (panel, steps, lanes·4) holds b's bytes with the offset of vpdpbusd added;
    `a` has rows of whole groups of four; `squares` are the integer squared norms.
    """
    width, vectors, dot, offset = isa.width, 3, isa.dot, isa.offset
    height, lanes = isa.rows(3, int8=True), isa.width * 3

    @njit(cache=True, nogil=True)
    def fill(a, panels, a_squares, b_squares, l2, out, first, last):
        m, steps, stride = out.shape[1], panels.shape[1], a.shape[1]
        tile = np.empty((height, lanes), np.int32)
        edge = np.zeros((height, stride), np.int8)
        totals = np.zeros(last - first, np.int64)
        for r in range(first, last):
            for k in range(stride):
                totals[r - first] += offset * np.int64(a[r, k])
        for panel in range(panels.shape[0]):
            for r in range(first, last, height):
                rows = min(height, last - r)
                source = a.ctypes.data + stride * r
                if rows < height:
                    edge[:rows] = a[r:r + rows]
                    source = edge.ctypes.data
                tile_i8(panels.ctypes.data + 4 * lanes * panel * steps, source, stride, steps, tile.ctypes.data,
                        dot, width, vectors, height)
                columns = min(lanes, m - panel * lanes)
                for i in range(rows):
                    for j in range(columns):
                        product = tile[i, j] - totals[r - first + i]
                        q = panel * lanes + j
                        out[r + i, q] = a_squares[r + i] + b_squares[q] - 2 * product if l2 else product
    return fill
