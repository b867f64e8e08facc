"""Distances of all pairs, loop by loop: scalar, left to the auto-vectoriser, explicit SIMD, and register-blocked.

All add in pieces before adding the pieces, where one long chain could reach an error of d·2⁻²⁴ of a squared
distance: a piece is 128 dimensions of a lane at most for the SIMD kernels, hence (128 + d/128 + 6)·2⁻²⁴, under 1e-5
for d up to 4000, and 256 for the scalar one, whose error stays below 4e-6 even where all terms are equal.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from facelab.matching.kernels._compile_cache import kernel
from facelab.matching.kernels._intrinsics import (
    barrier,
    multiply_add,
    pair_block,
    tile_f32,
    tile_i8,
)
from facelab.matching.kernels._isa import Isa

A: TypeAlias = np.ndarray
PIECE = 64
PIECE_SCALAR = 256
PIECE_BLOCKED = 128
BLOCK_BYTES, PANEL_BYTES = 64 << 10, 3 << 20
"""What the blocked kernel takes at a time: of a, what stays in the second-level cache; of b, laid side by side, so
much that reading a once for it costs nothing."""
EXPLICIT_FLOATS = 8192
"""Rows of b taken together by the explicit kernel: they stay in the first-level cache while a passes."""
_REASSOCIATE = {"reassoc", "contract", "nsz"}


def _scalar(fused: bool, diff: bool) -> Callable[..., Any]:
    """Return the textbook loop: one pair at a time, one running sum, one number at a time.

    `fused`: a multiplication and the addition after it are one instruction, as gcc and clang compile this loop for a
    processor that has one (-march=native); otherwise both are rounded, as with -ffp-contract=off. The barrier emits
    no instruction; it only keeps LLVM from packing numbers into vectors, as -fno-tree-vectorize does.
    """

    @kernel
    def fill(a: np.ndarray, b: np.ndarray, out: np.ndarray, first: int, last: int) -> None:
        d = a.shape[1]
        for i in range(first, last):
            x = a[i]
            for j in range(b.shape[0]):
                y = b[j]
                total = np.float32(0)
                for start in range(0, d, PIECE_SCALAR):
                    piece = np.float32(0)
                    for k in range(np.uintp(start), np.uintp(min(start + PIECE_SCALAR, d))):
                        barrier()
                        left, right = (x[k] - y[k], x[k] - y[k]) if diff else (x[k], y[k])
                        piece = multiply_add(left, right, piece) if fused else piece + left * right
                    total += piece
                out[i, j] = total

    return fill


scalar_l2, scalar_ip = _scalar(True, True), _scalar(True, False)
strict_l2, strict_ip = _scalar(False, True), _scalar(False, False)


@kernel
def scalar4_l2(a: np.ndarray, b: np.ndarray, out: np.ndarray, first: int, last: int) -> None:
    """Fill rows first … last of out with Σ(a-b)², four rows of b at a time: what scalar code can reach with care."""
    d, m = a.shape[1], b.shape[0]
    for i in range(first, last):
        for j in range(0, m, 4):
            r0, r1, r2, r3 = b[j], b[min(j + 1, m - 1)], b[min(j + 2, m - 1)], b[min(j + 3, m - 1)]
            t0, t1, t2, t3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for start in range(0, d, PIECE):
                s0, s1, s2, s3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                for k in range(start, min(start + PIECE, d)):
                    x = a[i, k]
                    barrier()
                    d0 = x - r0[k]
                    s0 += d0 * d0
                    barrier()
                    d1 = x - r1[k]
                    s1 += d1 * d1
                    barrier()
                    d2 = x - r2[k]
                    s2 += d2 * d2
                    barrier()
                    d3 = x - r3[k]
                    s3 += d3 * d3
                t0, t1, t2, t3 = t0 + s0, t1 + s1, t2 + s2, t3 + s3
            out[i, j] = t0
            if j + 1 < m:
                out[i, j + 1] = t1
            if j + 2 < m:
                out[i, j + 2] = t2
            if j + 3 < m:
                out[i, j + 3] = t3


def _autovec(diff: bool) -> Callable[..., Any]:
    """Return plain loops with leave to reorder sums, vectorised by LLVM.

    Four rows of b share each load of a; rows of b are taken in groups that stay in the first-level cache.
    """

    @functools.partial(kernel, fastmath=_REASSOCIATE)
    def fill(a: np.ndarray, b: np.ndarray, out: np.ndarray, first: int, last: int) -> None:
        d, m = a.shape[1], b.shape[0]
        group = max(4, 8192 // d // 4 * 4)
        for start in range(0, m, group):
            for i in range(first, last):
                x = a[i]
                for j in range(start, min(start + group, m), 4):
                    r0, r1, r2, r3 = (
                        b[j],
                        b[min(j + 1, m - 1)],
                        b[min(j + 2, m - 1)],
                        b[min(j + 3, m - 1)],
                    )
                    s0, s1, s2, s3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                    for k in range(d):
                        s0 += (x[k] - r0[k]) * (x[k] - r0[k]) if diff else x[k] * r0[k]
                        s1 += (x[k] - r1[k]) * (x[k] - r1[k]) if diff else x[k] * r1[k]
                        s2 += (x[k] - r2[k]) * (x[k] - r2[k]) if diff else x[k] * r2[k]
                        s3 += (x[k] - r3[k]) * (x[k] - r3[k]) if diff else x[k] * r3[k]
                    out[i, min(j + 3, m - 1)] = s3
                    out[i, min(j + 2, m - 1)] = s2
                    out[i, min(j + 1, m - 1)] = s1
                    out[i, j] = s0

    return fill


autovec_l2, autovec_ip = _autovec(True), _autovec(False)


@functools.cache
def explicit(isa: Isa, diff: bool) -> Callable[..., Any]:
    """Return the explicit SIMD kernel: lanes are dimensions, a few rows of a meet a few rows of b in registers.

    Every register of sums is folded once per pair; what is left of d after whole registers is added number by number.
    """
    width = isa.width
    queries, height = (4, 4) if width == 16 else (2, 4)

    @kernel
    def fill(a: np.ndarray, b: np.ndarray, out: np.ndarray, first: int, last: int) -> None:
        d, m = a.shape[1], b.shape[0]
        whole = d // width
        group = max(height, EXPLICIT_FLOATS // d // height * height)
        part, sums = np.zeros(queries * height, np.float32), np.empty(queries * height, np.float32)
        q_step, r_step = queries if last - first >= queries else 1, height if m >= height else 1
        r_stride = d if r_step > 1 else 0  # too few rows: one stands in for all
        for begin in range(0, m, group):
            end = min(begin + group, m)
            for i in range(first, last, q_step):
                i0 = min(i, last - q_step)  # at the edges rows are taken twice rather than singly
                for j in range(begin, end, r_step):
                    j0 = min(j, m - r_step)
                    sums[:] = 0
                    for k in range(0, whole, PIECE_BLOCKED):
                        x, y = (
                            a.ctypes.data + 4 * (d * i0 + k * width),
                            b.ctypes.data + 4 * (d * j0 + k * width),
                        )
                        count = min(PIECE_BLOCKED, whole - k)
                        if q_step == 1:
                            pair_block(
                                x, d, y, r_stride, count, part.ctypes.data, width, 1, height, diff
                            )
                        else:
                            pair_block(
                                x,
                                d,
                                y,
                                r_stride,
                                count,
                                part.ctypes.data,
                                width,
                                queries,
                                height,
                                diff,
                            )
                        sums += part
                    for r in range(r_step):
                        for q in range(q_step):
                            value = sums[r * q_step + q]
                            for k in range(whole * width, d):
                                delta = a[i0 + q, k] - b[j0 + r, k]
                                value += delta * delta if diff else a[i0 + q, k] * b[j0 + r, k]
                            out[i0 + q, j0 + r] = value

    return fill


@functools.cache
def blocked(isa: Isa, diff: bool) -> Callable[..., Any]:
    """Return the register-blocked kernel: a tile of sums in registers, one load serving many multiplications.

    It fills out[first:last, begin:end]. `diff` sums (a-b)², else products. Some rows of b at a time are laid side by
    side, a lane each, and the rows of a pass over these panels in blocks.
    """
    width, vectors = isa.width, 3
    height, lanes = isa.rows(3, int8=False), isa.width * 3

    @kernel
    def fill(
        a: np.ndarray, b: np.ndarray, out: np.ndarray, first: int, last: int, begin: int, end: int
    ) -> None:
        d = a.shape[1]
        tile = np.empty((height, lanes), np.float32)
        edge = np.zeros((height, d), np.float32)
        most = (end - begin + lanes - 1) // lanes
        panels = np.zeros((min(most, max(1, PANEL_BYTES // (4 * d * lanes))), d, lanes), np.float32)
        group = panels.shape[0] * lanes
        block = height * max(1, BLOCK_BYTES // (4 * d * height))
        for start in range(begin, end, group):
            stop = min(start + group, end)
            for j in range(start, stop):
                panel, lane = (j - start) // lanes, (j - start) % lanes
                for k in range(d):
                    panels[panel, k, lane] = b[j, k]
            for top in range(first, last, block):
                for column in range(start, stop, lanes):
                    panel, columns = (
                        panels.ctypes.data + 4 * d * (column - start),
                        min(lanes, stop - column),
                    )
                    for r in range(top, min(top + block, last), height):
                        rows = min(height, last - r)
                        source = a.ctypes.data + 4 * d * r
                        if rows < height:
                            for i in range(rows):  # numba takes 3 s to compile a slice's copy
                                for k in range(d):
                                    edge[i, k] = a[r + i, k]
                            source = edge.ctypes.data
                        for k in range(0, d, PIECE_BLOCKED):
                            tile_f32(
                                panel + 4 * lanes * k,
                                source + 4 * k,
                                d,
                                min(PIECE_BLOCKED, d - k),
                                tile.ctypes.data,
                                k == 0,
                                width,
                                vectors,
                                height,
                                diff,
                            )
                        for i in range(rows):
                            for j in range(
                                columns
                            ):  # an index that cannot be negative, or nothing is vectorised
                                out[r + i, np.uintp(column) + np.uintp(j)] = tile[i, j]

    return fill


@functools.cache
def blocked_i8(isa: Isa) -> Callable[..., Any]:
    """Return the register-blocked kernel for int8: exact integer sums, written as float32.

    metric code 0 Σ(a-b)², 1 Σab. `panels` (panel, steps, lanes·4) holds b's bytes with the offset of vpdpbusd added;
    `a` has rows of whole groups of four; `squares` are the integer squared norms.
    """
    width, vectors, dot, offset = isa.width, 3, isa.dot, isa.offset
    height, lanes = isa.rows(3, int8=True), isa.width * 3

    @kernel
    def fill(
        a: A, panels: A, a_squares: A, b_squares: A, l2: bool, out: A, first: int, last: int
    ) -> None:
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
                    for i in range(rows):
                        for k in range(stride):
                            edge[i, k] = a[r + i, k]
                    source = edge.ctypes.data
                tile_i8(
                    panels.ctypes.data + 4 * lanes * panel * steps,
                    source,
                    stride,
                    steps,
                    tile.ctypes.data,
                    dot,
                    width,
                    vectors,
                    height,
                )
                columns = min(lanes, m - panel * lanes)
                for i in range(rows):
                    for j in range(columns):
                        product = tile[i, j] - totals[r - first + i]
                        q = panel * lanes + j
                        out[r + i, q] = (
                            a_squares[r + i] + b_squares[q] - 2 * product if l2 else product
                        )

    return fill
