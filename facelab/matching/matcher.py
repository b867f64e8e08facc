"""Exact top-k search: prepared once, searched many times, on arrays in memory or memory-mapped."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.machine import cores, memory_bytes
from facelab.matching import arrays, bounds, topk
from facelab.matching.isa import Isa, choose
from facelab.matching.scan import row_scan, settle, tile_scan, whole_search

QUERY_BATCH = 2016
"""Queries that pass over the gallery together; a multiple of every panel width."""
CHUNK_BYTES = 32 << 20
"""Gallery bytes that a memory-mapped or converted search holds at a time."""
FEW = 4
"""Up to this many queries, rows are read as vectors (bound by memory); above, as panels (bound by arithmetic)."""
THREADS_PAY = 4_000_000
"""Multiply-adds below which starting a second thread costs more than it saves."""
ONE_CALL = 4_000_000_000
"""Multiply-adds up to which a one-thread search runs in one uninterruptible compiled call (a tenth of a second)."""
MANY, SMALL_GALLERY = 32, 4096
"""From this many queries, on galleries up to this size, candidates cost more than float32 sums (measured)."""
HOPELESS = 0.02
"""Share of pairs passing the int8 screening above which float32 sums are the faster screening."""
_METRICS = {"sqeuclidean": topk.L2, "l2": topk.L2, "ip": topk.IP, "cosine": topk.COSINE}
METHODS = ("auto", "exhaustive", "screened")


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


_POOLS: dict[tuple[int, int], ThreadPoolExecutor] = {}
_POOLS_LOCK = threading.Lock()


def pool(threads: int) -> ThreadPoolExecutor:
    """Return this process's shared pool of `threads` workers (a forked child makes its own)."""
    key = (os.getpid(), threads)
    with _POOLS_LOCK:
        if key not in _POOLS:
            _POOLS[key] = ThreadPoolExecutor(threads, thread_name_prefix="facelab-matching")
        return _POOLS[key]


def check_threads(threads: int | None) -> int:
    """Return the number of threads to use; None means every core this process may use."""
    if threads is None:
        return cores()
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise BadInputError("threads must be a whole number from 1", got=repr(threads), fix="None uses every core")
    return int(threads)


class Matcher:
    """Find the k nearest gallery rows of each query, exactly.

    gallery: (m, d) float32, float16 or int8, kept by reference (do not change it afterwards) unless it must be copied
    to be contiguous and aligned. A memory-mapped one (`np.load(..., mmap_mode="r")`) is streamed and its pages are
    given back, so that it may be larger than memory. metric: "sqeuclidean", "l2", "ip" or "cosine" (a zero vector
    has cosine distance 1 to everything). method: "exhaustive" computes every float32 inner product; "screened" drops
    most rows by int8 codes with a proven error bound (`facelab.matching.bounds`) and rescores the rest; "auto" takes
    what is faster. Both give identical results: the distance is one float64 sum in fixed order, rounded to float32.
    threads: None for all cores. isa: an instruction set to force (`facelab.matching.isa`).

    Raises BadInputError for shapes, dtypes, NaN or infinities that cannot be searched.

    >>> gallery = np.array([[0, 0], [3, 4], [0, 0]], np.float32)
    >>> found = Matcher(gallery).search(np.zeros((1, 2), np.float32), k=3)
    >>> found.ids.tolist(), found.distances.tolist()
    ([[0, 2, 1]], [[0.0, 0.0, 25.0]])
    """

    def __init__(self, gallery, metric: str = "sqeuclidean", method: str = "auto", threads: int | None = None, *,
                 isa: str | None = None):
        if method not in METHODS:
            raise BadInputError(f"no method named {method!r}{did_you_mean(method, METHODS)}",
                                expected=", ".join(METHODS))
        self.metric, self.method = arrays.metric_name(metric), method
        self.threads, self.isa = check_threads(threads), choose(isa)
        self.gallery = arrays.check_vectors(gallery, "the gallery")
        self.mapping = arrays.mapping_of(self.gallery)
        self._code = _METRICS[self.metric]
        self._kind = topk.KINDS[self.gallery.dtype.name]
        self._address, self._stride = self.gallery.ctypes.data, self.gallery.strides[0]
        self._calls: dict[tuple[int, bool], Callable] = {}
        self._prepare_norms()
        self._plain: Prepared | None = None
        self._screen: Prepared | None = None
        if method == "screened":
            self._require_screenable()
        if self._screenable and (method == "screened" or (method == "auto" and self._worth_codes())):
            self._screen = encode(self)
        self._in_memory = None
        if self._screenable and self.mapping is None:
            self._in_memory = self._screen or (self.plain_rows() if self.gallery.dtype == np.float32 else None)

    def __len__(self) -> int:
        return len(self.gallery)

    @property
    def dimension(self) -> int:
        """Return the length of a vector."""
        return self.gallery.shape[1]

    def bytes(self) -> dict[str, int]:
        """Return the bytes held: the gallery's own, and what the matcher added (codes, norms and parameters)."""
        added = self.squares.nbytes + sum(rows.nbytes for rows in (self._screen, self._plain) if rows is not None)
        return {"gallery": self.gallery.nbytes, "added": added}

    def search(self, queries, k: int, *, progress: Callable[[int, int], None] | None = None) -> Matches:
        """Return the k nearest gallery rows of each query (n, d), best first.

        `progress`, if given, is called with (rows done, rows in all). Raises BadInputError if k is below 1 or above
        the number of gallery rows, or if the queries do not fit the gallery.
        """
        queries = arrays.check_vectors(queries, "the queries")
        arrays.check_same_width(queries, self.gallery, ("the queries", "the gallery"))
        k = self._check_k(k)
        n = len(queries)
        if n == 0:
            return Matches(np.empty((0, k), np.float32), np.empty((0, k), np.int64))
        if self._fits_one_call(n, k) and (found := self._search_whole(queries, k)):
            return found
        batch = QUERY_BATCH if k <= 1024 else max(1, QUERY_BATCH * 1024 // k)
        steps = range(0, n, batch)
        total = len(self) * len(steps)
        parts = []
        for turn, start in enumerate(steps):
            tell = None if progress is None else (lambda done, turn=turn: progress(turn * len(self) + done, total))
            parts.append(Search(self, queries[start:start + batch], k, start).run(tell))
        if len(parts) == 1:
            return parts[0]
        share = [len(p.ids) / n for p in parts]
        return Matches(np.concatenate([p.distances for p in parts]), np.concatenate([p.ids for p in parts]),
                       parts[0].method, sum(w * p.screened_in for w, p in zip(share, parts)),
                       sum(w * p.rescored for w, p in zip(share, parts)))

    def _fits_one_call(self, n: int, k: int) -> bool:
        if self._in_memory is None or n > QUERY_BATCH or n * k > 1_000_000:
            return False
        work = n * self.gallery.size
        return work <= THREADS_PAY or (self.threads == 1 and work <= ONE_CALL)

    def _search_whole(self, queries: np.ndarray, k: int) -> Matches | None:
        """Search in one compiled call; None where the queries need the careful path (too large, or not finite)."""
        n, m = len(queries), len(self.gallery)
        rows = self._in_memory
        if self.method == "auto" and n >= MANY and m <= SMALL_GALLERY and self.gallery.dtype == np.float32:
            rows = self.plain_rows()  # exact sums leave fewer candidates to look at, and here those are the cost
        vectors = 0 if n <= FEW else vectors_for(n, m, self.isa, rows.int8)
        # looked up here, not in `whole_search`'s own cache: hashing an Isa takes as long as a small search
        call = self._calls.get((vectors, rows.int8))
        if call is None:
            call = self._calls[vectors, rows.int8] = whole_search(self.isa, vectors, rows.int8)
        whole_numbers = rows.exact and queries.dtype == np.int8 and self.isa.levels == 127
        if queries.dtype != np.float32:
            queries = queries.astype(np.float32)
        keys, ids, stats, searched = call(queries, k, whole_numbers, rows.mean, rows.address, rows.stride, rows.params,
                                         rows.c, m, self._address, self._stride, self._kind, self._code)
        if not searched:
            return None
        return Matches(self.distances(keys), ids, rows.name, int(stats[0]) / (n * m), int(stats[1]) / (n * m))

    def distances(self, keys: np.ndarray) -> np.ndarray:
        """Return sorted keys as distances of this metric (the inner product itself for "ip")."""
        if self.metric == "ip":
            return np.float32(0) - keys
        return np.sqrt(keys) if self.metric == "l2" else keys

    def _check_k(self, k) -> int:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise BadInputError("k must be a whole number from 1", got=repr(k))
        if k > len(self):
            raise BadInputError("k is larger than the gallery", expected=f"at most {len(self)}", got=k,
                                fix="ask for fewer neighbours")
        return int(k)

    def _prepare_norms(self) -> None:
        m, d = self.gallery.shape
        self.squares = np.empty(m, np.float64)
        for first, last in self.chunks():
            part = self.gallery[first:last]
            self.squares[first:last] = topk.squares_of(self._kind, part.ctypes.data, d * part.itemsize, len(part), d)
            if not np.isfinite(self.squares[first:last]).all():
                arrays.check_finite(part, "the gallery", first_row=first)
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
        m, d = self.gallery.shape
        step = max(1, CHUNK_BYTES // (4 * d))
        for first in range(0, m, step):
            yield first, min(first + step, m)

    def _worth_codes(self) -> bool:
        if self.mapping is not None or not self._screenable or self.dimension > bounds.LARGEST_DIMENSION_INT8:
            return False
        return self.gallery.size < memory_bytes()[1] // 3

    def _require_screenable(self) -> None:
        if self.dimension > bounds.LARGEST_DIMENSION_INT8:
            raise BadInputError("vectors are too long for int8 screening", got=self.dimension,
                                expected=f"at most {bounds.LARGEST_DIMENSION_INT8} dimensions",
                                fix='use method="exhaustive"')



@dataclass
class Prepared:
    """Gallery rows as the kernels read them: float32 rows or int8 codes, with the parameters of the test."""

    int8: bool
    address: int
    stride: int            # elements from row to row
    params: np.ndarray     # (4, m + a vector) float32: S, E, G, H
    c: np.ndarray          # (m + a vector) int32
    mean: np.ndarray       # (d,) float32
    exact: bool            # the codes are the rows themselves
    owner: np.ndarray      # what `address` points into

    @property
    def name(self) -> str:
        return "screened" if self.int8 else "exhaustive"

    @property
    def nbytes(self) -> int:
        return self.params.nbytes + self.c.nbytes + self.mean.nbytes + (self.owner.nbytes if self.int8 else 0)


def _parameters(count: int, isa: Isa) -> tuple[np.ndarray, np.ndarray]:
    params = np.zeros((4, count + isa.width), np.float32)
    params[3] = np.inf
    return params, np.zeros(count + isa.width, np.int32)


def plain(x: np.ndarray, squares: np.ndarray, metric: int, isa: Isa) -> Prepared:
    """Return float32 rows in memory as the kernels take them."""
    params, c = _parameters(len(x), isa)
    bounds.plain_rows(squares, metric, params)
    return Prepared(False, x.ctypes.data, x.shape[1], params, c, np.zeros(x.shape[1], np.float32), False, x)


def encode(matcher: Matcher) -> Prepared:
    """Return the gallery as int8 codes (see `bounds`); a memory-mapped one is read in pieces, twice."""
    gallery, isa, code = matcher.gallery, matcher.isa, matcher._code
    m, d = gallery.shape
    exact = gallery.dtype == np.int8
    mean = np.zeros(d, np.float32)
    if code == topk.L2 and not exact and m:
        total = np.zeros(d, np.float64)
        for first, last in matcher.chunks():
            bounds.add_rows(np.ascontiguousarray(gallery[first:last], np.float32), total)
            matcher.drop(first, last)
        mean = (total / m).astype(np.float32)
    width = -(-d // (4 * isa.width)) * 4 * isa.width
    codes = np.zeros((m, width), np.int8)
    params, c = _parameters(m, isa)
    threads = matcher.threads if gallery.size > THREADS_PAY else 1
    for first, last in matcher.chunks():
        part = gallery[first:last]
        part = part if exact else np.ascontiguousarray(part, np.float32)
        run_spans(threads, first, last, lambda state, a, b, part=part, first=first: bounds.encode_rows(
            part, mean, code, exact, isa.offset, a - first, b - first, first, codes, params, c), [None] * threads)
        matcher.drop(first, last)
    return Prepared(True, codes.ctypes.data, width, params, c, mean, exact, codes)


def run_spans(threads: int, first: int, last: int, job: Callable, states: list) -> None:
    """Call job(state, a, b) for `threads` spans of [first, last), one thread a span."""
    edges = np.linspace(first, last, threads + 1).round().astype(int)
    spans = [(state, int(a), int(b)) for state, a, b in zip(states, edges, edges[1:]) if b > a]
    if len(spans) == 1:
        job(*spans[0])
        return
    for future in [pool(threads).submit(job, *span) for span in spans]:
        future.result()


def vectors_for(n: int, m: int, isa: Isa, int8: bool) -> int:
    """Return how many vectors wide a panel should be for n queries; 0 to read rows as vectors.

    The least padded work wins, weighed by measured speed: wide panels use each loaded row element more often.
    """
    speed = {1: 0.74, 2: 0.97, 3: 1.0}
    best = min(speed, key=lambda v: -(-n // (v * isa.width)) * v / speed[v])
    return 0 if n <= FEW or m < isa.rows(best, int8=int8) else best


class Search:
    """One batch of queries on its way through a gallery too large, or with too many threads, for one call."""

    def __init__(self, matcher: Matcher, queries: np.ndarray, k: int, first_query: int):
        self.m, self.k, self.n = matcher, k, len(queries)
        self.whole_numbers = queries.dtype == np.int8 and matcher.isa.levels == 127
        self.queries = np.ascontiguousarray(queries, np.float32)
        self.info = bounds.describe(self.queries, matcher._code)
        if not np.isfinite(self.info[0]).all():
            arrays.check_finite(queries, "the queries", first_row=first_query)
        self.direct = not (matcher._screenable and bounds.screenable(self.info[0], matcher._code))
        self.threads = matcher.threads if self.n * matcher.gallery.size > THREADS_PAY else 1
        self.states = [topk.new_state(self.n, k) for _ in range(self.threads)]
        self.path = "direct" if self.direct else "screened" if matcher._screen else "exhaustive"
        self.laid: dict[int, tuple] = {}

    def run(self, tell: Callable[[int], None] | None) -> Matches:
        """Search and return the matches of this batch."""
        m = self.m
        chunks = self._chunks()
        for n, (first, last) in enumerate(chunks):
            if self.direct:
                self._direct_chunk(first, last)
            else:
                rows, base = self._rows(first, last, chunks[n + 1:n + 2])
                self._chunk(rows, base, first, last)
            m.drop(first, last)
            if tell is not None:
                tell(last)
            if self.path == "screened" and m.method == "auto" and self._hopeless(last):
                self.path = "screened, then exhaustive"
                self.laid.clear()
        return self._finish()

    def _chunks(self) -> list[tuple[int, int]]:
        m = self.m
        if m._in_memory is None or self.direct:
            return list(m.chunks())
        step = max(16384 * self.threads, len(m) // 16)
        return [(first, min(first + step, len(m))) for first in range(0, len(m), step)]

    def _hopeless(self, done: int) -> bool:
        passed = sum(int(state[5][0]) for state in self.states)
        return passed > HOPELESS * done * self.n + self.n * (8 * self.k + 400)

    def _rows(self, first: int, last: int, following: list[tuple[int, int]]) -> tuple[Prepared, int]:
        """Return the rows to scan and the row number of their first."""
        m = self.m
        if self.path == "screened":
            return m._screen, 0
        if m.mapping is None and m.gallery.dtype == np.float32:
            return m.plain_rows(), 0
        if m.mapping is not None and following:
            arrays.prefetch_pages(m.gallery[slice(*following[0])], m.mapping)
        part = m.gallery[first:last].astype(np.float32, copy=False)
        return plain(part, m.squares[first:last], m._code, m.isa), first

    def _chunk(self, rows: Prepared, base: int, first: int, last: int) -> None:
        m, isa = self.m, self.m.isa
        least = (last - first) // self.threads
        vectors = vectors_for(self.n, least, isa, rows.int8)
        panels, steps, lane = self._lay(vectors, rows)
        scan = tile_scan(isa, vectors, rows.int8) if vectors else row_scan(isa, rows.int8)
        gallery = m.gallery[base:]
        place = (self.queries, self.info, gallery.ctypes.data, m.gallery.strides[0], base, m._kind, m._code)

        def job(state, a, b):
            scan(rows.address, rows.stride, rows.params, rows.c, panels.ctypes.data, panels[0].nbytes, self.n, steps,
                 lane, *state, *place, a - base, b - base)
            settle(lane[3], *state, *place)
        run_spans(self.threads, first, last, job, self.states)

    def _lay(self, vectors: int, rows: Prepared) -> tuple:
        """Return (panels, steps, lane) in the form the kernel wants; thresholds carry over from form to form."""
        if vectors not in self.laid:
            m, isa = self.m, self.m.isa
            lanes, packed = max(1, vectors * isa.width), vectors > 0
            if rows.int8:
                panels, lane = bounds.lay_i8(self.queries, rows.mean, m._code, isa.levels, isa.offset,
                                             self.whole_numbers and rows.exact, rows.stride, lanes, packed, self.info)
                steps = -(-m.dimension // 4) if packed else rows.stride // (4 * isa.width)
            else:
                panels, lane = bounds.lay_f32(self.queries, m._code, lanes, packed, self.info)
                steps = m.dimension if packed else m.dimension // isa.width
            for state in self.states:
                topk.thresholds(lane[3], *state, self.queries, self.info, 0, 0, 0, m._kind, m._code)
            self.laid[vectors] = panels, steps, lane
        return self.laid[vectors]

    def _direct_chunk(self, first: int, last: int) -> None:
        m = self.m
        part = m.gallery[first:last]
        run_spans(self.threads, first, last, lambda state, a, b: topk.scan_direct(
            *state, self.queries, self.info, part.ctypes.data, part.strides[0], first, m._kind, m._code, a, b),
            self.states)

    def _finish(self) -> Matches:
        m, k = self.m, self.k
        for keys, ids, _, _, counts, _ in self.states:  # a thread that saw fewer than k rows leaves room
            topk.sort_heap(keys, ids, counts[:, 0])
            empty = np.arange(k)[None, :] >= counts[:, :1]
            keys[empty], ids[empty] = np.inf, np.iinfo(np.int64).max
        keys, ids = merge([(state[0], state[1]) for state in self.states], k)
        pairs = max(1, self.n * len(m))
        passed, rescored = (sum(int(state[5][i]) for state in self.states) / pairs for i in (0, 1))
        return Matches(m.distances(keys), ids, self.path, passed, rescored)


def merge(parts: list[tuple[np.ndarray, np.ndarray]], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best (keys, ids) of several sorted lists per query, ties by the lower id."""
    if len(parts) == 1:
        return parts[0][0][:, :k], parts[0][1][:, :k]
    keys, ids = (np.concatenate([p[i] for p in parts], axis=1) for i in (0, 1))
    order = np.lexsort((ids, keys), axis=1)[:, :k]
    return np.take_along_axis(keys, order, axis=1), np.take_along_axis(ids, order, axis=1)
