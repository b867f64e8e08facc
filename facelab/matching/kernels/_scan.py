"""The hot half of a search: inner products tile by tile, each tile tested against the thresholds while in cache.

Every pair is tested by one inequality with row parameters S, E, G, H (C for int8) and query parameters t, A, F, T,
derived in `_bounds`: a pair whose t·(acc - C)·S + A·E + F·G + T < H cannot be among the k best.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import njit

from facelab.matching.kernels._compile_cache import kernel, part
from facelab.matching.kernels._heap import Exact, State, flush, kth_smallest, widened
from facelab.matching.kernels._intrinsics import (
    float_at,
    hit_mask_rows,
    hit_masks,
    lower_rows,
    row_dots,
    tile_f32,
    tile_i8,
    trailing_zeros,
    upper_bounds,
)
from facelab.matching.kernels._isa import Isa
from facelab.matching.kernels._llvm_emit import ROUND, TINY

BLOCK_BYTES = 192 << 10
"""Rows are taken in blocks that stay in the second-level cache while every query passes over them."""
SEED_BYTES = 512 << 10
"""The first rows, up to so many bytes, are looked at twice: first for a threshold, then against it."""


# Numba looks at the type of every argument of every call: arrays and numbers take a tenth of a microsecond each,
# tuples of arrays tens; and handing arrays on to an inner function costs reference counts. Hence the long flat
# lists of arguments here, and `note` written into its callers, which flush themselves: flushing within `note` made
# searches up to twice as slow.


@njit(inline="always")
def note(waiting, pending, counts, q, row, base, value, t, a, f, s, e, g, h):
    """Note a row that may belong to query q's k best, with bounds on its score; return whether too many wait now."""
    product, level = value * t[q] * s[row], np.float64(h[row])
    room = (
        np.float64(a[q]) * e[row]
        + np.float64(f[q]) * g[row]
        + ROUND * (abs(level) + abs(product))
        + TINY
    )
    waits = counts[q, 1]
    waiting[q, waits] = row + base
    pending[q, 0, waits] = level - product - room
    pending[q, 1, waits] = level - product + room
    counts[q, 1] = waits + 1
    return waits + 1 >= counts[q, 2]


@part
def keep_smallest(best, carry, k, lanes):
    """Insert one value a lane into that lane's k smallest, kept sorted in `best` (k · lanes); spoils `carry`."""
    for i in range(k):
        at = i * lanes
        for lane in range(lanes):
            x, y = carry[lane], best[at + lane]
            best[at + lane] = x if x < y else y
            carry[lane] = y if x < y else x


@functools.cache
def seeded_tiles(isa: Isa, vectors: int, int8: bool):
    """Return the function that fills all tiles of rows first … stop and lowers a panel's thresholds from them.

    The k-th smallest, over groups of rows, of the group's smallest upper bound is above k scores, hence a threshold.
    """
    width, height, dot = isa.width, isa.rows(vectors, int8=int8), isa.dot
    lanes = width * vectors

    @part
    def fill(panel, steps, rows, stride, params, c, lane, q0, n, info, tile, k, first, stop, last):
        best, carry = np.full(k * lanes, np.inf, np.float32), np.empty(lanes, np.float32)
        s, e, g, h = params[0], params[1], params[2], params[3]
        t, a, f, threshold = lane[0], lane[1], lane[2], lane[3]
        for wanted in range(first, stop, height):
            r = min(wanted, last - height)
            at = tile.ctypes.data + 4 * lanes * (wanted - first)
            if int8:
                tile_i8(panel, rows + r * stride, stride, steps, at, dot, width, vectors, height)
            else:
                tile_f32(
                    panel, rows + r * stride * 4, stride, steps, at, True, width, vectors, height, 0
                )
            if r < wanted:
                continue  # rows of the tile before stand in it again: no group of its own
            upper_bounds(
                at,
                s.ctypes.data + 4 * r,
                e.ctypes.data + 4 * r,
                g.ctypes.data + 4 * r,
                h.ctypes.data + 4 * r,
                c.ctypes.data + 4 * r,
                t.ctypes.data + 4 * q0,
                a.ctypes.data + 4 * q0,
                f.ctypes.data + 4 * q0,
                carry.ctypes.data,
                width,
                vectors,
                height,
                int8,
            )
            keep_smallest(best, carry, k, lanes)
        for q in range(q0, min(q0 + lanes, n)):
            threshold[q] = min(
                threshold[q], widened(info, q, np.float64(best[(k - 1) * lanes + q - q0]))
            )

    return fill


@functools.cache
def tile_scan(isa: Isa, vectors: int, int8: bool):
    """Return the compiled scan for panels of `vectors` vectors: many queries at a time, sums in registers.

    Its arguments: the rows' address, stride (elements), S E G H as the rows of `params` (4, m + a vector), C; the
    panels' address, bytes a panel, queries, steps (dimensions, or groups of four), t A F T as the rows of `lane`
    (4, padded queries); the fields of `State` and of `Exact`; first and last row, at least one tile apart.
    """
    width, height, dot = isa.width, isa.rows(vectors, int8=int8), isa.dot
    lanes = width * vectors
    size = 1 if int8 else 4
    seed_panel = seeded_tiles(isa, vectors, int8)

    @kernel
    def scan(
        rows,
        stride,
        params,
        c,
        panels,
        panel_bytes,
        n,
        steps,
        lane,
        keys,
        ids,
        waiting,
        pending,
        counts,
        stats,
        queries,
        info,
        address,
        row_bytes,
        base,
        kind,
        metric,
        first,
        last,
    ):
        noted, k = 0, keys.shape[1]
        # where the k best of groups of rows are known, their upper bounds give a threshold before any row is noted
        seed = min(last - first, max(1, SEED_BYTES // (stride * size * height)) * height)
        groups = (seed + height - 1) // height
        seeding = groups >= k and lane[3, n - 1] == np.inf
        tile = np.empty(
            (groups if seeding else 1) * height * lanes, np.int32 if int8 else np.float32
        )
        masks = np.empty(height, np.int64)
        s, e, g, h = params[0], params[1], params[2], params[3]
        t, a, f, threshold = lane[0], lane[1], lane[2], lane[3]
        usual = max(1, BLOCK_BYTES // (stride * size * height)) * height
        tiles, bits = tile.ctypes.data, masks.ctypes.data
        start = first
        while start < last:
            stop = min(start + (seed if seeding else usual), last)
            for panel in range((n + lanes - 1) // lanes):
                q0 = panel * lanes
                if seeding:
                    seed_panel(
                        panels + panel * panel_bytes,
                        steps,
                        rows,
                        stride,
                        params,
                        c,
                        lane,
                        q0,
                        n,
                        info,
                        tile,
                        k,
                        start,
                        stop,
                        last,
                    )
                for wanted in range(start, stop, height):
                    r = min(wanted, last - height)  # the last tile overlaps the one before
                    shift = (wanted - start) * lanes if seeding else 0
                    at = tiles + 4 * shift
                    if not seeding:
                        if int8:
                            tile_i8(
                                panels + panel * panel_bytes,
                                rows + r * stride,
                                stride,
                                steps,
                                at,
                                dot,
                                width,
                                vectors,
                                height,
                            )
                        else:
                            tile_f32(
                                panels + panel * panel_bytes,
                                rows + r * stride * 4,
                                stride,
                                steps,
                                at,
                                True,
                                width,
                                vectors,
                                height,
                                0,
                            )
                    union = hit_masks(
                        at,
                        s.ctypes.data + 4 * r,
                        e.ctypes.data + 4 * r,
                        g.ctypes.data + 4 * r,
                        h.ctypes.data + 4 * r,
                        c.ctypes.data + 4 * r,
                        t.ctypes.data + 4 * q0,
                        a.ctypes.data + 4 * q0,
                        f.ctypes.data + 4 * q0,
                        threshold.ctypes.data + 4 * q0,
                        bits,
                        width,
                        vectors,
                        height,
                        int8,
                    )
                    if union == 0:
                        continue
                    for i in range(wanted - r, height):
                        mask, row = masks[i], r + i
                        while mask != 0:
                            column = trailing_zeros(mask)
                            mask &= mask - 1
                            q = q0 + column
                            value = np.float64(tile[shift + i * lanes + column])
                            if int8:
                                value -= c[row]
                            noted += 1
                            if note(
                                waiting, pending, counts, q, row, base, value, t, a, f, s, e, g, h
                            ):
                                flush(
                                    State(keys, ids, waiting, pending, counts, stats),
                                    Exact(queries, info, address, row_bytes, base, kind, metric),
                                    threshold,
                                    q,
                                    False,
                                )
            start, seeding = stop, False
        stats[0] += noted

    return scan


@functools.cache
def row_products(isa: Isa, int8: bool):
    """Return the function that fills dots with the products of one query and rows start … stop."""
    width, dot, height = isa.width, isa.dot if int8 else "", min(8, isa.width)
    size = 1 if int8 else 4

    @part
    def fill(query, d, steps, rows, stride, start, stop, dots):
        at, i = dots.ctypes.data, start
        while i + height <= stop:
            row_dots(
                query,
                rows + i * stride * size,
                stride,
                steps,
                at + 4 * (i - start),
                dot,
                width,
                height,
            )
            i += height
        while i < stop:
            row_dots(
                query, rows + i * stride * size, stride, steps, at + 4 * (i - start), dot, width, 1
            )
            i += 1
        if not int8 and steps * width < d:
            for i in range(start, stop):
                tail = rows + i * stride * 4
                for x in range(steps * width, d):
                    dots[i - start] += np.float32(float_at(query + 4 * x) * float_at(tail + 4 * x))

    return fill


@functools.cache
def seeded_rows(isa: Isa, int8: bool):
    """Return the function that finds a threshold for one query from its products with rows start … stop.

    Lane by lane and group by group, the smallest upper bound of many rows is above one score, hence the k-th smallest
    of these above k of them. `best` has one place a lane and group; whole vectors of rows only.
    """
    width = isa.width

    @part
    def threshold(dots, params, c, t, a, f, best, k, start, stop):
        at, low = dots.ctypes.data, best.ctypes.data
        s, e, g, h = (
            params[0].ctypes.data,
            params[1].ctypes.data,
            params[2].ctypes.data,
            params[3].ctypes.data,
        )
        best[:] = np.inf
        for i in range(0, stop - start, width):
            r = 4 * (start + i)
            lower_rows(
                at + 4 * i,
                s + r,
                e + r,
                g + r,
                h + r,
                c.ctypes.data + r,
                t,
                a,
                f,
                low + 4 * (i % best.size),
                width,
                int8,
            )
        return kth_smallest(best, k)

    return threshold


@functools.cache
def row_scan(isa: Isa, int8: bool):
    """Return the compiled scan for few queries: rows are read once, as vectors, at the speed of memory.

    The arguments are those of `tile_scan`, with whole queries instead of panels, and `steps` in vectors.
    """
    width, size = isa.width, 1 if int8 else 4
    products, seed_rows = row_products(isa, int8), seeded_rows(isa, int8)

    @kernel
    def scan(
        rows,
        stride,
        params,
        c,
        codes,
        query_bytes,
        n,
        steps,
        lane,
        keys,
        ids,
        waiting,
        pending,
        counts,
        stats,
        queries,
        info,
        address,
        row_bytes,
        base,
        kind,
        metric,
        first,
        last,
    ):
        noted, k, d = 0, keys.shape[1], queries.shape[1]
        s, e, g, h = params[0], params[1], params[2], params[3]
        t, a, f, threshold = lane[0], lane[1], lane[2], lane[3]
        usual = 4 * width
        seed = min(last - first, max(1, SEED_BYTES // (stride * size))) // width * width
        best = np.empty(min(seed, (3 * k // width + 1) * width), np.float32)
        seeding = best.size >= k and threshold[n - 1] == np.inf
        dots = np.zeros(max(usual, seed) if seeding else usual, np.int32 if int8 else np.float32)
        start, at = first, dots.ctypes.data
        while start < last:
            stop = min(start + (seed if seeding else usual), last)
            for q in range(n):
                products(codes + q * query_bytes, d, steps, rows, stride, start, stop, dots)
                if seeding:
                    score = seed_rows(dots, params, c, t[q], a[q], f[q], best, k, start, stop)
                    threshold[q] = min(threshold[q], widened(info, q, np.float64(score)))
                for i in range(start, stop, width):
                    mask = hit_mask_rows(
                        at + 4 * (i - start),
                        s.ctypes.data + 4 * i,
                        e.ctypes.data + 4 * i,
                        g.ctypes.data + 4 * i,
                        h.ctypes.data + 4 * i,
                        c.ctypes.data + 4 * i,
                        t[q],
                        a[q],
                        f[q],
                        threshold[q],
                        width,
                        int8,
                    )
                    while mask != 0:
                        row = i + trailing_zeros(mask)
                        mask &= mask - 1
                        if row >= stop:
                            break
                        value = np.float64(dots[row - start])
                        if int8:
                            value -= c[row]
                        noted += 1
                        if note(waiting, pending, counts, q, row, base, value, t, a, f, s, e, g, h):
                            flush(
                                State(keys, ids, waiting, pending, counts, stats),
                                Exact(queries, info, address, row_bytes, base, kind, metric),
                                threshold,
                                q,
                                False,
                            )
            start, seeding = stop, False
        stats[0] += noted

    return scan


@kernel
def settle(
    threshold,
    keys,
    ids,
    waiting,
    pending,
    counts,
    stats,
    queries,
    info,
    address,
    row_bytes,
    base,
    kind,
    metric,
):
    """Rescore everything that waits; needed before the rows at `address` go away."""
    state = State(keys, ids, waiting, pending, counts, stats)
    exact = Exact(queries, info, address, row_bytes, base, kind, metric)
    for q in range(queries.shape[0]):
        flush(state, exact, threshold, q, True)
