"""A batch of queries on its way through a gallery, in blocks that threads share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facelab.matching import _vectors as arrays
from facelab.matching._gallery import Gallery, GalleryRows, plain_rows
from facelab.matching._search._merge import merge
from facelab.matching._search._planner import blocks, vectors_for
from facelab.matching.kernels import _bounds as bounds
from facelab.matching.kernels._heap import (
    State,
    limit_thresholds,
    lower_thresholds,
    new_state,
    scan_direct,
    settle,
    sort_heap,
)
from facelab.matching.kernels._scan import ScanQueries, row_scan, tile_scan
from facelab.matching.threads import share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facelab.matching.kernels._exact import Exact

SWITCHED = "screened, then exhaustive"
Tell = Callable[[int], None]
"""Called with the number of rows that are done."""


class Streamed(NamedTuple):
    """Sorted keys (n, k) float32, ids (n, k) int64, the path taken, and shares of all pairs."""

    keys: NDArray[np.float32]
    ids: NDArray[np.int64]
    path: str
    passed: float
    rescored: float


class _Blocks(NamedTuple):
    """One pass: scan(state, a, b) notes candidates among rows a … b, settle(state) rescores them."""

    scan: Callable[[State, int, int], None]
    settle: Callable[[State], None]


class BlockSearch:
    """One batch of queries on its way through a gallery too large, or with too many threads, for one call.

    `codes` are the gallery's int8 rows, if it has any; `auto` goes on without them where they drop too little.
    `limit`, if given, is the largest key of interest: rows beyond it may be left out.
    """

    def __init__(
        self,
        gallery: Gallery,
        codes: GalleryRows | None,
        queries: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8],
        k: int,
        *,
        auto: bool,
        threads: int,
        first_query: int = 0,
        limit: float = np.inf,
    ):
        self.gallery, self.codes, self.auto, self.k = gallery, codes, auto, k
        self.n, self.limit = len(queries), limit
        self.whole_numbers = queries.dtype == np.int8 and gallery.isa.levels == 127
        # numba compiles separately for read-only arrays
        self.queries = np.require(queries, np.float32, ["C", "W"])
        self.info = bounds.describe(self.queries, gallery.code)
        if not np.isfinite(self.info[0]).all():
            arrays.check_finite(queries, "the queries", first_row=first_query)
        self.direct = not (gallery.screenable and bounds.screenable(self.info[0], gallery.code))
        self.path = "direct" if self.direct else "screened" if codes is not None else "exhaustive"
        int8 = self.path == "screened"
        pay = gallery.policy.threads_pay(self.n, gallery.vectors.size, int8=int8)
        self.threads = threads if pay else 1
        self.states: list[State] = [new_state(self.n, k) for _ in range(self.threads)]
        self.laid: dict[int, ScanQueries] = {}
        self.done = 0

    def run(self, tell: Tell | None = None) -> Streamed:
        """Search, and return what was found; `tell` hears how many rows are done."""
        gallery, first = self.gallery, 0
        while first < len(gallery):
            last = self._last(first)
            work = self.n * gallery.dimension
            left = iter(blocks(first, last, work, gallery.policy, self.threads))
            self._pass(left, first, last, tell)
            done, _ = next(left, (last, last))
            gallery.drop(first, done)
            if done < last or self._hopeless():
                self.path = SWITCHED
                self.laid.clear()
            first = done
        return self._finish()

    def _last(self, first: int) -> int:
        """Return where the pass that begins at `first` ends: rows that must be converted are taken in chunks."""
        gallery = self.gallery
        in_memory = gallery.mapping is None and (
            self.codes is not None or gallery.vectors.dtype == np.float32
        )
        if in_memory and not self.direct and self.path != SWITCHED:
            return len(gallery)
        return min(first + gallery.chunk, len(gallery))

    def _hopeless(self) -> bool:
        """Return whether an automatic search should go on without codes: too many pairs pass their test."""
        if self.path != "screened" or not self.auto:
            return False
        passed = sum(int(state.stats[0]) for state in self.states)
        share_of_pairs = self.gallery.policy.hopeless_share * self.done * self.n
        return passed > share_of_pairs + self.n * (8 * self.k + 400)

    def _pass(
        self, left: Iterator[tuple[int, int]], first: int, last: int, tell: Tell | None
    ) -> None:
        """Take the blocks of the rows [first, last) until none is left or it is hopeless; rescore what waits."""
        scan, settled = self._direct_blocks() if self.direct else self._screened(first, last)

        def job(worker: int, block: tuple[int, int]) -> None:
            scan(self.states[worker], *block)
            self.done = max(self.done, block[1])
            if tell is not None and worker == 0:
                tell(self.done)

        share(self.threads, left, job, until=self._hopeless)
        share(self.threads, self.states, lambda _, state: settled(state))
        if tell is not None and self.done == last:
            tell(last)

    def _rows(self, first: int, last: int) -> tuple[GalleryRows, int]:
        """Return the rows to scan and the row number of their first."""
        gallery = self.gallery
        if self.path == "screened" and self.codes is not None:
            return self.codes, 0
        if gallery.mapping is None and gallery.vectors.dtype == np.float32:
            return gallery.float_rows, 0
        gallery.prefetch(last, last + gallery.chunk)
        part = gallery.vectors[first:last].astype(np.float32, copy=False)
        return plain_rows(part, gallery.squares[first:last], gallery), first

    def _screened(self, first: int, last: int) -> _Blocks:
        gallery, isa = self.gallery, self.gallery.isa
        rows, base = self._rows(first, last)
        fewest = min(gallery.policy.smallest_block, last - first)
        vectors = vectors_for(self.n, fewest, isa, gallery.policy, int8=rows.int8)
        scan = tile_scan(isa, vectors, rows.int8) if vectors else row_scan(isa, rows.int8)
        exact = gallery.exact(self.queries, self.info, base)
        asked = self._lay(vectors, rows, exact)

        def note(state: State, a: int, b: int) -> None:
            # `rows` owns what `rows.scanned` holds only the address of
            scan(rows.scanned, asked, state, exact, a - base, b - base)

        def settled(state: State) -> None:
            settle(asked.lane[3], state, exact)

        return _Blocks(note, settled)

    def _direct_blocks(self) -> _Blocks:
        """Return a scan that computes every exact key, and a settle with nothing to do."""
        exact = self.gallery.exact(self.queries, self.info, 0)

        def offer(state: State, a: int, b: int) -> None:
            scan_direct(state, exact, a, b)

        def settled(state: State) -> None:
            pass

        return _Blocks(offer, settled)

    def _lay(self, vectors: int, rows: GalleryRows, exact: Exact) -> ScanQueries:
        """Return the queries in the form the kernel wants; thresholds carry over from form to form."""
        if vectors not in self.laid:
            gallery, isa = self.gallery, self.gallery.isa
            lanes, packed = max(1, vectors * isa.width), vectors > 0
            if rows.int8:
                panels, lane = bounds.lay_i8(
                    self.queries,
                    rows.mean,
                    gallery.code,
                    isa.levels,
                    isa.offset,
                    self.whole_numbers and rows.exact,
                    rows.scanned.stride,
                    lanes,
                    packed,
                    self.info,
                )
                groups = -(-gallery.dimension // 4)
                steps = groups if packed else rows.scanned.stride // (4 * isa.width)
            else:
                panels, lane = bounds.lay_f32(self.queries, gallery.code, lanes, packed, self.info)
                steps = gallery.dimension if packed else gallery.dimension // isa.width
            for state in self.states:
                lower_thresholds(lane[3], state, exact)
            if self.limit < np.inf:
                limit_thresholds(lane[3], self.info, self.limit)
            self.laid[vectors] = ScanQueries(panels, self.n, steps, lane)
        return self.laid[vectors]

    def _finish(self) -> Streamed:
        for state in self.states:  # a thread that saw fewer than k rows leaves room
            sort_heap(state.keys, state.ids, state.counts[:, 0])
            empty = np.arange(self.k)[None, :] >= state.counts[:, :1]
            state.keys[empty], state.ids[empty] = np.inf, np.iinfo(np.int64).max
        keys, ids = merge([(state.keys, state.ids) for state in self.states], self.k)
        pairs = max(1, self.n * len(self.gallery))
        passed, rescored = (
            sum(int(state.stats[i]) for state in self.states) / pairs for i in (0, 1)
        )
        return Streamed(keys, ids, self.path, passed, rescored)
