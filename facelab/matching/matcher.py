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
from facelab.matching.scan import Lanes, Rows, row_scan, tile_scan

QUERY_BATCH = 2016
"""Queries that pass over the gallery together; a multiple of every panel width."""
CHUNK_BYTES = 32 << 20
"""Gallery bytes that a memory-mapped or converted search holds at a time."""
FEW = 4
"""Up to this many queries, rows are read as vectors (bound by memory); above, as panels (bound by arithmetic)."""
THREADS_PAY = 4_000_000
"""Multiply-adds below which starting a second thread costs more than it saves."""
HOPELESS = 0.02
"""Share of pairs passing the int8 screening above which float32 sums are the faster screening."""
_METRICS = {"sqeuclidean": topk.L2, "l2": topk.L2, "ip": topk.IP, "cosine": topk.COSINE}
METHODS = ("auto", "exhaustive", "screened")


@dataclass(frozen=True)
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
        self._prepare_norms()
        self._rows: Rows | None = None      # of the whole gallery, for the exhaustive path over float32 in memory
        self._screen: _Codes | None = None
        if method == "screened" or (method == "auto" and self._worth_codes()):
            self._require_screenable()
            if self._screenable:
                self._screen = _Codes(self)

    def __len__(self) -> int:
        return len(self.gallery)

    @property
    def dimension(self) -> int:
        """Return the length of a vector."""
        return self.gallery.shape[1]

    def bytes(self) -> dict[str, int]:
        """Return the bytes held: the gallery's own, and what the matcher added (codes, norms and parameters)."""
        added = self.squares.nbytes + (self._screen.nbytes if self._screen else 0)
        if self._rows is not None:
            added += sum(getattr(self._rows, name).nbytes for name in "seghc")
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
            return Matches(np.empty((0, k), np.float32), np.empty((0, k), np.int64), self._name(None))
        batch = QUERY_BATCH if k <= 1024 else max(1, QUERY_BATCH * 1024 // k)
        steps = range(0, n, batch)
        total = len(self) * len(steps)
        parts = []
        for turn, start in enumerate(steps):
            tell = None if progress is None else (lambda done, turn=turn: progress(turn * len(self) + done, total))
            parts.append(_Search(self, queries[start:start + batch], k, start).run(tell))
        if len(parts) == 1:
            return parts[0]
        share = [len(p.ids) / n for p in parts]
        return Matches(np.concatenate([p.distances for p in parts]), np.concatenate([p.ids for p in parts]),
                       parts[0].method, sum(w * p.screened_in for w, p in zip(share, parts)),
                       sum(w * p.rescored for w, p in zip(share, parts)))

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
            if self.mapping is not None:
                arrays.drop_pages(part, self.mapping)
        self._screenable = m == 0 or bool(self.squares.max() <= bounds.LARGEST_SQUARE)

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

    def _plain_rows(self) -> Rows:
        """Return the float32 rows of an in-memory gallery with their parameters, made once."""
        if self._rows is None:
            self._rows = plain_rows(self.gallery, self.squares, self._code, self.isa)
        return self._rows

    def _name(self, search: _Search | None) -> str:
        if search is None:
            return "screened" if self._screen else "exhaustive"
        return search.path


def plain_rows(x: np.ndarray, squares: np.ndarray, metric: int, isa: Isa) -> Rows:
    """Return float32 rows in memory as the kernels take them."""
    s, e, g, h, c = _parameters(len(x), isa)
    bounds.plain_rows(squares, metric, 0, len(x), s, e, g, h)
    return Rows(x.ctypes.data, x.shape[1], len(x), s, e, g, h, c)


def _parameters(count: int, isa: Isa) -> tuple[np.ndarray, ...]:
    s, e, g = (np.zeros(count + isa.width, np.float32) for _ in range(3))
    h = np.full(count + isa.width, np.inf, np.float32)
    return s, e, g, h, np.zeros(count + isa.width, np.int32)


class _Codes:
    """The gallery as int8 codes with its parameters (see `bounds`)."""

    def __init__(self, matcher: Matcher):
        gallery, isa, code = matcher.gallery, matcher.isa, matcher._code
        m, d = gallery.shape
        self.exact = gallery.dtype == np.int8
        self.mean = np.zeros(d, np.float32)
        if code == topk.L2 and not self.exact and m:
            total = np.zeros(d, np.float64)
            for first, last in matcher.chunks():
                bounds.add_rows(np.ascontiguousarray(gallery[first:last], np.float32), total)
                if matcher.mapping is not None:
                    arrays.drop_pages(gallery[first:last], matcher.mapping)
            self.mean = (total / m).astype(np.float32)
        width = -(-d // (4 * isa.width)) * 4 * isa.width
        self.codes = np.zeros((m, width), np.int8)
        parameters = _parameters(m, isa)
        workers = pool(matcher.threads) if m * d > THREADS_PAY and matcher.threads > 1 else None
        for first, last in matcher.chunks():
            part = gallery[first:last]
            part = part if self.exact else np.ascontiguousarray(part, np.float32)

            def encode(span, part=part, first=first):
                views = [p[first:] for p in parameters]
                bounds.encode_rows(part, self.mean, code, self.exact, isa.offset, *span, self.codes[first:], *views)
            list(map(encode, [(0, last - first)]) if workers is None else
                 workers.map(encode, _spans(0, last - first, matcher.threads)))
            if matcher.mapping is not None:
                arrays.drop_pages(gallery[first:last], matcher.mapping)
        self.rows = Rows(self.codes.ctypes.data, width, m, *parameters)

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + sum(getattr(self.rows, name).nbytes for name in "seghc")


def _spans(first: int, last: int, parts: int) -> list[tuple[int, int]]:
    """Cut [first, last) into `parts` spans of nearly equal length, none empty."""
    edges = np.linspace(first, last, parts + 1).round().astype(int)
    return [(int(a), int(b)) for a, b in zip(edges, edges[1:]) if b > a]


class _Search:
    """One batch of queries on its way through the gallery."""

    def __init__(self, matcher: Matcher, queries: np.ndarray, k: int, first_query: int):
        self.m, self.k, self.n = matcher, k, len(queries)
        d = matcher.dimension
        self.raw = queries
        self.q64 = queries.astype(np.float64)
        self.squares = topk.squares_of(topk.KINDS[queries.dtype.name], queries.ctypes.data, d * queries.itemsize,
                                       self.n, d)
        largest = self.squares.max()
        if not np.isfinite(largest):
            arrays.check_finite(queries, "the queries", first_row=first_query)
        self.direct = not (matcher._screenable and largest <= bounds.LARGEST_SQUARE)
        self.f32: np.ndarray | None = None
        self.keep: list[np.ndarray] = []   # what raw addresses point into
        threads = matcher.threads if self.n * matcher.gallery.size > THREADS_PAY else 1
        self.states = [topk.new_state(self.n, k) for _ in range(threads)]
        self.path = "direct" if self.direct else "screened" if matcher._screen else "exhaustive"

    def run(self, tell: Callable[[int], None] | None) -> Matches:
        """Search and return the matches of this batch."""
        m = self.m
        if self.direct:
            self._run_direct(tell)
        else:
            lanes, scan, height, scale, shift = self._start(int8=self.path == "screened")
            whole = self.path == "screened" or (m.mapping is None and m.gallery.dtype == np.float32)
            step = max(8192, len(m) // 16) if whole else None
            chunks = list(m.chunks()) if step is None else [
                (first, min(first + step, len(m))) for first in range(0, len(m), step)]
            for n, (first, last) in enumerate(chunks):
                self._one_chunk(lanes, scan, height, scale, shift, first, last, chunks[n + 1:n + 2])
                if tell is not None:
                    tell(last)
                if self.path == "screened" and m.method == "auto" and self._hopeless(last):
                    self.path = "screened, then exhaustive"
                    lanes, scan, height, scale, shift = self._start(int8=False, threshold=lanes.threshold)
                    # a threshold on shifted scores means nothing on unshifted ones: derive it from the keys again
        return self._finish()

    def _hopeless(self, done: int) -> bool:
        passed = sum(int(s.stats[0]) for s in self.states)
        return done >= 4096 and passed > HOPELESS * done * self.n + self.n * (4 * self.k + 200)

    def _one_chunk(self, lanes, scan, height, scale, shift, first, last, following) -> None:
        m = self.m
        part = m.gallery[first:last]
        itemsize = m.gallery.itemsize
        exact = topk.Exact(self.q64, self.squares, part.ctypes.data, m.dimension * itemsize, first, m._kind, m._code,
                           scale, shift)
        if self.path == "screened":
            rows = _slice_rows(m._screen.rows, first, last, 1, m.isa)
        elif m.mapping is None and part.dtype == np.float32:
            rows = _slice_rows(m._plain_rows(), first, last, 4, m.isa)
        else:
            if m.mapping is not None and following:
                arrays.prefetch_pages(m.gallery[slice(*following[0])], m.mapping)
            part = part.astype(np.float32, copy=False)
            rows = plain_rows(part, m.squares[first:last], m._code, m.isa)
        spans = _spans(0, last - first, len(self.states))
        jobs = []
        for span, state in zip(spans, self.states):
            f = scan if span[1] - span[0] >= height else self._few_rows_scan
            jobs.append((f, (rows, self._row_lanes if f is not scan else lanes, state, exact, *span)))
        if len(jobs) == 1:
            jobs[0][0](*jobs[0][1])
        else:
            for job in [pool(len(self.states)).submit(f, *arguments) for f, arguments in jobs]:
                job.result()
        if m.mapping is not None:
            arrays.drop_pages(m.gallery[first:last], m.mapping)

    def _start(self, *, int8: bool, threshold: np.ndarray | None = None):
        """Return (lanes, scan, least rows per call, scale, shift) for the queries in the form the kernel wants."""
        m, isa, n = self.m, self.m.isa, self.n
        vectors = 0 if n <= FEW else _vectors(n, isa)
        lanes_per_panel = max(1, vectors * isa.width)
        padded = -(-n // lanes_per_panel) * lanes_per_panel
        t, a, f = (np.zeros(padded, np.float32) for _ in range(3))
        limit = np.full(padded, -np.inf, np.float32)
        limit[:n] = np.inf
        scale = np.full(n, 0.5 if m._code == topk.L2 else 1.0)
        shift = np.full(n, -1.0 if m._code == topk.COSINE else 0.0)
        if int8:
            codes = np.zeros((n, m._screen.codes.shape[1]), np.uint8)
            source = self.raw if m._screen.exact and self.raw.dtype == np.int8 else self._float32()
            bounds.encode_queries(source, m._screen.mean, m._code, isa.levels, isa.offset,
                                  source.dtype == np.int8 and isa.levels == 127, codes, t, a, f, shift)
        else:
            bounds.plain_queries(self.squares, m.dimension, m._code, t, a, f, shift)
            codes = self._float32()
        for state in self.states:
            for q in range(n if threshold is not None else 0):
                if state.filled[q] == self.k:
                    exact = topk.Exact(self.q64, self.squares, 0, 0, 0, 0, m._code, scale, shift)
                    limit[q] = min(limit[q], topk.widened(exact, q, scale[q] * np.float64(state.keys[q, 0]) + shift[q]))
        size, span = (1, 4 * isa.width) if int8 else (4, isa.width)
        steps = codes.shape[1] // span
        self._row_lanes = Lanes(codes.ctypes.data, codes.shape[1] * size, n, steps, t, a, f, limit)
        self._few_rows_scan = row_scan(isa, int8)
        self.keep += [codes, t, a, f, limit]
        if vectors == 0:
            return self._row_lanes, self._few_rows_scan, 0, scale, shift
        panels = self._panels(codes, lanes_per_panel, int8)
        lanes = Lanes(panels.ctypes.data, panels[0].nbytes, n, panels.shape[1], t, a, f, limit)
        return lanes, tile_scan(isa, vectors, int8), isa.rows(vectors, int8=int8), scale, shift

    def _panels(self, codes: np.ndarray, lanes: int, int8: bool) -> np.ndarray:
        count, d = -(-self.n // lanes), self.m.dimension
        if int8:
            panels = np.empty((count, -(-d // 4), lanes, 4), np.uint8)
            bounds.pack_i8(codes, lanes, panels)
        else:
            panels = np.empty((count, d, lanes), np.float32)
            bounds.pack_f32(codes, lanes, panels)
        self.keep.append(panels)
        return panels

    def _float32(self) -> np.ndarray:
        if self.f32 is None:
            self.f32 = np.ascontiguousarray(self.raw, np.float32)
        return self.f32

    def _run_direct(self, tell: Callable[[int], None] | None) -> None:
        m = self.m
        ones = np.ones(self.n)
        for first, last in m.chunks():
            part = m.gallery[first:last]
            exact = topk.Exact(self.q64, self.squares, part.ctypes.data, m.dimension * part.itemsize, first, m._kind,
                               m._code, ones, ones)
            spans = _spans(first, last, len(self.states))
            jobs = [pool(len(self.states)).submit(topk.scan_direct, state, exact, *span)
                    for span, state in zip(spans, self.states)]
            for job in jobs:
                job.result()
            if m.mapping is not None:
                arrays.drop_pages(part, m.mapping)
            if tell is not None:
                tell(last)

    def _finish(self) -> Matches:
        m, k = self.m, self.k
        keys = [s.keys[:, :] for s in self.states]
        ids = [s.ids for s in self.states]
        if len(self.states) > 1:
            for s in self.states:  # a thread that saw fewer than k rows leaves room
                empty = np.arange(k)[None, :] >= s.filled[:, None]
                s.keys[empty], s.ids[empty] = np.inf, np.iinfo(np.int64).max
            keys, ids = [np.concatenate(keys, axis=1)], [np.concatenate(ids, axis=1)]
        order = np.lexsort((ids[0], keys[0]), axis=1)[:, :k]
        distances = np.take_along_axis(keys[0], order, axis=1)
        found = np.take_along_axis(ids[0], order, axis=1)
        if m.metric == "ip":
            distances = np.float32(0) - distances
        elif m.metric == "l2":
            distances = np.sqrt(distances)
        pairs = max(1, self.n * len(m))
        passed, rescored = (sum(int(s.stats[i]) for s in self.states) / pairs for i in (0, 1))
        return Matches(distances, found, self.path, passed, rescored)


def _slice_rows(rows: Rows, first: int, last: int, size: int, isa: Isa) -> Rows:
    if first == 0 and last == rows.count:
        return rows
    end = last + isa.width
    return Rows(rows.address + first * rows.stride * size, rows.stride, last - first, rows.s[first:end],
                rows.e[first:end], rows.g[first:end], rows.h[first:end], rows.c[first:end])


def _vectors(n: int, isa: Isa) -> int:
    """Return how many vectors wide a panel should be for n queries: the least padded work, weighed by speed."""
    speed = {1: 0.74, 2: 0.97, 3: 1.0}  # measured; wider panels use each loaded row element more often
    return min(speed, key=lambda v: -(-n // (v * isa.width)) * v / speed[v])
