"""`make bench` ends: in its time, with a row for each workload that runs and a name for each other."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

import compare_builds as bench
from workloads import Command

from facelab.core.records import Record

HELP = Command("help", ("--help",))
WRONG = Command("wrong", ("evl",))


@pytest.fixture
def builds(tmp_path, monkeypatch, repository):
    if not (repository / ".venv" / "bin" / "python").exists():
        pytest.skip("the environment of `make setup` is not here")
    monkeypatch.setattr(bench, "CALLS", {})
    return tuple(bench.Build(name, repository, tmp_path) for name in ("base", "here"))


def test_a_workload_that_fails_is_named_and_the_others_have_their_rows(builds, monkeypatch, capsys):
    monkeypatch.setattr(bench, "COMMANDS", (WRONG, HELP))
    rows, failed = bench.compare(*builds, None, 3, 60.0)
    assert [row[0] for row in rows] == ["help"] and len(rows[0][3]) == len(rows[0][4]) == 3
    assert len(failed) == 1 and "evl ended with 2" in failed[0]
    assert "could not be run" in capsys.readouterr().out


def test_a_used_up_budget_ends_the_rounds(builds, monkeypatch):
    monkeypatch.setattr(bench, "COMMANDS", (HELP,))
    rows, _ = bench.compare(*builds, None, 1000, 0.1)
    assert len(rows[0][3]) == 3


def test_a_command_that_hangs_is_given_up(builds, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "PATIENCE_S", 0.01)  # an interpreter alone takes longer to start
    with pytest.raises(bench.WorkloadError, match="did not end"):
        builds[0].run(("--help",), (0,), None)


def test_a_server_that_ends_is_an_error_and_leaves_no_process(builds, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "HERE", tmp_path)
    (tmp_path / "workloads.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(bench.WorkloadError, match="ended with 3"):
        bench.timed_call(*builds, "faces", {"repeats": 3})
    assert not any(build.processes for build in builds)


def test_a_call_is_timed_in_several_fresh_processes(builds, monkeypatch):
    started = []

    def served(build, name):
        started.append(build.name)
        return (lambda: None), ("label", "calls/s", 1)

    monkeypatch.setattr(bench, "served", served)
    label, _, _, before, now = bench.timed_call(*builds, "faces", {"repeats": 15, "budget_s": 0.1})
    assert started == ["base", "here"] * bench.PAIRS
    assert label == "label" and len(before) == len(now) == 3 * bench.PAIRS


@pytest.mark.parametrize(
    ("allowed", "took", "high", "slower"),
    [
        (None, 0.6, 0.7, True),
        (1.0, 0.6, 0.7, False),
        (0.5, 0.6, 0.7, True),
        (None, 0.6, 0.95, False),
    ],
)
def test_a_workload_may_have_seconds_of_its_own(monkeypatch, allowed, took, high, slower):
    monkeypatch.setattr(bench, "COMMANDS", (Command("gate", ("gate",), allowed_s=allowed),))
    ratio = Record("r", "bench", "gate", "times as fast", 0.6, "×", lo=0.5, hi=high)
    own = Record("r", "bench", "gate", "this checkout", took, "s")
    assert bench.is_slower(ratio, [ratio, own]) is slower
