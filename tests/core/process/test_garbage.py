"""How often a process of facelab looks for garbage, and what it leaves at its end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from facelab.core.isolated import module_command

OBJECTS = """
import gc, sys
class Noisy:
    def __init__(self, name):
        self.name, self.itself = name, self
    def __del__(self):
        print("end of", self.name, flush=True)
class Plain(Noisy):
    def __init__(self, name):
        self.name = name
old = Noisy("an old circle")
plain = Plain("a plain object")
gc.collect()
"""
"""Both are old when the process ends; one points to itself, so that only a collection finds it."""


def told(code: str) -> list[str]:
    """Return the lines that a process with this code prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()


END = "from facelab.core.process import garbage\ngarbage.end_at_once()\n"


def test_python_itself_looks_at_old_objects_at_its_end():
    """Otherwise the next test could not fail."""
    assert sorted(told(OBJECTS)) == ["end of a plain object", "end of an old circle"]


def test_at_its_end_a_process_looks_at_young_objects_only():
    """What old objects hold goes with the process's memory."""
    young = "young = Noisy('a young circle')\ndel young\n"
    assert told(OBJECTS + END + young) == ["end of a young circle"]


def test_beside_code_of_others_a_process_ends_as_python_does():
    """A file that a pipeline's module leaves open gets its last bytes."""
    assert told(OBJECTS + END + "garbage.end_as_usual()\n") == told(OBJECTS)


def test_what_atexit_runs_comes_first_and_still_runs():
    """`end_at_once` is registered when a process starts: what is registered later runs before it."""
    code = (
        "import atexit, gc\n"
        "from facelab.core.process.garbage import end_at_once\n"
        "end_at_once()\n"
        "atexit.register(lambda: print('frozen', gc.get_freeze_count() > 5000, flush=True))\n"
    )
    assert told(code) == ["frozen False"]


@pytest.mark.parametrize("what", ["collect_rarely", "collect_as_usual"])
def test_young_objects_are_looked_at_as_often_as_ever(what):
    """Garbage of a loop is young: its memory must not add up. Only collections of all objects become rare."""
    code = (
        "import gc\n"
        "usual = gc.get_threshold()\n"
        "from facelab.core.process import garbage\n"
        "garbage.collect_rarely()\n"
        f"garbage.{what}()\n"
        "print(gc.get_threshold()[:2] == usual[:2], gc.get_threshold()[2] / max(usual[2], 1))\n"
    )
    young, full = told(code)[0].split()
    assert young == "True"
    assert float(full) == (1 if what == "collect_as_usual" else 10)


BLOCKS = """
import gc, sys
from facelab.core.process import garbage
garbage.collect_rarely()
class Model:
    alive = most = 0
    def __init__(self):
        self.layers = [[] for _ in range(10_000)]
        self.itself = self
        Model.alive += 1
        Model.most = max(Model.most, Model.alive)
    def __del__(self):
        Model.alive -= 1
for _ in range(300):
    model = Model()
print(Model.most)
"""


def test_a_loop_over_large_circles_does_not_keep_them_all():
    """Models of Keras point to themselves: each has thousands of objects, old when the next one is built."""
    assert int(told(BLOCKS)[0]) < 150


def test_a_notebook_collects_as_python_does():
    """Its code is a user's, who may build models in a loop."""
    code = (
        "import gc, os, tempfile\n"
        "usual = gc.get_threshold()\n"
        "os.environ.update(FACELAB_STEP='a', FACELAB_STEP_DIR=tempfile.mkdtemp())\n"
        "from facelab.session import start\n"
        "print(start('a').headless, gc.get_threshold() == usual)\n"
    )
    assert told(code) == ["True True"]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([sys.executable, "-m", "facelab.cli", "--version"], id="the command line"),
        pytest.param(module_command("facelab.cli", "--version"), id="a helper"),
    ],
)
def test_commands_and_helpers_end_at_once(words, tmp_path):
    """A module that Python imports at every start watches: at the very end, all objects are frozen."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, gc\n"
        "def watch():\n"
        "    print('frozen', gc.get_freeze_count() > 5000, flush=True)\n"
        "atexit.register(watch)\n"
    )
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout.splitlines()[-1] == "frozen True", done


PIPELINE = """
import gc
import numpy as np
log = open("log.txt", "w")
class Keeper:
    pass
keeper = Keeper()
keeper.itself, keeper.log = keeper, log
def preprocess(path):
    log.write(path + "\\n")
    return np.zeros((1, 8, 8, 3), np.float32)
gc.collect()  # what was young is old from now on
"""


def test_a_pipeline_may_leave_a_file_open(tmp_path):
    """Its module is never closed, and the file's last bytes are written all the same."""
    (tmp_path / "own.py").write_text(PIPELINE)
    words = ("fingerprint", "capture", "--pipeline", "own.py:preprocess", "--out", "own.json")
    done = subprocess.run(
        module_command("facelab.cli", *words),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )
    assert (tmp_path / "own.json").is_file(), done.stderr
    assert len((tmp_path / "log.txt").read_text().splitlines()) >= 50
