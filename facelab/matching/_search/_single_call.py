"""A whole search of rows in memory in one compiled call, from raw queries to sorted results: for small searches."""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facelab.matching._gallery import Gallery, GalleryRows
from facelab.matching._search._merge import merge
from facelab.matching._search._planner import (
    FIELDS,
    ScanPlan,
    query_shares,
    scan_plan,
    vectors_for,
)
from facelab.matching.kernels._bounds import describe, lay_f32, lay_i8, screenable
from facelab.matching.kernels._compile_cache import kernel
from facelab.matching.kernels._exact import Exact
from facelab.matching.kernels._heap import State, new_queue, settle, sort_heap
from facelab.matching.kernels._isa import Isa
from facelab.matching.kernels._scan import ScanQueries, ScanRows, row_scan, tile_scan
from facelab.matching.threads import share, spans

to_fixed_tuple = importlib.import_module("numba.np.unsafe.ndarray").to_fixed_tuple
_FLOAT32, _INT64, _INT8 = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.int8)
MOST_RESULTS = 1_000_000
"""Results (queries × k) up to which one call holds them all."""


@functools.cache
def compiled_search(isa: Isa, vectors: int, int8: bool) -> Callable[..., tuple[int, int]]:
    """Return the compiled search; vectors = 0 reads rows as vectors.

    It fills `keys` and `ids` (n, k), and returns how many rows passed the screening and how many were rescored. Where
    queries are not finite or not screenable (`_bounds.screenable`), it does nothing and returns (-1, 0). `numbers` is
    a `ScanPlan` as an array.
    """
    scan = tile_scan(isa, vectors, int8) if vectors else row_scan(isa, int8)

    @kernel
    def search(
        queries: Any,
        keys: Any,
        ids: Any,
        whole_numbers: Any,
        mean: Any,
        params: Any,
        corrections: Any,
        numbers: Any,
    ) -> tuple[int, int]:
        n, d = queries.shape
        plan = ScanPlan(*to_fixed_tuple(numbers, FIELDS))
        metric, lanes, packed = plan.metric, plan.lanes, plan.packed > 0
        info = describe(queries, metric)
        if not screenable(info[0], metric):
            return -1, 0
        if int8:
            laid, lane = lay_i8(
                queries,
                mean,
                metric,
                plan.levels,
                plan.offset,
                whole_numbers,
                plan.rows_stride,
                lanes,
                packed,
                info,
            )
            steps = (d + 3) // 4 if packed else plan.rows_stride // plan.span
        else:
            laid, lane = lay_f32(queries, metric, lanes, packed, info)
            steps = d if packed else d // plan.span
        waiting, pending, counts, stats = new_queue(n, keys.shape[1])
        state = State(keys, ids, waiting, pending, counts, stats)
        exact = Exact(queries, info, plan.address, plan.row_bytes, 0, plan.kind, metric)
        rows = ScanRows(plan.rows_address, plan.rows_stride, params, corrections)
        scan(rows, ScanQueries(laid, n, steps, lane), state, exact, plan.first, plan.last)
        settle(lane[3], state, exact)
        sort_heap(keys, ids, counts[:, 0])
        return stats[0], stats[1]

    return search


Found = tuple[NDArray[np.float32], NDArray[np.int64], int, int]
"""Sorted keys (n, k), ids (n, k), rows that passed the screening (-1: not screenable, nothing done) and rescored.

Plain, as a search of a thousand rows takes a few microseconds and a tuple with names a quarter of one.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a shape is searched: the compiled call and what it needs that queries do not change."""

    call: Callable[..., tuple[int, int]]
    rows: GalleryRows
    tables: tuple[Any, ...]
    """The last arguments of the call: mean, S E G H, C, and the `ScanPlan` as an array."""
    pieces: tuple[tuple[slice, Plan], ...] = ()
    """What threads take in turn, if they do: (queries, plan), all queries or all rows in each."""
    threads: int = 1

    def search(self, queries: NDArray[np.float32], k: int, whole_numbers: bool) -> Found:
        """Search rows for the k nearest of each query; `whole_numbers`: the queries are int8 values."""
        if self.pieces:
            return self._share(queries, k, whole_numbers)
        shape = (len(queries), k)
        keys, ids = np.empty(shape, _FLOAT32), np.empty(shape, _INT64)
        passed, rescored = self.call(queries, keys, ids, whole_numbers, *self.tables)
        return keys, ids, passed, rescored

    def _share(self, queries: NDArray[np.float32], k: int, whole_numbers: bool) -> Found:
        found: list[Found | None] = [None] * len(self.pieces)

        def job(_: int, i: int) -> None:
            part, plan = self.pieces[i]
            found[i] = plan.search(queries[part], k, whole_numbers)

        share(self.threads, range(len(found)), job)
        keys, ids, passed, rescored = zip(*(part for part in found if part is not None))
        if len(keys[0]) == len(queries):
            keys, ids = merge(list(zip(keys, ids)), k)
        else:
            keys, ids = np.concatenate(keys), np.concatenate(ids)
        return keys, ids, sum(passed) if min(passed) >= 0 else -1, sum(rescored)


def _plan(call: Callable[..., tuple[int, int]], rows: GalleryRows, numbers: ScanPlan) -> Plan:
    scanned = rows.scanned
    return Plan(call, rows, (rows.mean, scanned.params, scanned.corrections, numbers.as_array()))


class SingleCalls:
    """The searches of one gallery that fit a compiled call; the plans of the last shapes are kept."""

    def __init__(self, gallery: Gallery, rows: GalleryRows, threads: int, *, auto: bool):
        self.gallery, self.rows, self.threads, self.auto = gallery, rows, threads, auto
        self.plans: dict[tuple[int, int], Plan] = {}
        self._lock = threading.Lock()
        self._size, self._batch = gallery.vectors.size, gallery.policy.query_batch
        self._most = gallery.policy.one_call_work * threads

    def fits(self, n: int, k: int) -> bool:
        """Return whether this search is short enough not to need interrupting, and small enough to hold."""
        return n <= self._batch and n * k <= MOST_RESULTS and n * self._size <= self._most

    def plan(self, n: int, k: int) -> Plan:
        """Return the plan of a shape; the oldest is forgotten where there are more than the policy keeps."""
        plan = self.plans.get((n, k))
        if plan is None:
            plan = self._make(n, k)
            with self._lock:
                while len(self.plans) >= self.gallery.policy.plans:
                    del self.plans[next(iter(self.plans))]
                self.plans[n, k] = plan
        return plan

    def _make(self, n: int, k: int) -> Plan:
        gallery, policy, rows = self.gallery, self.gallery.policy, self.rows
        few_rows = len(gallery) <= policy.small_gallery and gallery.vectors.dtype == np.float32
        if self.auto and n >= policy.many_queries and few_rows:
            rows = gallery.float_rows
        vectors = vectors_for(n, len(gallery), gallery.isa, policy, int8=rows.int8)
        whole = scan_plan(gallery, rows, vectors)
        call = compiled_search(gallery.isa, vectors, rows.int8)
        pieces: tuple[tuple[slice, Plan], ...] = ()
        if policy.threads_pay(n, self._size, int8=rows.int8):
            pieces = tuple(
                (part, _plan(call, rows, numbers))
                for part, numbers in self._pieces(whole, n, k, vectors)
            )
        plan = _plan(call, rows, whole)
        return replace(plan, pieces=pieces, threads=self.threads) if pieces else plan

    def _pieces(
        self, whole: ScanPlan, n: int, k: int, vectors: int
    ) -> list[tuple[slice, ScanPlan]]:
        """Return the (queries, plan) that threads take in turn: queries where they can be shared, else rows."""
        policy = self.gallery.policy
        shares = query_shares(n, vectors, self.gallery.isa, policy, self.threads)
        if shares:
            return [(slice(a, b), whole) for a, b in shares]
        count = min(self.threads, len(self.gallery) // max(k, policy.smallest_block))
        if count < 2:
            return []
        rows = spans(0, len(self.gallery), count)
        return [(slice(0, n), whole._replace(first=a, last=b)) for a, b in rows]

    def search(self, queries: NDArray[Any], k: int) -> tuple[Found, str] | None:
        """Return what was found and the path's name; None for queries that need blocks.

        Those are too many or too large for one call, not finite, or not screenable.
        """
        n = len(queries)
        plan = self.plans.get((n, k))
        if plan is None:
            if not self.fits(n, k):
                return None
            plan = self.plan(n, k)
        whole_numbers = False
        if queries.dtype is not _FLOAT32:
            exact = plan.rows.exact and queries.dtype == _INT8
            whole_numbers = exact and self.gallery.isa.levels == 127
            queries = queries.astype(np.float32)
        elif not queries.flags.writeable:
            queries = queries.copy()  # numba compiles separately for read-only arrays
        found = plan.search(queries, k, whole_numbers)
        return None if found[2] < 0 else (found, plan.rows.name)
