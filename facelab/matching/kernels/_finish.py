"""What turns inner products into distances of all pairs, and computes again in float64 where that cancels."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.matching.kernels._compile_cache import kernel
from facelab.matching.kernels._exact import COSINE, FLOAT32, L2, exact_key, sums_at


@kernel
def exact_rows(
    x: np.ndarray,
    y: np.ndarray,
    squares: np.ndarray,
    code: Any,
    root: float,
    out: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Fill out[first:last] by float64 sums alone; `root` for the L2 distance."""
    d = x.shape[1]
    for i in range(first, last):
        query = x.ctypes.data + 4 * d * i
        for j in range(y.shape[0]):
            row = y.ctypes.data + 4 * d * j
            if root:
                out[i, j] = np.sqrt(sums_at(FLOAT32, True, query, row, d)[0])
            else:
                out[i, j] = exact_key(code, FLOAT32, query, squares[i], row, d)


@kernel
def finish_l2(
    x: np.ndarray,
    y: np.ndarray,
    x_squares: np.ndarray,
    y_squares: np.ndarray,
    cancels: float,
    out: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Turn inner products into |a|²+|b|²-2ab; where that is below `cancels` of |a|²+|b|², compute it in float64."""
    d, m = x.shape[1], y.shape[0]
    norms = y_squares.astype(np.float32)
    for i in range(first, last):
        mine, small = np.float32(x_squares[i]), 0
        for j in range(m):
            total = mine + norms[j]
            value = total - np.float32(2) * out[i, j]
            small += value < np.float32(cancels) * total
            out[i, j] = value
        if small:
            for j in range(m):
                if out[i, j] < np.float32(cancels) * (mine + norms[j]):
                    out[i, j] = exact_key(
                        L2,
                        FLOAT32,
                        x.ctypes.data + 4 * d * i,
                        x_squares[i],
                        y.ctypes.data + 4 * d * j,
                        d,
                    )


@kernel
def finish_cosine(
    x: np.ndarray,
    y: np.ndarray,
    x_squares: np.ndarray,
    y_squares: np.ndarray,
    cancels: float,
    out: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Turn inner products into 1 - cosine; small distances, which cancel, are computed in float64."""
    d, m = x.shape[1], y.shape[0]
    scale = np.zeros(m, np.float32)
    for j in range(m):
        if y_squares[j] > 0:
            scale[j] = 1.0 / np.sqrt(y_squares[j])
    for i in range(first, last):
        mine = np.float32(1.0 / np.sqrt(x_squares[i])) if x_squares[i] > 0 else np.float32(0)
        small = 0
        for j in range(m):
            value = np.float32(1) - out[i, j] * mine * scale[j]
            small += value < np.float32(cancels)
            out[i, j] = value
        if small:
            for j in range(m):
                if out[i, j] < np.float32(cancels):
                    out[i, j] = exact_key(
                        COSINE,
                        FLOAT32,
                        x.ctypes.data + 4 * d * i,
                        x_squares[i],
                        y.ctypes.data + 4 * d * j,
                        d,
                    )
