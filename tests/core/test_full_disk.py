"""Exports on a disk that is really full: a small tmpfs, filled to its last block. Old files stay whole."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from facelab import budget
from facelab.camera import RenderedSensor, record
from facelab.camera.internals import FaceScene
from facelab.core import errors, files
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
    watch = MemoryWatch(settle=20, every=2)
    for frame in range(120):
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
    assert str(full_disk) in str(e.value.filename)
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
    assert str(full_disk) in done.stderr, "no path is named"
    assert (full_disk / "old").read_text() == "old"
    assert sorted(p.name for p in full_disk.iterdir()) == ["filling", "old"]


@pytest.mark.parametrize(
    "words",
    [
        ("fingerprint", "probes", "--out", "{disk}/new"),
        ("init", "{disk}/new"),
    ],
    ids=" ".join,
)
def test_a_command_that_writes_a_folder_names_the_disk_that_is_full(full_disk, words):
    command = [sys.executable, "-m", "facelab.cli", *(w.format(disk=full_disk) for w in words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode in (1, 2) and "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert str(full_disk) in done.stderr and ".fltmp" not in done.stderr, "no path is named"
    assert not [p for p in (full_disk / "new").rglob("*") if p.is_file() and p.stat().st_size]


def test_an_array_that_fits_in_part_is_a_full_disk_and_not_a_short_count(full_disk):
    """NumPy says `6912 requested and 6112 written`, without an error number."""
    (full_disk / "filling").unlink()
    with pytest.raises(OSError, match="No space left") as e:
        files.write_npy(full_disk / "new.npy", np.zeros(600_000, np.uint8))
    assert (e.value.errno, e.value.filename) == (errno.ENOSPC, str(full_disk / "new.npy"))
    assert [p.name for p in full_disk.iterdir()] == ["old"]


def test_a_copy_without_room_names_where_it_was_to_go(full_disk, tmp_path):
    (tmp_path / "source").write_bytes(bytes(1 << 16))
    with pytest.raises(OSError) as e:
        shutil.copyfile(tmp_path / "source", full_disk / "copy")
    assert errors.from_os(e.value).where == str(full_disk / "copy")
