"""The hot half of a search: inner products tile by tile, each tile tested against the thresholds while in cache.

Every pair is tested by one inequality with row parameters S, E, G, H (C for int8) and query parameters t, A, F, T,
derived in `facelab.matching.bounds`: a pair whose t·(acc - C)·S + A·E + F·G + T < H cannot be among the k best.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numba import njit

from facelab.matching.intrinsics import (
    float_at,
    hit_mask_rows,
    hit_masks,
    row_dots,
    tile_f32,
    tile_i8,
    trailing_zeros,
)
from facelab.matching.isa import Isa
from facelab.matching.topk import flush, wait

BLOCK_BYTES = 192 << 10
"""Rows are taken in blocks that stay in the second-level cache while every query passes over them."""


class Rows(NamedTuple):
    """Gallery rows as a kernel reads them; the parameter arrays are longer than `count` by one vector, H = inf there.

    `address` and `stride` (elements) describe float32 rows or int8 codes.
    """

    address: int
    stride: int
    count: int
    s: np.ndarray
    e: np.ndarray
    g: np.ndarray
    h: np.ndarray
    c: np.ndarray


class Lanes(NamedTuple):
    """Queries as a kernel reads them: panels (or rows) at `address` and the parameters of the test, one a lane."""

    address: int
    stride: int          # bytes from panel to panel, or from query to query
    count: int           # queries
    steps: int           # dimensions (float32), groups of four (int8 tiles), or vectors (row kernels)
    t: np.ndarray
    a: np.ndarray
    f: np.ndarray
    threshold: np.ndarray


@functools.cache
def tile_scan(isa: Isa, vectors: int, int8: bool):
    """Return the compiled scan for panels of `vectors` vectors: many queries at a time, sums in registers."""
    width, height, dot = isa.width, isa.rows(vectors, int8=int8), isa.dot
    lanes_per_panel = width * vectors
    size = 1 if int8 else 4

    @njit(cache=True, nogil=True)
    def scan(rows, lanes, state, exact, first, last):
        # first … last are positions in `rows`; there are at least `height` of them
        tile = np.empty(height * lanes_per_panel, np.int32 if int8 else np.float32)
        masks = np.empty(height, np.int64)
        block = max(1, BLOCK_BYTES // (rows.stride * size * height)) * height
        panels = (lanes.count + lanes_per_panel - 1) // lanes_per_panel
        at, bits = tile.ctypes.data, masks.ctypes.data
        for start in range(first, last, block):
            stop = min(start + block, last)
            for panel in range(panels):
                lane = panel * lanes_per_panel
                for wanted in range(start, stop, height):
                    r = min(wanted, last - height)  # the last tile overlaps the one before
                    address = rows.address + r * rows.stride * size
                    if int8:
                        tile_i8(lanes.address + panel * lanes.stride, address, rows.stride, lanes.steps, at,
                                dot, width, vectors, height)
                    else:
                        tile_f32(lanes.address + panel * lanes.stride, address, rows.stride, lanes.steps, at, True,
                                 width, vectors, height, 0)
                    union = hit_masks(at, rows.s.ctypes.data + 4 * r, rows.e.ctypes.data + 4 * r,
                                      rows.g.ctypes.data + 4 * r, rows.h.ctypes.data + 4 * r,
                                      rows.c.ctypes.data + 4 * r, lanes.t.ctypes.data + 4 * lane,
                                      lanes.a.ctypes.data + 4 * lane, lanes.f.ctypes.data + 4 * lane,
                                      lanes.threshold.ctypes.data + 4 * lane, bits, width, vectors, height, int8)
                    if union == 0:
                        continue
                    for i in range(wanted - r, height):
                        mask = masks[i]
                        while mask != 0:
                            column = trailing_zeros(mask)
                            mask &= mask - 1
                            q, row = lane + column, r + i
                            value = np.float64(tile[i * lanes_per_panel + column])
                            if int8:
                                value -= rows.c[row]
                            wait(state, exact, lanes.threshold, q, row + exact.base,
                                 value * lanes.t[q] * rows.s[row],
                                 np.float64(lanes.a[q]) * rows.e[row] + np.float64(lanes.f[q]) * rows.g[row],
                                 np.float64(rows.h[row]))
        for q in range(lanes.count):
            flush(state, exact, lanes.threshold, q)
    return scan


@functools.cache
def row_scan(isa: Isa, int8: bool):
    """Return the compiled scan for few queries: rows are read once, as vectors, at the speed of memory."""
    width, dot = isa.width, isa.dot if int8 else ""
    size = 1 if int8 else 4

    @njit(cache=True, nogil=True)
    def scan(rows, lanes, state, exact, first, last):
        dots = np.zeros(width, np.int32 if int8 else np.float32)
        at = dots.ctypes.data
        d, whole = exact.queries.shape[1], lanes.steps * width
        for start in range(first, last, width):
            present = min(width, last - start)
            for q in range(lanes.count):
                query = lanes.address + q * lanes.stride
                i = 0
                while i + 4 <= present:
                    row_dots(query, rows.address + (start + i) * rows.stride * size, rows.stride, lanes.steps,
                             at + 4 * i, dot, width, 4)
                    i += 4
                while i < present:
                    row_dots(query, rows.address + (start + i) * rows.stride * size, rows.stride, lanes.steps,
                             at + 4 * i, dot, width, 1)
                    i += 1
                if not int8 and whole < d:
                    for i in range(present):
                        tail = rows.address + (start + i) * rows.stride * 4
                        for n in range(whole, d):
                            dots[i] += np.float32(float_at(query + 4 * n) * float_at(tail + 4 * n))
                mask = hit_mask_rows(at, rows.s.ctypes.data + 4 * start, rows.e.ctypes.data + 4 * start,
                                     rows.g.ctypes.data + 4 * start, rows.h.ctypes.data + 4 * start,
                                     rows.c.ctypes.data + 4 * start, lanes.t[q], lanes.a[q], lanes.f[q],
                                     lanes.threshold[q], width, int8)
                while mask != 0:
                    i = trailing_zeros(mask)
                    mask &= mask - 1
                    if i >= present:
                        break
                    row = start + i
                    value = np.float64(dots[i])
                    if int8:
                        value -= rows.c[row]
                    wait(state, exact, lanes.threshold, q, row + exact.base, value * lanes.t[q] * rows.s[row],
                         np.float64(lanes.a[q]) * rows.e[row] + np.float64(lanes.f[q]) * rows.g[row],
                         np.float64(rows.h[row]))
        for q in range(lanes.count):
            flush(state, exact, lanes.threshold, q)
    return scan
