"""Rules for causes on traces whose truth is known: rows made by hand, and real delays in real threads."""

import os
import threading
import time

import numpy as np
import pytest

from facelab.core.events import Event
from facelab.tracing import FAULTS, Tracer, explain
from facelab.tracing._causes import CAUSES
from facelab.tracing._trace import COLUMNS
from facelab.tracing._watcher import Sample
from facelab.tracing.internals import Trace

MS = 1_000_000
SLOW = 40


def made(change, *, n=60, samples=(), events=(), value=None):
    """Return a trace of n spans of 5 ms of work; `change` has ms (or counts) of span `SLOW`."""
    rows, at = np.zeros((n, len(COLUMNS)), np.int64), 0
    place = {c: k for k, c in enumerate(COLUMNS)}
    for k in range(n):
        parts = {"cpu_ns": 5, "wait_ns": 0, "blocked": 0, **(change if k == SLOW else {})}
        rows[k, place["value"]] = 1 if value is None else value(k)
        wall = parts["cpu_ns"] + parts["wait_ns"] + parts.pop("blocked")
        rows[k, place["start_ns"]], rows[k, place["end_ns"]] = at, at + wall * MS
        for name, v in parts.items():
            rows[k, place[name]] = v * MS if name.endswith("_ns") else v
        at += (wall + 1) * MS
    start = int(rows[SLOW, place["start_ns"]])
    return Trace.make(
        rows,
        names=("detect",),
        lost=0,
        counters=True,
        samples=tuple(
            Sample(start + 6 * MS + k * MS, 0, 0, start, doing, what, "a.py:f:3", used * MS)
            for k, (doing, what, used) in enumerate(samples)
        ),
        events=tuple(
            Event("model_load", "m.onnx", start + a * MS, start + b * MS, 1) for a, b in events
        ),
        facts={"fault_ns": 500.0, "switch_interval_s": 0.005},
    )


CASES = {
    "more CPU": ({"cpu_ns": 35}, {}, "computation"),
    "run queue": ({"wait_ns": 30}, {}, "core_hog"),
    "gc": ({"cpu_ns": 35, "gc_ns": 28}, {}, "gc"),
    "faults": ({"cpu_ns": 35, "minor_faults": 40_000}, {}, "page_faults"),
    "huge pages": ({"cpu_ns": 35, "minor_faults": 20, "sys_ns": 25}, {}, "page_faults"),
    "slept": ({"blocked": 30}, {"samples": [("sleep", "", 0)] * 4}, "sleep"),
    "lock": ({"blocked": 30}, {"samples": [("lock", "", 0)] * 4}, "lock"),
    "timed lock, no other thread computes": (
        {"blocked": 30},
        {"samples": [("timed lock", "", 0)] * 4},
        "lock",
    ),
    "file": ({"blocked": 30}, {"samples": [("file", "/x", 0)] * 4}, "disk"),
    "pipe": ({"blocked": 30}, {"samples": [("wait", "", 0)] * 4}, "waiting"),
    "GIL": (
        {"blocked": 30, "voluntary": 6},
        {"samples": [("timed lock", "", 8 * k) for k in range(8)]},
        "gil",
    ),
    "no look": ({"blocked": 30}, {}, "blocked"),
    "no look, blocks read": ({"blocked": 30, "blocks_in": 8}, {}, "disk"),
    "load in the call": ({"cpu_ns": 35}, {"events": [(2, 30)]}, "model_reload"),
    "two short loads": ({"cpu_ns": 35}, {"events": [(1, 10), (11, 25)]}, "model_reload"),
    "a load too short": ({"cpu_ns": 35}, {"events": [(1, 5)]}, "computation"),
    "mixed": ({"cpu_ns": 16, "wait_ns": 11, "blocked": 10}, {}, "unknown"),
}


@pytest.mark.parametrize("case", CASES)
def test_rules(case):
    change, rest, cause = CASES[case]
    found = explain(made(change, **rest))
    assert [(s.call, s.cause) for s in found.slow] == [(SLOW, cause)]
    assert cause in CAUSES and found.slow[0].fault == (cause in FAULTS)


def test_a_larger_input_and_a_repetition_tell_an_input_from_a_processor():
    trace = made({"cpu_ns": 35}, value=lambda k: 9 if k == SLOW else 1)
    assert explain(trace).slow[0].cause == "input"
    plain = made({"cpu_ns": 35})
    assert explain(plain, replayed={(SLOW, "detect"): 0.034}).slow[0].cause == "input"
    assert explain(plain, replayed={(SLOW, "detect"): 0.005}).slow[0].cause == "processor"


def test_spans_are_compared_with_spans_of_as_much_work():
    """Half of the calls have four faces and take four times as long: none of them is slow."""
    trace = made({}, value=lambda k: 1 + 3 * (k % 2))
    c = trace.columns
    c["end_ns"][1::2] += 15 * MS
    c["cpu_ns"][1::2] += 15 * MS
    assert explain(trace).slow == ()


def test_the_first_calls_are_named_warm_up():
    trace = made({})
    trace.columns["end_ns"][0] += 50 * MS
    trace.columns["cpu_ns"][0] += 50 * MS
    assert [(s.call, s.cause) for s in explain(trace).slow] == [(0, "warm_up")]


def test_on_a_busy_machine_the_wait_that_work_brings_counts_as_work():
    """All spans wait as long as they compute; the slow one computes 30 ms more and waits 30 ms more."""
    trace = made({"cpu_ns": 35, "wait_ns": 35})
    usual = np.arange(60) != SLOW
    trace.columns["wait_ns"][usual] = 5 * MS
    trace.columns["end_ns"][usual] += 5 * MS
    assert explain(trace).slow[0].cause == "computation"


def test_results_keep_the_protocol(tmp_path):
    found = explain(made({"wait_ns": 30}))
    assert found.to_dict()["count"] == {"core_hog": 1}
    assert len(found.to_frame()) == 1 and "core_hog" in found._repr_html_()
    assert found.save(tmp_path / "c.json").is_file()
    assert found.of_call(SLOW).stage == "detect" and found.of_call(1) is None
    assert "core_hog" in found.text()


def _lock_held():
    lock, taken = threading.Lock(), threading.Event()

    def hold():
        with lock:
            taken.set()
            time.sleep(0.08)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    with lock:
        pass
    thread.join()


def _pipe():
    read, write = os.pipe()
    timer = threading.Timer(0.08, os.write, (write, b"x"))
    timer.start()
    os.read(read, 1)
    timer.join()
    os.close(read)
    os.close(write)


@pytest.mark.parametrize(
    "cause, delay", [("sleep", lambda: time.sleep(0.08)), ("lock", _lock_held), ("waiting", _pipe)]
)
def test_real_delays_are_named_with_their_line(cause, delay):
    """80 ms against work of 1 ms: whatever the neighbours do, the delay is the largest part."""
    with Tracer() as tracer:
        for k in range(40):
            with tracer.span("stage"):
                if k == 25:
                    delay()
                end = time.thread_time() + 0.001
                while time.thread_time() < end:
                    pass
    found = explain(tracer.trace(), floor_s=0.03).of_call(25)
    assert found is not None and found.cause == cause
    assert "test_causes.py" in found.where or "threading.py" in found.where


def test_a_quiet_run_has_no_fault():
    with Tracer() as tracer:
        for _ in range(300):
            with tracer.span("stage"):
                sum(range(20_000))
    assert [s for s in explain(tracer.trace()).slow if s.fault] == []
