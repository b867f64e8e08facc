"""Verifying, repairing and comparing collections."""

import shutil

import numpy as np
import pytest

from facelab.core.errors import BadInputError, IntegrityError
from facelab.index import Collection, open_metadata, repair, verify
from facelab.index.internals import difference, shards


def rows(seed, count=5):
    return np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)


@pytest.fixture
def place(tmp_path):
    path = tmp_path / "faces"
    with Collection.create(path, dimension=4) as c:
        c.add(rows(0), list("abcde"), labels=["one"] * 5)
        c.flush()
        c.delete(["b"])
        c.add(rows(1), list("fghij"))
    return path


def names(path):
    with Collection.open(path, write=False) as c:
        return [e.id for e in c.items()]


def test_every_changed_byte_of_a_segment_is_found(place):
    assert verify(place).good
    (segment,) = (place / "segments").iterdir()
    arrays = segment / "arrays.bin"
    whole = arrays.read_bytes()
    import json

    head = json.loads((segment / "segment.json").read_text())
    for name, facts in head["arrays"].items():
        size = int(np.prod(facts["shape"])) * np.dtype(facts["dtype"]).itemsize
        if not size:
            continue
        at = facts["at"] + size // 2
        arrays.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found = verify(place)
        assert not found.good and name in found.text()
    arrays.write_bytes(whole)
    assert verify(place).good


def test_lost_metadata_are_made_again_with_nothing_lost(place):
    before = names(place)
    (place / "metadata.sqlite").unlink()
    with pytest.raises(IntegrityError, match="know nothing"):
        Collection.open(place)
    assert not verify(place).good
    done = repair(place)
    assert done.vectors == len(before) and "generation 2" in done.text()
    assert names(place) == before and verify(place).good
    assert repair(place).actions == []


def test_damaged_metadata_are_moved_away(place):
    before = names(place)
    (place / "metadata.sqlite").write_bytes(b"x" * 9000)
    with pytest.raises(IntegrityError, match="damaged"):
        Collection.open(place)
    assert "moved" in repair(place).text()
    assert names(place) == before
    assert len(list(place.glob("metadata.sqlite.damaged-*"))) == 1


def test_a_folder_that_is_behind_its_metadata_is_not_taken_for_the_present_one(place, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(place, old)
    with Collection.open(place) as c:
        c.add(rows(2, 1), ["z"])
        c.flush()
    shutil.rmtree(old / "metadata.sqlite", ignore_errors=True)
    shutil.copy(place / "metadata.sqlite", old / "metadata.sqlite")
    with pytest.raises(IntegrityError, match="missing"):
        Collection.open(old)
    with pytest.raises(IntegrityError, match="no generation"):
        repair(old)
    done = repair(old, older=True)
    assert done.generation == 2 and "z" not in names(old)


def test_a_damaged_segment_is_never_chosen(place):
    (segment,) = (place / "segments").iterdir()
    arrays = bytearray((segment / "arrays.bin").read_bytes())
    arrays[3] ^= 1
    (segment / "arrays.bin").write_bytes(bytes(arrays))
    (place / "metadata.sqlite").unlink()
    with pytest.raises(IntegrityError, match="no generation"):
        repair(place)


def test_what_a_crash_left_is_removed_by_the_next_writer(place):
    litter = place / "segments" / "0123456789abcdef"
    litter.mkdir()
    (litter / "arrays.bin").write_bytes(b"half")
    (place / "logs" / "x.log").write_bytes(b"half")
    Collection.open(place, write=False).close()
    assert litter.exists()  # a reader removes nothing
    with Collection.open(place) as c:
        assert "2 unfinished files" in c.status().recovered
    assert not litter.exists() and verify(place).good


def test_differences_are_named(place, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(place, copy)
    with Collection.open(copy) as b, Collection.open(place) as a:
        b.compact()
        assert difference(a, b).alike
        a.delete(["a"])
        b.upsert(rows(9, 1), ["c"], labels=["one"])
        b.add(rows(8, 1), ["new"])
        found = difference(a, b)
        assert (found.only_first, found.only_second, found.changed) == ([], ["a", "new"], ["c"])
        assert "changed" in found.text()
    other = Collection.create(tmp_path / "l2", dimension=4, metric="l2")
    with (
        other,
        Collection.open(place, write=False) as c,
        pytest.raises(BadInputError, match="different kinds"),
    ):
        difference(other, c)


def test_shards_and_their_generations_are_listed(tmp_path):
    meta = open_metadata(f"sqlite:{tmp_path / 'm.sqlite'}")
    for shard in ("0", "1"):
        with Collection.create(
            tmp_path / shard, dimension=4, name="faces", shard=shard, metadata=meta
        ) as c:
            c.add(rows(0, int(shard) + 1))
            c.flush()
    with Collection.open(tmp_path / "1", metadata=meta) as c:
        c.compact()
    found = {s.shard: (s.generation, s.vectors) for s in shards(meta, "faces")}
    assert found == {"0": (2, 1), "1": (3, 2)}
    assert shards(meta, "nobody") == []


def test_another_collection_of_the_same_name_is_refused(tmp_path):
    meta = open_metadata(f"sqlite:{tmp_path / 'm.sqlite'}")
    Collection.create(tmp_path / "a", dimension=4, name="faces", metadata=meta).close()
    with pytest.raises(Exception, match="another writer"):
        Collection.create(tmp_path / "b", dimension=4, name="faces", metadata=meta)
    assert not (tmp_path / "b").exists()
    Collection.create(tmp_path / "b", dimension=4, name="faces").close()
    with pytest.raises(BadInputError, match="another collection"):
        Collection.open(tmp_path / "b", metadata=meta)
