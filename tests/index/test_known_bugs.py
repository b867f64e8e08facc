"""Faults that vector databases were reported for, rebuilt here."""

import os
import subprocess
import sys

import numpy as np
import pytest

from facelab.core.errors import BadInputError
from facelab.index import Collection, verify
from facelab.index._disk import PublishError
from facelab.index._log import LogError


def line(count, start=0.0):
    """Return vectors on a line, so that neighbours are obvious."""
    x = np.zeros((count, 2), np.float32)
    x[:, 0] = start + np.arange(count)
    return x


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("dead", [1, 30, 990])
def test_a_query_in_a_deleted_region_finds_the_nearest_survivors(tmp_path, flushed, dead):
    """Reported of ArcadeDB (5558) and infino (259): nothing, or fewer than k, where neighbours were deleted."""
    with Collection.create(tmp_path / "c", dimension=2, metric="l2") as c:
        c.add(line(1000), [str(i) for i in range(1000)])
        if flushed:
            c.flush()
        c.delete([str(i) for i in range(dead)])
        for k in (1, 5, 10):
            found = c.search(line(1), k)
            assert found.ids == [[str(dead + i) for i in range(k)]]
        assert len(c.search(line(1), 5000).ids[0]) == 1000 - dead


def test_an_id_that_is_replaced_again_and_again_has_one_row(tmp_path):
    """Reported of Milvus (38947, 37677): several rows of one id after upserts, across flushes and restarts."""
    place = tmp_path / "c"
    c = Collection.create(place, dimension=2, metric="l2")
    for i in range(12):
        c.upsert(line(1, float(i)), ["a"])
        if i % 3 == 0:
            c.flush()
        if i % 4 == 1:
            c.close()
            c = Collection.open(place)
        if i == 7:
            c.compact()
        assert len(c) == 1 and c.search(line(1), 9).ids == [["a"]]
        assert c.search(line(1), 9).distances.tolist() == [[float(i)]]
    c.close()
    assert verify(place).good


def test_what_was_deleted_stays_deleted_after_a_restart(tmp_path):
    """Reported of InfluxDB (432): deleted points came back."""
    place = tmp_path / "c"
    for flush in (False, True):
        with (
            Collection.open(place)
            if place.exists()
            else Collection.create(place, dimension=2, metric="l2") as c
        ):
            c.upsert(line(20), [str(i) for i in range(20)])
            if flush:
                c.flush()
            c.delete([str(i) for i in range(20)])
        with Collection.open(place) as c:
            assert len(c) == 0 and c.search(line(2), 3).ids == [[], []]
            c.flush()
        with Collection.open(place) as c:
            assert len(c) == 0 and c.status().segments == 0


def test_equal_vectors_that_are_added_twice_do_not_shorten_answers(tmp_path):
    """Reported of Milvus (24197): the same data inserted twice gave half the results."""
    with Collection.create(tmp_path / "c", dimension=2, metric="l2") as c:
        c.add(line(10), [f"a{i}" for i in range(10)])
        c.add(line(10), [f"b{i}" for i in range(10)])
        found = c.search(line(1), 10)
        assert found.ids[0][:2] == ["a0", "b0"] and len(set(found.ids[0])) == 10


def test_files_that_a_failed_delete_left_are_not_taken_up_again(tmp_path):
    """Reported of Qdrant (9317): a name that was made again took over old files."""
    import shutil

    place = tmp_path / "c"
    with Collection.create(place, dimension=2, metric="l2") as c:
        c.add(line(5), list("abcde"))
        c.flush()
        shutil.copytree(place / "segments", tmp_path / "kept")
        c.delete(list("abcde"))
        c.compact()
    shutil.copytree(tmp_path / "kept", place / "segments", dirs_exist_ok=True)
    with Collection.open(place) as c:
        assert len(c) == 0 and list((place / "segments").iterdir()) == []


def test_a_forked_process_does_not_write_beside_its_parent(tmp_path):
    """A lock that is inherited holds for both: a server that forks its workers would write one log twice."""
    program = """
import os, sys
import numpy as np
from facelab.index import Collection
from facelab.core.errors import BadInputError
c = Collection.create(sys.argv[1], dimension=2)
c.add(np.ones((1, 2), np.float32), ["parent"])
pid = os.fork()
if pid == 0:
    try:
        c.add(np.full((1, 2), 2, np.float32), ["child"])
    except BadInputError as e:
        os._exit(7 if "another process" in str(e) else 1)
    os._exit(0)
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
c.add(np.full((1, 2), 3, np.float32), ["parent again"])
c.close()
with Collection.open(sys.argv[1]) as c:
    assert sorted(e.id for e in c.items()) == ["parent", "parent again"]
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "c")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-800:]


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 3 MiB where the system lets us."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_fills_up_loses_nothing_and_goes_on_once_there_is_room(small_disk):
    """Reported of MonetDB (3988) and others: after a full disk the database did not start again."""
    place, held = small_disk / "c", {}
    c = Collection.create(place, dimension=64)
    c.flush_rows = 400
    rng, refused = np.random.default_rng(0), 0
    for i in range(150):
        rows = rng.standard_normal((100, 64)).astype(np.float32)
        names = [f"{i} {j}" for j in range(100)]
        try:
            c.add(rows, names)
        except (LogError, PublishError) as e:
            refused += 1
            assert "No space left" in str(e)
            if refused == 1:
                c.close()
                c = Collection.open(place)
        else:
            held |= dict(zip(names, rows))
    assert refused > 3 and len(held) > 500
    assert {e.id for e in c.items()} == set(held)
    c.delete(list(held)[:400], missing_ok=True) if _room(c) else None
    c.close()
    with Collection.open(place, write=False) as c:
        assert {e.id for e in c.items()} <= set(held) and len(c) >= len(held) - 400
    subprocess.run(["mount", "-o", "remount,size=30m", small_disk], check=True)
    with Collection.open(place) as c:
        kept = {e.id: e.vector for e in c.items()}
        assert all(np.array_equal(v, held[n]) for n, v in kept.items())
        c.add(np.ones((1, 64), np.float32), ["at last"])
        c.compact()
        assert len(c) == len(kept) + 1
    assert verify(place).good


def _room(c):
    """Return whether a deletion fits on the disk; a refused one changes nothing."""
    before = len(c)
    try:
        c.delete([next(c.items()).id])
    except (LogError, PublishError):
        assert len(c) == before
        return False
    return True


def test_a_log_that_grows_by_deletions_alone_is_written_out(tmp_path, monkeypatch):
    from facelab.index import _writing

    monkeypatch.setattr(_writing, "FLUSH_BYTES", 2000)
    with Collection.create(tmp_path / "c", dimension=2, metric="l2") as c:
        c.add(line(100), [str(i) for i in range(100)])
        for i in range(90):
            c.delete([str(i)])
        assert c.status().log_bytes < 2200 and len(c) == 10


def test_a_metric_that_is_asked_for_by_mistake_is_refused(tmp_path):
    """Reported of Lance (5608) and Chroma (2668): distances of a different metric than the one that was asked for."""
    Collection.create(tmp_path / "c", dimension=2, metric="ip").close()
    for other in ("l2", "cosine", "sqeuclidean"):
        with pytest.raises(BadInputError, match="different metric"):
            Collection.open(tmp_path / "c", metric=other)


@pytest.mark.parametrize("metric", ["cosine", "l2", "sqeuclidean", "ip"])
def test_vectors_whose_distances_overflow_are_refused(tmp_path, metric, capsys):
    """Such hits had an infinite distance, which JSON does not have: `search --json` ended in a traceback."""
    from facelab.cli import run

    place, far = tmp_path / "c", np.full((1, 4), 3e38, np.float32)
    with Collection.create(place, dimension=4, metric=metric) as c:
        for call in (lambda: c.add(far), lambda: c.search(far, 1), lambda: c.upsert(-far, ["a"])):
            with pytest.raises(BadInputError, match="overflow"):
                call()
        c.add(np.full((1, 4), 4e18, np.float32), ["just"])
        assert np.isfinite(c.search(np.full((1, 4), -4e18, np.float32), 1).distances).all()
    np.save(tmp_path / "q.npy", far)
    assert run(["index", "search", str(place), "--queries", str(tmp_path / "q.npy"), "--json"]) == 2
    assert "overflow" in capsys.readouterr().err


@pytest.mark.parametrize("namespace", ["é", "名", "a b", "..a/b", "\u202e", "a" * 65])
def test_a_namespace_is_checked_when_the_collection_is_created(tmp_path, namespace):
    """It was taken, and every later add without ids was refused."""
    with pytest.raises(BadInputError, match="namespace"):
        Collection.create(tmp_path / "c", dimension=4, namespace=namespace)
    assert not (tmp_path / "c").exists()


def test_a_folder_may_have_any_name_if_the_collection_has_a_plain_one(tmp_path):
    with pytest.raises(BadInputError, match="--name"):
        Collection.create(tmp_path / "Gesichter-ü", dimension=4)
    Collection.create(tmp_path / "Gesichter-ü", dimension=4, name="faces").close()


def test_a_torn_end_of_the_log_is_said_to_readers_and_by_verify(tmp_path):
    """Whether the last record was interrupted or damaged is unknown, so that it must not pass in silence."""
    place = tmp_path / "c"
    with Collection.create(place, dimension=4) as c:
        c.add(np.eye(4, dtype=np.float32), list("abcd"))
    (log,) = (place / "logs").iterdir()
    log.write_bytes(log.read_bytes()[:-3])
    with Collection.open(place, write=False) as c:
        assert len(c) == 0 and "unfinished record" in c.status().recovered
    found = verify(place)
    assert found.good and "interrupted, or damage" in found.text()
