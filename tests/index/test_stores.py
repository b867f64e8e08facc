"""One contract for files, PostgreSQL and Valkey."""

import contextlib
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.index import Collection, PostgresStore, ValkeyStore
from facelab.index.internals import Source, VectorStore
from facelab.index.stores._contract import StoreError
from facelab.matching import Matcher
from facelab.serving import postgres_connections
from facelab.serving.internals import local_postgres, local_valkey, valkey_clients

KINDS = ["files", "postgres", "valkey"]
DIMENSION = 5
NUMBERS = itertools.count()
SOURCE = Source("a" * 64, "b" * 64)


@pytest.fixture(scope="module")  # a server that waits takes a share of the processor
def pools():
    """Start each server once, on first use; a server that is missing skips its tests."""
    with contextlib.ExitStack() as stack:
        kept = {}

        def pool(kind):
            if kind not in kept:
                start, make = {
                    "postgres": (local_postgres, postgres_connections),
                    "valkey": (local_valkey, valkey_clients),
                }[kind]
                try:
                    address = stack.enter_context(start())
                except UnsupportedError as e:
                    kept[kind] = f"{e.what}: {e.got}"
                else:
                    kept[kind] = stack.enter_context(make(address, size=4))
            if isinstance(kept[kind], str):
                pytest.skip(kept[kind])
            return kept[kind]

        yield pool


@pytest.fixture
def opened(pools, tmp_path):
    """Return a function that opens a store of a kind by name, again and again."""
    with contextlib.ExitStack() as stack:

        def make(kind, name, **options):
            options = {"dimension": DIMENSION, **options}
            if kind == "files":
                if (tmp_path / name).exists():
                    checked = {k: options[k] for k in ("metric", "source") if k in options}
                    return stack.enter_context(Collection.open(tmp_path / name, **checked))
                return stack.enter_context(Collection.create(tmp_path / name, **options))
            store = {"postgres": PostgresStore, "valkey": ValkeyStore}[kind]
            return store(pools(kind), f"{tmp_path.name[:40]}-{name}", **options)

        yield make


def agree(store, model, metric, queries, *, exact):
    names = list(model)
    assert len(store) == len(names)
    if not names:
        assert store.search(queries, 3).ids == [[]] * len(queries)
        return
    fresh = Matcher(np.stack(list(model.values())), metric)
    found, truth = store.search(queries, 3), fresh.search(queries, min(3, len(names)))
    if exact:
        assert found.ids == [[names[i] for i in row] for row in truth.ids]
        assert np.array_equal(found.distances, truth.distances)
    else:  # float32 sums of five small integers: one part in a million
        assert np.allclose(found.distances, truth.distances, rtol=1e-5, atol=2e-6)
        _by_distance(found, model, queries, metric)
    threshold = 0.3001 if metric in ("cosine", "ip") else 2.5001
    found, truth = (
        store.search_within(queries, threshold),
        fresh.range_search(queries, threshold),
    )
    assert [set(ids) for ids in found.ids] == [{names[i] for i in ids} for ids, _ in truth]


def _by_distance(found, model, queries, metric):
    """Check that each id has the distance that is beside it."""
    from facelab.matching.internals import oracle

    for q, names, distances in zip(queries, found.ids, found.distances):
        true = oracle.distances(q[None], np.stack([model[n] for n in names]), metric)[0]
        assert np.allclose(distances, true, rtol=1e-5, atol=2e-6)


calls = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "delete", "again"]),
        st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4, unique=True),
    ),
    max_size=7,
)


@pytest.mark.parametrize("kind", ["postgres", "valkey"])  # files: test_collection.py
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    done=calls,
    metric=st.sampled_from(["cosine", "l2", "sqeuclidean", "ip"]),
    seed=st.integers(0, 9999),
)
def test_answers_are_those_of_a_matcher(opened, kind, done, metric, seed):
    rng = np.random.default_rng(seed)
    name = f"h{next(NUMBERS)}"
    model, store = {}, opened(kind, name, metric=metric)
    assert isinstance(store, VectorStore)
    queries = rng.integers(-2, 3, (3, DIMENSION)).astype(np.float32)
    for what, names in done:
        if what == "put":
            rows = rng.integers(-2, 3, (len(names), DIMENSION)).astype(np.float32)
            assert store.upsert(rows, names) == sum(n in model for n in names)
            for n, row in zip(names, rows):
                model.pop(n, None)
                model[n] = row
        elif what == "delete":
            known = [n for n in names if n in model]
            assert store.delete(names, missing_ok=True) == len(known)
            for n in known:
                del model[n]
        else:
            store = opened(kind, name, metric=metric)
        agree(store, model, metric, queries, exact=kind != "postgres")


@pytest.mark.parametrize("kind", KINDS)
def test_calls_are_all_or_nothing_and_say_what_was_wrong(opened, kind):
    store = opened(kind, "c", source=SOURCE)
    rows = np.eye(3, DIMENSION, dtype=np.float32)
    made = store.add(rows, labels=["a", None, "b"], payloads=[{"n": 1}, None, {}], source=SOURCE)
    entry = store.get(made[0])
    assert (entry.label, entry.payload) == ("a", {"n": 1})
    assert np.array_equal(entry.vector, rows[0])
    assert store.search(rows[2:], 1, source=SOURCE).labels == [["b"]]
    for bad in (
        lambda: store.add(rows * 2, ["x", "y", made[0]], source=SOURCE),
        lambda: store.add(rows, ["x", "x", "y"], source=SOURCE),
        lambda: store.add(rows, ["x", "y", "z"]),
        lambda: store.upsert(rows, ["x", "y", "z"], source=Source("c" * 64, "b" * 64)),
        lambda: store.add(rows[:, :2], ["x", "y", "z"], source=SOURCE),
        lambda: store.add(rows * np.float32(np.nan), ["x", "y", "z"], source=SOURCE),
        lambda: store.delete([made[0], "nobody"]),
        lambda: store.search(rows, 0, source=SOURCE),
        lambda: store.search(rows, 1),
        lambda: store.search_within(rows, 7.0, source=SOURCE),
        lambda: store.get("a\0b"),
    ):
        with pytest.raises(BadInputError):
            bad()
    assert len(store) == 3 and store.get("x") is None and store.get(made[0]) is not None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "other", [{"metric": "l2"}, {"source": Source("c" * 64, "b" * 64)}, {"dimension": 6}]
)
def test_a_store_of_another_kind_is_refused_when_it_is_opened(opened, kind, other):
    if kind == "files" and "dimension" in other:
        pytest.skip("a folder knows its dimension itself")
    store = opened(kind, "c", metric="cosine", source=SOURCE)
    if kind == "files":
        store.close()
    with pytest.raises(BadInputError):
        opened(kind, "c", **{"metric": "cosine", "source": SOURCE, **other})


@pytest.mark.parametrize("kind", ["postgres", "valkey"])
def test_a_client_sees_what_another_wrote(opened, kind):
    first, second = opened(kind, "shared"), opened(kind, "shared")
    rows = np.eye(4, DIMENSION, dtype=np.float32)
    for i in range(4):
        (first if i % 2 else second).upsert(rows[i : i + 1], [f"{i}"])
        for store in (first, second):
            assert store.search(rows[i : i + 1], 1).ids == [[f"{i}"]]
    first.upsert(rows[:1] * 2, ["3"])
    second.upsert(rows[1:2] * 2, ["3"])  # twice before the other looks
    second.delete(["0"])
    assert first.search(rows[1:2], 2).ids == second.search(rows[1:2], 2).ids == [["1", "3"]]


@pytest.mark.parametrize("kind", ["postgres", "valkey"])
def test_two_clients_that_add_one_id_at_once_do_not_both_win(opened, kind):
    import threading

    store, outcomes = opened(kind, "race"), []
    for turn in range(5):

        def race(i, turn=turn):
            try:
                store.add(np.full((1, DIMENSION), i + 1, np.float32), [f"{turn}"])
                outcomes.append(turn)
            except BadInputError:
                pass

        threads = [threading.Thread(target=race, args=(i,)) for i in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert sorted(outcomes) == [0, 1, 2, 3, 4] and len(store) == 5


def test_a_server_that_is_gone_is_said_and_nothing_is_taken_for_done(tmp_path):
    try:
        with local_valkey() as url, valkey_clients(url, size=1) as pool:
            store = ValkeyStore(pool, "gone", dimension=DIMENSION)
            store.add(np.ones((1, DIMENSION), np.float32), ["a"])
            with pool.acquire() as lease, contextlib.suppress(Exception):
                lease.value.shutdown(nosave=True)
            with pytest.raises(StoreError, match=r"unknown|not done") as caught:
                store.add(np.ones((1, DIMENSION), np.float32), ["b"])
            assert caught.value.fix
    except UnsupportedError as e:
        pytest.skip(str(e))
