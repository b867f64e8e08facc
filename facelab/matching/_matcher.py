"""Exact top-k search: prepared once, searched many times, on arrays in memory or memory-mapped."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.machine import memory_bytes
from facelab.matching import _vectors as arrays
from facelab.matching._gallery import Prepared, encode, plain, threads_pay
from facelab.matching._threads import check_threads, run_spans, share, spans
from facelab.matching.kernels import _bounds as bounds
from facelab.matching.kernels import _heap as topk
from facelab.matching.kernels._isa import choose
from facelab.matching.search._single_call import Plan, span_of, where, whole_search
from facelab.matching.search._streaming import SMALLEST_BLOCK, Matches, Search, vectors_for

QUERY_BATCH = 2016
"""Queries that pass over the gallery together; a multiple of every panel width."""
CHUNK_BYTES = 32 << 20
"""Gallery bytes that a memory-mapped or converted search holds at a time."""
ONE_CALL = 4_000_000_000
"""Multiply-adds a thread up to which a search runs in uninterruptible compiled calls (a tenth of a second)."""
MANY, SMALL_GALLERY = 32, 4096
"""From this many queries, on galleries up to this size, candidates cost more than float32 sums (measured)."""
BALANCE = 0.8
"""Threads share queries where they would be busy so much of the time; else rows, of which there are always enough."""
_METRICS = {"sqeuclidean": topk.L2, "l2": topk.L2, "ip": topk.IP, "cosine": topk.COSINE}
_FLOAT32, _INT64 = np.dtype(np.float32), np.dtype(np.int64)
METHODS = ("auto", "exhaustive", "screened")


class Matcher:
    """Find the k nearest gallery rows of each query, exactly.

    gallery: (m, d) float32, float16 or int8, kept by reference (do not change it afterwards) unless it must be copied
    to be contiguous and aligned. A memory-mapped one (`np.load(..., mmap_mode="r")`) is streamed and its pages are
    given back, so that it may be larger than memory. metric: "sqeuclidean", "l2", "ip" or "cosine" (a zero vector
    has cosine distance 1 to everything). method: "exhaustive" computes every float32 inner product; "screened" drops
    most rows by int8 codes with a proven error bound (`kernels._bounds`) and rescores the rest; "auto" takes
    what is faster. Both give identical results: the distance is one float64 sum in fixed order, rounded to float32.
    threads: at most so many, None for all cores; a search of a third of a millisecond stays on one. isa: an
    instruction set to force (`facelab.matching.kernels`).

    Raises BadInputError for shapes, dtypes, NaN or infinities that cannot be searched.

    >>> gallery = np.array([[0, 0], [3, 4], [0, 0]], np.float32)
    >>> found = Matcher(gallery).search(np.zeros((1, 2), np.float32), k=3)
    >>> found.ids.tolist(), found.distances.tolist()
    ([[0, 2, 1]], [[0.0, 0.0, 25.0]])
    """

    def __init__(
        self,
        gallery,
        metric: str = "sqeuclidean",
        method: str = "auto",
        threads: int | None = None,
        *,
        isa: str | None = None,
    ):
        if method not in METHODS:
            raise BadInputError(
                f"no method named {method!r}{did_you_mean(method, METHODS)}",
                expected=", ".join(METHODS),
            )
        self.metric, self.method = arrays.metric_name(metric), method
        self.threads, self.isa = check_threads(threads), choose(isa)
        self.gallery = arrays.check_vectors(gallery, "the gallery")
        self.mapping = arrays.mapping_of(self.gallery)
        self._code = _METRICS[self.metric]
        self._kind = topk.KINDS[self.gallery.dtype.name]
        self._rows, self.dimension = self.gallery.shape
        self._size = self.gallery.size
        self.chunk = max(1, CHUNK_BYTES // (4 * self.dimension))
        self._plans: dict[tuple[int, int], Plan] = {}
        self._prepare_norms()
        self._plain: Prepared | None = None
        self._screen: Prepared | None = None
        if method == "screened":
            self._require_screenable()
        if self._screenable and (
            method == "screened" or (method == "auto" and self._worth_codes())
        ):
            self._screen = encode(self)
        self._in_memory = None
        if self._screenable and self.mapping is None:
            self._in_memory = self._screen or (
                self.plain_rows() if self.gallery.dtype == np.float32 else None
            )

    def __len__(self) -> int:
        return self._rows

    def bytes(self) -> dict[str, int]:
        """Return the bytes held: the gallery's own, and what the matcher added (codes, norms and parameters)."""
        added = self.squares.nbytes + sum(
            rows.nbytes for rows in (self._screen, self._plain) if rows is not None
        )
        return {"gallery": self.gallery.nbytes, "added": added}

    def search(
        self, queries, k: int, *, progress: Callable[[int, int], None] | None = None
    ) -> Matches:
        """Return the k nearest gallery rows of each query (n, d), best first.

        `progress`, if given, is called with (rows done, rows in all). Raises BadInputError if k is below 1 or above
        the number of gallery rows, or if the queries do not fit the gallery.
        """
        if not (
            type(queries) is np.ndarray
            and queries.dtype is _FLOAT32
            and queries.flags.carray
            and queries.ndim == 2
            and queries.shape[1] == self.dimension
        ):  # the usual case, in half a microsecond
            queries = arrays.check_vectors(queries, "the queries")
            arrays.check_same_width(queries, self.gallery, ("the queries", "the gallery"))
        k, n = arrays.check_k(k, self._rows), len(queries)
        if n == 0:
            return Matches(np.empty((0, k), np.float32), np.empty((0, k), np.int64))
        if self._fits_calls(n, k) and (found := self._search_whole(queries, k)):
            if progress is not None:
                progress(self._rows, self._rows)
            return found
        batch = QUERY_BATCH if k <= 1024 else max(1, QUERY_BATCH * 1024 // k)
        steps = range(0, n, batch)
        total = len(self) * len(steps)
        parts = []
        for turn, start in enumerate(steps):
            tell = (
                None
                if progress is None
                else (lambda done, turn=turn: progress(turn * len(self) + done, total))
            )
            parts += self._batch(queries[start : start + batch], k, start, tell)
        if len(parts) == 1:
            return parts[0]
        weights = [len(p.ids) / n for p in parts]
        return Matches(
            np.concatenate([p.distances for p in parts]),
            np.concatenate([p.ids for p in parts]),
            parts[0].method,
            sum(w * p.screened_in for w, p in zip(weights, parts)),
            sum(w * p.rescored for w, p in zip(weights, parts)),
        )

    def _batch(
        self, queries: np.ndarray, k: int, first: int, tell: Callable[[int], None] | None
    ) -> list[Matches]:
        """Search one batch whose first query is number `first`; threads share its queries, or else the rows."""
        pieces = []
        if (rows := self._in_memory) is not None:
            pieces = self._query_shares(
                len(queries), vectors_for(len(queries), len(self), self.isa, rows.int8)
            )
        if not pieces:
            return [Search(self, queries, k, first).run(tell)]
        found, done = [None] * len(pieces), [0] * len(pieces)

        def job(worker: int, piece: int) -> None:
            def heard(rows: int) -> None:
                done[piece] = rows
                if tell is not None and worker == 0:
                    tell(sum(done) // len(done))

            a, b = pieces[piece]
            found[piece] = Search(self, queries[a:b], k, first + a, threads=1).run(heard)

        share(self.threads, range(len(pieces)), job)
        if tell is not None:
            tell(len(self))
        return found

    def _fits_calls(self, n: int, k: int) -> bool:
        if self._in_memory is None or n > QUERY_BATCH or n * k > 1_000_000:
            return False
        return n * self._size <= ONE_CALL * self.threads

    def _plan(self, n: int, k: int) -> Plan:
        rows = self._in_memory
        if (
            self.method == "auto"
            and n >= MANY
            and len(self) <= SMALL_GALLERY
            and self.gallery.dtype == np.float32
        ):
            rows = (
                self.plain_rows()
            )  # exact sums leave fewer candidates to look at, and here those are the cost
        vectors = vectors_for(n, len(self), self.isa, rows.int8)
        place = where(rows, self.gallery, self._kind, self._code, self.isa, vectors)
        plan = Plan(whole_search(self.isa, vectors, rows.int8), rows, place)
        if threads_pay(n, self._size, rows.int8) and (pieces := self._pieces(plan, n, k, vectors)):
            plan.pieces, plan.threads = pieces, self.threads
        return plan

    def _pieces(self, plan: Plan, n: int, k: int, vectors: int) -> list[tuple[slice, Plan]]:
        """Return the (queries, plan) that threads take in turn: queries where they can be shared, else rows."""
        if shares := self._query_shares(n, vectors):
            return [(slice(a, b), Plan(plan.call, plan.rows, plan.place)) for a, b in shares]
        count = min(self.threads, self._rows // max(k, SMALLEST_BLOCK))
        return (
            [
                (slice(0, n), Plan(plan.call, plan.rows, span_of(plan.place, a, b)))
                for a, b in spans(0, self._rows, count)
            ]
            if count > 1
            else []
        )

    def _search_whole(self, queries: np.ndarray, k: int) -> Matches | None:
        """Search in compiled calls; None where the queries need the careful path (too large, or not finite)."""
        n, whole_numbers = len(queries), False
        plan = self._plans.get((n, k))
        if plan is None:
            plan = self._plans[n, k] = self._plan(n, k)
        rows = plan.rows
        if queries.dtype is not _FLOAT32:
            whole_numbers = rows.exact and queries.dtype == np.int8 and self.isa.levels == 127
            queries = queries.astype(np.float32)
        elif not queries.flags.writeable:
            queries = (
                queries.copy()
            )  # a read-only array is a type of its own, for which all would be compiled again
        keys, ids, passed, rescored = plan.search(queries, k, whole_numbers)
        if passed < 0:
            return None
        pairs = n * self._rows
        return Matches(self.distances(keys), ids, rows.name, passed / pairs, rescored / pairs)

    def _query_shares(self, n: int, vectors: int) -> list[tuple[int, int]]:
        """Return the queries, as whole panels, that threads take in turn; none where some thread would do much less.

        Shared so, no thread looks at rows that another's threshold would have spared it, and nothing is merged.
        """
        lanes, threads = max(1, vectors * self.isa.width), self.threads
        panels = -(-n // lanes)
        if threads == 1 or not vectors or panels < BALANCE * threads * -(-panels // threads):
            return []
        count = (
            2 * threads if panels >= 6 * threads else threads
        )  # each piece reads the whole gallery once more
        return [(a * lanes, min(b * lanes, n)) for a, b in spans(0, panels, count)]

    def distances(self, keys: np.ndarray) -> np.ndarray:
        """Return sorted keys as distances of this metric (the inner product itself for "ip")."""
        if self.metric == "ip":
            return np.float32(0) - keys
        return np.sqrt(keys) if self.metric == "l2" else keys

    def _prepare_norms(self) -> None:
        m, d = self.gallery.shape
        self.squares = np.empty(m, np.float64)

        def fill(first: int, last: int) -> None:
            part = self.gallery[first:last]
            self.squares[first:last] = topk.squares_of(
                self._kind, part.ctypes.data, d * part.itemsize, len(part), d
            )

        for first, last in self.chunks():
            run_spans(self.threads if threads_pay(1, self._size) else 1, first, last, fill)
            if not np.isfinite(self.squares[first:last]).all():
                arrays.check_finite(self.gallery[first:last], "the gallery", first_row=first)
            self.drop(first, last)
        self._screenable = bounds.screenable(self.squares, self._code)

    def plain_rows(self) -> Prepared:
        """Return the float32 rows of an in-memory gallery with their parameters, made once."""
        if self._plain is None:
            self._plain = plain(self.gallery, self.squares, self._code, self.isa)
        return self._plain

    def drop(self, first: int, last: int) -> None:
        """Give back the memory-mapped pages of these rows."""
        if self.mapping is not None:
            arrays.drop_pages(self.gallery[first:last], self.mapping)

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Yield (first, last) rows of the pieces that a streaming search takes in turn."""
        for first in range(0, self._rows, self.chunk):
            yield first, min(first + self.chunk, self._rows)

    def _worth_codes(self) -> bool:
        if (
            self.mapping is not None
            or not self._screenable
            or self.dimension > bounds.LARGEST_DIMENSION_INT8
        ):
            return False
        return self._size < memory_bytes()[1] // 3

    def _require_screenable(self) -> None:
        if self.dimension > bounds.LARGEST_DIMENSION_INT8:
            raise BadInputError(
                "vectors are too long for int8 screening",
                got=self.dimension,
                expected=f"at most {bounds.LARGEST_DIMENSION_INT8} dimensions",
                fix='use method="exhaustive"',
            )
