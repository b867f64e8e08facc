"""Candidates and the k best per query: the cold half of a search, shared by every kernel.

A scan only says "this row may belong to the k best" with bounds on its score; what is kept is decided here from one
exact formula (`exact_key`), so that every kernel, every number of threads and every order of blocks gives the same
answer bit for bit: the k smallest by (float32 key, row number).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from facelab.matching.intrinsics import byte_at, exact_sums, float_at, half_at

L2, IP, COSINE = 0, 1, 2
FLOAT32, FLOAT16, INT8 = 0, 1, 2
KINDS = {"float32": FLOAT32, "float16": FLOAT16, "int8": INT8}
KEY_SLACK = 2.0 ** -21
"""Covers the rounding of a key to float32 (2^-24 relative) and of the threshold's own arithmetic."""


class State(NamedTuple):
    """One thread's k best so far and what waits to be looked at; `keys` and `ids` are binary heaps, worst on top."""

    keys: np.ndarray     # (n, k) float32
    ids: np.ndarray      # (n, k) int64
    filled: np.ndarray   # (n,) int64
    waiting: np.ndarray  # (n, capacity) int64: row numbers
    lower: np.ndarray    # (n, capacity) float32: lower bounds of their scores
    upper: np.ndarray    # (n, capacity) float32
    waits: np.ndarray    # (n,) int64
    stats: np.ndarray    # (2,) int64: rows that passed the screening, rows whose exact key was computed


class Exact(NamedTuple):
    """What the exact formula needs: queries in float64, their squared norms, where the gallery's rows lie."""

    queries: np.ndarray  # (n, d) float64
    squares: np.ndarray  # (n,) float64
    address: int         # of row `base`
    stride: int          # bytes from row to row
    base: int            # row number of the first row there
    kind: int            # FLOAT32, FLOAT16 or INT8
    metric: int          # L2, IP or COSINE
    scale: np.ndarray    # (n,) float64: score = scale · key + shift
    shift: np.ndarray    # (n,) float64


def new_state(n: int, k: int) -> State:
    """Return an empty state for n queries and k results."""
    capacity = 2 * k + 48
    return State(np.empty((n, k), np.float32), np.empty((n, k), np.int64), np.zeros(n, np.int64),
                 np.empty((n, capacity), np.int64), np.empty((n, capacity), np.float32),
                 np.empty((n, capacity), np.float32), np.zeros(n, np.int64), np.zeros(2, np.int64))


@njit(cache=True, nogil=True)
def sums_at(kind, mode, query, row, d, out):
    """Fill out[0] and out[1] with the sums of `emit.exact_sums` over all d dimensions; mode 0 l2, 1 dot, 2 both."""
    q, place, count = query.ctypes.data, out.ctypes.data, d // 8
    if kind == FLOAT32:
        if mode == L2:
            exact_sums(q, row, count, place, "f4", "l2")
        else:
            exact_sums(q, row, count, place, "f4", "both")
    elif kind == FLOAT16:
        if mode == L2:
            exact_sums(q, row, count, place, "f2", "l2")
        else:
            exact_sums(q, row, count, place, "f2", "both")
    elif mode == L2:
        exact_sums(q, row, count, place, "i1", "l2")
    else:
        exact_sums(q, row, count, place, "i1", "both")
    for i in range(count * 8, d):
        if kind == FLOAT32:
            y = float_at(row + 4 * i)
        elif kind == FLOAT16:
            y = half_at(row + 2 * i)
        else:
            y = byte_at(row + i)
        x = query[i]
        if mode == L2:
            out[0] += (x - y) * (x - y)
        else:
            out[0] += x * y
            out[1] += y * y


@njit(cache=True, nogil=True)
def exact_key(metric, kind, query, square, row, d, out):
    """Return the key of one pair: smaller is better. Float64 sums in a fixed order, rounded once to float32.

    L2: Σ(q-g)². IP: -Σqg. Cosine: 1 - Σqg/√(Σq²·Σg²), where a zero vector is at distance 1 from everything.
    """
    sums_at(kind, metric, query, row, d, out)
    if metric == L2:
        return np.float32(out[0])
    if metric == IP:
        return np.float32(-out[0])
    product = square * out[1]
    if product == 0.0:
        return np.float32(1.0)
    return np.float32(max(0.0, 1.0 - out[0] / np.sqrt(product)))


@njit(cache=True, nogil=True)
def push(keys, ids, filled, q, key, row):
    """Offer (key, row) to query q's heap: kept where it is smaller than the worst, ties by the lower row."""
    n, k = filled[q], keys.shape[1]
    if n < k:
        i = n
        filled[q] = n + 1
        while i > 0:
            up = (i - 1) >> 1
            if keys[q, up] > key or (keys[q, up] == key and ids[q, up] > row):
                break
            keys[q, i], ids[q, i] = keys[q, up], ids[q, up]
            i = up
        keys[q, i], ids[q, i] = key, row
        return
    if keys[q, 0] < key or (keys[q, 0] == key and ids[q, 0] < row):
        return
    i = 0
    while True:
        child = 2 * i + 1
        if child >= k:
            break
        right = child + 1
        if right < k and (keys[q, right] > keys[q, child]
                          or (keys[q, right] == keys[q, child] and ids[q, right] > ids[q, child])):
            child = right
        if keys[q, child] < key or (keys[q, child] == key and ids[q, child] < row):
            break
        keys[q, i], ids[q, i] = keys[q, child], ids[q, child]
        i = child
    keys[q, i], ids[q, i] = key, row


@njit(cache=True, nogil=True)
def kth_smallest(values, k):
    """Return the k-th smallest value (k from 1); reorders `values` (Hoare's quickselect)."""
    low, high, want = 0, values.size - 1, k - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if want <= j:
            high = j
        elif want >= i:
            low = i
        else:
            break
    return values[want]


@njit(cache=True, nogil=True)
def widened(exact, q, score):
    """Return a float32 threshold not below any score whose key rounds to the same float32 as `score`'s."""
    slack = abs(score - exact.shift[q]) + abs(exact.shift[q])
    return np.float32(score + KEY_SLACK * slack + 2.0 ** -120)


@njit(cache=True, nogil=True)
def flush(state, exact, threshold, q):
    """Compute the exact keys of query q's waiting rows that may still belong, and lower its threshold."""
    n, k = state.waits[q], state.keys.shape[1]
    if n == 0:
        return
    state.waits[q] = 0
    out = np.empty(2, np.float64)
    cut = threshold[q]
    if n > k:
        # the k-th smallest upper bound bounds the k-th best score
        cut = min(cut, widened(exact, q, np.float64(kth_smallest(state.upper[q, :n].copy(), k))))
    d = exact.queries.shape[1]
    for i in range(n):
        if state.lower[q, i] > cut:
            continue
        row = state.waiting[q, i]
        state.stats[1] += 1
        key = exact_key(exact.metric, exact.kind, exact.queries[q], exact.squares[q],
                        exact.address + (row - exact.base) * exact.stride, d, out)
        push(state.keys, state.ids, state.filled, q, key, row)
        if state.filled[q] == k:
            worst = np.float64(state.keys[q, 0])
            cut = min(cut, widened(exact, q, exact.scale[q] * worst + exact.shift[q]))
    threshold[q] = min(threshold[q], cut)


@njit(cache=True, nogil=True)
def wait(state, exact, threshold, q, row, estimate, error, level):
    """Note that a row may belong to query q's best: its score is level - estimate, give or take `error`."""
    low = level - estimate - error
    high = level - estimate + error
    high += 2.0 ** -18 * (abs(level) + abs(estimate)) + 2.0 ** -120
    n = state.waits[q]
    state.waiting[q, n] = row
    state.lower[q, n] = low - 2.0 ** -18 * (abs(level) + abs(estimate)) - 2.0 ** -120
    state.upper[q, n] = high
    state.waits[q] = n + 1
    state.stats[0] += 1
    if n + 1 == state.waiting.shape[1]:
        flush(state, exact, threshold, q)


@njit(cache=True, nogil=True)
def scan_direct(state, exact, first, last):
    """Offer every row of [first, last) to every query by the exact key alone: no screening, no bound needed."""
    out = np.empty(2, np.float64)
    d = exact.queries.shape[1]
    for row in range(first, last):
        address = exact.address + (row - exact.base) * exact.stride
        for q in range(exact.queries.shape[0]):
            key = exact_key(exact.metric, exact.kind, exact.queries[q], exact.squares[q], address, d, out)
            push(state.keys, state.ids, state.filled, q, key, row)
    state.stats[1] += (last - first) * exact.queries.shape[0]


@njit(cache=True, nogil=True)
def squares_of(kind, address, stride, n, d):
    """Return Σx² of n rows in float64, in the order that `exact_key` adds."""
    out, result = np.empty(2, np.float64), np.empty(n, np.float64)
    nothing = np.zeros(d, np.float64)
    for i in range(n):
        sums_at(kind, IP, nothing, address + i * stride, d, out)
        result[i] = out[1]
    return result
