"""Which way a search goes: how wide panels are, what threads share, and the numbers that a compiled search needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facelab.matching._gallery import Gallery, GalleryRows
from facelab.matching._types import SearchPolicy
from facelab.matching.kernels._isa import Isa
from facelab.matching.threads import spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPEED = {1: 0.74, 2: 0.97, 3: 1.0}
"""Vectors of a panel → its measured speed: wide panels use each loaded row element more often."""


class ScanPlan(NamedTuple):
    """What a compiled search needs to know that queries do not change."""

    rows_address: int
    rows_stride: int
    """Elements from row to row of what is scanned."""
    first: int
    last: int
    address: int
    """Of the gallery's own row 0, for exact distances."""
    row_bytes: int
    kind: int
    metric: int
    lanes: int
    """Queries of a panel; 1 for whole queries."""
    packed: int
    """1 where queries are laid as panels, 0 where rows are read as vectors."""
    levels: int
    offset: int
    span: int
    """Elements of a vector of rows."""

    def as_array(self) -> NDArray[np.int64]:
        """Return the plan as one array: numba looks at the type of each argument of a call, which takes time."""
        return np.array(self, np.int64)


FIELDS = len(ScanPlan._fields)


def scan_plan(gallery: Gallery, rows: GalleryRows, vectors: int) -> ScanPlan:
    """Return the plan of a search of all rows, by panels of `vectors` vectors (0: rows are read as vectors)."""
    isa = gallery.isa
    return ScanPlan(
        rows_address=rows.scanned.address,
        rows_stride=rows.scanned.stride,
        first=0,
        last=len(gallery),
        address=gallery.vectors.ctypes.data,
        row_bytes=gallery.vectors.strides[0],
        kind=gallery.kind,
        metric=gallery.code,
        lanes=max(1, vectors * isa.width),
        packed=int(vectors > 0),
        levels=isa.levels,
        offset=isa.offset,
        span=4 * isa.width if rows.int8 else isa.width,
    )


def vectors_for(n: int, m: int, isa: Isa, policy: SearchPolicy, *, int8: bool) -> int:
    """Return how many vectors wide a panel should be for n queries; 0 to read rows as vectors.

    The panel with the least padded work wins, weighed by its speed.
    """
    best = min(_SPEED, key=lambda v: -(-n // (v * isa.width)) * v / _SPEED[v])
    return 0 if n <= policy.few_queries or m < isa.rows(best, int8=int8) else best


def query_shares(
    n: int, vectors: int, isa: Isa, policy: SearchPolicy, threads: int
) -> list[tuple[int, int]]:
    """Return the queries, as whole panels, that threads take in turn; none where some thread would do much less.

    Shared so, no thread scans rows that another's threshold would have spared it, and nothing is merged.
    """
    lanes = max(1, vectors * isa.width)
    panels = -(-n // lanes)
    busiest = -(-panels // threads)
    if threads == 1 or not vectors or panels < policy.least_busy * threads * busiest:
        return []
    # each piece reads the whole gallery once more
    count = 2 * threads if panels >= 6 * threads else threads
    return [(a * lanes, min(b * lanes, n)) for a, b in spans(0, panels, count)]


def blocks(
    first: int, last: int, work: int, policy: SearchPolicy, threads: int
) -> list[tuple[int, int]]:
    """Return [first, last) in blocks of about `block_work` where a row costs `work`, at least eight per thread."""
    rows = last - first
    count = max(rows * work // policy.block_work, 8 * threads)
    return spans(first, last, max(1, min(count, rows // policy.smallest_block)))
