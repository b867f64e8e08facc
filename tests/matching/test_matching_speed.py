"""Ratios that must hold, fastest of interleaved rounds against fastest."""

import numpy as np
import pytest

from facelab.core.timing import interleave
from facelab.matching import Matcher, bench, pairwise, peers

pytestmark = [pytest.mark.timing, pytest.mark.slow]


def best_ratio(slow, fast):
    """Return the ratio of the fastest rounds: load of others only ever adds time."""
    return slow.min() / fast.min()


def test_simd_is_20_and_blas_35_times_the_textbook_loop():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((1000, 512), dtype=np.float32) for _ in range(2))
    out = np.empty((1000, 1000), np.float32)
    kernels = ("scalar", "simd", "blocked", "blas")
    samples = interleave({k: (lambda k=k: pairwise(a, b, kernel=k, threads=1, out=out)) for k in kernels},
                         repeats=9, budget_s=20)
    for kernel, budget in (("simd", 20), ("blocked", 20), ("blas", 35)):
        assert best_ratio(samples["scalar"], samples[kernel]) >= budget, kernel


def shapes(*batches, m, d, repeats):
    """Yield (queries, samples of "facelab" and "peer") of one thread beside FAISS's flat index."""
    pytest.importorskip("faiss")
    gallery, queries = bench.make_data("unit", m, max(batches), d)
    matcher = Matcher(gallery, threads=1)
    with bench.threads_for_all(1):
        peer = peers.faiss_peer(gallery, 10, "sqeuclidean", 1)
        for n in batches:
            part = queries[:n]
            yield n, interleave({"facelab": lambda part=part: matcher.search(part, 10),
                                 "peer": lambda part=part: peer.search(part)}, repeats=repeats, budget_s=12)


@pytest.mark.parametrize("d", [128, 512])
def test_small_galleries_are_never_slower_than_faiss(d):
    for n, samples in shapes(1, 8, 64, 1000, m=1000, d=d, repeats=60):
        assert best_ratio(samples["peer"], samples["facelab"]) >= 1, n


def test_large_galleries_are_faster_than_faiss_by_the_promised_ratio():
    budgets = {1: 2.0, 8: 3.0, 64: 1.0, 1000: 1.3}
    for n, samples in shapes(*budgets, m=100_000, d=512, repeats=5):
        assert best_ratio(samples["peer"], samples["facelab"]) >= budgets[n], n


@pytest.mark.parametrize("method", ["exhaustive", "screened"])
def test_two_threads_give_1_7_times_one(method):
    from facelab.core.machine import cores
    if cores() < 2:
        pytest.skip("one core")
    gallery, queries = bench.make_data("unit", 100_000, 1000, 512)
    one, two = (Matcher(gallery, method=method, threads=n) for n in (1, 2))
    samples = interleave({"one": lambda: one.search(queries, 10), "two": lambda: two.search(queries, 10)},
                         repeats=7, budget_s=25)
    assert best_ratio(samples["one"], samples["two"]) >= 1.7
