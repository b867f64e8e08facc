"""What runs again and why: keys, `--why`, `--only`, `--from`, `--force`, interruption, and two calls at once."""

import json
import os
import signal
import time

import pytest
from conftest_reproduce import BEGIN, VERDICT, Project, code, kernels_of, md, steps

from facelab.core.modules.imports import Package
from facelab.reproduce import _wording as wording
from facelab.reproduce._keys import changes

# -- which modules a notebook reaches ---------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path):
    files = {
        "__init__.py": "",
        "plain.py": "X = 1",
        "lazy.py": "def f():\n    from pkg import deep\n    import numpy as np",
        "deep.py": "import pkg.sub.leaf",
        "sub/__init__.py": "",
        "sub/leaf.py": "",
        "sub/other.py": "",
        "sub/table.json": "{}",
        "job.py": "",
        "alone.py": "",
        "runs.py": "ARGS = ['-m', 'pkg.job']",
        "registry.py": "import importlib\n"
        "def get(n):\n    return importlib.import_module(f'pkg.sub.{n}')",
        "named/__init__.py": "import importlib\ndef get(n):\n    importlib.import_module(f'{__name__}.{n}')",
        "named/one.py": "",
        "rel/__init__.py": "from . import a",
        "rel/a.py": "from ..plain import X",
        "rel/b.py": "",
        "found/__init__.py": "import pkgutil\nALL = list(pkgutil.iter_modules(__path__))",
        "found/one.py": "",
    }
    for name, text in files.items():
        path = tmp_path / "pkg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Package(tmp_path / "pkg")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pkg", "__init__.py"),
        ("from pkg import plain", "__init__.py plain.py"),
        ("from pkg.plain import X", "__init__.py plain.py"),
        ("def f():\n    import pkg.plain", "__init__.py plain.py"),
        (
            "from pkg import lazy",
            "__init__.py lazy.py deep.py sub/__init__.py sub/leaf.py sub/table.json",
        ),
        ("import pkg.runs", "__init__.py runs.py job.py"),
        (
            "import pkg.registry",
            "__init__.py registry.py sub/__init__.py sub/leaf.py sub/other.py sub/table.json",
        ),
        ("import pkg.rel", "__init__.py plain.py rel/__init__.py rel/a.py"),
        ("import pkg.found", "__init__.py found/__init__.py found/one.py"),
        ("import pkg.named", "__init__.py named/__init__.py named/one.py"),
        ("%matplotlib inline\n!ls\nimport pkg.plain", "__init__.py plain.py"),
        ("import os", ""),
    ],
)
def test_closure_follows_imports_wherever_they_are(package, source, expected):
    files, _ = package.closure([source])
    assert set(files) == {f"pkg/{name}" for name in expected.split()}


def test_closure_names_third_party_packages(package):
    assert package.closure(["from pkg import lazy\nimport pandas.core"])[1] == {"numpy", "pandas"}


def test_changes_are_said_in_words():
    before = {
        "modules": {"facelab/a.py": "1", "facelab/b.py": "1"},
        "versions": {"numpy": "2.0"},
        "cells": {"x": "1"},
    }
    now = {
        "modules": {"facelab/a.py": "2"},
        "versions": {"numpy": "2.1"},
        "cells": {"x": "1", "y": "2"},
    }
    assert changes(before, now) == [
        "cell y is new",
        "facelab/a.py changed",
        "facelab/b.py is no longer used",
        "version of numpy: 2.0 → 2.1",
    ]


# -- what runs again, with real kernels -------------------------------------------------------------------------------


def build_chain(project):
    """Two independent steps on their own modules, and one that reads a file of the first one's."""
    project.own_modules(
        shared="",
        alpha="import shared\ndef value():\n    return 1\n",
        beta="def value():\n    import shared\n    return 2\n",
    )
    for name in ("alpha", "beta"):
        project.body(
            name,
            code(
                "work",
                f"import {name}\nrun.record('a', 'value', {name}.value())\n"
                "(run.folder / 'made.txt').write_text('made')",
            ),
        )
        project.step(name, f'records = ["a/value"]\ninputs = ["data/{name}*.txt"]')
    project.body(
        "gamma",
        code(
            "read",
            "text = (run.upstream('alpha') / 'made.txt').read_text()\n"
            "run.record('b', 'text', text)",
        ),
    )
    project.step("gamma", 'needs = ["alpha"]')
    return project


@pytest.fixture(scope="module")
def ran_once(tmp_path_factory):
    """The chain after a first good run; tests that change it put it back."""
    project = build_chain(Project(tmp_path_factory.mktemp("chain") / "p"))
    rc, summary, err = project.run()
    assert rc == 0 and ran(summary) == {"alpha", "beta", "gamma"}, err
    return project


def ran(summary):
    return {s["step"] for s in summary["steps"] if s["state"] == "done" and not s["cached"]}


def planned(project, *arguments):
    """Return {step: why} of what would run."""
    rc, document, err = project.run("--dry-run", *arguments)
    assert rc == 0, err
    return {s["step"]: s["why"] for s in document if s["run"]}


def test_nothing_runs_where_nothing_changed_and_the_report_is_whole(ran_once):
    began = time.monotonic()
    rc, summary, err = ran_once.run("--why")
    assert rc == 0 and ran(summary) == set() and summary["kernels_started"] == 0
    assert time.monotonic() - began < 10 and err.count("nothing changed") == 3
    latest = ran_once.root / "reports" / "latest"
    assert all((latest / s / f"{s}.html").is_file() for s in ("alpha", "beta", "gamma"))
    assert len((latest / "records.jsonl").read_text().splitlines()) == 3


def test_editing_a_function_runs_the_steps_that_import_it_and_why_says_so(ran_once):
    beta = ran_once.notebooks / "beta.py"
    before = beta.read_text()
    beta.write_text(before.replace("return 2", "return 3"))
    rc, summary, err = ran_once.run("--why")
    assert rc == 0 and ran(summary) == {"beta"} and "run   beta: notebooks/beta.py changed" in err
    values = [
        json.loads(line)
        for line in (ran_once.root / "reports" / "records.jsonl").read_text().splitlines()
    ]
    assert {(r["step"], r["value"]) for r in values} == {
        ("alpha", 1),
        ("beta", 3),
        ("gamma", "made"),
    }
    beta.write_text(before)
    assert planned(ran_once) == {}, "an earlier result with this very key is still there"
    shared = ran_once.notebooks / "shared.py"
    shared.write_text("X = 1\n")
    assert set(planned(ran_once)) == {"alpha", "beta", "gamma"}, "all of them need it"
    shared.write_text("")


def test_selection_takes_along_what_is_needed_and_not_done(ran_once):
    assert planned(ran_once, "--only", "gamma") == {}
    assert planned(ran_once, "--only", "gamma", "--force") == {"gamma": ["--force"]}
    assert planned(ran_once, "--from", "beta", "--force") == {
        "beta": ["--force"],
        "gamma": ["--force"],
    }
    data = ran_once.root / "data" / "alpha1.txt"
    data.parent.mkdir()
    data.write_text("x")
    try:
        said = planned(ran_once)
        assert said == {
            "alpha": ["input data/alpha1.txt is new"],
            "gamma": ["upstream step alpha ran again"],
        }
        assert set(planned(ran_once, "--only", "gamma")) == {"alpha", "gamma"}
        assert planned(ran_once, "--only", "alpha", "--only", "beta") == {"alpha": said["alpha"]}
        assert planned(ran_once, "--from", "beta") == {
            "alpha": ["a step that was asked for needs it", *said["alpha"]],
            "gamma": said["gamma"],
        }
    finally:
        data.unlink()
    assert (
        ran_once.run("--only", "gama")[0] == 2
        and ran_once.run("--only", "beta", "--from", "beta")[0] == 2
    )


def test_a_partial_runs_headline_says_how_the_rest_of_the_report_stands(project):
    """The exit code concerns what was asked for; "Good" alone must not hide a missed budget or a failure beside it."""
    project.body("misses", code("check", "run.check('pair', 'accuracy', 0.5, '>= 0.9', unit='')"))
    project.body("fails", code("work", "1 / 0"))
    project.body("holds", code("check", "run.check('pair', 'accuracy', 0.95, '>= 0.9', unit='')"))
    project.body("leans", code("work", "run.record('a', 'b', 1)"))
    for name, text in (
        ("misses", ""),
        ("fails", ""),
        ("holds", ""),
        ("leans", 'needs = ["holds"]'),
    ):
        project.step(name, text)
    rc, summary, err = project.run("--only", "leans")
    assert rc == 0 and ran(summary) == {"holds", "leans"}, err
    assert summary["verdict"] == (
        "Good: 2 of 2 steps asked for or needed done, 1 of 1 budget met; not asked for: "
        "2 steps not done (misses, fails)"
    )
    rc, summary, _ = project.run()
    assert rc == 1 and summary["verdict"] == "Failed: 3 of 4 steps done, 1 of 2 budgets met"

    others = "not asked for: 1 step done, 1 step with missed budgets (misses), 1 step that failed last time (fails)"
    rc, summary, _ = project.run("--only", "holds")
    assert rc == summary["exit_code"] == 0 and summary["state"] == "good"
    assert summary["verdict"] == f"Good: 1 of 1 step asked for done, 1 of 1 budget met; {others}"
    assert summary["not_asked_for"] == {
        "done": ["leans"],
        "missed": ["misses"],
        "failed": ["fails"],
        "not_done": [],
    }
    assert "  missed    misses: pair · accuracy  (not asked for)\n" in wording.verdict_text(summary)
    page = (project.root / "reports" / "index.html").read_text()
    assert (
        f'<section class="verdict warn" id="verdict"><p class="big">{summary["verdict"]}</p>'
        in page
    )
    rc, summary, _ = project.run("--from", "holds")
    assert rc == 0 and summary["verdict"].endswith(others.replace("1 step done, ", ""))


def test_a_result_that_does_not_keep_a_new_promise_is_not_reused(ran_once):
    plan = ran_once.notebooks / "plan.toml"
    text = plan.read_text()
    plan.write_text(text.replace('records = ["a/value"]', 'records = ["a/value", "a/other"]', 1))
    said = planned(ran_once)
    plan.write_text(text)
    assert set(said) == {"alpha"} and "breaks a promise" in said["alpha"][0]


@pytest.fixture
def sleepy(project):
    project.body("first", code("work", "run.record('a', 'b', 1)"))
    project.body(
        "second",
        code(
            "sleep",
            "import time, os, pathlib\npathlib.Path('asleep').write_text('x')\n"
            "if not pathlib.Path('awake').exists():\n    time.sleep(120)",
        ),
    )
    project.step("first")
    project.step("second", 'needs = ["first"]')
    return project


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
    ids=["ctrl-c", "sigterm"],
)
def test_an_interrupted_run_says_so_leaves_nothing_behind_and_is_resumed(sleepy, number):
    process = sleepy.start("--json")
    wait_for(sleepy.root / "asleep", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=40)
    summary = json.loads(out)
    assert process.returncode == 130 and summary["state"] == "interrupted", err
    assert (
        steps(summary)["first"]["state"] == "done"
        and steps(summary)["second"]["state"] == "interrupted"
    )
    assert "Interrupted" in summary["verdict"] and kernels_of(sleepy.root) == []
    note = json.loads((sleepy.root / "reports" / "latest" / "run.json").read_text())
    assert note["state"] == "interrupted"

    (sleepy.root / "awake").write_text("x")
    rc, summary, err = sleepy.run("--why")
    assert rc == 0 and ran(summary) == {"second"} and steps(summary)["first"]["cached"]
    assert "last time it was not done: the step was interrupted" in err


def test_a_killed_runner_takes_its_kernels_with_it(sleepy):
    process = sleepy.start()
    wait_for(sleepy.root / "asleep", process)
    process.kill()
    process.communicate(timeout=20)
    deadline = time.monotonic() + 10
    while kernels_of(sleepy.root) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert kernels_of(sleepy.root) == []


def test_two_calls_at_once_do_not_disturb_each_other(project):
    """Each ends well with its own report; the same step never runs twice at once."""
    text = (
        "import pathlib, time\nmark = pathlib.Path('running')\nassert not mark.exists()\nmark.write_text('x')\n"
        "time.sleep(1)\nmark.unlink()"
    )
    project.body("alone", code("work", text))
    project.step("alone", 'lane = "exclusive"')
    project.body("record", code("work", "run.record('a', 'b', 1)"))
    project.step("record", 'needs = ["alone"]')
    processes = [project.start("--json") for _ in range(2)]
    ends = [p.communicate(timeout=120) for p in processes]
    assert [p.returncode for p in processes] == [0, 0], ends
    summaries = [json.loads(out) for out, _ in ends]
    assert summaries[0]["run"] != summaries[1]["run"]
    for summary in summaries:
        assert {s["step"]: s["state"] for s in summary["steps"]} == {
            "alone": "done",
            "record": "done",
        }
        folder = project.root / "reports" / "runs" / summary["run"]
        assert (folder / "index.html").is_file() and len(
            (folder / "records.jsonl").read_text().splitlines()
        ) == 1
    both = sum(len(ran(s)) for s in summaries)
    assert both == 2, "what one call has just done, the other takes over"


def test_exclusive_steps_run_alone_with_pinned_threads(project):
    source = (
        "import os, pathlib, time\nrun.record('threads', 'openmp', int(os.environ['OMP_NUM_THREADS']))\n"
        "run.record('clock', 'from', time.time())\ntime.sleep(0.7)\nrun.record('clock', 'to', time.time())"
    )
    for name, lane in (("one", "parallel"), ("bench", "exclusive"), ("two", "parallel")):
        project.body(name, code("work", source))
        project.step(name, f'lane = "{lane}"')
    rc, _, err = project.run("--jobs", "2")
    assert rc == 0, err
    values = {}
    for line in (project.root / "reports" / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        values[record["step"], record["metric"]] = record["value"]
    assert values["bench", "openmp"] == 1
    for other in ("one", "two"):
        apart = (values["bench", "from"] > values[other, "to"]) or (
            values["bench", "to"] < values[other, "from"]
        )
        assert apart, "a benchmark must not share the machine"


def test_fallback_is_used_where_the_kernel_does_not_answer_and_the_report_says_so(project):
    project.notebook(
        "train",
        md("question", "# Which?"),
        code("parameters", "backend: str = 'modelmaker'  # x", "parameters"),
        BEGIN,
        code("work", "run.record('backend', 'name', backend)"),
        VERDICT,
    )
    project.step(
        "train",
        "[step.fallback]\nrequires = 'facelab-absent'\nparameters = {backend = 'keras'}\n"
        "reason = 'fine-tuning uses Keras'",
    )
    rc, summary, err = project.run()
    assert rc == 0, err
    note = steps(summary)["train"]["note"]
    assert "facelab-absent" in note and note.endswith("fine-tuning uses Keras")
    assert '"keras"' in (project.root / "reports" / "records.jsonl").read_text()
    assert "fine-tuning uses Keras" in (project.root / "reports" / "index.html").read_text()


def wait_for(path, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.1)
    os.sched_yield()
