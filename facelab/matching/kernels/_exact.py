"""The one exact formula of a pair's distance: float64 sums in a fixed order, rounded once to float32.

Every kernel, every number of threads and every order of blocks ends here, so all give the same bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from facelab.matching.kernels._compile_cache import kernel, part
from facelab.matching.kernels._intrinsics import byte_at, exact_sums, float_at, half_at

L2, IP, COSINE = 0, 1, 2
"""How kernels name a metric; L2 is squared."""
FLOAT32, FLOAT16, INT8 = 0, 1, 2
KINDS = {"float32": FLOAT32, "float16": FLOAT16, "int8": INT8}
"""Name of a gallery's dtype → how kernels name it."""


class Exact(NamedTuple):
    """What the exact formula needs: queries, their norms, and where the gallery's rows are stored."""

    queries: np.ndarray
    """(n, d) float32."""
    info: np.ndarray
    """(3, n) float64: squared norms in the order `exact_key` adds; scale, shift (score = scale · key + shift)."""
    address: int
    """Of row `base`."""
    stride: int
    """Bytes from row to row."""
    base: int
    """Row number of the first row at `address`."""
    kind: int
    """FLOAT32, FLOAT16 or INT8."""
    metric: int
    """L2, IP or COSINE."""


@part
def element_at(kind: int, row: int, i: int) -> Any:
    """Return element i of the vector at address `row` as float64."""
    if kind == FLOAT32:
        return float_at(row + 4 * i)
    if kind == FLOAT16:
        return half_at(row + 2 * i)
    return byte_at(row + i)


@part
def sums_at(kind: int, l2: Any, query: np.ndarray, row: int, d: int) -> Any:
    """Return the two sums of `emit.exact_sums` over all d dimensions of the vectors at two addresses."""
    count = d // 8
    if kind == FLOAT32:
        first, second = (
            exact_sums(query, row, count, "f4", "l2")
            if l2
            else exact_sums(query, row, count, "f4", "both")
        )
    elif kind == FLOAT16:
        first, second = (
            exact_sums(query, row, count, "f2", "l2")
            if l2
            else exact_sums(query, row, count, "f2", "both")
        )
    else:
        first, second = (
            exact_sums(query, row, count, "i1", "l2")
            if l2
            else exact_sums(query, row, count, "i1", "both")
        )
    for i in range(count * 8, d):
        y = element_at(kind, row, i)
        x = float_at(query + 4 * i)
        first += (x - y) * (x - y) if l2 else x * y
        second += y * y
    return first, second


@part
def exact_key(metric: int, kind: int, query: np.ndarray, square: float, row: int, d: int) -> Any:
    """Return the key of one pair: smaller is better. Float64 sums in a fixed order, rounded once to float32.

    L2: Σ(q-g)². IP: -Σqg. Cosine: 1 - Σqg/√(Σq²·Σg²), where a zero vector is at distance 1 from everything.
    `query` (float32) and `row` are addresses.
    """
    first, second = sums_at(kind, metric == L2, query, row, d)
    if metric == L2:
        return np.float32(first)
    if metric == IP:
        return np.float32(-first)
    product = square * second
    if product == 0.0:
        return np.float32(1.0)
    value = 1.0 - first / np.sqrt(product)
    if (
        value < 1e-4
    ):  # 1 - cosine cancels: half the squared distance of the normalised vectors does not
        value, x_scale, y_scale = 0.0, 1.0 / np.sqrt(square), 1.0 / np.sqrt(second)
        for i in range(d):
            y = element_at(kind, row, i)
            delta = float_at(query + 4 * i) * x_scale - y * y_scale
            value += 0.5 * delta * delta
    return np.float32(value)


@part
def key_of(exact: Any, q: int, row: int) -> Any:
    """Return the key of query q and the gallery row with number `row`."""
    d = exact.queries.shape[1]
    return exact_key(
        exact.metric,
        exact.kind,
        exact.queries.ctypes.data + 4 * d * q,
        exact.info[0, q],
        exact.address + (row - exact.base) * exact.stride,
        d,
    )


@kernel
def keys_within(
    exact: Any, q: int, first: int, last: int, limit: float, keys: np.ndarray, ids: np.ndarray
) -> int:
    """Fill keys and ids with the rows of [first, last) whose key for query q is at most `limit`; return how many."""
    found = 0
    for row in range(first, last):
        key = key_of(exact, q, row)
        if np.float64(key) <= limit:
            keys[found], ids[found] = key, row
            found += 1
    return found


@kernel
def squares_of(kind: int, address: int, stride: int, n: int, d: int) -> np.ndarray:
    """Return Σx² of n rows in float64, in the order that `exact_key` adds."""
    result, nothing = np.empty(n, np.float64), np.zeros(d, np.float32)
    for i in range(n):
        result[i] = sums_at(kind, False, nothing.ctypes.data, address + i * stride, d)[1]
    return result
