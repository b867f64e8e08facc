"""Searches by threshold give what a full search cut at the threshold gives, in one unit for similarities."""

import math

import numpy as np
import pytest

from facelab.core.errors import BadInputError
from facelab.matching import Matcher, Metric, SearchPolicy

METRICS = ("sqeuclidean", "l2", "ip", "cosine")


def within(found, metric, threshold):
    """Return what the threshold keeps of a search for all rows, per query."""
    for ids, distances in zip(found.ids, found.distances.astype(np.float64)):
        keep = {
            "ip": distances >= threshold,
            "cosine": distances <= 1 - threshold,
        }.get(metric, distances <= threshold)
        yield ids[keep], distances[keep]


def make(dtype, m, n, d=19):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((m + n, d))
    x[m // 2 : m] = x[: m - m // 2]  # every row twice: ties at the threshold
    x[m] = x[0]
    return ((x * 20).clip(-127, 127) if dtype == np.int8 else x).astype(dtype)[:m], (
        (x * 20).clip(-127, 127) if dtype == np.int8 else x
    ).astype(dtype)[m:]


@pytest.mark.parametrize("method", ["auto", "exhaustive", "screened"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_a_threshold_keeps_what_a_full_search_says(dtype, metric, method):
    """At ranks 1, 5 and 300: within the first list, beyond it (every exact key), and nothing at all."""
    gallery, queries = make(dtype, 900, 6)
    matcher = Matcher(
        gallery, metric, method, threads=2, policy=SearchPolicy(range_k=2, thread_pays_s=0)
    )
    every = matcher.search(queries, len(gallery))
    for rank in (1, 5, 300, 899):
        value = float(every.distances[1, rank])
        threshold = min(1.0, 1 - value) if metric == "cosine" else value
        found = matcher.range_search(queries, threshold)
        assert len(found) == len(queries) and found.starts[-1] == len(found.ids)
        for (ids, distances), (wanted, wanted_d) in zip(found, within(every, metric, threshold)):
            np.testing.assert_array_equal(ids, wanted)
            np.testing.assert_array_equal(distances, wanted_d)
        assert len(found[1][0]) > rank, "rows at the threshold belong"


def test_a_mapped_gallery_and_values_that_cannot_be_screened_are_searched_alike(tmp_path):
    gallery, queries = make(np.float32, 3000, 5)
    np.save(tmp_path / "g.npy", gallery)
    policy = SearchPolicy(range_k=2, chunk_bytes=19 * 4 * 700)
    mapped = Matcher(np.load(tmp_path / "g.npy", mmap_mode="r"), "cosine", policy=policy)
    one = Matcher(gallery, "cosine").range_search(queries, 0.2)
    two = mapped.range_search(queries, 0.2)
    np.testing.assert_array_equal(one.ids, two.ids)
    np.testing.assert_array_equal(one.distances, two.distances)
    huge = Matcher(gallery * np.float32(1e18), "cosine", policy=policy)
    assert huge.range_search(queries * np.float32(1e18), 0.2).starts.tolist() == one.starts.tolist()


def test_no_rows_no_queries_and_all_rows():
    rows = np.eye(3, dtype=np.float32)
    matcher = Matcher(rows, "cosine")
    assert matcher.range_search(rows[:0], 0.5).starts.tolist() == [0]
    assert matcher.range_search(-rows, 0.5).starts.tolist() == [0, 0, 0, 0]
    found = matcher.range_search(rows, -1)
    assert found.starts.tolist() == [0, 3, 6, 9]
    assert found[0][0].tolist() == [0, 1, 2]
    assert len(Matcher(rows[:0], "cosine").range_search(rows, 0).ids) == 0


@pytest.mark.parametrize(
    ("metric", "threshold"),
    [
        ("cosine", 1.5),
        ("cosine", math.nan),
        ("l2", -0.1),
        ("sqeuclidean", math.inf),
        ("ip", "0.5"),
        ("ip", None),
        ("cosine", True),
    ],
)
def test_a_threshold_that_makes_no_sense_is_an_error_with_a_fix(metric, threshold):
    rows = np.eye(3, dtype=np.float32)
    with pytest.raises(BadInputError) as caught:
        Matcher(rows, metric).range_search(rows, threshold)
    assert "threshold" in caught.value.what and caught.value.fix


def test_queries_that_are_not_finite_are_named():
    rows = np.eye(3, dtype=np.float32)
    bad = rows.copy()
    bad[2, 1] = np.nan
    with pytest.raises(BadInputError, match="row 2"):
        Matcher(rows, "cosine").range_search(bad, 0.5)


def test_one_threshold_in_every_unit_keeps_the_same_rows():
    """The conversion of unit vectors that the documentation states."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((400, 16))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    kept = {}
    for metric in METRICS:
        threshold = Metric.of(metric).from_cosine(0.3)
        kept[metric] = Matcher(x, metric).range_search(x[:20], threshold)
        assert Metric.of(metric).to_cosine(threshold) == pytest.approx(0.3)
    sizes = {metric: found.starts.tolist() for metric, found in kept.items()}
    assert all(size == sizes["cosine"] for size in sizes.values())
    np.testing.assert_allclose(kept["cosine"].similarities, kept["ip"].similarities, atol=3e-7)
    assert (kept["cosine"].similarities >= 0.3 - 1e-7).all()
    with pytest.raises(BadInputError, match="no similarity"):
        _ = kept["l2"].similarities
    with pytest.raises(BadInputError):
        Metric.COSINE.from_cosine(1.2)


def test_plans_are_bounded_and_results_stay_the_same():
    """A matcher that met ten thousand shapes keeps a few plans; the oldest shape is planned again."""
    rng = np.random.default_rng(7)
    gallery = rng.standard_normal((400, 8)).astype(np.float32)
    matcher = Matcher(gallery, policy=SearchPolicy(plans=5), threads=1)
    first = matcher.search(gallery[:3], 2)
    for k in range(1, 60):
        matcher.search(gallery[: 1 + k % 7], k)
        assert len(matcher._calls.plans) <= 5
    np.testing.assert_array_equal(matcher.search(gallery[:3], 2).ids, first.ids)


@pytest.mark.parametrize(
    "wrong", [{"plans": 0}, {"thread_pays_s": -1}, {"query_batch": "many"}, {"block_work": True}]
)
def test_a_policy_is_checked(wrong):
    with pytest.raises(BadInputError) as caught:
        SearchPolicy(**wrong)
    assert next(iter(wrong)) in caught.value.what


def test_a_warmed_search_compiles_nothing_more():
    gallery = np.random.default_rng(8).standard_normal((2000, 16)).astype(np.float32)
    matcher = Matcher(gallery, threads=1)
    matcher.warm(40, 5)
    compiled = matcher._calls.plan(40, 5).call
    before = len(compiled.signatures)
    assert before >= 1
    matcher.search(gallery[:40], 5)
    assert len(compiled.signatures) == before
