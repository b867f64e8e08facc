"""The k best per query, and the candidates that wait to be rescored: the cold half of a search.

A scan only reports that a row may belong to the k best, with bounds on its score. What is kept is decided here by one
exact formula (`_exact.exact_key`): the k smallest by (float32 key, row number).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from facelab.matching.kernels._compile_cache import kernel, part
from facelab.matching.kernels._exact import exact_key, key_of

KEY_SLACK = 2.0**-21
"""Covers the rounding of a key to float32 (2^-24 relative) and of the threshold's own arithmetic."""


class State(NamedTuple):
    """One thread's k best so far and what waits to be looked at; `keys` and `ids` are binary heaps, worst on top.

    Rows wait until `trigger` of them are there. Then those that cannot belong any more are dropped, and where too many
    remain, their exact keys are computed.
    """

    keys: np.ndarray
    """(n, k) float32."""
    ids: np.ndarray
    """(n, k) int64."""
    waiting: np.ndarray
    """(n, capacity) int64: row numbers."""
    bounds: np.ndarray
    """(n, 2, capacity) float32: lower and upper bounds of the waiting rows' scores."""
    counts: np.ndarray
    """(n, 3) int64: rows in the heap, rows waiting, trigger."""
    stats: np.ndarray
    """(2,) int64: rows that passed the screening, rows whose exact key was computed."""


@part
def new_queue(n: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the part of an empty state that is not its heap: waiting, bounds, counts, stats."""
    capacity = 4 * k + 56
    counts = np.zeros((n, 3), np.int64)
    counts[:, 2] = 2 * k + 16
    return (
        np.empty((n, capacity), np.int64),
        np.empty((n, 2, capacity), np.float32),
        counts,
        np.zeros(2, np.int64),
    )


@kernel
def new_state(n: int, k: int) -> State:
    """Return an empty state for n queries and k results."""
    keys, ids = np.empty((n, k), np.float32), np.empty((n, k), np.int64)
    return State(keys, ids, *new_queue(n, k))


@part
def sink(keys: np.ndarray, ids: np.ndarray, q: int, size: int, key: float, row: int) -> None:
    """Replace the worst of query q's heap of `size` by (key, row); larger keys are worse, then larger rows."""
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            keys[q, right] > keys[q, child]
            or (keys[q, right] == keys[q, child] and ids[q, right] > ids[q, child])
        ):
            child = right
        if keys[q, child] < key or (keys[q, child] == key and ids[q, child] < row):
            break
        keys[q, i], ids[q, i] = keys[q, child], ids[q, child]
        i = child
    keys[q, i], ids[q, i] = key, row


@part
def push(
    keys: np.ndarray, ids: np.ndarray, counts: np.ndarray, q: int, key: float, row: int
) -> None:
    """Offer (key, row) to query q's heap: kept where it is smaller than the worst, ties by the lower row."""
    n, k = counts[q, 0], keys.shape[1]
    if n == k:
        if key < keys[q, 0] or (key == keys[q, 0] and row < ids[q, 0]):
            sink(keys, ids, q, k, key, row)
        return
    i = n
    counts[q, 0] = n + 1
    while i > 0:
        up = (i - 1) >> 1
        if keys[q, up] > key or (keys[q, up] == key and ids[q, up] > row):
            break
        keys[q, i], ids[q, i] = keys[q, up], ids[q, up]
        i = up
    keys[q, i], ids[q, i] = key, row


@part
def kth_smallest(values: np.ndarray, k: int) -> Any:
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


@part
def widened(info: Any, q: int, score: Any) -> Any:
    """Return a float32 threshold not below any score whose key rounds to the same float32 as `score`'s."""
    shift = info[2, q]
    return np.float32(score + KEY_SLACK * (abs(score - shift) + abs(shift)) + 2.0**-120)


@part
def from_heap(state: State, exact: Any, q: int) -> float | Any:
    """Return the threshold that query q's full heap gives, or infinity."""
    if state.counts[q, 0] < state.keys.shape[1]:
        return np.float32(np.inf)
    return widened(
        exact.info, q, exact.info[1, q] * np.float64(state.keys[q, 0]) + exact.info[2, q]
    )


@part
def flush(state: State, exact: Any, threshold: np.ndarray, q: int, final: float) -> None:
    """Drop query q's waiting rows that cannot belong any more, rescore the rest if many or `final`, lower T."""
    n, k = state.counts[q, 1], state.keys.shape[1]
    if n == 0:
        return
    lower, upper, rows = state.bounds[q, 0], state.bounds[q, 1], state.waiting[q]
    cut, promising = threshold[q], np.float32(np.inf)
    if n > k:
        # the k-th smallest upper bound bounds the k-th best score
        promising = kth_smallest(upper[:n].copy(), k)
        cut = min(cut, widened(exact.info, q, np.float64(promising)))
    left = 0
    for i in range(n):
        if lower[i] <= cut:
            rows[left], lower[left], upper[left] = rows[i], lower[i], upper[i]
            left += 1
    if final or left > rows.size // 2:
        query, square, d = exact.queries[q].ctypes.data, exact.info[0, q], exact.queries.shape[1]
        keys, ids, counts, address = (
            state.keys,
            state.ids,
            state.counts,
            exact.address - exact.base * exact.stride,
        )
        for later in range(2):  # the best k first: they lower the threshold for the others
            for i in range(left):
                if (upper[i] > promising) == (later == 1) and lower[i] <= cut:
                    key = exact_key(
                        exact.metric, exact.kind, query, square, address + rows[i] * exact.stride, d
                    )
                    state.stats[1] += 1
                    if counts[q, 0] < k or key <= keys[q, 0]:
                        push(keys, ids, counts, q, key, rows[i])
                        if counts[q, 0] == k:
                            worst = exact.info[1, q] * np.float64(keys[q, 0]) + exact.info[2, q]
                            cut = min(cut, widened(exact.info, q, worst))
        left = 0
    state.counts[q, 1] = left
    state.counts[q, 2] = min(rows.size, 2 * left + k + 16)
    threshold[q] = min(threshold[q], cut)


@kernel
def sort_heap(keys: np.ndarray, ids: np.ndarray, filled: Any) -> None:
    """Sort each query's heap in place, best first: by key, ties by row number (heapsort)."""
    for q in range(keys.shape[0]):
        for size in range(filled[q] - 1, 0, -1):
            key, row = keys[q, size], ids[q, size]
            keys[q, size], ids[q, size] = keys[q, 0], ids[q, 0]
            sink(keys, ids, q, size, key, row)


@kernel
def scan_direct(state: State, exact: Any, first: int, last: int) -> None:
    """Offer every row of [first, last) to every query by the exact key alone: no screening, no bound needed."""
    keys, ids, counts, k = state.keys, state.ids, state.counts, state.keys.shape[1]
    for row in range(first, last):
        for q in range(exact.queries.shape[0]):
            key = key_of(exact, q, row)
            if counts[q, 0] < k or key <= keys[q, 0]:
                push(keys, ids, counts, q, key, row)
    state.stats[1] += (last - first) * exact.queries.shape[0]


@kernel
def lower_thresholds(threshold: np.ndarray, state: State, exact: Any) -> None:
    """Lower each query's threshold to what its heap already proves."""
    for q in range(exact.queries.shape[0]):
        threshold[q] = min(threshold[q], from_heap(state, exact, q))


@kernel
def limit_thresholds(threshold: np.ndarray, info: Any, limit: float) -> None:
    """Lower each query's threshold to the score of a key of `limit`: rows beyond it need not be looked at."""
    for q in range(info.shape[1]):
        threshold[q] = min(threshold[q], widened(info, q, info[1, q] * limit + info[2, q]))


@kernel
def settle(threshold: np.ndarray, state: State, exact: Any) -> None:
    """Rescore everything that waits; needed before the rows that `exact` names go away."""
    for q in range(exact.queries.shape[0]):
        flush(state, exact, threshold, q, True)
