"""Capture in its own process: nothing is torn, nothing survives, no matter who is killed."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from facelab.camera._errors import SourceGoneError, StaleFrameError
from facelab.camera.internals import (
    CameraError,
    CaptureProcess,
    FaceScene,
    NegotiationError,
    SourceEndedError,
)
from facelab.core.errors import BadInputError
from facelab.core.scheduling import apply

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="shared memory without a name needs Linux"
)
MARK = "FACELAB_TEST_MARK"
FACE = "rendered:size=48,paced=1"
SENSOR = "rendered:pixels=0,paced=1"  # black pixels: quick to start


def alive(pid):
    """Return whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(pid, within=10.0):
    """Wait for a process to end; return whether it did."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not alive(pid):
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(autouse=True)
def mark(monkeypatch):
    """Mark every process that a test starts, so that tests that run beside this one are not counted."""
    monkeypatch.setenv(MARK, secrets.token_hex(16))


def segments():
    """Return every file descriptor that holds our shared memory, in this process and in those that the test started."""
    word = f"{MARK}={os.environ[MARK]}".encode()
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(process.name) != os.getpid() and word not in (process / "environ").read_bytes():
                continue
            for link in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if "memfd:facelab-frames" in str(link.readlink()):
                        found.add(str(link))
    return found


def descriptors():
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_frames_come_whole_and_everything_is_accounted_for():
    before, files = segments(), descriptors()
    scene = FaceScene(48)
    with CaptureProcess(FACE) as source:
        assert source.contract.width == 48
        assert source.streams == ("colour", "depth")
        for _ in range(12):
            frame = source.read()
            view = scene.at(frame.truth["true_time_s"])
            truth = view.depth if frame.stream == "depth" else view.colour
            assert np.array_equal(frame.data, truth)
        time.sleep(0.5)
        frame = source.read_newest(max_age_s=0.2)
        assert frame.age_s <= 0.2
        assert frame.lost_before > 0
        assert "gap" in frame.flags
        pid = source.pid
    report = source.ledger.report()
    assert report.balanced
    assert report.waiting == 0
    assert report.outcomes["pool exhausted"] > 0
    assert report.arrived == source.capture_report.arrived - source.capture_report.outcomes.get(
        "left over", 0
    )
    assert gone(pid)
    assert segments() == before
    assert descriptors() == files


def test_the_count_of_segments_sees_this_family_and_no_other(monkeypatch):
    before = segments()
    with CaptureProcess(SENSOR) as source:
        source.read()
        assert {Path(link).parts[2] for link in segments() - before} == {
            str(os.getpid()),
            str(source.pid),
        }
        pid, own = source.pid, os.environ[MARK]
        monkeypatch.setenv(MARK, "another")
        assert str(pid) not in {Path(link).parts[2] for link in segments()}
        monkeypatch.setenv(MARK, own)
    assert segments() == before


def test_a_process_that_is_killed_is_an_error_within_a_second_and_leaves_nothing():
    before = segments()
    source = CaptureProcess(SENSOR).start()
    source.read()
    os.kill(source.pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(SourceGoneError, match="died") as e:
        for _ in range(100):
            source.read()
    assert time.monotonic() - began < 2
    assert e.value.got == "killed by signal 9"
    source.close()
    source.ledger.check(0)
    assert segments() == before


PARENT = """
import sys, time
from facelab.camera.internals import CaptureProcess
source = CaptureProcess("rendered:pixels=0,paced=1").start()
source.read()
print(source.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_a_parent_killed_with_9_takes_the_process_along_even_one_that_is_stopped(stopped):
    before = segments()
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    try:
        pid = int(parent.stdout.readline())
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        parent.kill()
        assert gone(pid)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert segments() == before


def test_a_source_opened_in_a_thread_outlives_the_thread():
    made = []
    thread = threading.Thread(target=lambda: made.append(CaptureProcess(SENSOR).start()))
    thread.start()
    thread.join()
    time.sleep(0.3)  # a child dies with the thread that started it, if nobody takes care
    with made[0] as source:
        assert source.read().data.size


def test_frames_without_a_copy_are_views_of_the_shared_slots_and_are_given_back():
    with CaptureProcess(SENSOR, copy=False, slots=3) as source:
        for _ in range(12):
            with source.read() as frame:
                assert frame.slot is not None
        with pytest.raises(StaleFrameError):
            _ = frame.data
        held = [source.read() for _ in range(3)]
        time.sleep(0.3)
        assert len({f.slot.index for f in held}) == 3
        kept = [f.data.copy() for f in held]
        time.sleep(0.2)
        assert all(np.array_equal(f.data, k) for f, k in zip(held, kept))  # nobody writes into them
        for f in held:
            f.release()
        assert source.read(timeout_s=5).data.size
    assert source.ledger["pool exhausted"] > 0


def test_errors_of_the_other_process_are_those_of_open_source():
    with pytest.raises(NegotiationError, match="another rate"):
        CaptureProcess(SENSOR, rate=60)
    with pytest.raises(BadInputError, match="no such source"):
        CaptureProcess("nothing-here")


def test_the_end_of_a_source_is_the_end_here_and_no_frame_before_it_is_lost():
    # not paced: on a loaded machine a paced sensor may skip a frame itself
    with CaptureProcess("rendered:pixels=0,seconds=0.4", slots=40) as source:
        frames = list(source)
        with pytest.raises(SourceEndedError):
            source.read()
    assert [f.sequence for f in frames if f.stream == "depth"] == list(range(12))
    source.ledger.check(0)


def test_the_schedule_says_what_was_granted_and_what_was_not():
    cpu = min(os.sched_getaffinity(0))
    with CaptureProcess(SENSOR, cpu=cpu, nice=5) as source:
        assert source.schedule.cpus == (cpu,)
        assert source.schedule.nice == 5
        assert source.schedule.granted
    with CaptureProcess(SENSOR, cpu=4000, fifo=10) as source:
        assert "cpu" in source.schedule.refused
        assert (source.schedule.policy == "fifo") != ("fifo" in source.schedule.refused)
    for bad in ({"fifo": 100}, {"nice": 40}, {"cpu": -1}):
        with pytest.raises(BadInputError, match="out of range"):
            CaptureProcess(SENSOR, **bad)


def test_nothing_asked_changes_nothing():
    before = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    assert apply().granted
    assert (os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)) == before


def test_shared_memory_that_cannot_be_had_is_an_error_that_says_so():
    with pytest.raises(CameraError, match="could not get its memory") as e:
        CaptureProcess(SENSOR, slot_bytes=1 << 55)
    assert e.value.fix


def test_two_slots_too_few_and_a_frame_too_large_are_errors():
    with pytest.raises(BadInputError, match="two slots"):
        CaptureProcess(SENSOR, slots=1)
    with (
        CaptureProcess(SENSOR, slot_bytes=1) as source,
        pytest.raises(CameraError, match="larger than the shared slot"),
    ):
        source.read()
