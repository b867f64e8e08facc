"""Ratios that must hold, from interleaved rounds; and the memory of a streamed search. Wants its own machine."""

import functools

import numpy as np
import pytest

from facelab.core import timing
from facelab.core.machine import cores
from facelab.matching import Matcher
from facelab.studies import matching as bench
from facelab.studies.matching import _claims as claims

pytestmark = [pytest.mark.timing, pytest.mark.slow]


@functools.cache
def searches(m, d):
    """Measure all exact libraries at 1, 8, 64 and 1000 queries; a gallery is prepared once for all tests."""
    gallery, queries = bench.make_data("unit", m, 1000, d)
    return bench.search_benchmark(
        gallery,
        queries,
        10,
        repeats=60 if m == 1000 else 9,
        budget_s=2 if m == 1000 else 8,
        batches=(1, 8, 64, 1000),
    )


def fastest_ratio(slow, fast):
    """Return the ratio of the fastest rounds: the load of others only ever adds time."""
    return slow.samples.min() / fast.samples.min()


def test_simd_is_20_and_blas_35_times_the_textbook_loop():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((1000, 512), dtype=np.float32) for _ in range(2))
    by = {
        r.name: r
        for r in bench.pairwise_benchmark(
            a, b, repeats=9, budget_s=20, kernels=("scalar", "simd", "blocked", "blas")
        )
    }
    for kernel, least in (("simd", 20), ("blocked", 20), ("blas", 35)):
        assert fastest_ratio(by["scalar"], by[kernel]) >= least, kernel
        assert by[kernel].error <= 1e-5


@pytest.mark.parametrize("d", [128, 512])
@pytest.mark.parametrize("m", [1000, 100_000])
def test_no_exact_library_is_faster_at_any_shape(m, d):
    rows = searches(m, d)
    assert all(r.correct for r in rows)
    for case in dict.fromkeys(r.case for r in rows):
        exact = [r for r in rows if r.case == case and r.exact]
        mine = min(
            (r for r in exact if r.name.startswith("facelab")), key=lambda r: r.samples.min()
        )
        assert len(exact) >= 4
        for peer in exact:
            if not peer.name.startswith("facelab"):
                assert fastest_ratio(peer, mine) >= 1, (case, peer.name)


def test_large_galleries_keep_the_promised_ratios():
    pytest.importorskip("faiss")
    found = claims.search_claims(searches(100_000, 512))
    budgets = {(c["case"], c["metric"]): c for c in found}
    assert (
        len(budgets) == 8
    )  # four batches against FAISS, two of the exhaustive path, answers, every shape
    for claim in found:
        limit = float(claim["budget"][2:])
        assert (
            claim["value"] >= limit if claim["budget"].startswith(">=") else claim["value"] <= limit
        ), claim


def test_two_threads_gain_what_the_machine_allows():
    if cores() < 2:
        pytest.skip("one core")
    gallery, queries = bench.make_data("unit", 100_000, 1000, 512)
    gains = bench.two_threads(gallery, queries, 10, repeats=12, budget_s=40)
    if np.median(gains["registers"]) < 1.8:
        pytest.skip(
            f"two threads gain {np.median(gains['registers']):.2f} here with nothing but registers"
        )
    for name, ratios in gains.items():
        if name.startswith("facelab"):
            assert np.median(ratios) >= 1.7, name


@pytest.mark.parametrize("m", [1000, 10_000, 100_000])
@pytest.mark.parametrize("n", [1, 8, 64, 1000])
@pytest.mark.parametrize("method", ["exhaustive", "screened"])
def test_two_threads_are_never_slower_than_one(method, n, m):
    if cores() < 2:
        pytest.skip("one core")
    gallery, queries = bench.make_data("unit", m, n, 512)
    one, two = (Matcher(gallery, method=method, threads=t) for t in (1, 2))
    samples = timing.interleave(
        {"one": lambda: one.search(queries, 10), "two": lambda: two.search(queries, 10)},
        repeats=15,
        warmup=2,
        least_s=0.03,
        budget_s=3,
    )
    # the fastest rounds: a core that is away for a while is not the search's doing; 5 % are the clock's and the caches'
    assert samples["one"].min() / samples["two"].min() >= 0.95


def test_a_streamed_gallery_of_a_million_stays_below_600_mb():
    found = bench.streamed_search(1_000_000, 512, 64, 10, threads=2)
    assert found["gallery_mb"] == 2048
    assert 1 < found["above_base_mb"] < 600
