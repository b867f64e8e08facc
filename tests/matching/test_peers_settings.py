"""Peers are met at their best: FAISS takes BLAS where that is faster, and its global switch is left as it was."""

import functools
import os
import time
from pathlib import Path

import numpy as np
import pytest

from facelab.core.errors import BadInputError
from facelab.core.machine import cpu_features
from facelab.matching.internals import oracle
from facelab.studies import matching as bench
from facelab.studies.matching import _faiss_process as ours
from facelab.studies.matching import _peers as peers
from facelab.studies.matching._faiss_process import FaissProcess, FlatIndex
from facelab.studies.matching._harness import timed_once

faiss = pytest.importorskip("faiss")


@pytest.mark.parametrize("metric", ["sqeuclidean", "ip", "cosine"])
@pytest.mark.parametrize("n", [1, 64])
def test_both_ways_of_faiss_are_exact_and_leave_its_switch_alone(metric, n):
    gallery, queries = bench.make_data("unit", 3000, n, 128)
    before = faiss.cvar.distance_compute_blas_threshold
    index = FlatIndex(gallery * np.float32(2), metric)
    expected = oracle.top_k(queries, gallery * np.float32(2), 5, metric)[1]
    np.testing.assert_array_equal(index.search(queries, 5), expected)
    index.warm(queries, 5)
    np.testing.assert_array_equal(index.search(queries, 5), expected)
    if metric == "ip":
        np.testing.assert_array_equal(
            ours.search_by_blas(index.index, queries, 5),
            ours.search_by_default(index.index, queries, 5),
        )
    assert faiss.cvar.distance_compute_blas_threshold == before


def test_faiss_takes_blas_where_it_is_faster(monkeypatch):
    """One way is slowed down until the other is surely faster."""
    gallery, queries = bench.make_data("unit", 500, 8, 32)
    names = ("search_by_default", "search_by_blas")
    for slow, fast in (names, names[::-1]):
        taken = []

        def way(index, queries, k, name, slow=slow, taken=taken):
            taken.append(name)
            time.sleep(0.03 * (name == slow))
            return np.zeros((len(queries), k), np.int64)

        with monkeypatch.context() as patch:
            for name in names:
                patch.setattr(ours, name, functools.partial(way, name=name))
            index = FlatIndex(gallery, "ip")
            index.warm(queries, 3)
            taken.clear()
            index.search(queries, 3)
        assert taken == [fast]


def test_faiss_runs_in_its_own_process_by_the_kernel_that_is_asked_for():
    """The same answers, times by its own clock, the kernel that its OpenBLAS took, and nothing left behind."""
    gallery, queries = bench.make_data("unit", 2000, 40, 64)
    with FaissProcess(gallery, 5, "sqeuclidean", 1, core="Haswell") as process:
        pid, folder = process._process.pid, process._folder.name
        process.warm(queries)
        expected = oracle.top_k(queries, gallery, 5)[1]
        np.testing.assert_array_equal(process.search(queries), expected)
        other = np.ascontiguousarray(queries[::-1])
        np.testing.assert_array_equal(process.search(other), expected[::-1])
        assert 1e-7 < process.seconds(queries, 3) < 5
        if {"avx2", "fma"} <= cpu_features():
            assert process.blas.endswith("Haswell")
        with pytest.raises(ours.FaissProcessError) as caught:
            ours._ask(process._process, do="search", path="nowhere.npy", k=5, ids="x.npy")
        assert "nowhere.npy" in caught.value.got and caught.value.fix
    assert not Path(folder).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
def test_the_fastest_kernel_of_faiss_is_measured():
    found = ours.core_seconds()
    assert "" in found and all(seconds > 0 for seconds, _ in found.values())
    best = ours.fastest_core()
    assert found[best][0] == min(seconds for seconds, _ in found.values())


def test_a_contender_ten_times_slower_than_the_leader_is_timed_once():
    assert timed_once({"a": 1e-5, "b": 0.9e-4, "c": 1.1e-4}) == {"c"}
    assert timed_once({"a": 1.0, "b": 2.5, "c": 1.9}) == {"b"}
    assert timed_once({"a": 0.1}) == set()


@pytest.mark.parametrize("metric", ["sqeuclidean", "ip", "cosine"])
def test_every_peer_that_knows_a_metric_answers_rightly(metric):
    gallery, queries = bench.make_data("identities", 400, 3, 32)
    rows = bench.search_benchmark(
        gallery, queries, 5, metric=metric, repeats=3, budget_s=0.1, approximate=True
    )
    assert all(r.correct for r in rows)
    assert len(rows) == 3 + len(peers.installed(peers.EXACT + peers.APPROXIMATE)) - 2 * (
        metric == "ip"
    )
    if metric == "ip":
        with pytest.raises(BadInputError, match="sklearn"):
            bench.search_benchmark(gallery, queries, 5, metric=metric, names=["sklearn"])
