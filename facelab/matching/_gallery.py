"""A gallery's rows as the kernels read them: float32 rows or int8 codes, with the parameters of the test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facelab.matching import _vectors as arrays
from facelab.matching._threads import run_spans
from facelab.matching.kernels import _bounds as bounds
from facelab.matching.kernels import _heap as topk
from facelab.matching.kernels._isa import Isa

if TYPE_CHECKING:
    from facelab.matching._matcher import Matcher

FEW = 4
"""Up to this many queries, rows are read as vectors (bound by memory); above, as panels (bound by arithmetic)."""
PAYS_S = 3e-4
"""Seconds of one thread below which a second one costs more than it saves (measured: waking it, handing over)."""
_RATE = {(False, False): 80e9, (False, True): 22e9, (True, False): 165e9, (True, True): 65e9}
"""Multiply-adds a second of one thread by (int8, few queries), measured once: off by two, they decide as well."""


def threads_pay(n: int, size: int, int8: bool = False) -> bool:
    """Return whether n queries in a gallery of `size` numbers keep one thread busy for so long that more pay."""
    return n * size > PAYS_S * _RATE[int8, n <= FEW]


@dataclass
class Prepared:
    """Gallery rows as the kernels read them: float32 rows or int8 codes, with the parameters of the test."""

    int8: bool
    address: int
    stride: int  # elements from row to row
    params: np.ndarray  # (4, m + a vector) float32: S, E, G, H
    c: np.ndarray  # (m + a vector) int32
    mean: np.ndarray  # (d,) float32
    exact: bool  # the codes are the rows themselves
    owner: np.ndarray  # what `address` points into

    @property
    def name(self) -> str:
        return "screened" if self.int8 else "exhaustive"

    @property
    def nbytes(self) -> int:
        return (
            self.params.nbytes
            + self.c.nbytes
            + self.mean.nbytes
            + (self.owner.nbytes if self.int8 else 0)
        )


def _parameters(count: int, isa: Isa) -> tuple[np.ndarray, np.ndarray]:
    params = np.zeros((4, count + isa.width), np.float32)
    params[3] = np.inf
    return params, np.zeros(count + isa.width, np.int32)


def plain(x: np.ndarray, squares: np.ndarray, metric: int, isa: Isa) -> Prepared:
    """Return float32 rows in memory as the kernels take them."""
    params, c = _parameters(len(x), isa)
    bounds.plain_rows(squares, metric, params)
    return Prepared(
        False, x.ctypes.data, x.shape[1], params, c, np.zeros(x.shape[1], np.float32), False, x
    )


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
    codes = arrays.aligned_zeros(m, width)
    params, c = _parameters(m, isa)
    threads = matcher.threads if threads_pay(1, gallery.size) else 1
    for first, last in matcher.chunks():
        part = gallery[first:last]
        part = part if exact else np.ascontiguousarray(part, np.float32)
        run_spans(
            threads,
            first,
            last,
            lambda a, b, part=part, first=first: bounds.encode_rows(
                part, mean, code, exact, isa.offset, a - first, b - first, first, codes, params, c
            ),
        )
        matcher.drop(first, last)
    return Prepared(True, codes.ctypes.data, width, params, c, mean, exact, codes)
