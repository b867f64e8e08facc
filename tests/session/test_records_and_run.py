"""Records, the run handle of a notebook, timing and machine facts."""

import json
import math
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import facelab
from facelab.core import machine, records, timing
from facelab.core.errors import BadInputError
from facelab.core.records import Record
from facelab.session._run import END_MARKER, Run


def make(**fields):
    return Record(**({"run": "r", "step": "s", "case": "c", "metric": "m", "value": 1.0} | fields))


@given(
    value=st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**9), 10**9)
    | st.text(max_size=20)
)
def test_a_record_survives_its_line(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("r") / "r.jsonl"
    records.append(path, record := make(value=value, lo=0.5))
    assert records.read(path) == [record]


@pytest.mark.parametrize(
    ("budget", "value", "passed"),
    [
        (">= 0.98", 0.98, True),
        ("> 0.98", 0.98, False),
        ("<= 1e-5", 2e-5, False),
        ("< 3", 2, True),
        ("== 6", 6, True),
    ],
)
def test_budget_decides_passed(budget, value, passed):
    assert make(value=value, budget=budget).passed is passed


@pytest.mark.parametrize(
    "fields", [{"value": math.nan}, {"lo": math.inf}, {"better": "more"}, {"budget": "about 3"}]
)
def test_a_record_refuses_what_cannot_be_compared(fields):
    with pytest.raises(BadInputError):
        make(**fields)


def test_a_figure_that_is_not_judged_has_no_budget(tmp_path, capsys):
    run = Run("s", folder=tmp_path, run="r", headless=True)
    stored = run.check("c", "m", 0.5, ">= 0.9", judged=False, n=3, better="higher")
    assert stored.budget is None and stored.passed is None and stored.n == 3
    assert capsys.readouterr().out == ""
    assert run.check("c", "m", 0.5, ">= 0.9").passed is False


def test_a_value_of_none_misses_its_budget():
    assert make(value=None, budget=">= 1").passed is False


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text(make().to_json() + "\n" + '{"schema": "facelab.record/9"}\n')
    with pytest.raises(BadInputError) as caught:
        records.read(path)
    assert f"{path}:2" in str(caught.value)


def test_run_writes_records_samples_figures_and_the_end_marker(tmp_path, capsys):
    from facelab.report import style

    run = Run("demo", folder=tmp_path, run="r1", headless=True)
    run.record("speed", "time", 0.25, unit="s", samples=np.array([0.2, 0.3]))
    run.check("model", "accuracy", 0.91, ">= 0.9", lo=0.88, hi=0.94, n=400)
    run.check("model", "size", 2.0, "<= 1.0", unit="MiB")
    fig, ax = style.figure()
    ax.plot([0, 1], [0, 1])
    run.figure(fig, "line", alt="a line")
    assert run.done() == "1 of 2 budgets met; missed: model · size"
    out = capsys.readouterr().out
    assert "PASS  model · accuracy: 0.91 [0.88, 0.94]" in out and "FAIL  model · size: 2 MiB" in out
    back = records.read(tmp_path / "records.jsonl")
    assert [r.passed for r in back] == [None, True, False]
    assert np.load(tmp_path / back[0].samples)["samples"].tolist() == [0.2, 0.3]
    assert (tmp_path / "figures" / "line.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / END_MARKER).read_text())["failed"] == ["model · size"]


def test_a_second_start_forgets_the_first_ones_records(tmp_path):
    Run("demo", folder=tmp_path, run="r1", headless=True).record("a", "b", 1)
    Run("demo", folder=tmp_path, run="r2", headless=True)
    assert not (tmp_path / "records.jsonl").exists()


def test_start_obeys_the_runner(tmp_path, monkeypatch):
    for name, value in {"STEP": "07", "STEP_DIR": str(tmp_path), "RUN": "abc"}.items():
        monkeypatch.setenv(f"FACELAB_{name}" if name != "RUN" else "FACELAB_RUN", value)
    run = facelab.start()
    assert (run.step, run.run, run.folder, run.headless) == ("07", "abc", tmp_path, True)


def test_a_figure_name_must_be_a_word(tmp_path):
    with pytest.raises(BadInputError, match="plain word"):
        Run("demo", folder=tmp_path, run="r", headless=True).figure(None, "../evil")


def test_short_calls_are_repeated_until_a_sample_is_long_enough():
    calls = {"short": 0, "long": 0}

    def call(name, seconds):
        calls[name] += 1
        time.sleep(seconds)

    samples = timing.interleave(
        {"short": lambda: call("short", 0.002), "long": lambda: call("long", 0.03)},
        repeats=3,
        least_s=0.02,
    )
    assert calls["long"] == 1 + 3
    assert (
        1 + 3 * 4 <= calls["short"] <= 1 + 3 * 10
    )  # 2 ms asked of sleep are more where the machine is busy
    assert 0.002 <= samples["short"].min() < 0.02, "a sample is seconds of one call"


def test_interleaved_samples_show_the_slower_contender():
    samples = timing.interleave(
        {"slow": lambda: sum(range(60000)), "fast": lambda: sum(range(600))}, repeats=15
    )
    middle, lo, hi = timing.ratio(samples["slow"], samples["fast"])
    assert middle > 5 and lo <= middle <= hi


def test_order_of_contenders_is_shuffled_each_round():
    seen = []
    timing.interleave(
        {"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, repeats=40, warmup=0
    )
    first = seen[::2]
    assert {"a", "b"} == set(first)


@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=60))
def test_median_interval_holds_the_median(values):
    s = timing.summarise(np.array(values))
    assert s.lo <= s.p50 <= s.hi and s.p50 <= s.p90 <= s.p99


def test_median_interval_covers_as_it_claims():
    rng = np.random.default_rng(7)
    truth = math.log(2)
    hits = sum(
        lo <= truth <= hi
        for lo, hi in (timing.median_interval(rng.exponential(size=31)) for _ in range(2000))
    )
    # binomial noise of 2000 trials at 0.95 is 0.5 %; the rank interval is conservative
    assert 0.93 < hits / 2000 < 0.99


def test_spread_is_said_aloud():
    assert timing.summarise(np.array([1.0] * 10)).warning is None
    assert "unstable" in timing.summarise(np.array([1.0, 2.0] * 5)).warning


def test_machine_facts_are_json_and_name_this_machine():
    facts = machine.facts(threads=1)
    assert json.loads(json.dumps(facts)) == facts
    assert (
        facts["cores"] >= 1 and facts["memory"] > 0 and facts["versions"]["numpy"] == np.__version__
    )
    assert machine.same_machine(facts, dict(facts)) and not machine.same_machine(
        facts, facts | {"cpu": "other"}
    )
    assert not machine.same_machine(facts, None)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["eval", "--help"]])
def test_help_is_quick_and_loads_nothing_heavy(arguments):
    code = (
        "import sys; from facelab.cli import run; code = run(sys.argv[1:]);"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'numba', 'cv2', 'onnxruntime'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_wrong_command_gets_a_hint_and_exit_2():
    done = subprocess.run(
        [sys.executable, "-m", "facelab.cli", "evl"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (
        done.returncode == 2
        and "did you mean 'eval'" in done.stderr
        and "Traceback" not in done.stderr
    )
