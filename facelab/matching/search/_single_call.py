"""A whole search of rows in memory in one compiled call, from raw queries to sorted results: for small searches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facelab.matching._gallery import Prepared
from facelab.matching._threads import share
from facelab.matching.kernels._bounds import describe, lay_f32, lay_i8, screenable
from facelab.matching.kernels._compile_cache import kernel
from facelab.matching.kernels._heap import new_queue, sort_heap
from facelab.matching.kernels._isa import Isa
from facelab.matching.kernels._scan import row_scan, settle, tile_scan
from facelab.matching.search._streaming import merge

_FLOAT32, _INT64 = np.dtype(np.float32), np.dtype(np.int64)


@functools.cache
def whole_search(isa: Isa, vectors: int, int8: bool):
    """Return the compiled search; vectors = 0 reads rows as vectors.

    It fills `keys` and `ids` (n, k), and returns how many rows passed the screening and how many were rescored; it
    did nothing and returns (-1, 0) where the queries are not finite or not screenable (`bounds.screenable`). `place`
    is what `where` returns.
    """
    scan = tile_scan(isa, vectors, int8) if vectors else row_scan(isa, int8)

    @kernel
    def search(queries, keys, ids, whole_numbers, mean, params, c, place):
        n, d = queries.shape
        rows, stride, last, address, row_bytes, kind, metric = (
            place[0],
            place[1],
            place[2],
            place[3],
            place[4],
            place[5],
            place[6],
        )
        lanes, packed, levels, offset, span = place[7], place[8] > 0, place[9], place[10], place[11]
        info = describe(queries, metric)
        if not screenable(info[0], metric):
            return -1, 0
        waiting, pending, counts, stats = new_queue(n, keys.shape[1])
        if int8:
            laid, lane = lay_i8(
                queries, mean, metric, levels, offset, whole_numbers, stride, lanes, packed, info
            )
            steps = (d + 3) // 4 if packed else stride // span
            panel_bytes = laid.shape[1] * laid.shape[2]
        else:
            laid, lane = lay_f32(queries, metric, lanes, packed, info)
            steps = d if packed else d // span
            panel_bytes = laid.shape[1] * laid.shape[2] * 4
        first, base = place[12], place[13]
        scan(
            rows,
            stride,
            params,
            c,
            laid.ctypes.data,
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
        )
        settle(
            lane[3],
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
        )
        sort_heap(keys, ids, counts[:, 0])
        return stats[0], stats[1]

    return search


def where(
    rows: Prepared, gallery: np.ndarray, kind: int, metric: int, isa: Isa, vectors: int
) -> np.ndarray:
    """Return the whole numbers of a search of all rows that queries do not change; `span_of` narrows it to some.

    In one array, as each argument costs a call time, and not as constants of the code: numba makes types of those and
    compiles everything that is handed one anew.
    """
    return np.array(
        [
            rows.address,
            rows.stride,
            len(gallery),
            gallery.ctypes.data,
            gallery.strides[0],
            kind,
            metric,
            max(1, vectors * isa.width),
            vectors > 0,
            isa.levels,
            isa.offset,
            4 * isa.width if rows.int8 else isa.width,
            0,
            0,
        ],
        np.int64,
    )


def span_of(place: np.ndarray, first: int, last: int) -> np.ndarray:
    """Return what `where` returned for the rows first … last alone, of which there must be k and a tile."""
    part = place.copy()
    part[12], part[2] = first, last
    return part


@dataclass(slots=True)
class Plan:
    """How n queries are searched: the compiled call, the rows it scans, where they lie; or pieces for threads to take.

    A piece is (queries, plan): all queries and some of the rows, or some of the queries and all rows.
    """

    call: Callable
    rows: Prepared
    place: np.ndarray
    pieces: list[tuple[slice, Plan]] | None = None
    threads: int = 1

    def search(
        self, queries: np.ndarray, k: int, whole_numbers: bool
    ) -> tuple[np.ndarray, np.ndarray, int, int]:
        """Return sorted keys (n, k) float32, ids (n, k) int64, and the rows that passed (-1: not done) and rescored."""
        if self.pieces is not None:
            return self._share(queries, k, whole_numbers)
        rows, shape = self.rows, (len(queries), k)
        keys, ids = np.empty(shape, _FLOAT32), np.empty(shape, _INT64)
        passed, rescored = self.call(
            queries, keys, ids, whole_numbers, rows.mean, rows.params, rows.c, self.place
        )
        return keys, ids, passed, rescored

    def _share(
        self, queries: np.ndarray, k: int, whole_numbers: bool
    ) -> tuple[np.ndarray, np.ndarray, int, int]:
        found: list = [None] * len(self.pieces)

        def job(_: int, i: int) -> None:
            part, plan = self.pieces[i]
            found[i] = plan.search(queries[part], k, whole_numbers)

        share(self.threads, range(len(found)), job)
        keys, ids, passed, rescored = zip(*found)
        by_rows = len(keys[0]) == len(queries)
        both = (
            merge(list(zip(keys, ids)), k)
            if by_rows
            else (np.concatenate(keys), np.concatenate(ids))
        )
        return *both, sum(passed) if min(passed) >= 0 else -1, sum(rescored)
