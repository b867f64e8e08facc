"""The floor of lines that must run: what is counted, and that a run below it fails."""

import importlib.util
import os
import subprocess
import sys

import line_coverage

ROOT = line_coverage.ROOT


def run(tmp_path, floor, models=True):
    """Run one small test file with the floor, as `make test` runs all of them."""
    left_out = ("PYTEST_", *line_coverage.MODELS)
    env = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    env |= {line_coverage.MODELS[0]: str(tmp_path)} if models else {}
    env |= {line_coverage.FLOOR: str(floor), line_coverage.FOLDER: str(tmp_path / "seen")}
    words = ["-q", "-p", "no:cacheprovider", "-n", "0", "tests/core/test_result.py"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_a_run_below_the_floor_fails_and_says_by_how_much(tmp_path):
    done = run(tmp_path, 99.5)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert "at least 99.5 % must" in done.stdout and "failed" not in done.stdout
    core = next(line for line in done.stdout.splitlines() if line.startswith("core "))
    assert float(core.split()[1]) > 0


def test_without_real_models_there_is_no_floor(tmp_path):
    done = run(tmp_path, 99.5, models=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "no floor without FACELAB_MIRROR" in done.stdout


def test_a_run_above_the_floor_passes(tmp_path):
    done = run(tmp_path, 0.1)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_what_numba_compiles_is_not_counted():
    names = {p.relative_to(line_coverage.PACKAGE).as_posix() for p in line_coverage.measured()}
    assert "core/errors.py" in names and "fingerprint/model/_predictor.py" in names
    assert not names & {"matching/kernels/_scan.py", "datasets/synthetic/geometry/_raster.py"}


def test_shares_count_lines_that_hold_code(monkeypatch):
    path = line_coverage.PACKAGE / "core" / "errors.py"
    monkeypatch.setattr(line_coverage, "measured", lambda: [path])
    lines = line_coverage.lines_of(path)
    some = sorted(lines)[:10]
    assert line_coverage.shares({"facelab/core/errors.py": [*some, 10**6]}) == {
        "core": (10, len(lines))
    }


EVERY_BLOCK = """
'''What a module says.'''
from __future__ import annotations
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import decimal


class Kind:
    '''A class.'''

    size: int
    name = "a"

    def half(self, n):
        '''A method.'''
        if n % 2:
            return None
        elif n > 4:
            return n // 2
        return n


def count(n):
    global seen
    seen = 0
    for i in range(n):
        with contextlib.suppress(ZeroDivisionError):
            seen += 1 / i
            continue
        try:
            int("no")
            seen = -1
        except ValueError:
            seen += 1
        else:
            seen = -2
        finally:
            seen += 0
    while seen > 10**6:
        seen -= 1
    match n:
        case 3:
            seen += 3
        case _:
            seen = -3
    return (
        seen,
        [x for x in range(2)],
        (lambda: 3)(),
    )


result = count(3), [Kind().half(n) for n in (1, 2)]
"""


def test_marks_agree_with_the_interpreters_own_trace(tmp_path, monkeypatch):
    path = tmp_path / "facelab" / "every_block.py"
    path.parent.mkdir()
    path.write_text(EVERY_BLOCK)
    monkeypatch.setattr(line_coverage, "ROOT", tmp_path)
    monkeypatch.setattr(line_coverage, "MARKED", tmp_path / "marked")
    lines = line_coverage.lines_of(path)
    plain, traced = {"__name__": "facelab.every_block"}, set()

    def trace(frame, event, _):
        if frame.f_code.co_filename == str(path):
            traced.add(frame.f_lineno)
            return trace
        return None

    code = compile(EVERY_BLOCK, str(path), "exec", dont_inherit=True)
    earlier = sys.gettrace()
    sys.settrace(trace)
    try:
        exec(code, plain)  # noqa: S102
    finally:
        sys.settrace(earlier)
    for _ in range(2):  # compiled, then from what was kept
        ran = {}
        spec = importlib.util.spec_from_file_location("facelab.every_block", path)
        spec.loader = line_coverage.Loader(spec.name, str(path), ran)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.result == plain["result"] and module.__doc__ == plain["__doc__"]
        marked = {n for n, seen in enumerate(ran[str(path)]) if seen}
        assert marked == traced & lines and marked < lines
    text = EVERY_BLOCK.splitlines()
    missed = {text[n - 1].strip() for n in lines - marked}
    assert missed == {
        "seen = -1",
        "seen = -2",
        "seen = -3",
        "seen -= 1",
        "return n // 2",
    }


def test_what_was_kept_for_another_source_is_compiled_again(tmp_path, monkeypatch):
    monkeypatch.setattr(line_coverage, "ROOT", tmp_path)
    monkeypatch.setattr(line_coverage, "MARKED", tmp_path / "marked")
    path = tmp_path / "one.py"
    path.write_text("a = 1\n")
    assert line_coverage.lines_of(path) == {1}
    path.write_text("a = 1\nb = 2\n")
    assert line_coverage.lines_of(path) == {1, 2}
    (kept,) = (tmp_path / "marked").iterdir()
    kept.write_bytes(kept.read_bytes()[:50])
    assert line_coverage.lines_of(path) == {1, 2}
