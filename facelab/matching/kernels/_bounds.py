r"""Screening that provably drops no true neighbour: int8 codes (or float32 sums) with a bound on their error.

Write every search as "the k smallest scores". With a shift m common to queries and gallery (the gallery's mean for
squared L2, else 0), q' = q - m and g' = g - m, the scores are

* squared L2: v = ½|g'|² - ⟨q', g'⟩ (then |q - g|² = 2v + |q'|²), * inner product: v = -⟨q, g⟩,
* cosine: v = -⟨q, g⟩ / (|q||g|).

**Codes.** A gallery row is g' = s·c + e with integers |c| ≤ 127, s = max|g'|/127, and |e| is *measured* (in float64,
from the very s and c that are stored), not estimated. A query is q' = t·b + f likewise. Then

    ⟨q', g'⟩ = s·t·⟨b, c⟩ + ⟨t·b, e⟩ + ⟨f, g'⟩,

and by Cauchy-Schwarz the last two terms are at most A·E + F·G with A = |t·b|, E = |e|, F = |f|, G = |g'|. ⟨b, c⟩ is
an exact integer: |⟨b, c⟩| ≤ d·128·255 < 2³¹ for d ≤ 65 535. So v ≥ H - (s·t·⟨b, c⟩ + A·E + F·G) with H = ½|g'|² or 0.
If the k-th best score found so far is T, a row with

    s·t·⟨b, c⟩ + A·E + F·G + T < H                                                    (*)

has v > T and cannot be among the k best, not even in a tie. Rows that pass (*) get their exact key (`exact_key`),
and only exact keys decide. T only falls, so rows dropped early stay dropped for good.

**Float32 sums.** With s = t = 1, E = 0 the same test serves the exhaustive path: a float32 inner product in any order
of summation, fused or not, differs from the true one by at most γ|q||g| with γ = d·u/(1 - d·u), u = 2⁻²⁴ (Higham,
Accuracy and Stability of Numerical Algorithms, §3.1), so F = γ|q|.

**The arithmetic of the test itself** is float32 and pays its own way: the half dozen roundings of the left side are at
most 2⁻²¹ of |q'||g'| + A·E + F·G + |T|. F is raised by 2⁻²⁰|q'|, A and E by a factor 1 + 2⁻²⁰, H is lowered by 2⁻²⁰ of
itself, T is raised by 2⁻²¹ of its terms (`_heap.widened`, which also covers the rounding of keys to float32, since a
key that rounds to the same float32 as the k-th still competes for the lowest id). Products that underflow are off by
at most 2⁻¹⁴⁹ each; T is raised by 2⁻¹²⁰ for all of them. Norms above 2⁵⁵ could overflow: such data are searched by
exact keys alone, and so are, for cosine, vectors with norms below 2⁻⁴⁰, whose products could vanish.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from facelab.matching.kernels._compile_cache import kernel, part
from facelab.matching.kernels._exact import COSINE, FLOAT32, L2, squares_of

LARGEST_SQUARE, SMALLEST_SQUARE = 2.0**110, 2.0**-80
LARGEST_DIMENSION_INT8 = 65_535
UP = 1.0 + 2.0**-20
_SUMS = {"reassoc", "contract"}  # order of float64 sums is free here: the bounds have room for it


@functools.partial(kernel, fastmath=_SUMS)
def _split(x: np.ndarray, mean: np.ndarray, levels: int, codes: np.ndarray) -> Any:
    """Quantise one row: fill codes with round((x - mean)/s), return s, Σ(s·c)², Σ(x-mean-s·c)², Σ(x-mean)²."""
    largest = np.float32(0)
    for i in range(x.size):
        largest = max(largest, abs(np.float32(x[i]) - mean[i]))
    step = np.float32(largest / np.float32(levels))
    inverse = np.float32(1) / step if step > np.float32(1e-37) else np.float32(0)
    limit = np.float32(levels)
    kept, lost, all_ = 0.0, 0.0, 0.0
    for i in range(x.size):
        value = np.float64(x[i]) - np.float64(mean[i])
        code = np.rint(min(max(np.float32(value) * inverse, -limit), limit))
        part = np.float64(step) * np.float64(code)
        codes[i] = np.int16(code)
        kept += part * part
        lost += (value - part) * (value - part)
        all_ += value * value
    return step, kept, lost, all_


@kernel
def encode_rows(
    x: np.ndarray,
    mean: np.ndarray,
    metric: int,
    exact_codes: Any,
    offset: Any,
    first: int,
    last: int,
    at: Any,
    codes: np.ndarray,
    params: np.ndarray,
    c: Any,
) -> None:
    """Fill codes (int8), S E G H (the rows of params) and C at at+first … for rows first … last of the chunk x.

    `exact_codes`: x is int8 already, so s = 1 and nothing is lost.
    """
    d = x.shape[1]
    short = np.empty(d, np.int16)
    for r in range(first, last):
        if exact_codes:
            step, lost, square, total = np.float32(1), 0.0, 0, 0
            for i in range(d):
                value = np.int32(x[r, i])
                codes[at + r, i] = np.int8(value)
                square += value * value
                total += value
            squares = np.float64(square)
        else:
            step, _, lost, squares = _split(x[r], mean, 127, short)
            total = 0
            for i in range(d):
                codes[at + r, i] = np.int8(short[i])
                total += short[i]
        c[at + r] = offset * total
        _parameters(metric, step, lost, squares, at + r, params)


@part
def _parameters(metric: Any, step: Any, lost: Any, square: Any, r: Any, params: Any) -> None:
    norm = np.sqrt(square)
    scale = 1.0
    if metric == COSINE:
        scale = 1.0 / norm if norm > 0 else 0.0
    params[0, r] = step * scale
    params[1, r] = np.sqrt(lost) * scale * UP
    params[2, r] = norm * scale * UP
    params[3, r] = 0.5 * square * (1 - 2.0**-20) if metric == L2 else 0.0


@kernel
def plain_rows(squares: np.ndarray, metric: int, params: np.ndarray) -> None:
    """Fill S E G H (the rows of params) of float32 rows from their squared norms."""
    for r in range(squares.size):
        _parameters(metric, 1.0, 0.0, squares[r], r, params)


@part
def plain_queries(d: int, metric: int, lane: Any, info: Any) -> None:
    """Fill t, A, F (rows of lane) and the shift (info[2]) for float32 sums over d dimensions."""
    unit = (d + 8) * 2.0**-24
    gamma = unit / (1 - unit) + 2.0**-20
    for q in range(info.shape[1]):
        norm = np.sqrt(info[0, q])
        scale = 1.0
        if metric == COSINE:
            scale = 1.0 / norm if norm > 0 else 0.0
        lane[0, q], lane[2, q] = scale, gamma * norm * scale * UP
        if metric == L2:
            info[2, q] = -0.5 * info[0, q]


@part
def encode_queries(
    queries: np.ndarray,
    mean: np.ndarray,
    metric: int,
    levels: int,
    offset: int,
    whole_numbers: int,
    codes: np.ndarray,
    lane: Any,
    info: Any,
) -> None:
    """Fill the queries' codes (bytes, `offset` added), t, A, F (rows of lane) and the shift (info[2])."""
    n, d = queries.shape
    short = np.empty(d, np.int16)
    for q in range(n):
        if whole_numbers:
            step, lost, kept = np.float32(1), 0.0, 0.0
            for i in range(d):
                short[i] = np.int16(queries[q, i])
                kept += np.float64(short[i]) * np.float64(short[i])
            square = kept
        else:
            step, kept, lost, square = _split(queries[q], mean, levels, short)
        for i in range(d):
            codes[q, i] = np.uint8((short[i] + offset) & 255)
        scale = 1.0
        if metric == COSINE:
            scale = 1.0 / np.sqrt(square) if square > 0 else 0.0
        lane[0, q] = step * scale
        lane[1, q] = np.sqrt(kept) * scale * UP
        lane[2, q] = (np.sqrt(lost) + 2.0**-20 * np.sqrt(square)) * scale * UP
        if metric == L2:
            info[2, q] = -0.5 * square


@kernel
def screenable(squares: np.ndarray, metric: int) -> bool:
    """Return whether float32 screening may be used for vectors with these squared norms (NaN and infinity: no)."""
    for square in squares:
        if not square <= LARGEST_SQUARE or (metric == COSINE and 0 < square < SMALLEST_SQUARE):
            return False
    return True


@kernel
def describe(queries: np.ndarray, metric: int) -> np.ndarray:
    """Return info (3, n): the queries' squared norms as the exact formula adds, scale, shift."""
    n, d = queries.shape
    info = np.zeros((3, n))
    info[0] = squares_of(FLOAT32, queries.ctypes.data, 4 * d, n, d)
    info[1] = 0.5 if metric == L2 else 1.0
    if metric == COSINE:
        info[2] = -1.0
    return info


@part
def new_lane(n: int, lanes: int) -> np.ndarray:
    """Return t A F T (4, n rounded up to whole panels): T infinite for a query, minus infinity where there is none."""
    lane = np.zeros((4, (n + lanes - 1) // lanes * lanes), np.float32)
    lane[3] = -np.inf
    lane[3, :n] = np.inf
    return lane


@kernel
def lay_f32(
    queries: np.ndarray, metric: int, lanes: int, packed: np.ndarray, info: Any
) -> tuple[np.ndarray, Any]:
    """Return (panels or rows, lane) of float32 queries; `packed` panels[panel, dimension, lane], zero where empty."""
    n, d = queries.shape
    lane = new_lane(n, lanes)
    plain_queries(d, metric, lane, info)
    if not packed:
        return queries.copy().reshape(n, d, 1), lane
    out = np.zeros((lane.shape[1] // lanes, d, lanes), np.float32)
    for q in range(n):
        for i in range(d):
            out[q // lanes, i, q % lanes] = queries[q, i]
    return out, lane


@kernel
def lay_i8(
    queries: np.ndarray,
    mean: np.ndarray,
    metric: int,
    levels: int,
    offset: int,
    whole_numbers: int,
    code_width: int,
    lanes: int,
    packed: np.ndarray,
    info: Any,
) -> tuple[np.ndarray, Any]:
    """Return (panels or rows, lane) of queries as bytes; `packed` panels[panel, group of four, lane · 4 + byte]."""
    n, d = queries.shape
    lane = new_lane(n, lanes)
    codes = np.zeros((n, code_width), np.uint8)
    encode_queries(queries, mean, metric, levels, offset, whole_numbers, codes, lane, info)
    if not packed:
        return codes.reshape(n, code_width, 1), lane
    steps = (d + 3) // 4
    out = np.zeros((lane.shape[1] // lanes, steps, lanes * 4), np.uint8)
    for q in range(n):
        place = out[q // lanes]
        column = q % lanes * 4
        for step in range(steps):
            for byte in range(4):
                place[step, column + byte] = codes[q, 4 * step + byte]
    return out, lane


@functools.partial(kernel, fastmath=_SUMS)
def add_rows(x: Any, total: Any) -> None:
    """Add the rows of x to total (float64), for the gallery's mean."""
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            total[i] += x[r, i]
