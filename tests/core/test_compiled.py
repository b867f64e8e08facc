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


# long enough that LLVM calls `add` by its name instead of copying it into `outer`
LONG = """

@functools.cache
def long_adder(n):
    def add(x):
        total = np.zeros(2)
LINES
        return n + 0 * total

    add = compiled(add, lambda: "sources", nogil=True)

    def outer(x):
        return (add(x) + 0 * add(add(x)))[0]

    return compiled(outer, lambda: "sources", nogil=True)
""".replace(
    "LINES",
    "\n".join(
        f"        total[{i % 2}] += np.sin(x[{i % 2}] + {i}) * np.exp(x[0])" for i in range(60)
    ),
)


def run(folder, code):
    done = subprocess.run(
        [sys.executable, "-c", f"import adders\n{code}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "code")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "adders.py").write_text(MODULE)
    return tmp_path


def test_variants_of_two_processes_stay_apart_in_a_third(folder):
    """Their counters are equal, and so were the names in their code: both returned what the first returns."""
    (folder / "adders.py").write_text(MODULE + LONG)
    code = "import numpy as np; answers = [adders.long_adder(n)(np.zeros(2)) for n in %s]"
    for n in (1, 2):
        run(folder, code % [n])
    loaded = "sum(adders.long_adder(n).stats.cache_hits.total() for n in (1, 2))"
    for order in ([1, 2], [2, 1]):
        out = run(folder, f"{code % order}; print(answers == {order}, {loaded})")
        assert out == "True 2\n"


def test_damaged_and_exchanged_files_are_compiled_again(folder):
    run(folder, "adders.check([3, 4])")
    files = sorted((folder / "code").rglob("*.nbc"))
    contents = [b"", b"\x80", files[3].read_bytes(), files[2].read_bytes()]
    assert len(files) == len(contents)
    for file, content in zip(files, contents):
        file.write_bytes(content)
    run(folder, "adders.check([3, 4])")
    assert not list((folder / "code").rglob("*.tmp*"))


def test_changed_sources_compile_again_and_remove_the_old_code(folder):
    run(folder, "adders.check([3])")
    before = set((folder / "code").rglob("*.nbc"))
    (folder / "adders.py").write_text(MODULE.replace('"sources"', '"newer sources"'))
    run(folder, "adders.check([3])")
    after = set((folder / "code").rglob("*.nbc"))
    assert len(after) == len(before) == 2
    assert not after & before


def test_every_folder_that_compiled_code_comes_from_exists(tmp_path):
    """A renamed folder would otherwise drop out of the digest, and old machine code would be used for new sources."""
    from facelab.core.compiled import digest_of
    from facelab.core.errors import IntegrityError
    from facelab.matching.kernels import _compile_cache

    with pytest.raises(IntegrityError, match="has no sources"):
        digest_of(tmp_path / "renamed")
    assert digest_of(*_compile_cache.FOLDERS)


def test_two_processes_compile_a_variant_once(folder):
    """Both began at the same time and both compiled: a fresh checkout's two test processes did all work twice."""
    (folder / "adders.py").write_text(
        MODULE.replace(
            "@functools.cache",
            """
def compile_slowly():
    from numba.core import dispatcher

    plain = dispatcher._FunctionCompiler.compile

    def slowly(self, args, return_type):
        time.sleep(3)
        return plain(self, args, return_type)

    dispatcher._FunctionCompiler.compile = slowly


@functools.cache""",
            1,
        )
    )
    code = "adders.compile_slowly(); adders.adder(5)(1); print(adders.adder(5).stats.cache_hits.total())"
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "NUMBA_CACHE_DIR": str(folder / "code"),
    }
    both = [
        subprocess.Popen(
            [sys.executable, "-c", f"import adders\n{code}"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    hits = sorted(process.communicate(timeout=300)[0].strip() for process in both)
    assert hits == ["0", "1"]


def test_the_collector_is_still_while_a_function_is_compiled(folder):
    code = """
import gc
from numba.core import dispatcher

plain, seen = dispatcher._FunctionCompiler.compile, []


def watch(self, args, return_type):
    seen.append(gc.isenabled())
    return plain(self, args, return_type)


dispatcher._FunctionCompiler.compile = watch
adders.adder(6)(1)
try:
    adders.adder(6)("not a number")
except Exception as e:
    seen.append(type(e).__name__)
print(seen, gc.isenabled())
"""
    assert run(folder, code) == "[False, False, 'TypingError'] True\n"
