"""The hot half of a search: inner products tile by tile, each tile tested against the thresholds while in cache.

Every pair is tested by one inequality with row parameters S, E, G, H (C for int8) and query parameters t, A, F, T,
derived in `_bounds`: a pair whose t·(acc - C)·S + A·E + F·G + T < H cannot be among the k best.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from facelab.matching._vectors import CACHE_LINE
from facelab.matching.kernels._compile_cache import kernel, part
from facelab.matching.kernels._exact import Exact
from facelab.matching.kernels._heap import State, flush, kth_smallest, widened
from facelab.matching.kernels._intrinsics import (
    float_at,
    hit_mask_rows,
    hit_masks,
    lower_rows,
    prefetch,
    row_dots,
    tile_f32,
    tile_i8,
    trailing_zeros,
    upper_bounds,
)
from facelab.matching.kernels._isa import Isa
from facelab.matching.kernels._llvm_screen import ROUND, TINY

BLOCK_BYTES = 192 << 10
"""Rows are taken in blocks that stay in the second-level cache while every query passes over them."""
SEED_BYTES = 512 << 10
"""The first rows, up to this many bytes, are scanned twice: first for a threshold, then against it."""


class ScanRows(NamedTuple):
    """Gallery rows as a scan reads them; float32 rows or int8 codes."""

    address: int
    stride: int
    """Elements from row to row."""
    params: np.ndarray
    """(4, rows + a vector) float32: S, E, G, H."""
    corrections: np.ndarray
    """(rows + a vector,) int32: C; zero for float32 rows."""


class ScanQueries(NamedTuple):
    """Queries as a scan reads them: panels of queries side by side, or whole queries."""

    panels: np.ndarray
    """(panels, steps, lanes) float32 or (panels, steps, 4 · lanes) uint8; (queries, width, 1) for whole queries."""
    number: int
    """Queries in all."""
    steps: int
    """Dimensions or groups of four (panels); vectors (whole queries)."""
    lane: np.ndarray
    """(4, queries rounded up to whole panels) float32: t, A, F, T."""


# A scan is entered once per search or per block, with tuples. Its loops use plain local arrays, and `note` is written
# into them: tuples cost reference counts there, and flushing within `note` made searches up to twice as slow.


@njit(inline="always")
def note(
    waiting: np.ndarray,
    pending: Any,
    counts: np.ndarray,
    q: Any,
    row: Any,
    base: int,
    product: Any,
    params: Any,
    corrections: Any,
    lane: Any,
) -> Any:
    """Note a row that may belong to query q's k best, with bounds on its score; return whether too many wait now."""
    value = (np.float64(product) - corrections[row]) * lane[0, q] * params[0, row]
    level = np.float64(params[3, row])
    room = (
        np.float64(lane[1, q]) * params[1, row]
        + np.float64(lane[2, q]) * params[2, row]
        + ROUND * (abs(level) + abs(value))
        + TINY
    )
    waits = counts[q, 1]
    waiting[q, waits] = row + base
    pending[q, 0, waits] = level - value - room
    pending[q, 1, waits] = level - value + room
    counts[q, 1] = waits + 1
    return waits + 1 >= counts[q, 2]


@part
def keep_smallest(best: np.ndarray, carry: np.ndarray, k: int, lanes: int) -> None:
    """Insert one value per lane into that lane's k smallest, kept sorted in `best` (k · lanes); spoils `carry`."""
    for i in range(k):
        at = i * lanes
        for lane in range(lanes):
            x, y = carry[lane], best[at + lane]
            best[at + lane] = x if x < y else y
            carry[lane] = y if x < y else x


@functools.cache
def tile_products(isa: Isa, vectors: int, int8: bool) -> Callable[..., Any]:
    """Return the function that fills a tile with the products of one panel and the rows from r on."""
    width, height, dot = isa.width, isa.rows(vectors, int8=int8), isa.dot

    @part
    def fill(panel: int, steps: int, address: int, stride: int, r: int, tile: np.ndarray) -> None:
        if int8:
            # the rows of the next tile: 7 % faster at 64 queries, while float32 rows, four times as long, lose 9 %
            for line in range((r + height) * stride, (r + 2 * height) * stride, CACHE_LINE):
                prefetch(address + line)
            tile_i8(panel, address + r * stride, stride, steps, tile, dot, width, vectors, height)
        else:
            rows = address + 4 * r * stride
            tile_f32(panel, rows, stride, steps, tile, True, width, vectors, height, 0)

    return fill


@functools.cache
def seeded_tiles(isa: Isa, vectors: int, int8: bool) -> Callable[..., Any]:
    """Return the function that fills all tiles of rows first … stop and lowers a panel's thresholds from them.

    The k-th smallest, over groups of rows, of the group's smallest upper bound is above k scores, hence a threshold.
    """
    width, height = isa.width, isa.rows(vectors, int8=int8)
    lanes = width * vectors
    products = tile_products(isa, vectors, int8)

    @part
    def fill(
        rows: ScanRows,
        asked: ScanQueries,
        panel: int,
        q0: int,
        info: np.ndarray,
        tile: np.ndarray,
        k: int,
        first: int,
        stop: int,
        last: int,
    ) -> None:
        best, carry = np.full(k * lanes, np.inf, np.float32), np.empty(lanes, np.float32)
        lane, params, c = asked.lane, rows.params, rows.corrections
        step, gap = params.strides[0], lane.strides[0]
        for wanted in range(first, stop, height):
            r = min(wanted, last - height)
            at = tile.ctypes.data + 4 * lanes * (wanted - first)
            products(panel, asked.steps, rows.address, rows.stride, r, at)
            if r < wanted:
                continue  # rows of the tile before are in it again: not its own group
            own, fix = params.ctypes.data + 4 * r, c.ctypes.data + 4 * r
            ask, low = lane.ctypes.data + 4 * q0, carry.ctypes.data
            upper_bounds(at, own, step, fix, ask, gap, low, width, vectors, height, int8)
            keep_smallest(best, carry, k, lanes)
        threshold = lane[3]
        for q in range(q0, min(q0 + lanes, asked.number)):
            kth = np.float64(best[(k - 1) * lanes + q - q0])
            threshold[q] = min(threshold[q], widened(info, q, kth))

    return fill


@functools.cache
def tile_scan(isa: Isa, vectors: int, int8: bool) -> Callable[..., Any]:
    """Return the compiled scan for panels of `vectors` vectors: many queries at a time, sums in registers.

    Its arguments: `ScanRows`, `ScanQueries`, `State`, `Exact`, first and last row, at least one tile apart.
    """
    width, height = isa.width, isa.rows(vectors, int8=int8)
    lanes, size = width * vectors, 1 if int8 else 4
    products, seed_panel = tile_products(isa, vectors, int8), seeded_tiles(isa, vectors, int8)

    @kernel
    def scan(
        rows: ScanRows, asked: ScanQueries, state: State, exact: Exact, first: int, last: int
    ) -> None:
        noted, k, n = 0, state.keys.shape[1], asked.number
        waiting, pending, counts = state.waiting, state.bounds, state.counts
        params, c, lane, base = rows.params, rows.corrections, asked.lane, exact.base
        threshold, step, gap = lane[3], params.strides[0], lane.strides[0]
        panels, panel_bytes = asked.panels.ctypes.data, asked.panels.strides[0]
        # where the k best of groups of rows are known, their upper bounds give a threshold before any row is noted
        tile_bytes = rows.stride * size * height
        seed = min(last - first, max(1, SEED_BYTES // tile_bytes) * height)
        groups = (seed + height - 1) // height
        seeding = groups >= k and threshold[n - 1] == np.inf
        tiles = (groups if seeding else 1) * height * lanes
        tile = np.empty(tiles, np.int32 if int8 else np.float32)
        masks = np.empty(height, np.int64)
        usual = max(1, BLOCK_BYTES // tile_bytes) * height
        start = first
        while start < last:
            stop = min(start + (seed if seeding else usual), last)
            for q0 in range(0, n, lanes):
                panel = panels + q0 // lanes * panel_bytes
                if seeding:
                    seed_panel(rows, asked, panel, q0, exact.info, tile, k, start, stop, last)
                for wanted in range(start, stop, height):
                    r = min(wanted, last - height)  # the last tile overlaps the one before
                    shift = (wanted - start) * lanes if seeding else 0
                    at = tile.ctypes.data + 4 * shift
                    if not seeding:
                        products(panel, asked.steps, rows.address, rows.stride, r, at)
                    own, fix = params.ctypes.data + 4 * r, c.ctypes.data + 4 * r
                    ask, bits = lane.ctypes.data + 4 * q0, masks.ctypes.data
                    union = hit_masks(
                        at, own, step, fix, ask, gap, bits, width, vectors, height, int8
                    )
                    if union == 0:
                        continue
                    for i in range(wanted - r, height):
                        mask, row = masks[i], r + i
                        while mask != 0:
                            column = trailing_zeros(mask)
                            mask &= mask - 1
                            q, x = q0 + column, tile[shift + i * lanes + column]
                            noted += 1
                            if note(waiting, pending, counts, q, row, base, x, params, c, lane):
                                flush(state, exact, threshold, q, False)
            start, seeding = stop, False
        state.stats[0] += noted

    return scan


@functools.cache
def row_products(isa: Isa, int8: bool) -> Callable[..., Any]:
    """Return the function that fills dots with the products of one query and rows start … stop."""
    width, dot, height = isa.width, isa.dot if int8 else "", min(8, isa.width)
    size = 1 if int8 else 4

    @part
    def fill(
        query: int,
        d: int,
        steps: int,
        address: int,
        stride: int,
        start: int,
        stop: int,
        dots: np.ndarray,
    ) -> None:
        at, i = dots.ctypes.data - 4 * start, start
        while i + height <= stop:
            row = address + i * stride * size
            row_dots(query, row, stride, steps, at + 4 * i, dot, width, height)
            i += height
        while i < stop:
            row = address + i * stride * size
            row_dots(query, row, stride, steps, at + 4 * i, dot, width, 1)
            i += 1
        if not int8 and steps * width < d:
            for i in range(start, stop):
                tail = address + i * stride * 4
                for x in range(steps * width, d):
                    dots[i - start] += np.float32(float_at(query + 4 * x) * float_at(tail + 4 * x))

    return fill


@functools.cache
def seeded_rows(isa: Isa, int8: bool) -> Callable[..., Any]:
    """Return the function that finds a threshold for one query from its products with rows start … stop.

    Lane by lane and group by group, the smallest upper bound of many rows is above one score, hence the k-th smallest
    of these above k of them. `best` has one place per lane and group; whole vectors of rows only.
    """
    width = isa.width

    @part
    def threshold(
        dots: np.ndarray,
        rows: ScanRows,
        lane: np.ndarray,
        q: int,
        best: np.ndarray,
        k: int,
        start: int,
        stop: int,
    ) -> np.floating[Any]:
        at, low = dots.ctypes.data, best.ctypes.data
        params, step = rows.params.ctypes.data, rows.params.strides[0]
        corrections = rows.corrections.ctypes.data
        t, a, f = lane[0, q], lane[1, q], lane[2, q]
        best[:] = np.inf
        for i in range(0, stop - start, width):
            r = 4 * (start + i)
            group = low + 4 * (i % best.size)
            lower_rows(at + 4 * i, params + r, step, corrections + r, t, a, f, group, width, int8)
        return kth_smallest(best, k)

    return threshold


@functools.cache
def row_scan(isa: Isa, int8: bool) -> Callable[..., Any]:
    """Return the compiled scan for few queries: rows are read once, as vectors, at the speed of memory.

    The arguments are those of `tile_scan`, with whole queries instead of panels.
    """
    width, size = isa.width, 1 if int8 else 4
    products, seed_rows = row_products(isa, int8), seeded_rows(isa, int8)

    @kernel
    def scan(
        rows: ScanRows, asked: ScanQueries, state: State, exact: Exact, first: int, last: int
    ) -> None:
        noted, k, d = 0, state.keys.shape[1], exact.queries.shape[1]
        waiting, pending, counts = state.waiting, state.bounds, state.counts
        params, c, lane, base = rows.params, rows.corrections, asked.lane, exact.base
        threshold, step, usual = lane[3], params.strides[0], 4 * width
        first_query, query_bytes = asked.panels.ctypes.data, asked.panels.strides[0]
        seed = min(last - first, max(1, SEED_BYTES // (rows.stride * size))) // width * width
        best = np.empty(min(seed, (3 * k // width + 1) * width), np.float32)
        seeding = best.size >= k and threshold[asked.number - 1] == np.inf
        dots = np.zeros(max(usual, seed) if seeding else usual, np.int32 if int8 else np.float32)
        start = first
        while start < last:
            stop = min(start + (seed if seeding else usual), last)
            for q in range(asked.number):
                query = first_query + q * query_bytes
                products(query, d, asked.steps, rows.address, rows.stride, start, stop, dots)
                if seeding:
                    score = np.float64(seed_rows(dots, rows, lane, q, best, k, start, stop))
                    threshold[q] = min(threshold[q], widened(exact.info, q, score))
                for i in range(start, stop, width):
                    at = dots.ctypes.data + 4 * (i - start)
                    own, fix = params.ctypes.data + 4 * i, c.ctypes.data + 4 * i
                    t, a, f = lane[0, q], lane[1, q], lane[2, q]
                    mask = hit_mask_rows(at, own, step, fix, t, a, f, threshold[q], width, int8)
                    while mask != 0:
                        row = i + trailing_zeros(mask)
                        mask &= mask - 1
                        if row >= stop:
                            break
                        noted += 1
                        x = dots[row - start]
                        if note(waiting, pending, counts, q, row, base, x, params, c, lane):
                            flush(state, exact, threshold, q, False)
            start, seeding = stop, False
        state.stats[0] += noted

    return scan
