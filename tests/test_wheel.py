"""A wheel works away from the checkout: its data files are in it, and the commands run from an empty folder."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

NEEDED = ("facelab/py.typed", "facelab/zoo/data/catalogue.toml", "facelab/zoo/data/registry.toml")


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
    """Build the wheel from a copy of the tracked files, so that nothing untracked slips in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", "facelab", "pyproject.toml", "README.md", "LICENSE"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (repository / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((repository / name).read_bytes())
    program = (
        "import os, sys; from setuptools import build_meta; os.chdir(sys.argv[1]);"
        "print(build_meta.build_wheel(sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, source, out], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    """Unpack the wheel; with PYTHONPATH it comes before the editable install."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as z:
        z.extractall(folder)
    return folder


@pytest.fixture
def facelab(unpacked, tmp_path):
    """Return a function that runs the wheel's facelab in an empty folder with an empty home."""

    def call(*words, expected=0):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(unpacked),
            "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
        }
        (tmp_path / "work").mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "facelab.cli", *map(str, words)],
            cwd=tmp_path / "work",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expected, done.stderr[-2000:]
        return done.stdout

    return call


def test_the_wheel_holds_data_files_and_metadata_and_no_tests(wheel):
    with zipfile.ZipFile(wheel) as z:
        names = z.namelist()
        (metadata,) = [n for n in names if n.endswith("/METADATA")]
        text = z.read(metadata).decode()
    assert set(NEEDED) <= set(names)
    assert not [n for n in names if n.startswith(("tests/", "notebooks/"))]
    assert "License-Expression: Apache-2.0" in text
    assert 'Requires-Dist: tensorflow>=2.19; extra == "train"' in text
    assert 'Requires-Dist: jupyterlab>=4.2; extra == "notebooks"' in text


def test_the_wheel_holds_every_file_of_the_package(wheel, repository):
    """What a command needs away from the checkout is a module or a data file; none may be left out."""
    with zipfile.ZipFile(wheel) as z:
        names = set(z.namelist())
    listed = subprocess.run(
        ["git", "ls-files", "--", "facelab"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    tracked = {name for name in listed.stdout.splitlines() if (repository / name).is_file()}
    assert tracked - names == set()


def test_commands_run_from_the_wheel(facelab, unpacked, tmp_path, repository):
    where = subprocess.run(
        [sys.executable, "-c", "import facelab; print(facelab.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert Path(where.strip()).is_relative_to(unpacked)
    assert {"yunet-n", "sface"} <= {
        m["name"] for m in json.loads(facelab("assets", "list", "--json"))["assets"]
    }
    # the first command of a new user: the folder of the user's data is not there yet
    assert "GB free" in facelab("doctor", "--quick")
    spec = repository / "examples" / "python" / "train.preprocess.json"
    device = repository / "examples" / "python" / "device.py"
    facelab("fingerprint", "capture", "--spec", spec, "--out", "train.json")
    facelab("fingerprint", "capture", "--pipeline", f"{device}:preprocess", "--out", "infer.json")
    found = facelab("fingerprint", "compare", "train.json", "infer.json", expected=1)
    assert "BGR" in found
    facelab("bundle", "mtcnn-onet", "--spec", spec, "--out", "bundle")
    assert "FAIL" in facelab("gate", "bundle", "--inference", "infer.json", expected=1)


@pytest.mark.slow  # it compiles the search for its empty cache, for ten seconds
def test_the_matcher_runs_from_the_wheel(facelab, tmp_path):
    import numpy as np

    rows = np.random.default_rng(0).standard_normal((50, 16)).astype("f4")
    (tmp_path / "work").mkdir()
    np.save(tmp_path / "work" / "rows.npy", rows)
    files = ("--gallery", "rows.npy", "--queries", "rows.npy", "--out", "found.npz")
    facelab("match", "search", *files, "-k", 3)
    with np.load(tmp_path / "work" / "found.npz") as found:
        assert found["ids"][:, 0].tolist() == list(range(50))
