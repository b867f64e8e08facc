"""What notebook 08 compiles before it measures."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from facelab.core import machine
from facelab.core.compiled import Compiling
from facelab.matching import Matcher
from facelab.studies.matching import CompileAhead
from facelab.studies.matching import _compile as compiling

SHAPES = ((1, 300), (8, 300), (64, 70_000))


@pytest.mark.parametrize("cores", [1, 2])
def test_afterwards_searches_compile_nothing(monkeypatch, cores):
    """In one call or in many, by every method: the code is there, and the second process is gone."""
    monkeypatch.setattr(compiling, "cores", lambda: cores)
    ahead = CompileAhead([n for n, _ in SHAPES], 10)
    helper = ahead._helper
    ahead.finish()
    assert ahead._helper is None
    assert (helper is None) == (cores == 1)
    assert helper is None or helper.returncode is not None
    rng = np.random.default_rng(3)
    for n, rows in SHAPES:
        gallery = rng.standard_normal((rows, 16), dtype=np.float32)
        for method in compiling.METHODS:
            matcher = Matcher(gallery, method=method, threads=1)
            with Compiling() as compiled:
                matcher.search(gallery[:n], 10)
            assert compiled.seconds == 0.0, (n, rows, method)


def test_the_second_process_begins_at_the_other_end(monkeypatch):
    """Otherwise both would wait for each other's code from the first piece on."""
    started = []

    class Popen:
        def __init__(self, words, **_):
            started.append(words)

    monkeypatch.setattr(compiling, "cores", lambda: 2)
    monkeypatch.setattr(compiling.lifetime, "Popen", Popen)
    ahead = CompileAhead([1, 8], 5)
    sent = compiling.json.loads(started[0][-1])
    assert sent == [list(piece) for piece in ahead._work[::-1]]
    assert sent[0] == ["screened", 8, 5]


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path):
    """From an empty cache, this process compiles less than it does alone."""

    def alone(cores: int) -> float:
        code = (
            "from facelab.studies.matching import _compile as c\n"
            "import time\n"
            f"c.cores = lambda: {cores}\n"
            "c.CompileAhead([1, 8, 64], 10).finish()\n"
            "print(time.process_time())\n"
        )
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / str(cores))}
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
        return float(done.stdout)

    if machine.cores() < 2:
        pytest.skip("one core")
    assert alone(2) < 0.8 * alone(1)
