"""One writer: forks, tidying up, a restored copy or locks that do nothing lose nothing that was acknowledged."""

import os
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from facelab.core.errors import BadInputError, FacelabError, IntegrityError
from facelab.index import Collection, ShardedCollection, open_metadata, repair
from facelab.index._disk import PublishError
from facelab.index._log import LogError


def vectors(count):
    """Return different vectors of two numbers."""
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2) + 1


def test_a_writer_keeps_its_lock_when_somebody_tidies_the_folder(tmp_path):
    """People remove lock files that they take for left over; the facts' file is not one of these."""
    place = tmp_path / "c"
    with Collection.create(place, dimension=2) as first:
        first.add(vectors(1), ["a"])
        for left in {*place.glob("*lock*"), *place.glob(".*")}:
            left.unlink()
        with pytest.raises(BadInputError, match="another process writes"):
            Collection.open(place)


def test_a_forked_child_does_not_keep_the_lock_of_a_writer_that_died(tmp_path):
    place = tmp_path / "c"
    Collection.create(place, dimension=2).close()
    program = """
import os, signal, sys, time
from facelab.index import Collection
kept = Collection.open(sys.argv[1])
child = os.fork()
if child == 0:
    os.close(1), os.close(2)
    time.sleep(30)
    os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(place)], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    try:
        Collection.open(place).close()
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


def test_two_writers_without_a_working_lock_lose_nothing_that_was_acknowledged(
    tmp_path, monkeypatch
):
    """A file system whose locks do nothing: the second write is refused, not written over the first."""
    from facelab.index import _durable

    monkeypatch.setattr(_durable.fcntl, "flock", lambda *_: None)
    place = tmp_path / "c"
    Collection.create(place, dimension=2).close()
    one, two = Collection.open(place), Collection.open(place)
    one.add(vectors(1), ["a"])
    with pytest.raises(LogError, match="somebody else"):
        two.add(vectors(1), ["b"])
    one.add(vectors(1), ["c"])
    one.close(), two.close()
    with Collection.open(place) as again:
        assert [e.id for e in again.items()] == ["a", "c"]


def test_a_log_that_was_removed_takes_no_more_writes(tmp_path):
    """A folder that is restored from a copy while a writer is open: its log is nobody's any more."""
    place = tmp_path / "c"
    Collection.create(place, dimension=2).close()
    shutil.copytree(place, tmp_path / "copy")
    with Collection.open(place) as writer:
        shutil.rmtree(place)
        shutil.copytree(tmp_path / "copy", place)
        with pytest.raises(LogError, match="removed"):
            writer.add(vectors(1), ["a"])


def test_shards_that_cannot_be_made_leave_no_keys_in_shared_metadata(tmp_path, monkeypatch):
    from facelab.index.sharded import _layout

    meta = open_metadata(f"sqlite:{tmp_path / 'm.sqlite'}")

    def full(self):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(_layout.Layout, "write", full)
        with pytest.raises(BadInputError, match="cannot be created"):
            ShardedCollection.create(tmp_path / "f", shards=3, dimension=2, metadata=meta)
    assert meta.keys() == []
    ShardedCollection.create(tmp_path / "f", shards=3, dimension=2, metadata=meta).close()
    with pytest.raises(PublishError, match="another collection"):
        ShardedCollection.create(tmp_path / "g", shards=2, dimension=2, name="f", metadata=meta)
    assert not (tmp_path / "g").exists() and len(meta.keys()) == 3


@pytest.mark.parametrize("step", ["Collection.create", "Layout.write", "ScratchFolder.keep"])
def test_shards_whose_maker_was_killed_leave_nothing_once_somebody_makes_them_again(tmp_path, step):
    program = """
import os, signal, sys
from facelab.core.safety.scratch import ScratchFolder
from facelab.index import Collection, ShardedCollection
from facelab.index.sharded._layout import Layout
kind, _, name = sys.argv[2].partition(".")
setattr(locals()[kind], name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
ShardedCollection.create(sys.argv[1], shards=2, dimension=2)
"""
    place = tmp_path / "f"
    command = [sys.executable, "-c", program, str(place), step]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not place.exists() and len(list(tmp_path.iterdir())) == 1
    ShardedCollection.create(place, shards=2, dimension=2).close()
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_shards_that_were_named_only_in_part_are_repaired(tmp_path, monkeypatch):
    """Killed between two names: the folder is whole, and repair names the others."""
    from facelab.index.sharded import _making

    meta, names = open_metadata(f"sqlite:{tmp_path / 'm.sqlite'}"), []

    def killed(metadata, key, *rest):
        names.append(key)
        if len(names) == 2:
            raise KeyboardInterrupt
        return settle(metadata, key, *rest)

    settle = _making.settle
    monkeypatch.setattr(_making, "settle", killed)
    with pytest.raises(KeyboardInterrupt):
        ShardedCollection.create(tmp_path / "f", shards=3, dimension=2, metadata=meta)
    with pytest.raises(IntegrityError, match="know nothing"):
        ShardedCollection.open(tmp_path / "f", metadata=meta)
    assert "made generation 1" in repair(tmp_path / "f", metadata=meta).text()
    with ShardedCollection.open(tmp_path / "f", metadata=meta) as c:
        c.add(vectors(4), list("abcd"))


def test_one_of_two_threads_adds_an_id_to_shards_and_the_other_is_refused_whole(tmp_path):
    with ShardedCollection.create(tmp_path / "f", shards=4, dimension=2) as c:
        refused = []

        def add(label):
            for i in range(40):
                names = [f"{i}.{j}" for j in range(6)]
                try:
                    c.add(vectors(6), names, labels=[label] * 6)
                except FacelabError as e:
                    refused.append(type(e))

        both = [threading.Thread(target=add, args=(x,)) for x in "ab"]
        for t in both:
            t.start()
        for t in both:
            t.join()
        assert refused == [BadInputError] * 40
        for i in range(40):
            assert len({c.get(f"{i}.{j}").label for j in range(6)}) == 1
