"""`pairwise`: distances of all pairs by a kernel of one's choice, each within 1e-5 of float64."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numba import njit

from facelab.core.errors import BadInputError, did_you_mean
from facelab.matching import _vectors as arrays
from facelab.matching._gallery import threads_pay
from facelab.matching._threads import check_threads, run_spans, share, spans
from facelab.matching.kernels import _heap as topk
from facelab.matching.kernels import _loops as loops
from facelab.matching.kernels._isa import Isa, choose

KERNELS = ("auto", "scalar", "simd", "blocked", "blas")
EXTRA_KERNELS = ("oracle", "scalar-strict", "scalar4", "autovec")
CANCELS = 0.25
"""Squared distance over |a|²+|b|² below which the BLAS formulation cancels and the pair is computed anew."""
SLOW_WORK = 200_000
"""Multiply-adds up to which a scalar kernel stays on one thread; for the others `prepared.threads_pay` knows."""
BLOCKS = 8
"""Blocks a thread that all pairs are cut into."""
_SAFE = (2.0**-90, 2.0**100)
"""Squared norms between which float32 sums of squares neither overflow nor lose digits to underflow."""


def pairwise(
    a,
    b,
    metric: str = "sqeuclidean",
    kernel: str = "auto",
    threads: int | None = None,
    out=None,
    *,
    isa: str | None = None,
) -> np.ndarray:
    """Return the distances of every row of a (n, d) to every row of b (m, d) as (n, m) float32.

    a, b: float32, float16 or int8 (converted exactly; "blocked" multiplies int8 as integers). metric: "sqeuclidean",
    "l2", "ip" (the inner product itself) or "cosine" (1 - cosine; 1 where a vector is zero).

    kernel: "scalar" the textbook loop, one number at a time (fused multiply-adds, as compilers emit by default),
    "simd" explicit vectors over the dimensions, "blocked" a tile of sums in registers with lanes over the rows of b,
    "blas" |a|²+|b|²-2ab with numpy's sgemm, "auto" the fastest accurate one; also "oracle" (float64), "scalar-strict"
    (multiplication and addition rounded separately), "scalar4" (four scalar sums), "autovec" (plain loops vectorised
    by LLVM). threads: at most so many, None for all. out: a float32 (n, m) array to fill. isa: an instruction set to
    force.

    Distances are within 1e-5 of float64, relatively (inner products: relative to |a||b|); pairs whose formulation
    cancels, as near-duplicates do under "blas", are computed anew in float64.

    Raises BadInputError for shapes, dtypes, NaN or infinities.

    >>> a = np.array([[0, 0], [3, 4]], np.float32)
    >>> pairwise(a, a, metric="l2").tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    metric = arrays.metric_name(metric)
    if kernel not in KERNELS + EXTRA_KERNELS:
        raise BadInputError(
            f"no kernel named {kernel!r}{did_you_mean(kernel, KERNELS)}",
            expected=", ".join(KERNELS),
            got=repr(kernel),
        )
    a, b = arrays.check_vectors(a, "a"), arrays.check_vectors(b, "b")
    arrays.check_same_width(a, b, ("a", "b"))
    threads, isa = check_threads(threads), choose(isa)
    target = _check_out(out, (len(a), len(b)), a, b)
    if target.size:
        slow = kernel in ("scalar", "scalar-strict", "scalar4")
        pay = target.size * a.shape[1] >= SLOW_WORK if slow else threads_pay(len(a), b.size)
        _fill(a, b, metric, kernel, threads if pay else 1, isa, target)
    if out is None or target is out:
        return target
    out[...] = target
    return out


def _check_out(out, shape: tuple[int, int], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if out is None:
        return np.empty(shape, np.float32)
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != np.float32:
        raise BadInputError(
            "out does not fit",
            expected=f"a float32 array of shape {shape}",
            got=f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__,
        )
    if not out.flags.writeable:
        raise BadInputError("out is read-only", expected="a writable array", fix="pass a copy")
    shares = np.shares_memory(out, a) or np.shares_memory(out, b)
    return (
        np.empty(shape, np.float32)
        if shares or not out.flags.c_contiguous or not out.flags.aligned
        else out
    )


def _squares(x: np.ndarray, name: str, threads: int) -> np.ndarray:
    squares, kind = np.empty(len(x)), topk.KINDS[x.dtype.name]

    def fill(i: int, j: int) -> None:
        squares[i:j] = topk.squares_of(
            kind, x.ctypes.data + i * x.strides[0], x.strides[0], j - i, x.shape[1]
        )

    run_spans(threads if threads_pay(1, x.size) else 1, 0, len(x), fill)
    if not np.isfinite(squares).all():
        arrays.check_finite(x, name)
    return squares


def _fill(
    a: np.ndarray, b: np.ndarray, metric: str, kernel: str, threads: int, isa: Isa, out: np.ndarray
) -> None:
    if kernel == "oracle":
        from facelab.matching import _oracle as oracle

        arrays.check_finite(a, "a")
        arrays.check_finite(b, "b")
        out[...] = oracle.distances(a, b, metric)
        return
    squares = _squares(a, "a", threads), _squares(b, "b", threads)
    both = np.concatenate(squares)
    positive = both[both > 0]
    l2 = metric in ("sqeuclidean", "l2")
    if kernel == "blocked" and a.dtype == b.dtype == np.int8 and a.shape[1] <= 16_384:
        _blocked_i8(a, b, squares, l2, threads, isa, out)
    elif positive.size and (positive.max() > _SAFE[1] or positive.min() < _SAFE[0]):
        _exact(a, b, squares, metric, threads, out)
        return
    else:
        x, y = (np.ascontiguousarray(v, np.float32) for v in (a, b))
        _CORES[kernel](x, y, l2, threads, isa, out)
        if l2 and kernel == "blas":
            run_spans(
                threads, 0, len(x), lambda i, j: _finish_l2(x, y, *squares, CANCELS, out, i, j)
            )
    if metric == "cosine":
        x, y = (np.ascontiguousarray(v, np.float32) for v in (a, b))
        run_spans(
            threads, 0, len(x), lambda i, j: _finish_cosine(x, y, *squares, CANCELS, out, i, j)
        )
    elif metric == "l2":
        np.sqrt(out, out=out)


def _exact(a, b, squares, metric: str, threads: int, out: np.ndarray) -> None:
    """Fill out by float64 sums alone: for values so large or small that float32 sums would overflow or vanish."""
    x, y = (np.ascontiguousarray(v, np.float32) for v in (a, b))
    code = {"sqeuclidean": topk.L2, "l2": topk.L2, "ip": topk.IP, "cosine": topk.COSINE}[metric]
    run_spans(
        threads,
        0,
        len(x),
        lambda i, j: _exact_rows(x, y, squares[0], code, metric == "l2", out, i, j),
    )
    if metric == "ip":
        np.subtract(np.float32(0), out, out=out)


@njit(cache=True, nogil=True)
def _exact_rows(x, y, squares, code, root, out, first, last):
    d = x.shape[1]
    for i in range(first, last):
        query = x.ctypes.data + 4 * d * i
        for j in range(y.shape[0]):
            row = y.ctypes.data + 4 * d * j
            if root:
                out[i, j] = np.sqrt(topk.sums_at(topk.FLOAT32, True, query, row, d)[0])
            else:
                out[i, j] = topk.exact_key(code, topk.FLOAT32, query, squares[i], row, d)


def _by_rows(function_l2: Callable, function_ip: Callable) -> Callable:
    def core(x, y, l2, threads, isa, out):
        f = function_l2 if l2 else function_ip
        run_spans(threads, 0, len(x), lambda i, j: f(x, y, out, i, j))

    return core


def _explicit(x, y, l2: bool, threads: int, isa: Isa, out) -> None:
    kernel = loops.explicit(isa, l2)
    run_spans(threads, 0, len(x), lambda i, j: kernel(x, y, out, i, j))


def _blocked(x, y, l2: bool, threads: int, isa: Isa, out) -> None:
    kernel = loops.blocked(isa, l2)
    share(
        threads,
        _blocks(len(x), len(y), 3 * isa.width, threads),
        lambda _, block: kernel(x, y, out, *block),
    )


def _blocks(n: int, m: int, lanes: int, threads: int) -> list[tuple[int, int, int, int]]:
    """Return all pairs as blocks (first, last, begin, end), so many that a slow core may take fewer of them.

    Columns are cut at whole panels; rows only where these are too few, as each block lays its panels anew.
    """
    if threads == 1:
        return [(0, n, 0, m)]
    columns = [
        (a * lanes, min(b * lanes, m)) for a, b in spans(0, -(-m // lanes), BLOCKS * threads)
    ]
    rows = spans(0, n, max(1, min(BLOCKS * threads // len(columns), n // lanes)))
    return [(*row, *column) for column in columns for row in rows]


def _blocked_i8(a, b, squares, l2: bool, threads: int, isa: Isa, out) -> None:
    d, lanes = a.shape[1], 3 * isa.width
    rows, columns = a, b
    if (
        isa.levels < 127
    ):  # pmaddubsw would saturate: split b, whose bytes are the unsigned operand, into two halves
        low = b // 2
        _blocked_i8_panels(rows, low, d, lanes, isa, threads, out)
        other = np.empty_like(out)
        _blocked_i8_panels(rows, b - low, d, lanes, isa, threads, other)
        # sums of int8 products up to 2^24 are exact in float32; add in float64 where they may be larger
        products = out.astype(np.float64) + other if d > 512 else out + other
        out[...] = squares[0][:, None] + squares[1] - 2.0 * products if l2 else products
        return
    panels = _byte_panels(columns, d, lanes, isa)
    kernel = loops.blocked_i8(isa)
    padded = _pad_groups(rows)
    run_spans(threads, 0, len(a), lambda i, j: kernel(padded, panels, *squares, l2, out, i, j))


def _blocked_i8_panels(a, b, d: int, lanes: int, isa: Isa, threads: int, out) -> None:
    panels, kernel, padded = _byte_panels(b, d, lanes, isa), loops.blocked_i8(isa), _pad_groups(a)
    nothing = np.zeros(max(len(a), len(b)))
    run_spans(
        threads, 0, len(a), lambda i, j: kernel(padded, panels, nothing, nothing, False, out, i, j)
    )


def _pad_groups(x: np.ndarray) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, -x.shape[1] % 4))) if x.shape[1] % 4 else x


def _byte_panels(b: np.ndarray, d: int, lanes: int, isa: Isa) -> np.ndarray:
    count, steps = -(-len(b) // lanes), -(-d // 4)
    codes = np.zeros((count * lanes, steps * 4), np.uint8)
    codes[: len(b), :d] = (b.astype(np.int16) + isa.offset).astype(np.uint8)
    return np.ascontiguousarray(
        codes.reshape(count, lanes, steps, 4).transpose(0, 2, 1, 3)
    ).reshape(count, steps, lanes * 4)


@functools.cache
def _controller():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


_BLAS_LOCK = threading.RLock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold numpy's BLAS to one thread: ours divide the work, and figures say how many there were."""
    with _BLAS_LOCK, _controller().limit(limits=1, user_api="blas"):
        yield


def _blas(x, y, l2: bool, threads: int, isa: Isa, out) -> None:
    with one_blas_thread():
        # each call packs all of y anew: only long spans are worth that
        run_spans(threads, 0, len(x), lambda i, j: np.matmul(x[i:j], y.T, out=out[i:j]), least=1000)


@njit(cache=True, nogil=True)
def _finish_l2(x, y, x_squares, y_squares, cancels, out, first, last):
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
                    out[i, j] = topk.exact_key(
                        topk.L2,
                        topk.FLOAT32,
                        x.ctypes.data + 4 * d * i,
                        x_squares[i],
                        y.ctypes.data + 4 * d * j,
                        d,
                    )


@njit(cache=True, nogil=True)
def _finish_cosine(x, y, x_squares, y_squares, cancels, out, first, last):
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
                    out[i, j] = topk.exact_key(
                        topk.COSINE,
                        topk.FLOAT32,
                        x.ctypes.data + 4 * d * i,
                        x_squares[i],
                        y.ctypes.data + 4 * d * j,
                        d,
                    )


_CORES = {
    "auto": _blocked,
    "scalar": _by_rows(loops.scalar_l2, loops.scalar_ip),
    "scalar-strict": _by_rows(loops.strict_l2, loops.strict_ip),
    "scalar4": _by_rows(loops.scalar4_l2, loops.scalar_ip),
    "autovec": _by_rows(loops.autovec_l2, loops.autovec_ip),
    "simd": _explicit,
    "blocked": _blocked,
    "blas": _blas,
}
