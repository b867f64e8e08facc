"""A collection in shards answers as one collection, whatever was done, and its readers see one moment."""

import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.core.errors import BadInputError, FacelabError, IntegrityError
from facelab.index import Collection, ShardedCollection, open_metadata, repair, verify
from facelab.index.internals import difference, shards
from facelab.index.sharded._sharded import PartialWriteError

D = 6
NAMES = [f"n{i}" for i in range(20)]


def rows(seed, count):
    """Return vectors without equal distances between them."""
    return np.random.default_rng(seed).standard_normal((count, D)).astype(np.float32)


@settings(max_examples=12, deadline=None)
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(["upsert", "delete", "flush", "compact", "open"]),
            st.lists(st.sampled_from(NAMES), max_size=9, unique=True),
        ),
        max_size=7,
    ),
    metric=st.sampled_from(["cosine", "l2", "ip"]),
    count=st.integers(1, 5),
)
def test_answers_are_those_of_one_collection(tmp_path_factory, calls, metric, count):
    place = tmp_path_factory.mktemp("s")
    one = Collection.create(place / "one", dimension=D, metric=metric)
    many = ShardedCollection.create(place / "many", shards=count, dimension=D, metric=metric)
    for seed, (call, names) in enumerate(calls):
        if call == "open":
            many.close()
            many = ShardedCollection.open(place / "many")
        elif call in ("flush", "compact"):
            getattr(many, call)()
        elif call == "upsert":
            new = rows(seed, len(names))
            assert many.upsert(new, names) == one.upsert(new, names)
        else:
            assert many.delete(names, missing_ok=True) == one.delete(names, missing_ok=True)
    queries = rows(99, 4)
    assert len(many) == len(one) and difference(one, many).alike
    for k in (1, 3, 50):
        mine, truth = many.search(queries, k), one.search(queries, k)
        assert mine.ids == truth.ids and np.array_equal(mine.distances, truth.distances)
    mine, truth = many.search_within(queries, 0.3), one.search_within(queries, 0.3)
    assert mine.ids == truth.ids
    assert all(np.array_equal(a, b) for a, b in zip(mine.distances, truth.distances))
    for c in (one, many):
        c.close()


@pytest.fixture
def place(tmp_path):
    path = tmp_path / "faces"
    with ShardedCollection.create(path, shards=3, dimension=D) as c:
        c.add(rows(0, 20), NAMES, labels=["anna"] * 20, payloads=[{"n": i} for i in range(20)])
        c.flush()
        c.delete(["n3", "n4"])
    return path


def test_ids_are_spread_and_stay_where_they_are(place):
    with ShardedCollection.open(place, write=False) as c:
        assert len(c) == 18 and "n3" not in c and "n5" in c
        assert c.get("n5").payload == {"n": 5} and c.get("n5").label == "anna"
        assert min(len(s) for s in c._shards) >= 3
    text = "from facelab.index.sharded._layout import Layout; from pathlib import Path; "
    text += f"print(Layout(Path('x'), 'x', 3).shard_of({NAMES!r}).tolist())"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    with ShardedCollection.open(place, write=False) as c:
        assert json.loads(done.stdout) == c._layout.shard_of(NAMES).tolist()


def test_equal_vectors_are_all_found(tmp_path):
    with ShardedCollection.create(tmp_path / "f", shards=4, dimension=D) as c:
        c.add(np.repeat(rows(1, 1), 12, 0), NAMES[:12])
        hits = c.search(rows(1, 1), 12)
        assert sorted(hits.ids[0]) == sorted(NAMES[:12]) and len(set(hits.distances[0])) == 1


def test_a_refused_call_changes_no_shard(place):
    with ShardedCollection.open(place) as c:
        before = [e.id for e in c.items()]
        for bad in (
            lambda: c.add(rows(2, 2), ["new", "n7"]),
            lambda: c.add(rows(2, 2), ["new", "new"]),
            lambda: c.add(np.full((2, D), np.nan, np.float32), ["new", "newer"]),
            lambda: c.add(rows(2, 2), ["new", "newer"], labels=["one"]),
            lambda: c.delete(["n5", "nobody"]),
            lambda: c.delete("n5"),
            lambda: c.search(rows(2, 1), 0),
            lambda: c.search(rows(2, 1)[:, :3], 1),
        ):
            with pytest.raises(BadInputError):
                bad()
        assert [e.id for e in c.items()] == before


def test_a_shard_that_fails_midway_is_named(place, monkeypatch):
    with ShardedCollection.open(place) as c:
        failing = c._shards[2]

        def full(*_, **__):
            raise FacelabError("the log cannot be written", got="No space left", fix="free some")

        monkeypatch.setattr(failing, "put", full)
        with pytest.raises(PartialWriteError, match="shard 2 failed") as e:
            c.upsert(rows(5, 20), NAMES)
        assert "done: 0, 1" in e.value.got
        monkeypatch.undo()
        c.upsert(rows(5, 20), NAMES)
        assert len(c) == 20 and difference(c, c).alike


def test_a_reader_sees_all_shards_at_one_moment(place):
    """A shard that is replaced while the others are opened is opened again."""
    with ShardedCollection.open(place) as writer:
        reader = ShardedCollection.open(place, write=False)
        first, seen = reader._shards[0], []
        refresh = type(first).refresh

        def late(self):
            out = refresh(self)
            if self is reader._shards[-1] and not seen:  # all were looked at: one is replaced now
                seen.append(writer._shards[0].compact())
            return out

        type(first).refresh = late
        try:
            told = reader.refresh()
        finally:
            type(first).refresh = refresh
        assert seen and told == writer.versions()
        known = shards(open_metadata(f"sqlite:{place / 'metadata.sqlite'}"), "faces")
        assert [(s.shard, s.generation, s.version) for s in known] == [
            (s.shard, s.generation, s.version) for s in told
        ]
        reader.close()


def test_readers_beside_a_writer(place):
    """Whatever a reader sees was written: each vector is one of those that were put under its id."""
    stop, wrong = threading.Event(), []

    def read():
        with ShardedCollection.open(place, write=False) as c:
            while not stop.is_set():
                before = c.versions()
                after = c.refresh()
                wrong.extend(b for a, b in zip(before, after) if b.version < a.version)
                wrong.extend(e for e in c.items() if e.vector[0] not in values[e.id])

    values = {n: {float(v[0])} for n, v in zip(NAMES, rows(0, 20))}
    puts = [rows(10 + i, 20) for i in range(12)]
    for put in puts:
        for n, v in zip(NAMES, put):
            values[n].add(float(v[0]))
    reader = threading.Thread(target=read)
    reader.start()
    with ShardedCollection.open(place) as c:
        for put in puts:
            c.upsert(put, NAMES)
            c.flush()
    stop.set()
    reader.join(30)
    assert not wrong


def test_verify_and_repair_look_at_every_shard(place):
    assert verify(place).good and "18 vectors" in verify(place).text()
    before = dict(_content(place))
    (segment,) = (place / "1" / "segments").iterdir()
    arrays = segment / "arrays.bin"
    whole = arrays.read_bytes()
    arrays.write_bytes(whole[:8] + bytes([whole[8] ^ 1]) + whole[9:])
    found = verify(place)
    assert not found.good and "shard 1" in found.text()
    arrays.write_bytes(whole)
    (place / "metadata.sqlite").write_bytes(b"not a database at all" * 400)
    with pytest.raises(FacelabError):
        ShardedCollection.open(place)
    done = repair(place)
    assert done.vectors == 18 and "moved the damaged metadata" in done.text()
    assert dict(_content(place)) == before and verify(place).good


def _content(place):
    with ShardedCollection.open(place, write=False) as c:
        return [(e.id, e.vector.tobytes()) for e in c.items()]


def test_a_shard_that_is_another_one_or_missing_is_said(place, tmp_path):
    kept = tmp_path / "kept"
    shutil.copytree(place, kept)
    (place / "0").rename(place / "x")
    (place / "1").rename(place / "0")
    (place / "x").rename(place / "1")
    with pytest.raises(IntegrityError, match="another shard"):
        ShardedCollection.open(place)
    shutil.rmtree(kept / "2")
    with pytest.raises(BadInputError, match="no collection"):
        ShardedCollection.open(kept)
    for text in ('{"schema": "facelab.index.shards/1", "name": "faces", "shards": 0}', "{}", "3"):
        (place / "shards.json").write_text(text)
        with pytest.raises(IntegrityError, match="names the shards"):
            ShardedCollection.open(place)


def test_a_shard_whose_metadata_are_ahead_of_its_files_is_refused(place, tmp_path):
    """A copy that lacks the newest generation of one shard must not answer with an older one."""
    behind = tmp_path / "behind"
    shutil.copytree(place / "1", behind)
    with ShardedCollection.open(place) as c:
        c.compact()
    shutil.rmtree(place / "1")
    shutil.copytree(behind, place / "1")
    with pytest.raises(IntegrityError, match="missing"):
        ShardedCollection.open(place, write=False)


@pytest.mark.parametrize("count", [0, -1, 257, 1.5, True, "3", None])
def test_numbers_of_shards_are_checked(tmp_path, count):
    with pytest.raises(BadInputError, match="number of shards"):
        ShardedCollection.create(tmp_path / "f", shards=count, dimension=D)
    assert not (tmp_path / "f").exists()


def test_a_creation_that_fails_leaves_nothing(tmp_path, monkeypatch):
    from facelab.index.sharded import _layout

    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_layout.Layout, "write", full)
    with pytest.raises(BadInputError, match="cannot be created"):
        ShardedCollection.create(tmp_path / "f", shards=2, dimension=D)
    assert list(tmp_path.iterdir()) == []


def test_own_metadata_are_shared_by_all_shards(tmp_path):
    meta = open_metadata(f"sqlite:{tmp_path / 'meta.sqlite'}")
    with ShardedCollection.create(
        tmp_path / "f", shards=2, dimension=D, name="doors", metadata=meta
    ) as c:
        c.add(rows(0, 4), NAMES[:4])
    assert [(s.name, s.shard) for s in shards(meta)] == [("doors", "0"), ("doors", "1")]
    with ShardedCollection.open(tmp_path / "f", metadata=meta, write=False) as c:
        assert len(c) == 4
    with (
        pytest.raises(BadInputError, match="writes to this collection"),
        ShardedCollection.open(tmp_path / "f", metadata=meta),
    ):
        ShardedCollection.open(tmp_path / "f", metadata=meta)


def command(*words):
    from facelab.cli import run

    return run(["index", *words])


def test_commands_take_a_sharded_folder(tmp_path, capsys):
    np.save(tmp_path / "g.npy", rows(0, 9))
    folder = str(tmp_path / "crowd")

    def run(*words):
        assert command(*words) == 0
        return capsys.readouterr().out

    run("create", folder, "--shards", "3", "--dimension", str(D))
    assert "9 added" in run("add", folder, str(tmp_path / "g.npy"))
    assert "generations 1, 1, 1" in run("status", folder)
    found = json.loads(
        run("search", folder, "--queries", str(tmp_path / "g.npy"), "-k", "1", "--json")
    )
    assert len({row[0] for row in found["ids"]}) == 9
    assert "generations 2, 2, 2" in run("compact", folder)
    assert "all as written" in run("verify", folder)
    assert "nothing was to be done" in run("repair", folder)
    both = ("--shards", "2", "--shard", "1", "--dimension", "4")
    assert command("create", folder + "2", *both) == 2
