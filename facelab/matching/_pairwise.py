"""`pairwise`: distances of all pairs by a kernel of one's choice, each within 1e-5 of float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.narrow import is_array
from facelab.matching import _vectors as arrays
from facelab.matching import oracle
from facelab.matching._gallery import METRIC_CODES
from facelab.matching._types import DEFAULT_POLICY, Metric, SearchPolicy
from facelab.matching.kernels import _exact as exact
from facelab.matching.kernels import _loops as loops
from facelab.matching.kernels._finish import exact_rows, finish_cosine, finish_l2
from facelab.matching.kernels._isa import Isa, choose
from facelab.matching.threads import check_threads, one_blas_thread, run_spans, share, spans

if TYPE_CHECKING:
    from jaxtyping import Float32
    from numpy.typing import ArrayLike

KERNELS = ("auto", "scalar", "simd", "blocked", "blas")
EXTRA_KERNELS = ("oracle", "scalar-strict", "scalar4", "autovec")
CANCELS = 0.25
"""Squared distance over |a|²+|b|² below which the BLAS formulation cancels and the pair is computed again."""
SLOW_WORK = 200_000
"""Multiply-adds up to which a scalar kernel stays on one thread; for the others `SearchPolicy.threads_pay` decides."""
BLOCKS = 8
"""Blocks a thread that all pairs are cut into."""
_SAFE = (2.0**-90, 2.0**100)
"""Squared norms between which float32 sums of squares neither overflow nor lose digits to underflow."""
_LONGEST_INT8 = 16_384
"""Dimension up to which sums of int8 products are exact integers in the blocked kernel."""


def pairwise(
    a: ArrayLike,
    b: ArrayLike,
    metric: str = "sqeuclidean",
    kernel: str = "auto",
    threads: int | None = None,
    out: Float32[np.ndarray, "n m"] | None = None,
    *,
    isa: str | None = None,
    policy: SearchPolicy = DEFAULT_POLICY,
) -> Float32[np.ndarray, "n m"]:
    """Return the distances of every row of a to every row of b.

    Distances are within 1e-5 of float64, relatively (inner products: relative to |a||b|). Pairs whose formulation
    cancels, as near-duplicates do under "blas", are computed again in float64.

    Parameters
    ----------
    a, b : (n, d) and (m, d) arrays of float32, float16 or int8
        Converted exactly; "blocked" multiplies int8 as integers.
    metric : str or Metric
        "sqeuclidean", "l2", "ip" (the inner product itself) or "cosine" (1 - cosine; 1 where a vector is zero).
    kernel : str
        "auto" the fastest accurate one; "scalar" the textbook loop, one number at a time (fused multiply-adds, as
        compilers emit by default); "simd" explicit vectors over the dimensions; "blocked" a tile of sums in
        registers with lanes over the rows of b; "blas" |a|²+|b|²-2ab with numpy's sgemm. For comparison: "oracle"
        (float64), "scalar-strict" (multiplication and addition rounded separately), "scalar4" (four scalar sums),
        "autovec" (plain loops vectorised by LLVM).
    threads : int, optional
        Maximum number of threads; None for all cores.
    out : (n, m) float32 array, optional
        Filled and returned.
    isa : str, optional
        An instruction set to force.
    policy : SearchPolicy, optional
        Decides from which size on threads are used.

    Returns
    -------
    (n, m) float32 array

    Raises
    ------
    BadInputError
        Shapes or dtypes do not fit, or there are NaN or infinities.

    Examples
    --------
    >>> a = np.array([[0, 0], [3, 4]], np.float32)
    >>> pairwise(a, a, metric="l2").tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    measure = Metric.of(metric)
    if kernel not in KERNELS + EXTRA_KERNELS:
        raise BadInputError(
            f"there is no kernel {kernel!r}{did_you_mean(kernel, KERNELS)}",
            expected=", ".join(KERNELS),
            got=repr(kernel),
            fix='leave it out: "auto" takes the fastest accurate one',
        )
    left, right = arrays.check_vectors(a, "a"), arrays.check_vectors(b, "b")
    arrays.check_same_width(left, right, ("a", "b"))
    most, instructions = check_threads(threads), choose(isa)
    target = _check_out(out, (len(left), len(right)), left, right)
    if target.size:
        slow = kernel in ("scalar", "scalar-strict", "scalar4")
        work = target.size * left.shape[1]
        pay = work >= SLOW_WORK if slow else policy.threads_pay(len(left), right.size)
        settings = _Settings(measure, most if pay else 1, instructions, policy)
        _fill(left, right, kernel, settings, target)
    if out is None or target is out:
        return target
    out[...] = target
    return out


class _Settings(NamedTuple):
    """How all pairs are to be computed."""

    metric: Metric
    threads: int
    isa: Isa
    policy: SearchPolicy

    @property
    def l2(self) -> bool:
        """Whether a core is to sum squared differences, and not products."""
        return self.metric in (Metric.SQEUCLIDEAN, Metric.L2)

    def by_rows(self, rows: int, job: Callable[[int, int], None], *, least: int = 1) -> None:
        """Call job(first, last) for spans of the rows, on as many threads as pay."""
        run_spans(self.threads, 0, rows, job, least=least)


class _Squares(NamedTuple):
    """Squared norms of both sides, float64."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]

    def safe(self) -> bool:
        """Return whether float32 sums of squares neither overflow nor vanish."""
        both = np.concatenate(self)
        positive = both[both > 0]
        return not positive.size or bool(positive.max() <= _SAFE[1] and positive.min() >= _SAFE[0])


Vectors = NDArray[Any]
Floats = NDArray[np.float32]
Core = Callable[[Floats, Floats, _Settings, Floats], None]


def _check_out(out: Any, shape: tuple[int, int], a: Vectors, b: Vectors) -> Floats:
    if out is None:
        return np.empty(shape, np.float32)
    if not is_array(out) or out.shape != shape or out.dtype != np.float32:
        raise BadInputError(
            "out does not fit",
            expected=f"a float32 array of shape {shape}",
            got=f"{out.dtype} {out.shape}" if is_array(out) else type(out).__name__,
            fix="leave it out: the result is returned",
        )
    if not out.flags.writeable:
        raise BadInputError("out is read-only", expected="a writable array", fix="pass a copy")
    shares = np.shares_memory(out, a) or np.shares_memory(out, b)
    if shares or not out.flags.c_contiguous or not out.flags.aligned:
        return np.empty(shape, np.float32)
    return out


def _squares(x: Vectors, name: str, settings: _Settings) -> NDArray[np.float64]:
    squares, kind, stride = np.empty(len(x)), exact.KINDS[x.dtype.name], x.strides[0]

    def fill(i: int, j: int) -> None:
        squares[i:j] = exact.squares_of(kind, x.ctypes.data + i * stride, stride, j - i, x.shape[1])

    threads = settings.threads if settings.policy.threads_pay(1, x.size) else 1
    run_spans(threads, 0, len(x), fill)
    if not np.isfinite(squares).all():
        arrays.check_finite(x, name)
    return squares


def _fill(a: Vectors, b: Vectors, kernel: str, settings: _Settings, out: Floats) -> None:
    if kernel == "oracle":
        arrays.check_finite(a, "a")
        arrays.check_finite(b, "b")
        out[...] = oracle.distances(a, b, settings.metric)
        return
    squares = _Squares(_squares(a, "a", settings), _squares(b, "b", settings))
    whole = kernel == "blocked" and a.dtype == b.dtype == np.int8
    if whole and a.shape[1] <= _LONGEST_INT8:
        _blocked_i8(a, b, squares, settings, out)
    elif not squares.safe():
        _exact(a, b, squares, settings, out)
        return
    else:
        x, y = (np.ascontiguousarray(v, np.float32) for v in (a, b))
        _CORES[kernel](x, y, settings, out)
        if settings.l2 and kernel == "blas":
            settings.by_rows(len(x), lambda i, j: finish_l2(x, y, *squares, CANCELS, out, i, j))
    if settings.metric is Metric.COSINE:
        u, v = (np.ascontiguousarray(v, np.float32) for v in (a, b))
        settings.by_rows(len(u), lambda i, j: finish_cosine(u, v, *squares, CANCELS, out, i, j))
    elif settings.metric is Metric.L2:
        np.sqrt(out, out=out)


def _exact(a: Vectors, b: Vectors, squares: _Squares, settings: _Settings, out: Floats) -> None:
    """Fill out by float64 sums alone: for values so large or small that float32 sums would overflow or vanish."""
    x, y = (np.ascontiguousarray(v, np.float32) for v in (a, b))
    code, root = METRIC_CODES[settings.metric], settings.metric is Metric.L2
    settings.by_rows(len(x), lambda i, j: exact_rows(x, y, squares.a, code, root, out, i, j))
    if settings.metric is Metric.IP:
        np.subtract(np.float32(0), out, out=out)


def _by_rows(function_l2: Callable[..., None], function_ip: Callable[..., None]) -> Core:
    def core(x: Floats, y: Floats, settings: _Settings, out: Floats) -> None:
        f = function_l2 if settings.l2 else function_ip
        settings.by_rows(len(x), lambda i, j: f(x, y, out, i, j))

    return core


def _explicit(x: Floats, y: Floats, settings: _Settings, out: Floats) -> None:
    kernel = loops.explicit(settings.isa, settings.l2)
    settings.by_rows(len(x), lambda i, j: kernel(x, y, out, i, j))


def _blocked(x: Floats, y: Floats, settings: _Settings, out: Floats) -> None:
    kernel, threads = loops.blocked(settings.isa, settings.l2), settings.threads
    pieces = _blocks(len(x), len(y), 3 * settings.isa.width, threads)
    share(threads, pieces, lambda _, block: kernel(x, y, out, *block))


def _blocks(n: int, m: int, lanes: int, threads: int) -> list[tuple[int, int, int, int]]:
    """Return all pairs as blocks (first, last, begin, end), enough for a slow core to take fewer of them.

    Columns are cut at whole panels; rows only where these are too few, as each block lays its panels again.
    """
    if threads == 1:
        return [(0, n, 0, m)]
    columns = [
        (a * lanes, min(b * lanes, m)) for a, b in spans(0, -(-m // lanes), BLOCKS * threads)
    ]
    rows = spans(0, n, max(1, min(BLOCKS * threads // len(columns), n // lanes)))
    return [(*row, *column) for column in columns for row in rows]


def _blocked_i8(
    a: Vectors, b: Vectors, squares: _Squares, settings: _Settings, out: Floats
) -> None:
    if settings.isa.levels < 127:
        # pmaddubsw would saturate: split b, whose bytes are the unsigned operand, into two halves
        low, other = b // 2, np.empty_like(out)
        nothing = _Squares(*(np.zeros(max(len(a), len(b))) for _ in range(2)))
        _byte_products(a, low, nothing, False, settings, out)
        _byte_products(a, b - low, nothing, False, settings, other)
        # sums of int8 products up to 2^24 are exact in float32; add in float64 where they may be larger
        products = out.astype(np.float64) + other if a.shape[1] > 512 else out + other
        l2 = squares.a[:, None] + squares.b - 2.0 * products if settings.l2 else products
        out[...] = l2
        return
    _byte_products(a, b, squares, settings.l2, settings, out)


def _byte_products(
    a: Vectors, b: Vectors, squares: _Squares, l2: bool, settings: _Settings, out: Floats
) -> None:
    isa = settings.isa
    panels = _byte_panels(b, a.shape[1], 3 * isa.width, isa)
    kernel, padded = loops.blocked_i8(isa), _pad_groups(a)
    settings.by_rows(len(a), lambda i, j: kernel(padded, panels, *squares, l2, out, i, j))


def _pad_groups(x: Vectors) -> Vectors:
    return np.pad(x, ((0, 0), (0, -x.shape[1] % 4))) if x.shape[1] % 4 else x


def _byte_panels(b: Vectors, d: int, lanes: int, isa: Isa) -> NDArray[np.uint8]:
    count, steps = -(-len(b) // lanes), -(-d // 4)
    codes = np.zeros((count * lanes, steps * 4), np.uint8)
    codes[: len(b), :d] = (b.astype(np.int16) + isa.offset).astype(np.uint8)
    grouped = codes.reshape(count, lanes, steps, 4).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(grouped).reshape(count, steps, lanes * 4)


def _blas(x: Floats, y: Floats, settings: _Settings, out: Floats) -> None:
    def multiply(i: int, j: int) -> None:
        np.matmul(x[i:j], y.T, out=out[i:j])

    with one_blas_thread():
        # each call packs all of y again: only long spans are worth that
        settings.by_rows(len(x), multiply, least=1000)


_CORES: dict[str, Core] = {
    "auto": _blocked,
    "scalar": _by_rows(loops.scalar_l2, loops.scalar_ip),
    "scalar-strict": _by_rows(loops.strict_l2, loops.strict_ip),
    "scalar4": _by_rows(loops.scalar4_l2, loops.scalar_ip),
    "autovec": _by_rows(loops.autovec_l2, loops.autovec_ip),
    "simd": _explicit,
    "blocked": _blocked,
    "blas": _blas,
}
