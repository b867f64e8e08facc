"""What `facelab compare` calls better, worse, the same, and not comparable."""

import json

import pytest

from facelab import cli
from facelab.core import records
from facelab.core.compare_records import compare
from facelab.core.records import Record

HERE = {"cpu": "A", "arch": "x86_64", "cores": 2, "features": ["avx2"]}
THERE = {**HERE, "cpu": "B"}


def record(
    value, *, lo=None, hi=None, better="higher", unit="", machine=None, case="c", budget=None
):
    return Record(
        "r",
        "s",
        case,
        "m",
        value,
        unit=unit,
        better=better,
        lo=lo,
        hi=hi,
        machine=machine,
        budget=budget,
    )


CASES = [
    ("overlap", record(0.90, lo=0.88, hi=0.92), record(0.87, lo=0.85, hi=0.89), "same"),
    ("disjoint", record(0.90, lo=0.88, hi=0.92), record(0.80, lo=0.78, hi=0.82), "worse"),
    ("disjoint up", record(0.80, lo=0.78, hi=0.82), record(0.90, lo=0.88, hi=0.92), "better"),
    ("one interval, inside", record(0.90, lo=0.88, hi=0.92), record(0.89), "same"),
    ("one interval, outside", record(0.90, lo=0.88, hi=0.92), record(0.95), "better"),
    (
        "lower is better",
        record(10, better="lower", unit="px"),
        record(11, better="lower", unit="px"),
        "worse",
    ),
    ("rounding", record(0.1 + 0.2), record(0.3), "same"),
    ("no direction", record(3, better="none"), record(4, better="none"), "changed"),
    ("text", record("a", better="none"), record("b", better="none"), "changed"),
    ("truth", record(True), record(False), "worse"),
    (
        "timing, same machine",
        record(2.0, lo=1.9, hi=2.1, better="lower", unit="ms", machine=HERE),
        record(3.0, lo=2.9, hi=3.1, better="lower", unit="ms", machine=HERE),
        "worse",
    ),
    (
        "timing, disjoint but tiny",
        record(2.0, lo=1.99, hi=2.01, better="lower", unit="ms", machine=HERE),
        record(2.04, lo=2.03, hi=2.05, better="lower", unit="ms", machine=HERE),
        "same",
    ),
    (
        "timing, other machine",
        record(2.0, lo=1.9, hi=2.1, better="lower", unit="ms", machine=HERE),
        record(3.0, lo=2.9, hi=3.1, better="lower", unit="ms", machine=THERE),
        "not comparable",
    ),
    (
        "timing, unknown machine",
        record(2.0, better="lower", unit="ms"),
        record(3.0, better="lower", unit="ms"),
        "not comparable",
    ),
    (
        "timing, no intervals",
        record(2.0, better="lower", unit="ms", machine=HERE),
        record(2.2, better="lower", unit="ms", machine=HERE),
        "same",
    ),
    ("another unit", record(2.0, unit="px"), record(2.0, unit="%"), "not comparable"),
    (
        "budget now missed",
        record(0.90, lo=0.85, hi=0.95, budget=">= 0.9"),
        record(0.89, lo=0.84, hi=0.94, budget=">= 0.9"),
        "worse",
    ),
    ("value gone to none", record(0.9), record(None), "changed"),
    ("from zero", record(0, better="lower"), record(1, better="lower"), "worse"),
]


@pytest.mark.parametrize(("a", "b", "verdict"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_change_is_judged_against_its_noise(a, b, verdict):
    (row,) = compare([a], [b])
    assert row.verdict == verdict, row


@pytest.mark.parametrize(("a", "b", "verdict"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_swapping_the_runs_swaps_better_and_worse(a, b, verdict):
    (row,) = compare([b], [a])
    assert row.verdict == {"better": "worse", "worse": "better"}.get(verdict, verdict)


def test_figures_of_one_run_only_are_listed_and_the_last_of_twins_counts():
    rows = compare(
        [record(1, case="x"), record(2, case="old")],
        [record(9, case="x"), record(1, case="x"), record(3, case="new")],
    )
    assert {r.case: r.verdict for r in rows} == {"x": "same", "old": "gone", "new": "new"}


def test_the_runs_machine_stands_in_for_a_timing_without_one():
    a, b = record(2.0, better="lower", unit="ms"), record(3.0, better="lower", unit="ms")
    assert compare([a], [b], machine_a=HERE, machine_b=HERE)[0].verdict == "worse"
    assert compare([a], [b], machine_a=HERE, machine_b=THERE)[0].verdict == "not comparable"


def make_run(reports, name, value):
    folder = reports / "runs" / name
    records.write(folder / "records.jsonl", [record(value, lo=value - 0.01, hi=value + 0.01)])
    (folder / "run.json").write_text(json.dumps({"run": name, "finished": 1.0, "machine": HERE}))
    return folder


def test_command_takes_identifiers_folders_and_words(tmp_path, capsys):
    older = make_run(tmp_path, "20260101-000000-aaaa", 0.9)
    make_run(tmp_path, "20260102-000000-bbbb", 0.8)
    for pair in (
        ("previous", "latest"),
        ("20260101", "20260102-000000-bbbb"),
        (str(older), "latest"),
        (str(older / "records.jsonl"), "latest"),
        (),
    ):
        assert cli.run(["compare", *pair, "--reports", str(tmp_path), "--json"]) == 1
        document = json.loads(capsys.readouterr().out)
        assert document["summary"]["worse"] == 1 and document["rows"][0]["change"] == pytest.approx(
            -1 / 9
        )
    assert cli.run(["compare", "latest", "previous", "--reports", str(tmp_path)]) == 0
    assert "BETTER" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "says"), [("nope", "no run is called 'nope'"), ("2026", "2 runs begin so")]
)
def test_command_says_which_run_it_does_not_know(tmp_path, capsys, name, says):
    make_run(tmp_path, "20260101-000000-aaaa", 0.9)
    make_run(tmp_path, "20260102-000000-bbbb", 0.8)
    assert cli.run(["compare", name, "latest", "--reports", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err


def test_previous_needs_two_finished_runs(tmp_path, capsys):
    make_run(tmp_path, "20260101-000000-aaaa", 0.9)
    assert cli.run(["compare", "--reports", str(tmp_path)]) == 2
    assert "there is no previous run" in capsys.readouterr().err
