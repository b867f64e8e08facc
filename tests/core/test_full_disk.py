"""Exports on a disk that is really full: a small tmpfs, filled to its last block. Old files stay whole."""

import contextlib
import errno
import os
import subprocess
import sys

import pytest

from facelab import budget
from facelab.camera import RenderedSensor, record
from facelab.camera.internals import FaceScene
from facelab.tracing import MemoryWatch, Tracer, export


@pytest.fixture
def full_disk(tmp_path):
    """Mount a disk of 512 KiB that holds a file `old` and has no block left."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
    try:
        (place / "old").write_text("old")
        with contextlib.suppress(OSError), (place / "filling").open("wb", buffering=0) as f:
            while True:
                f.write(bytes(4096))
        assert os.statvfs(place).f_bavail == 0
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(scope="module")
def trace():
    with Tracer(watch_s=None) as tracer:
        for _ in range(60):
            with tracer.span("frame"), tracer.span("detect"):
                sum(range(500))
    return tracer.trace()


def memory_report(place):
    watch = MemoryWatch(settle=40, every=2)
    for frame in range(300):
        watch.tick(frame)
    return watch.finish().save(place / "old")


EXPORTS = {
    "trace": lambda trace, place: trace.save(place / "new.npz"),
    "chrome": lambda trace, place: export(trace, place / "old", "chrome"),
    "speedscope": lambda trace, place: export(trace, place / "old", "speedscope"),
    "folded": lambda trace, place: export(trace, place / "old", "folded"),
    "flame graph": lambda trace, place: export(trace, place / "old", "flamegraph"),
    "stages": lambda trace, place: trace.stages().save(place / "old"),
    "memory verdict": lambda trace, place: memory_report(place),
    "device model": lambda trace, place: budget.example_device().save(place / "old"),
    "recording": lambda trace, place: record(
        RenderedSensor(FaceScene(48)), place / "recorded", frames=30
    ),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_fails_by_name_and_what_was_there_stays(full_disk, trace, name):
    before = sorted(p.name for p in full_disk.iterdir())
    with pytest.raises(OSError) as e:
        EXPORTS[name](trace, full_disk)
    assert e.value.errno == errno.ENOSPC
    assert sorted(p.name for p in full_disk.iterdir()) == before
    assert (full_disk / "old").read_text() == "old"


@pytest.mark.parametrize(
    "words",
    [
        ("trace", "export", "{trace}", "--format", "chrome", "--out", "{disk}/old"),
        ("budget", "example", "--out", "{disk}/old"),
        ("budget", "run", "{budget}", "--out", "{disk}/new.json", "--", "true"),
    ],
    ids=" ".join,
)
def test_a_command_says_it_without_a_traceback(full_disk, trace, tmp_path, words):
    (tmp_path / "b.toml").write_text("threads = 1\n")
    places = {
        "trace": trace.save(tmp_path / "t.npz"),
        "disk": full_disk,
        "budget": tmp_path / "b.toml",
    }
    command = [sys.executable, "-m", "facelab.cli", *(w.format(**places) for w in words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    # 2 where the place is tried before any work, 1 where the disk fills up meanwhile
    assert done.returncode in (1, 2) and "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert (full_disk / "old").read_text() == "old"
    assert sorted(p.name for p in full_disk.iterdir()) == ["filling", "old"]
