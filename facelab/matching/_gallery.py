"""A gallery as searches see it: vectors, norms, and the rows that kernels scan. Knows no Matcher."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.matching import _vectors as arrays
from facelab.matching._types import Metric, SearchPolicy
from facelab.matching.kernels import _bounds as bounds
from facelab.matching.kernels._exact import COSINE, IP, KINDS, L2, Exact, squares_of
from facelab.matching.kernels._isa import Isa
from facelab.matching.kernels._scan import ScanRows
from facelab.matching.threads import run_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRIC_CODES = {Metric.SQEUCLIDEAN: L2, Metric.L2: L2, Metric.IP: IP, Metric.COSINE: COSINE}
"""Metric → how kernels name it; L2 is the root of the squared distance that they compute."""


@dataclass(frozen=True, eq=False)
class GalleryRows:
    """Rows as the kernels read them: float32 rows or int8 codes, with the parameters of the test."""

    int8: bool
    scanned: ScanRows
    mean: NDArray[np.float32]
    """(d,) float32: what was subtracted from each row before it was coded."""
    exact: bool
    """Whether the codes are the rows themselves."""
    owner: NDArray[np.float32] | NDArray[np.int8]
    """The array that `scanned.address` points into."""

    @cached_property
    def name(self) -> str:
        """Return the path's name: "screened" for int8 codes, else "exhaustive"."""
        return "screened" if self.int8 else "exhaustive"

    @property
    def nbytes(self) -> int:
        """Return the bytes that were added to the gallery's own."""
        codes = self.owner.nbytes if self.int8 else 0
        tables = (self.scanned.params, self.scanned.corrections, self.mean)
        return codes + sum(table.nbytes for table in tables)


@dataclass(frozen=True, eq=False)
class Gallery:
    """Vectors to be searched, with their norms; rows are laid out for the kernels on first use."""

    vectors: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]
    """(m, d), C-contiguous and aligned."""
    metric: Metric
    isa: Isa
    policy: SearchPolicy
    mapping: mmap.mmap | None
    """The memory map under the vectors, or None for its own memory."""
    squares: NDArray[np.float64]
    """(m,) float64: squared norms in the order that the exact formula adds."""
    screenable: bool
    """Whether float32 screening may be used for these norms."""

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def dimension(self) -> int:
        """Length of a vector."""
        return self.vectors.shape[1]

    @cached_property
    def code(self) -> int:
        """The metric as kernels name it."""
        return METRIC_CODES[self.metric]

    @cached_property
    def kind(self) -> int:
        """The vectors' dtype as kernels name it."""
        return KINDS[self.vectors.dtype.name]

    @cached_property
    def chunk(self) -> int:
        """Rows that a streaming search takes at a time."""
        return max(1, self.policy.chunk_bytes // (4 * self.dimension))

    @cached_property
    def float_rows(self) -> GalleryRows:
        """The float32 rows of a gallery in memory, with their parameters."""
        return plain_rows(self.vectors.astype(np.float32, copy=False), self.squares, self)

    def exact(self, queries: NDArray[np.float32], info: NDArray[np.float64], base: int) -> Exact:
        """Return what the exact formula needs for the rows from `base` on."""
        row_bytes = self.vectors.strides[0]
        address = self.vectors.ctypes.data + base * row_bytes
        return Exact(queries, info, address, row_bytes, base, self.kind, self.code)

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Yield (first, last) rows of the pieces that a streaming search takes in turn."""
        return chunks(len(self), self.chunk)

    def drop(self, first: int, last: int) -> None:
        """Give back the memory-mapped pages of these rows."""
        if self.mapping is not None:
            arrays.drop_pages(self.vectors[first:last], self.mapping)

    def prefetch(self, first: int, last: int) -> None:
        """Ask for the memory-mapped pages of these rows ahead of their use."""
        if self.mapping is not None:
            arrays.prefetch_pages(self.vectors[first:last], self.mapping)


def chunks(rows: int, chunk: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of `rows` rows cut into chunks.

    >>> list(chunks(5, 2))
    [(0, 2), (2, 4), (4, 5)]
    """
    for first in range(0, rows, chunk):
        yield first, min(first + chunk, rows)


def open_gallery(
    vectors: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8],
    metric: Metric,
    isa: Isa,
    policy: SearchPolicy,
    threads: int,
) -> Gallery:
    """Return checked vectors with their norms. Raises BadInputError naming the first row that is not finite."""
    mapping = arrays.mapping_of(vectors)
    squares, kind = np.empty(len(vectors)), KINDS[vectors.dtype.name]
    shared = threads if policy.threads_pay(1, vectors.size) else 1
    row_bytes = vectors.shape[1] * vectors.itemsize

    def fill(first: int, last: int) -> None:
        address = vectors.ctypes.data + first * row_bytes
        squares[first:last] = squares_of(kind, address, row_bytes, last - first, vectors.shape[1])

    for first, last in chunks(len(vectors), max(1, policy.chunk_bytes // (4 * vectors.shape[1]))):
        run_spans(shared, first, last, fill)
        if not np.isfinite(squares[first:last]).all():
            arrays.check_finite(vectors[first:last], "the gallery", first_row=first)
        if mapping is not None:
            arrays.drop_pages(vectors[first:last], mapping)
    screenable = bool(bounds.screenable(squares, METRIC_CODES[metric]))
    return Gallery(vectors, metric, isa, policy, mapping, squares, screenable)


def _tables(count: int, isa: Isa) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return empty S, E, G, H and C, a vector longer than the rows; rows beyond the end never pass the test."""
    params = np.zeros((4, count + isa.width), np.float32)
    params[3] = np.inf
    return params, np.zeros(count + isa.width, np.int32)


def plain_rows(
    x: NDArray[np.float32], squares: NDArray[np.float64], gallery: Gallery
) -> GalleryRows:
    """Return float32 rows in memory as the kernels take them."""
    params, corrections = _tables(len(x), gallery.isa)
    bounds.plain_rows(squares, gallery.code, params)
    mean = np.zeros(x.shape[1], np.float32)
    return GalleryRows(
        False, ScanRows(x.ctypes.data, x.shape[1], params, corrections), mean, False, x
    )


def encode(gallery: Gallery, threads: int) -> GalleryRows:
    """Return the gallery as int8 codes (see `kernels._bounds`); a memory-mapped one is read in pieces, twice."""
    vectors, isa, code = gallery.vectors, gallery.isa, gallery.code
    m, d = vectors.shape
    exact = vectors.dtype == np.int8
    mean = np.zeros(d, np.float32) if code != L2 or exact or not m else _mean(gallery)
    width = -(-d // (4 * isa.width)) * 4 * isa.width
    codes = arrays.aligned_zeros(m, width)
    params, corrections = _tables(m, isa)
    shared = threads if gallery.policy.threads_pay(1, vectors.size) else 1
    for first, last in gallery.chunks():
        part = vectors[first:last]
        part = part if exact else np.ascontiguousarray(part, np.float32)

        def fill(a: int, b: int, part: NDArray[Any] = part, first: int = first) -> None:
            bounds.encode_rows(
                part,
                mean,
                code,
                exact,
                isa.offset,
                a - first,
                b - first,
                first,
                codes,
                params,
                corrections,
            )

        run_spans(shared, first, last, fill)
        gallery.drop(first, last)
    scanned = ScanRows(codes.ctypes.data, width, params, corrections)
    return GalleryRows(True, scanned, mean, exact, codes)


def _mean(gallery: Gallery) -> NDArray[np.float32]:
    total = np.zeros(gallery.dimension, np.float64)
    for first, last in gallery.chunks():
        bounds.add_rows(np.ascontiguousarray(gallery.vectors[first:last], np.float32), total)
        gallery.drop(first, last)
    return (total / len(gallery)).astype(np.float32)
