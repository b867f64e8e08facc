"""All rows within a threshold: the k nearest first, and every exact distance only for queries with very many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from facelab.matching._gallery import Gallery, GalleryRows
from facelab.matching._search._streaming import BlockSearch
from facelab.matching.kernels._bounds import describe
from facelab.matching.kernels._exact import keys_within
from facelab.matching.threads import share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Row = tuple[NDArray[np.float32], NDArray[np.int64]]
    """One query's sorted keys and ids."""

MORE = 16
"""How many times more neighbours are looked for where the first search filled its list."""
MOST_RESULTS = 4_000_000
"""Results (queries × k) that a batch holds."""


class RangeSearch:
    """One batch of queries whose rows with keys up to `limit` are wanted."""

    def __init__(
        self,
        gallery: Gallery,
        codes: GalleryRows | None,
        queries: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8],
        limit: float,
        *,
        auto: bool,
        threads: int,
    ):
        self.gallery, self.codes, self.queries, self.limit = gallery, codes, queries, limit
        self.auto, self.threads = auto, threads

    def run(self, tell: Callable[[int, int], None] | None = None) -> list[Row]:
        """Return, per query, the sorted keys and ids of its rows; `tell` hears (queries done, queries)."""
        found: list[Row | None] = [None] * len(self.queries)
        left = list(range(len(found)))
        first, m = self.gallery.policy.range_k, len(self.gallery)
        for k in sorted({min(m, first), min(m, MORE * first)} - {0}):
            left = self._nearest(left, k, found, tell)
        if left and m:
            self._every(left, found)
        elif left:
            found = [(np.empty(0, np.float32), np.empty(0, np.int64))] * len(found)
        if tell is not None:
            tell(len(found), len(found))
        return [row for row in found if row is not None]

    def _nearest(
        self,
        left: list[int],
        k: int,
        found: list[Row | None],
        tell: Callable[[int, int], None] | None,
    ) -> list[int]:
        """Search the k nearest of the queries left; return those whose list is full, and may go on."""
        full: list[int] = []
        batch = max(1, min(self.gallery.policy.query_batch, MOST_RESULTS // k))
        for start in range(0, len(left), batch):
            some = left[start : start + batch]
            search = BlockSearch(
                self.gallery,
                self.codes,
                self.queries[some],
                k,
                auto=self.auto,
                threads=self.threads,
                limit=self.limit,
            ).run()
            counts = (search.keys <= self.limit).sum(axis=1)
            for q, count, keys, ids in zip(some, counts.tolist(), search.keys, search.ids):
                if count < k or k == len(self.gallery):
                    found[q] = keys[:count].copy(), ids[:count].copy()
                else:
                    full.append(q)
            if tell is not None:
                tell(len(found) - len(left) + start + len(some) - len(full), len(found))
        return full

    def _every(self, left: list[int], found: list[Row | None]) -> None:
        """Compute every exact key of the queries left, chunk by chunk."""
        gallery = self.gallery
        queries = np.require(self.queries[left], np.float32, ["C", "W"])
        exact = gallery.exact(queries, describe(queries, gallery.code), 0)
        parts: list[list[Row]] = [[] for _ in left]
        for first, last in gallery.chunks():

            def job(_: int, q: int, first: int = first, last: int = last) -> None:
                keys, ids = np.empty(last - first, np.float32), np.empty(last - first, np.int64)
                count = keys_within(exact, q, first, last, self.limit, keys, ids)
                parts[q].append((keys[:count].copy(), ids[:count].copy()))

            share(self.threads, range(len(left)), job)
            gallery.drop(first, last)
        for q, pieces in zip(left, parts):
            keys = np.concatenate([keys for keys, _ in pieces])
            ids = np.concatenate([ids for _, ids in pieces])
            order = np.lexsort((ids, keys))
            found[q] = keys[order], ids[order]
