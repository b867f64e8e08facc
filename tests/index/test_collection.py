"""Whatever was done to a collection, its answers are those of a matcher built afresh."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.core.errors import BadInputError, IntegrityError
from facelab.index import Collection
from facelab.index._log import LogError
from facelab.index.internals import Source, vector_id
from facelab.matching import Matcher

DIMENSION = 5
NAMES = [f"n{i}" for i in range(12)]
SOURCE = Source("a" * 64, "b" * 64)


def draw(rng, count, dtype):
    """Return vectors of few values, so that equal distances and equal vectors are common."""
    return rng.integers(-2, 3, (count, DIMENSION)).astype(dtype)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(st.sampled_from(NAMES), max_size=7, unique=True)),
        st.tuples(st.just("delete"), st.lists(st.sampled_from(NAMES), max_size=4, unique=True)),
        st.tuples(st.sampled_from(["flush", "compact", "open", "refuse"]), st.just([])),
    ),
    max_size=14,
)


def agree(collection, model, metric, queries):
    """Compare a collection with a matcher built from a dict of vectors in order."""
    assert len(collection) == len(model)
    assert [e.id for e in collection.items()] == list(model)
    names = list(model)
    if not names:
        assert collection.search(queries, 3).distances.shape == (len(queries), 0)
        assert collection.search_within(queries, 0.5).ids == [[]] * len(queries)
        return
    fresh = Matcher(np.stack(list(model.values())), metric)
    for k in (1, 3, 50):
        mine, truth = collection.search(queries, k), fresh.search(queries, min(k, len(names)))
        assert mine.ids == [[names[i] for i in row] for row in truth.ids]
        assert np.array_equal(mine.distances, truth.distances)
    mine, truth = collection.search_within(queries, 0.5), fresh.range_search(queries, 0.5)
    assert mine.ids == [[names[i] for i in ids] for ids, _ in truth]
    assert all(np.array_equal(a, b) for a, (_, b) in zip(mine.distances, truth))


@settings(max_examples=60)
@given(
    done=operations,
    metric=st.sampled_from(["cosine", "l2", "sqeuclidean", "ip"]),
    dtype=st.sampled_from(["float32", "float16", "int8"]),
    seed=st.integers(0, 999),
)
def test_answers_are_those_of_a_fresh_index(tmp_path_factory, done, metric, dtype, seed):
    rng = np.random.default_rng(seed)
    place, model = tmp_path_factory.mktemp("c") / "c", {}
    c = Collection.create(place, dimension=DIMENSION, metric=metric, dtype=dtype)
    c.flush_rows = 6
    queries = draw(rng, 4, dtype)
    for kind, names in done:
        if kind == "put":
            rows = draw(rng, len(names), dtype)
            replaced = c.upsert(rows.reshape(-1, DIMENSION), names)
            assert replaced == sum(n in model for n in names)
            for name, row in zip(names, rows):
                model.pop(name, None)
                model[name] = row
        elif kind == "delete":
            known = [n for n in names if n in model]
            assert c.delete(names, missing_ok=True) == len(known)
            for name in known:
                del model[name]
        elif kind == "refuse" and model:
            with pytest.raises(BadInputError):
                c.add(draw(rng, 2, dtype), ["fresh", next(iter(model))])
            assert "fresh" not in c
        elif kind == "open":
            c.close()
            c = Collection.open(place)
            c.flush_rows = 6
        elif kind in ("flush", "compact"):
            getattr(c, kind)()
        agree(c, model, metric, queries)
    c.close()
    with Collection.open(place, write=False) as again:
        agree(again, model, metric, queries)


@pytest.fixture
def faces(tmp_path):
    with Collection.create(tmp_path / "faces", dimension=3, source=SOURCE) as c:
        c.add(np.eye(3, dtype=np.float32), ["x", "y", "z"], labels=["a", None, "b"], source=SOURCE)
        yield c


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Source("c" * 64, "b" * 64), "another model"),
        (Source("a" * 64, "c" * 64), "another preprocessing spec"),
        (None, "do not"),
    ],
)
def test_vectors_and_queries_of_another_source_are_refused(faces, other, said):
    row = np.ones((1, 3), np.float32)
    for call in (
        lambda: faces.add(row, ["n"], source=other),
        lambda: faces.upsert(row, ["x"], source=other),
        lambda: faces.search(row, 1, source=other),
        lambda: faces.search_within(row, 0.5, source=other),
    ):
        with pytest.raises(BadInputError, match=said):
            call()
    assert len(faces) == 3


def test_a_collection_is_opened_with_its_own_metric_or_not_at_all(faces, tmp_path):
    faces.close()
    with pytest.raises(BadInputError, match="different metric"):
        Collection.open(tmp_path / "faces", metric="l2")
    with Collection.open(tmp_path / "faces") as c:
        assert c.search(np.eye(3, dtype=np.float32)[:1], 1, source=SOURCE).metric == "cosine"


@pytest.mark.parametrize(
    "bad",
    [
        np.ones((1, 4), np.float32),
        np.ones(3, np.float32),
        np.ones((1, 3), np.float64),
        np.full((1, 3), np.nan, np.float32),
        [["a", "b", "c"]],
        [[1, 2, 3], [4, 5]],
    ],
)
def test_vectors_that_do_not_fit_are_refused_whole(faces, bad):
    with pytest.raises(BadInputError):
        faces.add(bad, [f"n{i}" for i in range(len(bad))], source=SOURCE)
    assert len(faces) == 3


@pytest.mark.parametrize(
    "more",
    [
        {"ids": ["n", "n"]},
        {"ids": ["n"]},
        {"ids": "nm"},
        {"ids": ["", "m"]},
        {"ids": ["a\nb", "m"]},
        {"ids": ["\ud800", "m"]},
        {"ids": ["x" * 201, "m"]},
        {"ids": ["n", 7]},
        {"ids": ["n", "m"], "labels": ["a"]},
        {"ids": ["n", "m"], "labels": ["a", 3]},
        {"ids": ["n", "m"], "payloads": [{}, [1]]},
        {"ids": ["n", "m"], "payloads": [{}, {"a": float("nan")}]},
        {"ids": ["n", "m"], "payloads": [{}, {"a": "x" * 70_000}]},
        {"ids": ["n", "m"], "payloads": [{}, {"a": "\ud800"}]},
        {"ids": ["n", "m"], "payloads": [{}, {"a": object()}]},
        {"ids": ["n", "m"], "payloads": [{}, {"a": [{1: "x", "1": "y"}]}]},
    ],
)
def test_bad_ids_labels_and_payloads_are_refused_before_anything_is_written(faces, more):
    with pytest.raises(BadInputError) as caught:
        faces.add(np.ones((2, 3), np.float32), source=SOURCE, **more)
    assert caught.value.fix
    assert [e.id for e in faces.items()] == ["x", "y", "z"]


def test_labels_and_payloads_come_back(tmp_path):
    place = tmp_path / "c"
    payload = {"photo": "ä.png", "box": [1, 2.5, None], "1": {"deep": True}}
    with Collection.create(place, dimension=2, namespace="faces") as c:
        (name,) = c.add(np.ones((1, 2), np.float32), labels=["ann"], payloads=[payload])
        assert name.startswith("faces:")
    for flush in (False, True):
        with Collection.open(place) as c:
            if flush:
                c.flush()
            entry = c.get(name)
            assert (entry.label, entry.payload) == ("ann", payload)
            assert c.search(np.ones((1, 2), np.float32), 1).labels == [["ann"]]
            assert c.get("nobody") is None


def test_an_id_that_is_made_from_a_vector_meets_another_vector(tmp_path):
    a, b = np.ones((1, 3), np.float32), np.full((1, 3), 2, np.float32)
    with Collection.create(tmp_path / "c", dimension=3) as c:
        c.add(a, [vector_id(b[0])])  # planted: the id of another vector
        with pytest.raises(IntegrityError, match="two different vectors have one id"):
            c.add(b)
        with pytest.raises(BadInputError, match="already"):
            c.add(b, [vector_id(b[0])])
        c.add(a)
        with pytest.raises(BadInputError, match="with this vector"):
            c.add(a)


def test_one_process_writes_and_others_read_what_it_wrote(tmp_path):
    place = tmp_path / "c"
    with Collection.create(place, dimension=2) as writer:
        with pytest.raises(BadInputError, match="another process writes"):
            Collection.open(place)
        reader = Collection.open(place, write=False)
        with pytest.raises(BadInputError, match="for reading"):
            reader.add(np.ones((1, 2), np.float32))
        writer.add(np.ones((1, 2), np.float32), ["a"])
        assert len(reader) == 0
        reader.refresh()
        assert len(reader) == 1
        for i in range(3):
            writer.add(np.full((1, 2), i + 2, np.float32), [str(i)])
            writer.compact()
        # the files under the old view are gone, and the view still answers
        assert reader.search(np.ones((1, 2), np.float32), 5).ids == [["a"]]
        assert reader.refresh() == writer.status().generation
        assert len(reader) == 4
        reader.close()
    with pytest.raises(BadInputError, match="closed"):
        writer.add(np.ones((1, 2), np.float32))


def test_searches_of_a_thread_see_all_or_nothing_of_a_call(tmp_path):
    import threading

    with Collection.create(tmp_path / "c", dimension=2, metric="ip") as c:
        c.flush_rows = 40
        stop, seen = threading.Event(), set()

        def read():
            while not stop.is_set():
                seen.add(len(c.search(np.ones((1, 2), np.float32), 10_000).ids[0]) % 8)

        thread = threading.Thread(target=read)
        thread.start()
        rng = np.random.default_rng(0)
        for i in range(30):
            names = [f"{i} {j}" for j in range(8)]
            c.add(rng.standard_normal((8, 2)).astype(np.float32), names)
            if i % 3 == 2:
                c.delete([f"{i - 1} {j}" for j in range(8)])
        stop.set()
        thread.join()
    assert seen == {0}


def test_a_failed_log_asks_to_open_again(tmp_path):
    with Collection.create(tmp_path / "c", dimension=2) as c:
        c._unsure = True
        with pytest.raises(LogError, match="interrupted"):
            c.add(np.ones((1, 2), np.float32))


@pytest.mark.parametrize("file", ["arrays.bin", "segment.json"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_segment_that_is_cut_or_incomplete_is_refused(tmp_path, file, how):
    place = tmp_path / "c"
    with Collection.create(place, dimension=4) as c:
        c.add(np.random.default_rng(0).standard_normal((70, 4)).astype(np.float32))
        c.flush()
    (segment,) = (place / "segments").iterdir()
    path = segment / file
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError) as caught:
        Collection.open(place)
    assert caught.value.fix


def test_creating_over_something_or_with_bad_values_is_refused(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(BadInputError, match="exists"):
        Collection.create(tmp_path / "there", dimension=3)
    for bad in (
        {"dimension": 0},
        {"dimension": 3.0},
        {"dimension": True},
        {"dimension": 3, "metric": "hamming"},
        {"dimension": 3, "dtype": "float64"},
        {"dimension": 3, "name": "../x"},
        {"dimension": 3, "shard": "a/../b"},
    ):
        with pytest.raises(BadInputError):
            Collection.create(tmp_path / "new", **bad)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["there"]
    with pytest.raises(BadInputError, match="no collection"):
        Collection.open(tmp_path / "there")


def test_merging_keeps_few_segments(tmp_path):
    rng = np.random.default_rng(0)
    written = []
    with Collection.create(tmp_path / "c", dimension=2, on_step=lambda s: written.append(s)) as c:
        for i in range(24):
            c.add(rng.standard_normal((4, 2)).astype(np.float32), [f"{i} {j}" for j in range(4)])
            c.flush()
        assert c.status().segments <= 5
        assert len(c) == 96
