"""Supervised workers: each input is answered, lost or refused, and counted; workers come back; nothing is left."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from facelab.core.errors import BadInputError, FacelabError
from facelab.serving.internals import SupervisedWorker, prove
from facelab.serving.workers._channel import ChannelClosedError, receive, send
from facelab.serving.workers._process import Recipe, StartError
from facelab.serving.workers._restarts import Quarantine, RestartGate, Restarts
from facelab.serving.workers._supervisor import InputLostError, WorkersDownError, error_of

FAST = Restarts(budget=50, window_s=60, first_s=0.0, most_s=0.01)


def recipe(tmp_path) -> Recipe:
    return Recipe("facelab.serving.workers._proof:Faulty", {"folder": str(tmp_path)}, 64 << 20)


def test_injected_faults_are_all_counted_and_no_answer_is_wrong(tmp_path):
    proof = prove(str(tmp_path), faults=8, frames=24, deadline_s=1.0, poison=0.25)
    r = proof.report
    assert proof.held, (r, proof.seen())
    assert r.asked == 24 and r.lost == 2 and r.answered == 22 and r.recovered == 6
    assert r.silent == 0 and proof.wrong == 0 and len(r.recovery()) == 10
    assert sum(row["faults"] for row in proof.rows()) == 10


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_hundred_faults(tmp_path):
    proof = prove(str(tmp_path), faults=100, frames=300, deadline_s=1.0)
    assert proof.held, (proof.report, proof.seen())
    assert proof.report.asked == 300 and proof.report.lost == 10 and proof.report.silent == 0
    assert np.percentile(proof.report.recovery(), 90) < 5.0


def test_poison_is_quarantined_and_the_next_input_is_answered(tmp_path):
    with SupervisedWorker(recipe(tmp_path), restarts=FAST, spare=False, deadline_s=5) as worker:
        poison = {"fault": "crash", "always": True, "number": 1}
        with pytest.raises(InputLostError, match="ends the process") as e:
            worker.call("sum", b"\1\2", **poison)
        assert "SIGSEGV" in e.value.got and e.value.fix
        began = len(worker.report().faults)
        with pytest.raises(InputLostError, match="ends the process"):
            worker.call("sum", b"\1\2", **poison)
        assert len(worker.report().faults) == began == 2, "quarantine ends no worker"
        assert worker.call("sum", b"\1\3", fault=None, number=2) == 4
        report = worker.report()
        assert (report.asked, report.answered, report.lost, report.refused) == (3, 1, 1, 1)
        worker.quarantine.clear()
        assert worker.call("sum", b"\1\2", fault=None, number=3) == 3


def test_a_spare_takes_over_at_once(tmp_path):
    with SupervisedWorker(recipe(tmp_path), restarts=FAST, deadline_s=5) as worker:
        worker._maker.join(30)
        assert worker.call("sum", b"\5", fault="kill", number=1) == 5
        (fault,) = worker.report().faults
        assert fault.cause == "killed" and fault.recovered_s < 0.25, (
            "no interpreter starts meanwhile"
        )


def test_a_used_up_budget_closes_the_gate_and_time_opens_it(tmp_path):
    states = []
    rule = Restarts(budget=1, window_s=3.0, first_s=0.0, most_s=0.0)
    with SupervisedWorker(
        recipe(tmp_path), restarts=rule, spare=False, tries=1, on_state=states.append
    ) as worker:
        for number in (1, 2):
            with pytest.raises(InputLostError):
                worker.call("sum", bytes([number]), fault="kill", always=True, number=number)
        assert states[-1] == "down"
        with pytest.raises(WorkersDownError, match="no worker can be started") as e:
            worker.call("sum", b"\7", fault=None, number=3)
        assert "next try" in e.value.got and worker.report().refused == 1
        time.sleep(3.1)
        assert worker.call("sum", b"\7", fault=None, number=3) == 7


def test_errors_of_the_workers_function_are_errors_of_the_same_class_and_no_faults():
    target = Recipe(
        "facelab.serving.workers._faces:Faces",
        {"detectors": ["haar"], "embedders": [], "pixels": 10_000},
    )
    with SupervisedWorker(target, spare=False) as worker:
        with pytest.raises(FacelabError) as e:
            worker.call("detect", b"no image", sizes=[8], shrink=False)
        assert e.value.status == 415 and "not an image" in e.value.what
        report = worker.report()
        assert report.failed == 1 and not report.faults and report.silent == 0


def test_a_worker_that_cannot_load_its_models_says_why():
    target = Recipe(
        "facelab.serving.workers._faces:Faces",
        {"detectors": ["nonsense"], "embedders": [], "pixels": 1},
    )
    with pytest.raises(StartError, match="nonsense"):
        SupervisedWorker(target)
    with pytest.raises(StartError, match="cannot load"):
        SupervisedWorker(Recipe("facelab.no_such_module:x", {}))


def test_many_threads_share_a_worker(tmp_path):
    with SupervisedWorker(recipe(tmp_path), restarts=FAST, spare=False) as worker:
        wrong = []

        def work(k: int) -> None:
            for n in range(5):
                fault = "kill" if (k, n) == (2, 2) else None
                data = bytes([k, n])
                if worker.call("sum", data, fault=fault, number=100 * k + n) != k + n:
                    wrong.append(k)

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert not wrong and worker.report().answered == 20 and worker.report().silent == 0


def test_closing_leaves_no_process(tmp_path):
    worker = SupervisedWorker(recipe(tmp_path), restarts=FAST)
    worker._maker.join(30)
    pids = [worker._worker.pid, worker._spare.pid]
    assert all(Path(f"/proc/{p}").exists() for p in pids)
    worker.close()
    worker.close()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{p}").exists() for p in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{p}").exists() for p in pids)
    with pytest.raises(WorkersDownError, match="closed"):
        worker.call("sum", b"")


def test_a_worker_that_died_while_idle_is_noticed_before_the_next_input(tmp_path):
    import signal

    with SupervisedWorker(recipe(tmp_path), restarts=FAST, spare=False) as worker:
        os.kill(worker._worker.pid, signal.SIGKILL)
        end = time.monotonic() + 10
        while worker._worker.alive() and time.monotonic() < end:
            time.sleep(0.02)
        assert worker.call("sum", b"\2", fault=None, number=1) == 2
        assert worker.report().causes == {"died while idle": 1}


# -- small parts -------------------------------------------------------------------------------------------------------


def test_pauses_double_up_to_the_longest_and_a_good_answer_resets_them():
    now = [0.0]
    gate = RestartGate(Restarts(budget=5, window_s=10, first_s=0.1, most_s=0.5), lambda: now[0])
    assert [gate.pause() for _ in range(4)] == [0.1, 0.2, 0.4, 0.5]
    gate.good()
    assert gate.pause() == 0.1 and gate.pause() is None and gate.opens_in() == 10.0
    now[0] = 10.0
    assert gate.opens_in() == 0 and gate.pause() == 0.2


@pytest.mark.parametrize(
    "fields", [{"budget": 0}, {"window_s": 0}, {"first_s": -1}, {"first_s": 2, "most_s": 1}]
)
def test_rules_that_cannot_hold_are_refused(fields):
    with pytest.raises(BadInputError, match="cannot hold"):
        Restarts(**fields)


def test_quarantine_forgets_the_oldest_and_what_is_old():
    held = Quarantine(most=2, keep_s=0.2)
    for key in "abc":
        held.add(key, key.upper())
    assert held.why("a") is None and held.why("c") == "C" and len(held) == 2
    time.sleep(0.25)
    assert held.why("c") is None


def test_a_worker_cannot_make_the_supervisor_run_or_hold_anything():
    import socket
    import struct

    for raw in (
        struct.pack("!IQ", 1 << 30, 0),
        struct.pack("!IQ", 3, 0) + b"no!",
        struct.pack("!IQ", 2, 0) + b"[]",
        struct.pack("!IQ", 5, 0) + b"[1",
        struct.pack("!IQ", 2000, 0) + b"[" * 2000,
    ):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(raw)
            theirs.close()
            with pytest.raises(ChannelClosedError):
                receive(ours, until=time.monotonic() + 2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(TimeoutError):
            receive(ours, until=time.monotonic() + 0.05)
        send(theirs, {"a": 1}, b"xyz")
        assert receive(ours) == ({"a": 1}, b"xyz")


def test_unknown_errors_of_a_worker_become_plain_ones():
    assert type(error_of({"failed": "ValueError: x"})) is FacelabError
    assert type(error_of({"error": {"error": "Popen", "what": "x"}})) is FacelabError
    made = error_of({"error": {"error": "BadInputError", "what": "w", "fix": "f"}})
    assert isinstance(made, BadInputError) and made.fix == "f"


@pytest.mark.parametrize(("faults", "frames"), [(0, 5), (6, 5)])
def test_a_proof_needs_frames_for_its_faults(faults, frames, tmp_path):
    with pytest.raises(BadInputError, match="cannot be injected"):
        prove(str(tmp_path), faults=faults, frames=frames)


OWNER = """
import sys, time
from facelab.serving.internals import SupervisedWorker
from facelab.serving.workers._process import Recipe
worker = SupervisedWorker(Recipe("facelab.serving.workers._proof:Faulty", {"folder": sys.argv[1]}))
worker._maker.join(60)
print(worker._worker.pid, worker._spare.pid, flush=True)
time.sleep(600)
"""


def test_workers_end_with_a_supervisor_that_is_killed(tmp_path):
    import subprocess
    import sys

    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with owner.stdout:
        pids = [int(p) for p in owner.stdout.readline().split()]
        assert len(pids) == 2 and all(Path(f"/proc/{p}").exists() for p in pids)
        owner.kill()
        owner.wait(10)
    end = time.monotonic() + 15
    while any(Path(f"/proc/{p}").exists() for p in pids) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{p}").exists() for p in pids)
