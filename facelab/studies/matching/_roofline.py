"""The limit: memory bandwidth and arithmetic rate of this machine, measured in the same run as what they bound."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.core import timing
from facelab.matching import Matcher, pairwise
from facelab.matching.kernels import Isa, blocked, choose, kernel, tile_f32
from facelab.matching.threads import one_blas_thread, run_spans, share

SAMPLE_S = 0.1
"""Seconds that a sample of two threads spans at least: over shorter ones the second core may just be waking up."""


@dataclass(frozen=True)
class Limits:
    """Rates of this machine: reading memory, numpy's sgemm, facelab's own float32 tile kernel (per second)."""

    read_bytes: float
    sgemm_flops: float
    tile_flops: float
    threads: int
    samples: dict[str, np.ndarray]


@functools.partial(kernel, fastmath={"reassoc", "contract", "nsz"})
def _read(x: np.ndarray, first: Any, last: Any) -> Any:
    part = x[
        first:last
    ]  # counted from zero, so that no index can be negative and the loop is vectorised
    total = np.float32(0)
    for i in range(part.size):
        total += part[i]
    return total


def measure_limits(
    *, threads: int = 1, megabytes: int = 256, repeats: int = 7, budget_s: float = 8.0
) -> Limits:
    """Measure the limits, interleaved: a STREAM-like read (sum of an array far larger than the caches) and products.

    A search reads and hardly writes, so reading is what bounds it; the best round counts, as STREAM does.
    """
    x = np.ones(megabytes * 250_000, np.float32)
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((1008, 512), dtype=np.float32) for _ in range(2))
    out, isa = np.empty((1008, 1008), np.float32), choose()
    tile = blocked(isa, False)
    with one_blas_thread():
        samples = timing.interleave(
            {
                "read": lambda: run_spans(threads, 0, x.size, lambda i, j: _read(x, i, j)),
                "sgemm": lambda: run_spans(
                    threads, 0, 1008, lambda i, j: np.matmul(a[i:j], b.T, out=out[i:j]), least=1000
                ),
                "tile": lambda: run_spans(
                    threads, 0, 1008, lambda i, j: tile(a, b, out, i, j, 0, 1008)
                ),
            },
            repeats=repeats,
            budget_s=budget_s,
        )
    flops = 2.0 * 1008 * 1008 * 512
    return Limits(
        x.nbytes / samples["read"].min(),
        flops / samples["sgemm"].min(),
        flops / samples["tile"].min(),
        threads,
        samples,
    )


def point(
    seconds: float, n: int, m: int, d: int, limits: Limits, *, item_bytes: float = 4.0
) -> dict:
    """Return where a search of n queries in m × d lies: operations per byte, its rate, and its share of the limit.

    Each gallery row is counted as read once. The limit is the roof at that intensity, from the float32 rates; int8
    screening may exceed it, which is the point of it.
    """
    return _place(seconds, 2.0 * n * m * d, m * d * item_bytes, limits)


def pair_point(seconds: float, n: int, m: int, d: int, limits: Limits) -> dict:
    """Return the same for all pairs of n and m vectors: both read once, n × m distances written."""
    return _place(seconds, 2.0 * n * m * d, 4.0 * ((n + m) * d + n * m), limits)


def _place(seconds: float, operations: float, traffic: float, limits: Limits) -> dict:
    intensity = operations / traffic
    roof = min(intensity * limits.read_bytes, max(limits.sgemm_flops, limits.tile_flops))
    return {
        "intensity": intensity,
        "rate": operations / seconds,
        "roof": roof,
        "share": operations / seconds / roof,
    }


@functools.cache
def _registers(isa: Isa) -> Callable[..., Any]:
    width, height = isa.width, isa.rows(3, int8=False)

    @kernel
    def run(panel, rows, count):
        tile = np.empty(height * width * 3, np.float32)
        for _ in range(count):
            tile_f32(
                panel.ctypes.data,
                rows.ctypes.data,
                rows.shape[1],
                rows.shape[1],
                tile.ctypes.data,
                True,
                width,
                3,
                height,
                0,
            )
        return tile[0]

    return run


def two_threads(
    gallery: np.ndarray, queries: np.ndarray, k: int, *, repeats: int = 9, budget_s: float = 10.0
) -> dict[str, np.ndarray]:
    """Return, per round, how many times faster two threads are than one: searches, pairs, sgemm, and `registers`.

    `registers` multiplies tiles that stay in the first-level cache, one share per thread: what two cores could gain if
    nothing but arithmetic is wanted. Less than 2 there is the machine's doing. Short calls are repeated to `SAMPLE_S`.
    """
    isa, d = choose(), 128
    panel, rows = (np.ones((n, d), np.float32) for n in (3 * isa.width, isa.rows(3, int8=False)))
    spin, some = _registers(isa), queries[: min(len(queries), 2000)]
    out = np.empty((len(some), min(len(gallery), 16_000)), np.float32)
    part = gallery[: out.shape[1]]
    contenders = {}
    for threads in (1, 2):
        for method in ("exhaustive", "screened"):
            matcher = Matcher(gallery, method=method, threads=threads)
            contenders[f"facelab {method}", threads] = lambda m=matcher: m.search(queries, k)
        contenders["facelab pairs", threads] = lambda t=threads: pairwise(
            some, part, threads=t, out=out
        )
        contenders["sgemm alone", threads] = lambda t=threads: run_spans(
            t, 0, len(some), lambda i, j: np.matmul(some[i:j], part.T, out=out[i:j]), least=1000
        )
        contenders["registers", threads] = lambda t=threads: share(
            t, range(16), lambda *_: spin(panel, rows, 4000)
        )
    with one_blas_thread():
        samples = timing.interleave(
            contenders, repeats=repeats, budget_s=budget_s, least_s=SAMPLE_S
        )
    return {
        name: samples[name, 1] / samples[name, 2]
        for name in dict.fromkeys(name for name, _ in contenders)
    }
