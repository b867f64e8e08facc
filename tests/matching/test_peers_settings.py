"""Peers are met at their best: FAISS takes BLAS where that is faster, and its global switch is left as it was."""

import time

import numpy as np
import pytest

from facelab.core.errors import BadInputError
from facelab.matching import oracle
from facelab.studies.matching import _harness as bench
from facelab.studies.matching import _peers as peers

faiss = pytest.importorskip("faiss")


@pytest.mark.parametrize("metric", ["sqeuclidean", "ip", "cosine"])
@pytest.mark.parametrize("n", [1, 64])
def test_both_ways_of_faiss_are_exact_and_leave_its_switch_alone(metric, n):
    gallery, queries = bench.make_data("unit", 3000, n, 128)
    before = faiss.cvar.distance_compute_blas_threshold
    peer = peers.faiss_peer(gallery * np.float32(2), 5, metric, 1)
    expected = oracle.top_k(queries, gallery * np.float32(2), 5, metric)[1]
    np.testing.assert_array_equal(peer.search(queries), expected)
    peer.warm(queries)
    np.testing.assert_array_equal(peer.search(queries), expected)
    index = peers._flat(gallery, "ip")
    np.testing.assert_array_equal(
        peers._search_by_blas(index, queries, 5), peers._search(index, queries, 5)
    )
    assert faiss.cvar.distance_compute_blas_threshold == before


def test_faiss_takes_blas_where_it_is_faster(monkeypatch):
    """One way is slowed down until the other is surely faster."""
    gallery, queries = bench.make_data("unit", 500, 8, 32)
    for slow, fast in (("_search", "_search_by_blas"), ("_search_by_blas", "_search")):
        taken = []

        def way(index, queries, k, name, slow=slow, taken=taken):
            taken.append(name)
            time.sleep(0.003 * (name == slow))
            return np.zeros((len(queries), k), np.int64)

        with monkeypatch.context() as patch:
            for name in (slow, fast):
                patch.setattr(
                    peers,
                    name,
                    lambda index, queries, k, name=name, way=way: way(index, queries, k, name),
                )
            peer = peers.faiss_peer(gallery, 3, "ip", 1)
            peer.warm(queries)
            taken.clear()
            peer.search(queries)
        assert taken == [fast]


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
