"""Machine code on disk: right where processes compile at once, kept per variant, and never trusted half-written."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

MODULE = """
import functools
import time

import numpy as np
from facelab.core.compiled import compiled


@functools.cache
def adder(n):
    def add(x):
        return x + n

    return compiled(add, lambda: "sources", nogil=True)


def check(order):
    for n in order:
        assert adder(n)(1) == 1 + n, (n, adder(n)(1))
        assert adder(n)(1.5) == 1.5 + n
"""


def run(folder, code, wait=True):
    started = subprocess.Popen(
        [sys.executable, "-c", f"import adders\n{code}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "code")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return finish(started) if wait else started


def finish(started):
    out, err = started.communicate(timeout=120)
    assert started.returncode == 0, err[-2000:]
    return out


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "adders.py").write_text(MODULE)
    return tmp_path


def test_processes_that_compile_at_once_store_each_variant_as_itself(folder):
    """Numba's own index gives two variants one file here, and one is then loaded as the other."""
    orders = "range(6)", "range(5, -1, -1)"
    for started in [run(folder, f"adders.check({order})", wait=False) for order in orders]:
        finish(started)
    out = run(
        folder, "adders.check(range(6)); print(sum(adders.adder(0).stats.cache_hits.values()))"
    )
    assert out == "2\n"
    assert len(list((folder / "code").rglob("*.nbc"))) == 12
    assert not list((folder / "code").rglob("*.tmp*"))


@pytest.mark.parametrize("content", [b"", b"\x80", b"whole nonsense"])
def test_a_file_that_cannot_be_read_is_compiled_again(folder, content):
    run(folder, "adders.check([3])")
    for file in (folder / "code").rglob("*.nbc"):
        file.write_bytes(content)
    run(folder, "adders.check([3])")


def test_code_stored_for_another_variant_is_not_used(folder):
    run(folder, "adders.check([3, 4])")
    files = sorted((folder / "code").rglob("*.nbc"))
    content = [file.read_bytes() for file in files]
    for file, other in zip(files, content[1:] + content[:1]):
        file.write_bytes(other)
    run(folder, "adders.check([3, 4])")


def test_changed_sources_compile_again_and_remove_the_old_code(folder):
    run(folder, "adders.check([3])")
    before = set((folder / "code").rglob("*.nbc"))
    (folder / "adders.py").write_text(MODULE.replace('"sources"', '"newer sources"'))
    run(folder, "adders.check([3])")
    after = set((folder / "code").rglob("*.nbc"))
    assert len(after) == len(before) == 2
    assert not after & before
