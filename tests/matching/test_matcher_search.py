"""Exact search: every path gives the float64 answer, bit for bit the same, on data made to break it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.core.errors import BadInputError, FacelabError
from facelab.matching import Matcher, SearchPolicy
from facelab.matching.internals import kernels, oracle
from facelab.studies import matching as bench
from facelab.studies.matching._data import TIE

METRICS = ("sqeuclidean", "ip", "cosine")
METHODS = ("exhaustive", "screened")
IN_BLOCKS = SearchPolicy(one_call_work=0)
"""No search is short enough for one compiled call."""
THREADS_PAY = SearchPolicy(thread_pays_s=0)
"""Every search is long enough for a second thread."""


def pieces_of(matcher, n, k):
    """Return what threads take in turn in a search of this shape."""
    return matcher._calls.plan(n, k).pieces


def vectors(rng, n, d, dtype=np.float32):
    x = rng.standard_normal((n, d))
    return (x * 30).astype(np.int8) if dtype == np.int8 else x.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("method", METHODS)
def test_search_gives_the_float64_answer(dtype, metric, method):
    rng = np.random.default_rng(1)
    gallery, queries = vectors(rng, 700, 37, dtype), vectors(rng, 12, 37, dtype)
    for batch in (queries[:1], queries):
        found = Matcher(gallery, metric, method, threads=1).search(batch, 10)
        distances, ids = oracle.top_k(batch, gallery, 10, metric)
        np.testing.assert_array_equal(found.ids, ids)
        np.testing.assert_allclose(
            found.distances, distances, rtol=2e-7, atol=2e-7
        )  # one float32 rounding


@pytest.mark.parametrize("name", kernels.available())
@pytest.mark.parametrize("n", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_every_instruction_set_this_processor_has_agrees(name, n):
    """Few queries, whose rows are read as vectors, and more, in panels; the scans alone, as they differ."""
    rng = np.random.default_rng(2)
    gallery, queries = vectors(rng, 300, 130), vectors(rng, n, 130)
    expected = oracle.top_k(queries, gallery, 5)[1]
    for method in METHODS:
        found = Matcher(gallery, method=method, isa=name, threads=1, policy=IN_BLOCKS).search(
            queries, 5
        )
        np.testing.assert_array_equal(found.ids, expected)
        assert found.method == method


@pytest.mark.parametrize("method", METHODS)
def test_panels_of_two_vectors_agree(method):
    """Three vectors are what many queries take, below."""
    rng = np.random.default_rng(7)
    gallery, queries = vectors(rng, 900, 33), vectors(rng, 20, 33)
    found = Matcher(gallery, method=method, threads=1, policy=IN_BLOCKS).search(queries, 9)
    np.testing.assert_array_equal(found.ids, oracle.top_k(queries, gallery, 9)[1])


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_many_queries_are_shared_among_threads(method):
    """Too much for one call, panels of queries for every thread: each piece is another search, the answer the same."""
    rng = np.random.default_rng(10)
    gallery, queries = vectors(rng, 900, 20), vectors(rng, 3 * 16 * 7 + 5, 20)
    queries[100:104] = gallery[:4]
    seen = []
    found = Matcher(gallery, method=method, threads=2, policy=IN_BLOCKS).search(
        queries, 6, progress=lambda *x: seen.append(x)
    )
    distances, ids = oracle.top_k(queries, gallery, 6)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_allclose(found.distances, distances, rtol=2e-7, atol=1e-12)
    assert seen[-1] == (900, 900)
    bad = queries.copy()
    bad[300, 2] = np.nan
    with pytest.raises(BadInputError, match="row 300"):
        Matcher(gallery, method=method, threads=2, policy=IN_BLOCKS).search(bad, 6)


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("n", [1, 7, 33, 100, 700])
@pytest.mark.parametrize("threads", [2, 3])
def test_calls_shared_among_threads_give_what_one_gives(threads, n, method):
    """Rows are shared for few queries, queries for many; every row twice, so that ties cross the threads' shares."""
    rng = np.random.default_rng(11)
    gallery, queries = vectors(rng, 4000, 20), vectors(rng, n, 20)
    gallery[2000:] = gallery[:2000]
    for k in (1, 9, 1200):
        one = Matcher(gallery, "cosine", method, threads=1).search(queries, k)
        shared = Matcher(gallery, "cosine", method, threads=threads, policy=THREADS_PAY)
        seen = []
        found = shared.search(queries, k, progress=lambda *x, seen=seen: seen.append(x))
        assert len(pieces_of(shared, n, k)) >= 2
        np.testing.assert_array_equal(found.ids, one.ids)
        np.testing.assert_array_equal(found.distances, one.distances)
        assert found.method == one.method
        assert 0 < found.rescored <= found.screened_in <= 1
        assert seen == [(4000, 4000)]
    bad = queries.copy()
    bad[n - 1, 3] = np.nan
    with pytest.raises(BadInputError, match=f"row {n - 1}"):
        Matcher(gallery, "cosine", method, threads=threads, policy=THREADS_PAY).search(bad, 9)


@pytest.mark.parametrize("gallery_type", [np.float16, np.int8])
@pytest.mark.parametrize("query_type", [np.float32, np.int8])
@pytest.mark.parametrize("n", [3, 70])
def test_shared_calls_take_small_dtypes(n, query_type, gallery_type):
    rng = np.random.default_rng(12)
    gallery, queries = vectors(rng, 2000, 40, gallery_type), vectors(rng, n, 40, query_type)
    shared = Matcher(gallery, "ip", "screened", threads=2, policy=THREADS_PAY)
    found = shared.search(queries, 5)
    assert len(pieces_of(shared, n, 5)) == 2
    np.testing.assert_array_equal(found.ids, oracle.top_k(queries, gallery, 5, "ip")[1])


def test_a_short_search_stays_on_one_thread_and_a_long_one_is_shared():
    small, large = (Matcher(np.ones((m, 128), np.float32), threads=2) for m in (1000, 60_000))
    assert not pieces_of(small, 64, 10)
    assert len(pieces_of(large, 64, 10)) == 2
    assert not SearchPolicy().threads_pay(8, 1000 * 128)
    assert SearchPolicy().threads_pay(8, 100_000 * 512)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_search_whose_codes_tell_nothing_goes_on_without_them(dtype, threads):
    """Rows so near each other that int8 codes cannot part them: "auto" changes its mind without losing a row."""
    rng = np.random.default_rng(8)
    gallery, queries = ((100 + 0.5 * rng.standard_normal((n, 24))).astype(dtype) for n in (9000, 6))
    seen = []
    found = Matcher(gallery, "ip", threads=threads, policy=IN_BLOCKS).search(
        queries, 3, progress=lambda done, total: seen.append(done)
    )
    plain = Matcher(gallery, "ip", method="exhaustive", threads=1).search(queries, 3)
    np.testing.assert_array_equal(found.ids, plain.ids)
    np.testing.assert_array_equal(found.distances, plain.distances)
    assert found.method == "screened, then exhaustive"
    assert seen[-1] == len(gallery)
    assert seen == sorted(seen)


def test_ids_are_those_of_faiss_except_at_ties():
    faiss = pytest.importorskip("faiss")
    gallery, queries = bench.make_data("identities", 20_000, 12, 128)
    gallery[15_000:15_500] = gallery[:500]  # exact ties
    queries[:4] = gallery[:4]
    index = faiss.IndexFlatL2(128)
    index.add(gallery)
    ids = index.search(queries, 10)[1]
    found = Matcher(gallery, threads=1).search(queries, 10)
    mine, theirs = (oracle.of_pairs(queries, gallery, x) for x in (found.ids, ids))
    differ = found.ids != ids
    # where ids differ, both are at the same distance up to FAISS's float32 rounding of |q|² + |g|² - 2qg
    assert (np.abs(mine - theirs)[differ] <= 2 * TIE).all()
    assert differ.mean() < 0.2
    assert (found.ids[:4, 0] == np.arange(4)).all(), "an exact tie goes to the lowest id"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_screening_loses_nobody_on_adversarial_vectors(data):
    """Duplicates, ties, zeros, denormals, one huge coordinate, huge common offsets: ids equal the exhaustive ones."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    d, m, n = (
        data.draw(st.sampled_from([1, 3, 16, 65])),
        data.draw(st.integers(2, 120)),
        data.draw(st.integers(1, 9)),
    )
    x = rng.standard_normal((m + n, d))
    trick = data.draw(
        st.sampled_from(
            [
                "plain",
                "duplicates",
                "zeros",
                "denormal",
                "spike",
                "offset",
                "scales",
                "near",
                "huge",
                "grid",
            ]
        )
    )
    if trick == "duplicates":
        x = x[rng.integers(0, 3, m + n)]
    elif trick == "zeros":
        x[rng.random(m + n) < 0.5] = 0
    elif trick == "denormal":
        x *= 1e-41
    elif trick == "spike":
        x[:, 0] *= 1e6
    elif trick == "offset":
        x += 1e4
    elif trick == "scales":
        x *= 10.0 ** rng.integers(-20, 15, (m + n, 1))
    elif trick == "near":
        x = x[:1] * (1 + 1e-6 * rng.standard_normal((m + n, d)))
    elif trick == "huge":
        x *= 1e18
    elif trick == "grid":
        x = np.round(x)
    x = x.astype(np.float32)
    k, metric = data.draw(st.integers(1, m)), data.draw(st.sampled_from(METRICS))
    one, two = (Matcher(x[:m], metric, method, threads=1).search(x[m:], k) for method in METHODS)
    np.testing.assert_array_equal(one.ids, two.ids)
    np.testing.assert_array_equal(one.distances, two.distances)
    for row, distance in zip(one.ids, one.distances):
        assert len(set(row.tolist())) == k
        tied = np.flatnonzero(distance[1:] == distance[:-1])
        assert (row[tied] < row[tied + 1]).all(), "ties are in the order of ids"
    true = np.sort(oracle.distances(x[m:], x[:m], metric), axis=1)
    true = true[:, ::-1] if metric == "ip" else true
    size = np.outer(*(np.linalg.norm(v.astype(np.float64), axis=1) for v in (x[m:], x[:m]))).max(
        axis=1, keepdims=True
    )
    # one float32 rounding of the distance, plus float64's own in the oracle
    room = 1e-6 * np.abs(true[:, :k]) + 1e-13 * size + 1e-44 + (1e-12 if metric == "cosine" else 0)
    assert (np.abs(one.distances - true[:, :k]) <= room).all()


def test_threads_and_streaming_change_nothing(tmp_path):
    rng = np.random.default_rng(3)
    gallery, queries = vectors(rng, 40_000, 32), vectors(rng, 12, 32)
    gallery[20_000:] = gallery[:20_000]  # every row twice: ties across threads and chunks
    np.save(tmp_path / "g.npy", gallery)
    mapped = np.load(tmp_path / "g.npy", mmap_mode="r")
    expected = Matcher(gallery, threads=1).search(queries, 7)
    for other in (
        Matcher(gallery, threads=2),
        Matcher(gallery, threads=3, method="screened"),
        Matcher(mapped),
        Matcher(mapped, method="screened"),
    ):
        seen = []
        found = other.search(
            queries, 7, progress=lambda done, total, seen=seen: seen.append((done, total))
        )
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)
        assert not seen or seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 3, 12])
def test_the_first_rows_seed_the_threshold_and_lose_nobody(method, n):
    """Seeding needs as many groups of rows as k: below, at and above that, with every row there many times."""
    rng = np.random.default_rng(6)
    few = vectors(rng, 40, 24)
    gallery, queries = few[rng.integers(0, 40, 1500)], vectors(rng, n, 24)
    for k in (1, 10, 200):
        found = Matcher(gallery, method=method, threads=1).search(queries, k)
        distances, ids = oracle.top_k(queries, gallery, k)
        np.testing.assert_array_equal(found.ids, ids)
        np.testing.assert_allclose(found.distances, distances, rtol=2e-7)


@pytest.mark.parametrize("layout", ["fortran", "strided", "readonly", "unaligned", "big-endian"])
def test_any_layout_is_searched(layout):
    rng = np.random.default_rng(4)
    x, queries = vectors(rng, 60, 12), vectors(rng, 3, 12)
    y = x
    if layout == "fortran":
        y = np.asfortranarray(x)
    elif layout == "strided":
        y = np.repeat(x, 2, axis=1)[:, ::2]
    elif layout == "readonly":
        y = x.copy()
        y.flags.writeable = False
    elif layout == "unaligned":
        y = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(60, 12)
    elif layout == "big-endian":
        y = x.astype(">f4")
    before = x.copy()
    for method in METHODS:
        found = Matcher(y, method=method).search(queries, 4)
        np.testing.assert_array_equal(found.ids, oracle.top_k(queries, x, 4)[1])
        np.testing.assert_array_equal(
            Matcher(x, method=method).search(y[:3], 4).ids, oracle.top_k(x[:3], x, 4)[1]
        )
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("where", ["gallery", "queries"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_with_their_row(where, bad):
    gallery, queries = np.ones((5, 4), np.float32), np.ones((3, 4), np.float32)
    (gallery if where == "gallery" else queries)[2, 1] = bad
    with pytest.raises(BadInputError) as caught:
        Matcher(gallery).search(queries, 1)
    assert "row 2" in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda g: Matcher(g.astype(np.float64)),
        lambda g: Matcher(g[0]),
        lambda g: Matcher(g, "l3"),
        lambda g: Matcher(g, method="magic"),
        lambda g: Matcher(g, threads=0),
        lambda g: Matcher(g).search(g[:, :3], 1),
        lambda g: Matcher(g).search(g, 0),
        lambda g: Matcher(g).search(g, 6),
        lambda g: Matcher(g).search(g, 1.5),
        lambda g: Matcher(g[:0]).search(g, 1),
        lambda g: Matcher(g, isa="mmx"),
        lambda g: Matcher([[1, 2], [3]]),
        lambda g: Matcher(g.astype(bool)),
        lambda g: Matcher(g[None]),
        lambda g: Matcher(g[:, :0]),
        lambda g: Matcher(None),
        lambda g: Matcher(np.ma.masked_array(g, mask=g > 2)),
        lambda g: Matcher(g).search(g, True),
        lambda g: Matcher(g).search(g.astype(np.uint8), 1),
        lambda g: Matcher(g).search(g[0], 1),
    ],
)
def test_what_cannot_be_searched_is_a_clear_error(call):
    with pytest.raises(FacelabError) as caught:
        call(np.ones((5, 4), np.float32))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("gallery_type", [np.float32, np.float16, np.int8])
@pytest.mark.parametrize("query_type", [np.float32, np.float16, np.int8])
def test_dtypes_mix_and_k_may_be_the_whole_gallery(gallery_type, query_type):
    rng = np.random.default_rng(9)
    gallery, queries = vectors(rng, 30, 11, gallery_type), vectors(rng, 4, 11, query_type)
    found = Matcher(gallery, "cosine").search(queries, np.int32(30))
    np.testing.assert_array_equal(found.ids, oracle.top_k(queries, gallery, 30, "cosine")[1])


def test_no_queries_is_not_an_error():
    found = Matcher(np.ones((5, 4), np.float32)).search(np.empty((0, 4), np.float32), 3)
    assert found.ids.shape == found.distances.shape == (0, 3)
