"""Issue 22.21: what a killed process leaves in temporary folders goes with the next call; what lives is kept."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facelab.core import job, lifetime
from facelab.core.files import atomic_path, write_text
from facelab.core.safety import scratch

HOLD = """
import sys, time
from pathlib import Path
from facelab.core.safety import scratch
from facelab.core.files import atomic_path
place = Path(sys.argv[1])
folder = scratch.ScratchFolder(prefix="facelab-test-", dir=place)
Path(folder.name, "part").write_bytes(bytes(1000))
with atomic_path(place / "report.json") as tmp:
    tmp.write_text("[1, 2")
    print(folder.name, tmp, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds a temporary folder and a half-written file in `tmp_path`; yields it and the two."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, *map(Path, process.stdout.readline().split())
        process.kill()


def as_if_old(path):
    os.utime(path, (1e9, 1e9))


def test_what_a_killed_process_left_goes_with_the_next_call(holder, tmp_path):
    process, folder, file = holder
    as_if_old(file)
    assert scratch.sweep(tmp_path) == [] and folder.is_dir() and file.exists()
    process.kill()
    process.wait()
    assert folder.is_dir() and file.read_text() == "[1, 2"
    scratch._swept.clear()
    write_text(tmp_path / "report.json", "[1, 2]")
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_a_file_whose_lock_was_lost_by_a_rename_has_a_minute(tmp_path):
    with atomic_path(tmp_path / "a.bin") as tmp:
        (tmp_path / "other").write_text("x")
        (tmp_path / "other").replace(tmp)  # what a library that writes atomically itself does
        assert scratch.sweep(tmp_path) == []
    assert (tmp_path / "a.bin").read_text() == "x"


def test_only_facelabs_own_names_and_files_are_removed(tmp_path):
    kept = ["facelab-notes", ".report.tmp.json", ".a.abcdefgh.tmp.json", "x.fltmp.json"]
    for name in kept:
        (tmp_path / name).write_text("mine")
    outside = tmp_path.parent / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    (tmp_path / "link.fltmp").symlink_to(outside, target_is_directory=True)
    os.mkfifo(tmp_path / ".p.abcdefgh.fltmp.json")
    (tmp_path / ".l.abcdefgh.fltmp").symlink_to(outside / "precious")
    for path in tmp_path.iterdir():
        if path.is_file() and not path.is_symlink():
            as_if_old(path)
    before = sorted(p.name for p in tmp_path.iterdir())
    assert scratch.sweep(tmp_path) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert (outside / "precious").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_belongs_to_somebody_else_stays(tmp_path):
    (tmp_path / "a.fltmp").mkdir()
    os.chown(tmp_path / "a.fltmp", 12345, 12345)
    assert scratch.sweep(tmp_path) == [] and (tmp_path / "a.fltmp").is_dir()


def test_a_folder_is_locked_until_it_is_cleaned_up_and_never_swept_while_it_is_made(tmp_path):
    code = (
        "import sys\nfrom facelab.core.safety import scratch\n"
        "for _ in range(300):\n    scratch.sweep(sys.argv[1])"
    )
    sweepers = [subprocess.Popen([sys.executable, "-c", code, tmp_path]) for _ in range(2)]
    try:
        while any(s.poll() is None for s in sweepers):
            with scratch.ScratchFolder(prefix="facelab-race-", dir=tmp_path) as name:
                (Path(name) / "x").write_text("x")
                assert (Path(name) / "x").read_text() == "x"
    finally:
        for sweeper in sweepers:
            sweeper.kill()
            sweeper.wait()
    assert [s.returncode for s in sweepers] == [0, 0]
    assert list(tmp_path.iterdir()) == []


def test_a_killed_command_leaves_nothing_after_the_next_one(tmp_path):
    from tests.deploy.conftest_deploy import write_model

    # a content that nobody has opened yet
    model = write_model(tmp_path / "m.onnx", seed=int.from_bytes(os.urandom(3)))
    place = tmp_path / "temporary"
    place.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "FACELAB_OPEN_DIRECTLY"}
    environment["TMPDIR"] = str(place)
    command = [sys.executable, "-m", "facelab.cli", "bundle", model, "--out", tmp_path / "b"]
    command += ["--licence", "MIT"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not list(place.glob("*.fltmp")):  # Python tries the folder with its own file first
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.005)
        process.kill()
    assert len(list(place.iterdir())) >= 1
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(place.iterdir()) == []


def test_folders_thousands_deep_are_removed(tmp_path):
    top = tmp_path / "top"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for k in range(3000):
        os.mkdir("d" * 50, dir_fd=fd)
        if k % 1000 == 0:
            os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
        below = os.open("d" * 50, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    scratch.remove_tree(top)
    assert not top.exists()


def test_a_folder_that_is_kept_has_its_lasting_name_and_no_lock(tmp_path):
    made = scratch.ScratchFolder(dir=tmp_path)
    Path(made.name, "part").write_bytes(b"1")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "other").touch()
    with pytest.raises(OSError, match="not empty"):
        made.keep(tmp_path / "taken")
    assert Path(made.name, "part").exists()
    made.keep(tmp_path / "whole")
    made.cleanup()
    del made
    assert (tmp_path / "whole" / "part").read_bytes() == b"1"
    fd = os.open(tmp_path / "whole", os.O_RDONLY)
    assert scratch._locked(fd)
    os.close(fd)


def test_temporary_files_of_a_job_are_in_its_folder_and_go_with_it(tmp_path):
    """TensorFlow's AutoGraph left a file in the temporary folder of everyone whenever a training was killed."""
    (tmp_path / "script.py").write_text(
        "import tempfile\ndef work(job, folder):\n"
        "    kept = tempfile.NamedTemporaryFile(delete=False).name\n"
        "    assert kept.startswith(str(folder)), kept\n    return {'kept': kept}\n"
    )
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "job.json").write_text("{}")
    frame = Path(job.__file__)
    ended = lifetime.run([sys.executable, str(frame), str(tmp_path / "script.py"), str(folder)])
    told = json.loads((folder / "done.json").read_text())
    assert ended.returncode == 0 and told["ok"] and not Path(told["kept"]).exists()
    assert sorted(p.name for p in folder.iterdir()) == ["done.json", "job.json"]
