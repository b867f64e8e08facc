"""Does early abandoning pay? Squared distances added piece by piece, given up once above the k-th best.

An experiment, not a way to search. It grants abandoning what no search can have: the k-th best distance is known
before the first row is read. What does not pay then never pays.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from facelab.core import timing
from facelab.core.errors import BadInputError
from facelab.matching import Matcher
from facelab.matching.kernels import Isa, choose, pair_block
from facelab.matching.kernels import kernel as compiled_kernel

ROWS = 4
"""Rows taken side by side, as few running sums would wait for each other; they are given up together."""


@functools.cache
def kernel(isa: Isa) -> Any:
    """Return the compiled pass of one query over the rows: how many rows end within `threshold`, and pieces read."""
    width = isa.width

    @compiled_kernel
    def run(query, rows, piece, threshold):
        m, d = rows.shape
        part, within, pieces = np.zeros(ROWS, np.float32), 0, 0
        for i in range(0, m - ROWS + 1, ROWS):
            s0, s1, s2, s3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for k in range(0, d, piece):
                pair_block(
                    query.ctypes.data + 4 * k,
                    0,
                    rows.ctypes.data + 4 * (i * d + k),
                    d,
                    piece // width,
                    part.ctypes.data,
                    width,
                    1,
                    ROWS,
                    True,
                )
                s0, s1, s2, s3 = s0 + part[0], s1 + part[1], s2 + part[2], s3 + part[3]
                pieces += 1
                if min(min(s0, s1), min(s2, s3)) > threshold:
                    break
            within += (s0 <= threshold) + (s1 <= threshold) + (s2 <= threshold) + (s3 <= threshold)
        return within, pieces

    return run


def by_variance(gallery: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both turned so that the first dimensions vary most (principal axes): distances stay, sums grow sooner."""
    sample = gallery[:: max(1, len(gallery) // 20_000)].astype(np.float64)
    _, axes = np.linalg.eigh(np.cov(sample, rowvar=False))
    turn = np.ascontiguousarray(axes[:, ::-1], np.float32)
    return gallery @ turn, queries @ turn


def early_abandoning(
    gallery: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    piece: int = 64,
    turned: bool = False,
    repeats: int = 5,
    budget_s: float = 4.0,
) -> dict:
    """Return what early abandoning saves one query at a time, on one thread, against reading every row whole.

    `read` is the share of the dimensions that were read; the times are medians of interleaved rounds in seconds a
    query: `abandoning`, `whole` (the same loop, never giving up), facelab's `exhaustive` and `screened` searches.
    Raises BadInputError where the dimension is not a multiple of `piece` or there are fewer than k rows.
    """
    isa = choose()
    d = gallery.shape[1]
    if d % piece or piece % isa.width or k > len(gallery):
        raise BadInputError(
            "this gallery cannot be read in such pieces",
            expected=f"a multiple of {piece}",
            got=d,
            fix="use vectors of 512 dimensions, or another piece",
        )
    matchers = {
        name: Matcher(gallery, method=name, threads=1) for name in ("exhaustive", "screened")
    }
    limits = matchers["exhaustive"].search(queries, k).distances[:, -1] * np.float32(1.00001)
    rows, asked = by_variance(gallery, queries) if turned else (gallery, queries)
    run, found = kernel(isa), {}

    def each(limit_of):
        return [run(q, rows, piece, limit_of(i)) for i, q in enumerate(asked)]

    def abandoning():
        found["counts"] = each(lambda i: limits[i])

    samples = timing.interleave(
        {
            "abandoning": abandoning,
            "whole": lambda: each(lambda i: np.float32(np.inf)),
            **{
                name: (lambda m=m: [m.search(q[None], k) for q in queries])
                for name, m in matchers.items()
            },
        },
        repeats=repeats,
        budget_s=budget_s,
    )
    pieces = len(queries) * (len(gallery) // ROWS) * (d // piece)
    return {
        "k": k,
        "turned": turned,
        "read": sum(p for _, p in found["counts"]) / pieces,
        "kept": sum(int(n) for n, _ in found["counts"]) / len(queries),
        **{name: float(np.median(s)) / len(queries) for name, s in samples.items()},
    }
