"""Searches read no memory that was freed: glibc fills freed and fresh blocks with a pattern here."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from facelab.matching import Matcher
from facelab.matching.internals import oracle

rng = np.random.default_rng(11)
gallery = rng.standard_normal((4000, 20), dtype=np.float32)
for n in (1, 7, 16, 33, 48, 96, 100):
    queries = rng.standard_normal((n, 20), dtype=np.float32)
    _, ids = oracle.top_k(queries, gallery, 5, "cosine")
    for method in ("exhaustive", "screened"):
        for threads in (1, 2):
            found = Matcher(gallery, "cosine", method, threads=threads).search(queries, 5)
            assert (found.ids == ids).all(), (n, method, threads)
print("right")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="MALLOC_PERTURB_ is glibc's")
@pytest.mark.parametrize("pattern", ["1", "165"])
def test_answers_are_right_where_freed_memory_is_overwritten(pattern):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "MALLOC_PERTURB_": pattern},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stdout == "right\n", done.stderr[-2000:]
