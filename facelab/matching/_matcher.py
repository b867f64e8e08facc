"""Exact search: a gallery that is prepared once and searched many times, in memory or memory-mapped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.machine import memory_bytes
from facelab.core.narrow import is_real
from facelab.matching import _vectors as arrays
from facelab.matching._gallery import Gallery, GalleryRows, encode, open_gallery
from facelab.matching._results import Matches, RangeMatches
from facelab.matching._search._planner import query_shares, vectors_for
from facelab.matching._search._range import RangeSearch
from facelab.matching._search._single_call import SingleCalls
from facelab.matching._search._streaming import BlockSearch, Streamed, Tell
from facelab.matching._types import DEFAULT_POLICY, Metric, SearchPolicy
from facelab.matching.kernels._bounds import LARGEST_DIMENSION_INT8
from facelab.matching.kernels._isa import choose
from facelab.matching.threads import check_threads, share

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Vectors = NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]
    Progress = Callable[[int, int], None]

METHODS = ("auto", "exhaustive", "screened")
_FLOAT32 = np.dtype(np.float32)
_WARM_ROWS, _WARM_DIMENSION = 512, 16
"""The gallery that is searched to compile: the code depends on neither number."""


class Matcher:
    """Find the k nearest gallery rows of each query, exactly.

    Both methods give identical results: a distance is one float64 sum in fixed order, rounded to float32; equal
    distances are in the order of row numbers. The number of threads changes nothing either.

    Parameters
    ----------
    gallery : (m, d) array of float32, float16 or int8
        Kept by reference (do not change it afterwards) unless it must be copied to be contiguous and aligned. A
        memory-mapped one (`np.load(..., mmap_mode="r")`) is streamed and its pages are given back, so that it may be
        larger than memory.
    metric : str or Metric
        "sqeuclidean", "l2", "ip" or "cosine" (a zero vector has cosine distance 1 to everything).
    method : {"auto", "exhaustive", "screened"}
        "exhaustive" computes every float32 inner product; "screened" drops most rows by int8 codes with a proven
        error bound and rescores the rest; "auto" takes what is faster.
    threads : int, optional
        Maximum number of threads; None for all cores. A search of a third of a millisecond stays on one.
    isa : str, optional
        An instruction set to force, one of `facelab.matching.kernels.available()`.
    policy : SearchPolicy, optional
        When to use threads, codes and batches.

    Raises
    ------
    BadInputError
        The gallery has a shape, a dtype, a NaN or an infinity that cannot be searched.
    UnsupportedError
        This processor lacks the instruction set.

    Examples
    --------
    >>> gallery = np.array([[0, 0], [3, 4], [0, 0]], np.float32)
    >>> found = Matcher(gallery).search(np.zeros((1, 2), np.float32), k=3)
    >>> found.ids.tolist(), found.distances.tolist()
    ([[0, 2, 1]], [[0.0, 0.0, 25.0]])

    References
    ----------
    The error bound of the screening: `facelab/matching/kernels/_bounds.py`; docs/adr/0002-exact-search.md.
    """

    def __init__(
        self,
        gallery: ArrayLike,
        metric: str = "sqeuclidean",
        method: str = "auto",
        threads: int | None = None,
        *,
        isa: str | None = None,
        policy: SearchPolicy = DEFAULT_POLICY,
    ):
        if method not in METHODS:
            raise BadInputError(
                f"there is no method {method!r}{did_you_mean(method, METHODS)}",
                expected=", ".join(METHODS),
                fix='leave it out: "auto" takes what is faster',
            )
        self.metric, self.method = Metric.of(metric), method
        self.threads, self.policy = check_threads(threads), policy
        vectors = arrays.check_vectors(gallery, "the gallery")
        self._gallery = open_gallery(vectors, self.metric, choose(isa), policy, self.threads)
        self._finish_init(self._encode())

    def _finish_init(self, codes: GalleryRows | None) -> None:
        """Set what follows from the gallery and its codes."""
        self._rows, self.dimension = self._gallery.vectors.shape
        self._name = str(self.metric)
        self._plain = self.metric in (Metric.SQEUCLIDEAN, Metric.COSINE)
        self._codes = codes
        self._calls = self._single_calls()

    @classmethod
    def restored(cls, gallery: Gallery, codes: GalleryRows | None, threads: int | None) -> Matcher:
        """Return a matcher of a gallery that was prepared before; encodes it where its codes are not given."""
        matcher = cls.__new__(cls)
        matcher.metric, matcher.method, matcher.policy = gallery.metric, "auto", gallery.policy
        matcher.threads, matcher._gallery = check_threads(threads), gallery
        matcher._finish_init(matcher._encode() if codes is None else codes)
        return matcher

    def __len__(self) -> int:
        """Return the number of gallery rows."""
        return self._rows

    def encoded(self) -> tuple[Gallery, GalleryRows | None]:
        """Return the gallery as it is searched, and its codes."""
        return self._gallery, self._codes

    @property
    def gallery(self) -> Vectors:
        """The vectors that are searched, (m, d)."""
        return self._gallery.vectors

    @property
    def isa(self) -> str:
        """Name of the instruction set that is used."""
        return self._gallery.isa.name

    def bytes(self) -> dict[str, int]:
        """Return the bytes held: the gallery's own, and what the matcher added (codes, norms and parameters)."""
        added = self._gallery.squares.nbytes
        added += self._codes.nbytes if self._codes is not None else 0
        floats = self._gallery.__dict__.get("float_rows")  # laid out on first use
        added += floats.nbytes if floats is not None else 0
        return {"gallery": self._gallery.vectors.nbytes, "added": added}

    def search(self, queries: ArrayLike, k: int, *, progress: Progress | None = None) -> Matches:
        """Return the k nearest gallery rows of each query, best first.

        Parameters
        ----------
        queries : (n, d) array of float32, float16 or int8
        k : int
            Between 1 and the number of gallery rows.
        progress : callable, optional
            Called with (rows done, rows in all).

        Returns
        -------
        Matches
            `distances` and `ids`, (n, k).

        Raises
        ------
        BadInputError
            k is out of range, or the queries do not fit the gallery or are not finite.

        Examples
        --------
        >>> rows = np.eye(3, dtype=np.float32)
        >>> Matcher(rows, "cosine").search(rows[:1], k=1).similarities.tolist()
        [[1.0]]
        """
        if not (
            type(queries) is np.ndarray
            and queries.dtype is _FLOAT32
            and queries.flags.carray
            and queries.ndim == 2
            and queries.shape[1] == self.dimension
        ):  # the usual case, in half a microsecond
            queries = self._check_queries(queries)
        k, n = arrays.check_k(k, self._rows), len(queries)
        if n == 0:
            nothing = np.empty((0, k), np.float32), np.empty((0, k), np.int64)
            return Matches(*nothing, metric=self._name)
        calls = self._calls
        if calls is not None and (found := calls.search(queries, k)):
            if progress is not None:
                progress(self._rows, self._rows)
            (keys, ids, passed, rescored), path = found
            pairs = n * self._rows
            return Matches(
                self._distances(keys), ids, path, passed / pairs, rescored / pairs, self._name
            )
        return self._search_batches(queries, k, progress)

    def range_search(
        self, queries: ArrayLike, threshold: float, *, progress: Progress | None = None
    ) -> RangeMatches:
        """Return all gallery rows within a threshold of each query, best first.

        Parameters
        ----------
        queries : (n, d) array of float32, float16 or int8
        threshold : float
            For "cosine" and "ip" the least similarity (cosine similarity, inner product); for "l2" and "sqeuclidean"
            the largest distance. Rows at the threshold belong: what `search` reports as `distances` is compared, and
            for "cosine" its distance with 1 - threshold. `Metric.from_cosine` converts.
        progress : callable, optional
            Called with (queries done, queries).

        Returns
        -------
        RangeMatches
            The rows of one query after the other; iterate for (ids, distances) per query.

        Raises
        ------
        BadInputError
            The threshold is out of range, or the queries do not fit the gallery or are not finite.

        Examples
        --------
        >>> rows = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
        >>> [ids.tolist() for ids, _ in Matcher(rows, "cosine").range_search(rows[:2], 0.5)]
        [[0, 1], [1, 2, 0]]
        """
        queries = self._check_queries(queries)
        threshold = self._check_threshold(threshold)
        limit = {
            Metric.SQEUCLIDEAN: threshold,
            # reported distances are compared below: a root's rounding must not lose one here
            Metric.L2: threshold * threshold * (1 + 2.0**-20),
            Metric.IP: -threshold,
            Metric.COSINE: 1 - threshold,
        }[self.metric]
        rows = RangeSearch(
            self._gallery,
            self._codes,
            queries,
            limit,
            auto=self.method == "auto",
            threads=self.threads,
        ).run(progress)
        found = [(self._distances(keys), ids) for keys, ids in rows]
        if self.metric is Metric.L2:
            found = [(d[d <= threshold], ids[d <= threshold]) for d, ids in found]
        starts = np.zeros(len(found) + 1, np.int64)
        np.cumsum([len(ids) for _, ids in found], out=starts[1:])
        distances = np.concatenate([np.empty(0, np.float32), *(d for d, _ in found)])
        ids = np.concatenate([np.empty(0, np.int64), *(ids for _, ids in found)])
        return RangeMatches(distances, ids, starts, threshold, self._name)

    def warm(self, n: int, k: int) -> float:
        """Compile what a search of n queries for k neighbours needs, or load it from the cache on disk.

        Parameters
        ----------
        n : int
            Queries.
        k : int
            Neighbours per query.

        Returns
        -------
        float
            Seconds that it took; a search after it takes no such time.

        Examples
        --------
        >>> Matcher(np.eye(3, dtype=np.float32)).warm(1, 1) > 0
        True
        """
        one_call = self._calls is not None and self._calls.fits(n, k)
        int8 = self._codes is not None
        if self._calls is not None and one_call:
            int8 = self._calls.plan(n, k).rows.int8
        return compile_search(
            self.gallery.dtype,
            min(n, self.policy.query_batch),
            k,
            method="screened" if int8 else "exhaustive",
            metric=self._name,
            isa=self.isa,
            one_call=one_call,
        )

    def _encode(self) -> GalleryRows | None:
        """Return int8 codes where the method wants them and the data allow it."""
        gallery = self._gallery
        if self.method == "screened" and gallery.dimension > LARGEST_DIMENSION_INT8:
            raise BadInputError(
                "vectors are too long for int8 screening",
                got=gallery.dimension,
                expected=f"at most {LARGEST_DIMENSION_INT8} dimensions",
                fix='use method="exhaustive"',
            )
        if not gallery.screenable or self.method == "exhaustive":
            return None
        if self.method == "auto" and (
            gallery.mapping is not None
            or gallery.dimension > LARGEST_DIMENSION_INT8
            or gallery.vectors.size >= memory_bytes()[1] // 3
        ):
            return None
        return encode(gallery, self.threads)

    def _single_calls(self) -> SingleCalls | None:
        """Return the searches in one compiled call, which need rows in memory."""
        gallery, rows = self._gallery, self._codes
        if not gallery.screenable or gallery.mapping is not None:
            return None
        if rows is None:
            if gallery.vectors.dtype != np.float32:
                return None
            rows = gallery.float_rows
        return SingleCalls(gallery, rows, self.threads, auto=self.method == "auto")

    def _check_queries(self, queries: ArrayLike) -> Vectors:
        checked = arrays.check_vectors(queries, "the queries")
        arrays.check_same_width(checked, self._gallery.vectors, ("the queries", "the gallery"))
        return checked

    def _check_threshold(self, threshold: Any) -> float:
        if not is_real(threshold) or not math.isfinite(threshold):
            raise BadInputError(
                "the threshold must be a finite number",
                got=repr(threshold),
                fix="give a cosine similarity such as 0.4, or a distance",
            )
        least, most = {Metric.COSINE: (-1.0, 1.0), Metric.IP: (-math.inf, math.inf)}.get(
            self.metric, (0.0, math.inf)
        )
        if not least <= threshold <= most:
            unit = "cosine similarity" if self.metric is Metric.COSINE else "distance"
            raise BadInputError(
                f"the threshold is not a {unit}",
                expected=f"{least:g} to {most:g}",
                got=f"{threshold:g}",
                fix="Metric.from_cosine and Metric.to_cosine convert for unit vectors",
            )
        return float(threshold)

    def _search_batches(self, queries: Vectors, k: int, progress: Progress | None) -> Matches:
        n, most = len(queries), self.policy.query_batch
        batch = most if k <= 1024 else max(1, most * 1024 // k)
        steps = range(0, n, batch)
        total = len(self) * len(steps)
        parts: list[tuple[float, Streamed]] = []
        for turn, start in enumerate(steps):

            def tell(done: int, turn: int = turn) -> None:
                if progress is not None:
                    progress(turn * len(self) + done, total)

            some = queries[start : start + batch]
            found = self._batch(some, k, start, tell if progress is not None else None)
            parts += [(len(part.ids) / n, part) for part in found]
        _, first = parts[0]
        if len(parts) == 1:
            keys, ids = first.keys, first.ids
        else:
            keys = np.concatenate([part.keys for _, part in parts])
            ids = np.concatenate([part.ids for _, part in parts])
        passed = sum(weight * part.passed for weight, part in parts)
        rescored = sum(weight * part.rescored for weight, part in parts)
        return Matches(self._distances(keys), ids, first.path, passed, rescored, self._name)

    def _batch(self, queries: Vectors, k: int, first: int, tell: Tell | None) -> list[Streamed]:
        """Search one batch whose first query is number `first`; threads share its queries, or else the rows."""
        pieces = self._query_shares(len(queries))
        if not pieces:
            return [self._blocks(queries, k, first, self.threads).run(tell)]
        found: list[Streamed | None] = [None] * len(pieces)
        done = [0] * len(pieces)

        def job(worker: int, piece: int) -> None:
            def heard(rows: int) -> None:
                done[piece] = rows
                if tell is not None and worker == 0:
                    tell(sum(done) // len(done))

            a, b = pieces[piece]
            found[piece] = self._blocks(queries[a:b], k, first + a, 1).run(heard)

        share(self.threads, range(len(pieces)), job)
        if tell is not None:
            tell(len(self))
        return [part for part in found if part is not None]

    def _query_shares(self, n: int) -> list[tuple[int, int]]:
        if self._calls is None:
            return []
        isa, int8 = self._gallery.isa, self._calls.rows.int8
        vectors = vectors_for(n, len(self), isa, self.policy, int8=int8)
        return query_shares(n, vectors, isa, self.policy, self.threads)

    def _blocks(self, queries: Vectors, k: int, first: int, threads: int) -> BlockSearch:
        return BlockSearch(
            self._gallery,
            self._codes,
            queries,
            k,
            auto=self.method == "auto",
            threads=threads,
            first_query=first,
        )

    def _distances(self, keys: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return sorted keys as distances of this metric (the inner product itself for "ip")."""
        if self._plain:
            return keys
        return np.sqrt(keys) if self.metric is Metric.L2 else np.float32(0) - keys


def compile_search(
    dtype: np.dtype[Any],
    n: int,
    k: int,
    *,
    method: str,
    metric: str,
    isa: str | None = None,
    one_call: bool,
    by_threshold: bool = False,
) -> float:
    """Run a small search of the same kind, so that its code is compiled or loaded; return the seconds it took."""
    started = time.perf_counter()
    rng = np.random.default_rng(0)
    rows, queries = (
        rng.standard_normal((count, _WARM_DIMENSION), dtype=np.float32)
        for count in (_WARM_ROWS, max(1, n))
    )
    policy = SearchPolicy() if one_call else SearchPolicy(one_call_work=0)
    small = Matcher((rows * 30).astype(dtype), metric, method, 1, isa=isa, policy=policy)
    if by_threshold:
        small.range_search(queries, 0.5)
    else:
        small.search(queries, min(k, len(small)))
    return time.perf_counter() - started
