"""One batch of queries on its way through a gallery, in blocks that threads share; and what a search returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facelab.matching import _vectors as arrays
from facelab.matching._gallery import FEW, Prepared, plain, threads_pay
from facelab.matching._threads import share, spans
from facelab.matching.kernels import _bounds as bounds
from facelab.matching.kernels import _heap as topk
from facelab.matching.kernels._isa import Isa
from facelab.matching.kernels._scan import row_scan, settle, tile_scan

if TYPE_CHECKING:
    from facelab.matching._matcher import Matcher

SWITCHED = "screened, then exhaustive"
HOPELESS = 0.02
"""Share of pairs passing the int8 screening above which float32 sums are the faster screening."""
BLOCK_WORK, SMALLEST_BLOCK = 500_000_000, 256
"""Multiply-adds of a block (one to three milliseconds) that a thread takes at a time, and its fewest rows."""


@dataclass(slots=True)
class Matches:
    """The k nearest of each query, best first.

    `distances` (n, k) float32: squared L2, L2, cosine distance (1 - cosine), or the inner product (largest first);
    `ids` (n, k) int64 row numbers in the gallery; equal distances stand in the order of their ids. `method` names the
    path taken, `screened_in` the share of pairs that passed the screening and `rescored` the share whose exact
    distance was computed.
    """

    distances: np.ndarray
    ids: np.ndarray
    method: str = ""
    screened_in: float = 0.0
    rescored: float = 0.0


def merge(parts: list[tuple[np.ndarray, np.ndarray]], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best (keys, ids) of several sorted lists per query, ties by the lower id."""
    if len(parts) == 1:
        return parts[0][0][:, :k], parts[0][1][:, :k]
    keys, ids = (np.concatenate([p[i] for p in parts], axis=1) for i in (0, 1))
    order = np.lexsort((ids, keys), axis=1)[:, :k]
    return np.take_along_axis(keys, order, axis=1), np.take_along_axis(ids, order, axis=1)


def vectors_for(n: int, m: int, isa: Isa, int8: bool) -> int:
    """Return how many vectors wide a panel should be for n queries; 0 to read rows as vectors.

    The least padded work wins, weighed by measured speed: wide panels use each loaded row element more often.
    """
    speed = {1: 0.74, 2: 0.97, 3: 1.0}
    best = min(speed, key=lambda v: -(-n // (v * isa.width)) * v / speed[v])
    return 0 if n <= FEW or m < isa.rows(best, int8=int8) else best


def blocks(first: int, last: int, work: int, threads: int) -> list[tuple[int, int]]:
    """Return [first, last) in blocks of about BLOCK_WORK where a row costs `work`, at least eight a thread."""
    rows = last - first
    count = max(rows * work // BLOCK_WORK, 8 * threads)
    return spans(first, last, max(1, min(count, rows // SMALLEST_BLOCK)))


class Search:
    """One batch of queries on its way through a gallery too large, or with too many threads, for one call."""

    def __init__(
        self,
        matcher: Matcher,
        queries: np.ndarray,
        k: int,
        first_query: int,
        *,
        threads: int | None = None,
    ):
        self.m, self.k, self.n = matcher, k, len(queries)
        self.whole_numbers = queries.dtype == np.int8 and matcher.isa.levels == 127
        # a read-only array is a type of its own, for which all would be compiled again
        self.queries = np.require(queries, np.float32, ["C", "W"])
        self.info = bounds.describe(self.queries, matcher._code)
        if not np.isfinite(self.info[0]).all():
            arrays.check_finite(queries, "the queries", first_row=first_query)
        self.direct = not (matcher._screenable and bounds.screenable(self.info[0], matcher._code))
        self.path = "direct" if self.direct else "screened" if matcher._screen else "exhaustive"
        pay = threads_pay(self.n, matcher.gallery.size, self.path == "screened")
        self.threads = (threads or matcher.threads) if pay else 1
        self.states = [topk.new_state(self.n, k) for _ in range(self.threads)]
        self.laid: dict[int, tuple] = {}
        self.done = 0

    def run(self, tell: Callable[[int], None] | None) -> Matches:
        """Search and return the matches of this batch; `tell` hears how many rows are done."""
        m, first = self.m, 0
        while first < len(m):
            at_once = m._in_memory is not None and not self.direct and self.path != SWITCHED
            last = len(m) if at_once else min(first + m.chunk, len(m))
            left = iter(blocks(first, last, self.n * m.dimension, self.threads))
            self._pass(left, first, last, tell)
            done, _ = next(left, (last, last))
            m.drop(first, done)
            if done < last or self._hopeless():
                self.path = SWITCHED
                self.laid.clear()
            first = done
        return self._finish()

    def _hopeless(self) -> bool:
        """Return whether an automatic search should go on without codes: too many pairs pass their test."""
        if self.path != "screened" or self.m.method != "auto":
            return False
        passed = sum(int(state[5][0]) for state in self.states)
        return passed > HOPELESS * self.done * self.n + self.n * (8 * self.k + 400)

    def _pass(self, left: Iterator[tuple[int, int]], first: int, last: int, tell) -> None:
        """Take the blocks of the rows [first, last) until none is left or it is hopeless; rescore what waits."""
        scan, settled = self._direct_scan(first) if self.direct else self._screening(first, last)

        def job(worker: int, block: tuple[int, int]) -> None:
            scan(self.states[worker], *block)
            self.done = max(self.done, block[1])
            if tell is not None and worker == 0:
                tell(self.done)

        share(self.threads, left, job, until=self._hopeless)
        share(self.threads, self.states, lambda _, state: settled(state))
        if tell is not None and self.done == last:
            tell(last)

    def _rows(self, first: int, last: int) -> tuple[Prepared, int]:
        """Return the rows to scan and the row number of their first."""
        m = self.m
        if self.path == "screened":
            return m._screen, 0
        if m.mapping is None and m.gallery.dtype == np.float32:
            return m.plain_rows(), 0
        if m.mapping is not None:
            arrays.prefetch_pages(m.gallery[last : last + m.chunk], m.mapping)
        part = m.gallery[first:last].astype(np.float32, copy=False)
        return plain(part, m.squares[first:last], m._code, m.isa), first

    def _screening(self, first: int, last: int) -> tuple[Callable, Callable]:
        """Return scan(state, a, b), which notes candidates among rows a … b, and settle(state), which rescores them."""
        m, isa = self.m, self.m.isa
        rows, base = self._rows(first, last)
        vectors = vectors_for(self.n, min(SMALLEST_BLOCK, last - first), isa, rows.int8)
        panels, steps, lane = self._lay(vectors, rows)
        scan = tile_scan(isa, vectors, rows.int8) if vectors else row_scan(isa, rows.int8)
        gallery = m.gallery[base:]
        place = (
            self.queries,
            self.info,
            gallery.ctypes.data,
            m.gallery.strides[0],
            base,
            m._kind,
            m._code,
        )
        what = (
            rows.address,
            rows.stride,
            rows.params,
            rows.c,
            panels.ctypes.data,
            panels[0].nbytes,
            self.n,
            steps,
            lane,
        )
        owners = (rows, panels, gallery)  # `what` and `place` hold bare addresses into these

        def note(state, a, b, owners=owners):
            scan(*what, *state, *place, a - base, b - base)

        return note, lambda state, owners=owners: settle(lane[3], *state, *place)

    def _direct_scan(self, first: int) -> tuple[Callable, Callable]:
        """Return scan(state, a, b), which computes every exact key of rows a … b, and a settle with nothing to do."""
        m = self.m
        part = m.gallery[first:]
        return (
            lambda state, a, b: topk.scan_direct(
                *state,
                self.queries,
                self.info,
                part.ctypes.data,
                m.gallery.strides[0],
                first,
                m._kind,
                m._code,
                a,
                b,
            ),
            lambda state: None,
        )

    def _lay(self, vectors: int, rows: Prepared) -> tuple:
        """Return (panels, steps, lane) in the form the kernel wants; thresholds carry over from form to form."""
        if vectors not in self.laid:
            m, isa = self.m, self.m.isa
            lanes, packed = max(1, vectors * isa.width), vectors > 0
            if rows.int8:
                panels, lane = bounds.lay_i8(
                    self.queries,
                    rows.mean,
                    m._code,
                    isa.levels,
                    isa.offset,
                    self.whole_numbers and rows.exact,
                    rows.stride,
                    lanes,
                    packed,
                    self.info,
                )
                steps = -(-m.dimension // 4) if packed else rows.stride // (4 * isa.width)
            else:
                panels, lane = bounds.lay_f32(self.queries, m._code, lanes, packed, self.info)
                steps = m.dimension if packed else m.dimension // isa.width
            for state in self.states:
                topk.thresholds(lane[3], *state, self.queries, self.info, 0, 0, 0, m._kind, m._code)
            self.laid[vectors] = panels, steps, lane
        return self.laid[vectors]

    def _finish(self) -> Matches:
        m, k = self.m, self.k
        for (
            keys,
            ids,
            _,
            _,
            counts,
            _,
        ) in self.states:  # a thread that saw fewer than k rows leaves room
            topk.sort_heap(keys, ids, counts[:, 0])
            empty = np.arange(k)[None, :] >= counts[:, :1]
            keys[empty], ids[empty] = np.inf, np.iinfo(np.int64).max
        keys, ids = merge([(state[0], state[1]) for state in self.states], k)
        pairs = max(1, self.n * len(m))
        passed, rescored = (sum(int(state[5][i]) for state in self.states) / pairs for i in (0, 1))
        return Matches(m.distances(keys), ids, self.path, passed, rescored)
