"""A writer that is killed at any step of a write loses nothing that was acknowledged."""

import json
import subprocess
import sys

import numpy as np
import pytest

from facelab.core.errors import IntegrityError
from facelab.index import Collection
from facelab.studies import index_crashes as calls

STEPS = {
    "log.write",
    "log.sync",
    "log.synced",
    "segment.write",
    "segment.sync",
    "log.create",
    "generation.write",
    "metadata.swap",
    "metadata.swapped",
    "cleanup",
}


def test_killed_at_every_step_nothing_acknowledged_is_lost(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", calls.__name__, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert {r["step"] for r in runs} == {*STEPS, None}
    assert [r for r in runs if not r["good"]] == []
    assert sum(r["litter"] for r in runs) == 0


def written(tmp_path):
    """Return a collection's folder with two segments' worth of calls in its log, and the models after each."""
    place, models = tmp_path / "c", [{}]
    with Collection.create(place, dimension=calls.DIMENSION) as c:
        for call in calls.CALLS[:3]:
            calls.apply(c, call)
            models.append(calls.effect(models[-1], call))
    (log,) = (place / "logs").iterdir()
    return place, log, models


def test_a_log_cut_at_any_byte_gives_what_was_acknowledged_before(tmp_path):
    place, log, models = written(tmp_path)
    whole, seen = log.read_bytes(), set()
    for cut in range(85, len(whole) + 1):
        log.write_bytes(whole[:cut])
        with Collection.open(place, write=False) as c:
            found = [i for i, m in enumerate(models) if calls.same(c, m)]
        assert found, cut
        seen.add(found[0])
    assert seen == {0, 1, 2, 3}


def test_a_changed_byte_before_the_last_record_is_damage_and_never_a_shorter_log(tmp_path):
    place, log, models = written(tmp_path)
    whole = bytearray(log.read_bytes())
    with Collection.open(place, write=False) as c:
        size = c.status().log_bytes
    assert size == len(whole)
    last = len(whole) - 60  # inside the record of the last call, which may have been torn
    for at in range(0, last, 7):
        log.write_bytes(bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :]))
        try:
            with Collection.open(place, write=False) as c:
                assert calls.same(c, models[2]), at
        except IntegrityError:
            pass


def test_the_log_of_another_collection_or_generation_is_refused(tmp_path):
    place, log, _ = written(tmp_path)
    other = tmp_path / "other"
    Collection.create(other, dimension=calls.DIMENSION).close()
    (foreign,) = (other / "logs").iterdir()
    log.write_bytes(foreign.read_bytes())
    with pytest.raises(IntegrityError, match="damaged"):
        Collection.open(place)


def test_zeros_after_a_power_cut_are_a_torn_record(tmp_path):
    place, log, models = written(tmp_path)
    with log.open("ab") as f:
        f.write(bytes(4096))
    with Collection.open(place) as c:
        assert calls.same(c, models[-1])
        assert "4096 bytes" in c.status().recovered
    assert log.stat().st_size < 4096


@pytest.mark.parametrize("fault", ["write", "short write", "sync"])
def test_a_full_disk_leaves_either_nothing_or_says_that_it_does_not_know(
    tmp_path, monkeypatch, fault
):
    from facelab.index import _log

    place, log, models = written(tmp_path)
    c = Collection.open(place)
    size = log.stat().st_size

    def full(fd, data):
        if fault == "short write":
            calls.os.write(fd, bytes(data)[:20])
        raise OSError(28, "No space left on device")

    if fault == "sync":
        monkeypatch.setattr(_log.os, "fsync", lambda fd: full(fd, b""))
    else:
        monkeypatch.setattr(_log, "write_all", full)
    with pytest.raises(_log.LogError) as caught:
        c.add(calls.vectors(9, 1), ["new"])
    monkeypatch.undo()
    assert ("unknown" in str(caught.value)) == (fault == "sync")
    assert calls.same(c, models[-1])
    if fault == "sync":
        with pytest.raises(_log.LogError, match="open it again"):
            c.add(calls.vectors(9, 1), ["new"])
        c.close()
        c = Collection.open(place)
    assert log.stat().st_size == size or fault == "sync"
    if "new" not in c:
        c.add(calls.vectors(9, 1), ["new"])
    c.close()
    with Collection.open(place) as c:
        assert np.array_equal(c.get("new").vector, calls.vectors(9, 1)[0])


def test_ctrl_c_between_writing_and_synchronising_takes_the_record_back(tmp_path):
    place, _, models = written(tmp_path)

    def interrupt(name):
        if name == "log.sync":
            raise KeyboardInterrupt

    c = Collection.open(place, on_step=interrupt)
    with pytest.raises(KeyboardInterrupt):
        c.add(calls.vectors(9, 1), ["new"])
    assert calls.same(c, models[-1])
    c.close()
    with Collection.open(place) as c:
        assert calls.same(c, models[-1])
        c.add(calls.vectors(9, 1), ["new"])
    with Collection.open(place) as c:
        assert "new" in c


def test_a_generation_that_cannot_be_written_leaves_the_old_one_and_its_log(tmp_path, monkeypatch):
    from facelab.index import _segment

    place, _, models = written(tmp_path)
    c = Collection.open(place)

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_segment, "write_durably", full)
    with pytest.raises(Exception, match="in the log"):
        c.flush()
    monkeypatch.undo()
    assert calls.same(c, models[-1]) and not list((place / "segments").iterdir())
    c.add(calls.vectors(9, 1), ["new"])
    assert c.flush() == 2
    c.close()
    with Collection.open(place) as c:
        assert len(c) == len(models[-1]) + 1


def test_an_automatic_generation_that_fails_does_not_fail_the_call(tmp_path, monkeypatch):
    from facelab.index import _segment

    c = Collection.create(tmp_path / "c", dimension=calls.DIMENSION)
    c.flush_rows = 4
    monkeypatch.setattr(
        _segment, "write_durably", lambda *a: (_ for _ in ()).throw(OSError(28, "full"))
    )
    for i in range(6):
        c.add(calls.vectors(i, 1), [str(i)])
    monkeypatch.undo()
    assert len(c) == 6 and "no generation" in c.status().warning
    assert c.flush() == 2 and c.status().warning == ""
    c.close()
