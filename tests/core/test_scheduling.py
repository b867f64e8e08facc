"""Giving way: a thread that loads a model lets those that wake have its core, and keeps its share."""

import hashlib
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from facelab.core import scheduling

can = pytest.mark.skipif(scheduling.slice_ns() is None, reason="needs Linux 6.12 for time slices")


@can
def test_the_slice_is_long_inside_and_the_usual_one_outside():
    usual = scheduling.slice_ns()
    with pytest.raises(KeyError), scheduling.giving_way() as given:
        assert given and scheduling.slice_ns() == scheduling.LONGEST_SLICE_NS
        raise KeyError
    assert scheduling.slice_ns() == usual


@can
def test_a_chosen_slice_comes_back_and_one_out_of_range_is_cut():
    def work():
        assert scheduling.set_slice(700_000)
        with scheduling.giving_way(), scheduling.giving_way():
            pass
        seen.append(scheduling.slice_ns())
        scheduling.set_slice(10**12)
        seen.append(scheduling.slice_ns())

    seen = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [700_000, scheduling.LONGEST_SLICE_NS]


@can
def test_a_thread_from_inside_gets_the_usual_slice_when_the_block_ends():
    usual, go, told = scheduling.slice_ns(), threading.Event(), threading.Event()
    seen = []

    def work():
        seen.append(scheduling.slice_ns())
        told.set()
        go.wait()
        seen.append(scheduling.slice_ns())

    with scheduling.giving_way():
        thread = threading.Thread(target=work)
        thread.start()
        told.wait()
    go.set()
    thread.join()
    assert seen == [scheduling.LONGEST_SLICE_NS, usual]


@can
@pytest.mark.skipif(os.geteuid() != 0, reason="a real-time class needs rights")
def test_a_real_time_thread_is_left_alone():
    def work():
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        with scheduling.giving_way() as given:
            seen.append((given, os.sched_getscheduler(0)))

    seen = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, os.SCHED_RR)]


def test_a_machine_without_the_call_goes_on(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    assert scheduling.slice_ns() is None and not scheduling.set_slice(1_000_000)
    with scheduling.giving_way() as given:
        assert not given


def test_another_process_is_kept_on_a_core_and_let_go():
    core = scheduling.current_core()
    if core is None:
        pytest.skip("the system does not say on which core a thread runs")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert scheduling.confine(child.pid, {core}) and os.sched_getaffinity(child.pid) == {core}
        assert scheduling.confine(child.pid, None)
        assert os.sched_getaffinity(child.pid) == os.sched_getaffinity(0)
    assert not scheduling.confine(child.pid, {core})


@can
@pytest.mark.slow
def test_who_wakes_waits_less_for_one_that_gives_way():
    """Waits above 1 ms in one core's run queue, from the kernel's own count; both kinds in turn, as load meets both."""
    if os.getloadavg()[0] > len(os.sched_getaffinity(0)):
        pytest.skip("others keep the cores busy, and waiting for them is all that would be seen")
    core, data = min(os.sched_getaffinity(0)), bytes(20 << 20)

    def late(gives_way: bool, wakes: int = 100) -> int:
        stop, total = threading.Event(), []

        def load():
            os.sched_setaffinity(0, {core})
            if gives_way:
                assert scheduling.set_slice(scheduling.LONGEST_SLICE_NS)
            while not stop.wait(0.003):
                hashlib.sha256(data)

        def request():
            os.sched_setaffinity(0, {core})
            delay = lambda: int(Path("/proc/thread-self/schedstat").read_text().split()[1])  # noqa: E731
            for k in range(wakes):
                before = delay()
                time.sleep(0.004 + 0.004 * (k * 0.618 % 1))
                total.append((delay() - before) / 1e6)

        background = threading.Thread(target=load)
        background.start()
        requests = threading.Thread(target=request)
        requests.start()
        requests.join()
        stop.set()
        background.join()
        return sum(t > 1 for t in total)

    usual, giving = zip(*[(late(False), late(True)) for _ in range(5)])
    assert sum(giving) < 0.6 * sum(usual), (usual, giving)
