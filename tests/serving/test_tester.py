"""The process that tests bundles: the same verdicts, no orphan, and a crash that costs the service nothing."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from facelab.core.errors import CheckFailedError
from facelab.serving import ModelSlot
from facelab.serving.releases import _tester
from models import bundle


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return bundle(folder, "one", seed=1), bundle(folder, "two", seed=2)


def children():
    return [
        p for p in psutil.Process().children() if any("_tester" in word for word in p.cmdline())
    ]


def test_a_tested_bundle_serves_and_a_bad_one_does_not(made, tmp_path):
    with ModelSlot(tmp_path / "store", isolate=True) as slot:
        assert slot.offer(made[0]).accepted
        (tester,) = children()
        assert tester.nice() == 19
        (made[1] / "labels.txt").rename(made[1] / "gone.txt")
        swap = slot.offer(made[1])
        assert not swap.accepted and "labels.txt" not in str(slot.release.folder)
        assert "cannot be opened" in swap.why and "fix:" in swap.why
        (made[1] / "gone.txt").rename(made[1] / "labels.txt")
        assert slot.offer(made[1]).accepted
        assert slot.rollback().accepted and slot.release.manifest.name == "one"
        assert children()[0].pid == tester.pid, "one process for all"
    assert not children(), "it ends with the slot"


def test_a_crash_of_the_test_changes_nothing(made):
    with ModelSlot(isolate=True) as slot:
        assert slot.offer(made[0]).accepted
        (tester,) = children()
        os.kill(tester.pid, signal.SIGSTOP)
        killer = threading.Timer(0.3, os.kill, (tester.pid, signal.SIGKILL))
        killer.start()
        swap = slot.offer(made[1])
        assert not swap.accepted and "SIGKILL" in swap.why
        assert slot.release.manifest.name == "one"
        assert slot.offer(made[1]).accepted, "the next bundle gets a new process"
        with pytest.raises(CheckFailedError, match="ended the process"):
            _killed(slot)


def test_a_model_is_warm_before_it_serves_and_is_read_once(made, tmp_path, monkeypatch):
    """A runtime plans its memory in the first run; and what the tester hashed is not hashed beside the requests."""
    from facelab.serving.releases import _snapshot
    from facelab.zoo.runtimes import Model

    runs, hashed = [], []
    run, copy = Model.run, _snapshot._copy
    monkeypatch.setattr(
        Model, "run", lambda self, *a, **k: (runs.append(self), run(self, *a, **k))[1]
    )
    monkeypatch.setattr(_snapshot, "_copy", lambda *a: (hashed.append(a[1].path), copy(*a))[1])
    with ModelSlot(tmp_path / "store", isolate=True) as slot:
        for folder in made:
            assert slot.offer(folder).accepted
            assert runs.count(slot.release.model) == 1, "one golden probe"
        assert hashed == []


def test_the_tester_stays_on_the_core_of_the_thread_that_asks(made, tmp_path, monkeypatch):
    """Requests settle on the other cores; a core that somebody keeps busy is left after a while."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    asked = []
    monkeypatch.setattr(_tester, "PATIENCE_S", 60.0)
    real = _tester._ready

    def ready(pipe, seconds):
        asked.append(os.sched_getaffinity(slot._tester._process.pid))
        return real(pipe, seconds)

    monkeypatch.setattr(_tester, "_ready", ready)
    with ModelSlot(tmp_path / "store", isolate=True) as slot:
        assert slot.offer(made[0]).accepted
        assert asked and all(len(cores) == 1 for cores in asked)
        (tester,) = children()
        monkeypatch.setattr(_tester, "PATIENCE_S", 0.05)
        os.kill(tester.pid, signal.SIGSTOP)
        threading.Timer(0.5, os.kill, (tester.pid, signal.SIGCONT)).start()
        asked.clear()
        assert slot.offer(made[1]).accepted
        assert [len(cores) for cores in asked] == [1, len(os.sched_getaffinity(0))]


def test_a_disk_that_takes_nothing_is_not_the_bundles_fault(made, monkeypatch):
    from facelab.serving.releases import _store

    def full(*_, **__):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(_store.ReleaseStore, "admit", full)
    question = {"what": "admit", "store": str(made[0].parent / "s"), "keys": [], "name": "x"}
    answer = _tester._answer({**question, "unsigned": "allow", "adapted": False, "policy": {}})
    assert answer["got"] == os.strerror(28) and "free some space" in answer["fix"]


def _killed(slot):
    (tester,) = children()
    os.kill(tester.pid, signal.SIGKILL)
    os.waitid(os.P_PID, tester.pid, os.WEXITED | os.WNOWAIT)
    time.sleep(0.05)
    original = slot._tester._running
    slot._tester._running = lambda: slot._tester._process
    try:
        slot._tester.check(slot.store.folder, slot.store.trust, slot.policy, slot.release.hash)
    finally:
        slot._tester._running = original
