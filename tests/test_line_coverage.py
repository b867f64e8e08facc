"""The floor of lines that must run: what is counted, and that a run below it fails."""

import os
import subprocess
import sys

import line_coverage
import pytest

pytest.importorskip("slipcover")
ROOT = line_coverage.ROOT


def run(tmp_path, floor):
    """Run one small test file with the floor, as `make test` runs all of them."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
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
