"""One tiny broken notebook per failure mode, run with real kernels: what is the user told?"""

import json
import os

import nbformat
import pytest
from conftest_reproduce import BEGIN, DRAW, VERDICT, Project, code, md, steps

from facelab.reproduce import _failure as failures


def build(project):
    project.body(
        "raises",
        md("sums", "## The sum"),
        code("divide", "x = 1\n\ndef ratio(a):\n    return a / 0\n"),
        code("call", "y = 2\nratio(x)\nprint('never')"),
    )
    project.body(
        "pretty",
        code("install", "import rich.traceback\n_ = rich.traceback.install()"),
        code("fail", "z = 3\nraise KeyError('gone')"),
    )
    project.body(
        "killed",
        md("memory", "## Too much"),
        code("kill", "import os, signal\nprint('so far')\nos.kill(os.getpid(), signal.SIGKILL)"),
    )
    project.body(
        "slow",
        md("wait", "## Waiting"),
        code("sleep", "import time\nfor k in range(600):\n    time.sleep(0.1)"),
    )
    project.notebook(
        "unmarked", md("question", "# Why?"), BEGIN, code("work", "run.record('a', 'b', 1)")
    )
    project.body("unrecorded", code("work", "run.record('pair', 'accuracy', 1)"))
    project.body("undrawn", code("draw", DRAW.format(name="rooflines")))
    project.body(
        "flood", md("printing", "## Printing"), code("print", "while True:\n    print('x' * 1000)")
    )
    project.body(
        "good",
        code("draw", DRAW.format(name="roofline")),
        code("check", "run.check('pair', 'accuracy', 0.5, '>= 0.9', unit='')"),
    )
    project.body("after", code("work", "1"))
    project.step("raises")
    project.step("pretty")
    project.step("killed")
    project.step("slow", "limit_s = 2")
    project.step("unmarked")
    project.step("unrecorded", 'records = ["pair/accuracy", "pair/recall"]')
    project.step("undrawn", 'figures = ["roofline"]')
    project.step("flood", "output_mb = 1")
    project.step("good", 'figures = ["roofline"]\nrecords = ["pair/*"]')
    project.step("after", 'needs = ["raises"]')


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Run all broken notebooks once; MPLBACKEND=Agg outside must not take the figures away."""
    project = Project(tmp_path_factory.mktemp("broken") / "p")
    build(project)
    before = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "Agg"
    try:
        rc, summary, err = project.run("--jobs", "2")
    finally:
        os.environ.pop("MPLBACKEND") if before is None else os.environ.update(MPLBACKEND=before)
    return project, rc, summary, err


EXPECTED = {
    "raises": (
        "raised",
        "ZeroDivisionError: division by zero",
        "raises.ipynb › The sum › call, line 2",
        "-> 2  ratio(x)",
    ),
    "pretty": (
        "raised",
        "KeyError: 'gone'",
        "pretty.ipynb › Does pretty work? › fail, line 2",
        "-> 2  raise KeyError('gone')",
    ),
    "killed": ("killed", "was killed (SIGKILL)", "killed.ipynb › Too much › kill", "os.kill("),
    "slow": (
        "timeout",
        "wall limit of 2 s",
        "slow.ipynb › Waiting › sleep, line 3",
        "-> 3      time.sleep(0.1)",
    ),
    "unmarked": ("no-end-marker", "without its own end marker", "unmarked.ipynb", ""),
    "unrecorded": ("missing-record", "'pair/recall' was not written", "unrecorded.ipynb", ""),
    "undrawn": ("missing-figure", "'roofline' was not drawn", "undrawn.ipynb", ""),
    "flood": (
        "output-too-large",
        "beyond 1 MB",
        "flood.ipynb › Printing › print",
        "print('x' * 1000)",
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_error_names_kind_place_source_cause_report_and_the_command(broken, name):
    _, _, summary, err = broken
    kind, what, where, source = EXPECTED[name]
    step = steps(summary)[name]
    told = step["failure"]
    assert (step["state"], told["kind"]) == ("failed", kind), told
    assert what in told["what"] and told["where"].startswith(where), told
    assert source in "\n".join(told["source"])
    assert told["cause"] and told["repeat"].startswith(
        f"facelab reproduce --only {name} --profile full"
    )
    text = str(failures.from_dict(told))
    assert text in err, "the terminal says the same"
    assert f"/{name}/{name}.html" in told["report"]


def test_the_exit_code_says_failed_and_independent_steps_still_ran(broken):
    _, rc, summary, _ = broken
    found = steps(summary)
    assert rc == summary["exit_code"] == 1 and summary["state"] == "failed"
    assert found["good"]["state"] == "done" and found["good"]["missed"] == ["pair · accuracy"]
    assert (
        found["after"]["state"] == "blocked" and "needs raises" in found["after"]["failure"]["what"]
    )


def test_tracebacks_end_in_the_cause_without_colours(broken):
    found = steps(broken[2])
    assert found["raises"]["failure"]["traceback"][-1] == "ZeroDivisionError: division by zero"
    assert "KeyError" in "\n".join(found["pretty"]["failure"]["traceback"]), (
        "rich.traceback must not empty the error"
    )
    assert "\x1b" not in json.dumps(found)
    assert (
        "held" in found["killed"]["failure"]["cause"]
        and "MB" in found["killed"]["failure"]["cause"]
    )
    assert "did you mean 'rooflines'" in found["undrawn"]["failure"]["cause"]


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("killed", {"begin": "completed", "kill": "failed", "verdict": "not run"}),
        ("slow", {"begin": "completed", "sleep": "failed", "verdict": "not run"}),
        ("raises", {"begin": "completed", "call": "failed", "verdict": "not run"}),
        ("good", {"begin": "completed", "check": "completed", "verdict": "completed"}),
    ],
)
def test_executed_notebook_does_not_call_cells_completed_that_were_not(broken, name, states):
    project = broken[0]
    notebook = nbformat.read(
        project.root / "reports" / "latest" / name / f"{name}.ipynb", as_version=4
    )
    nbformat.validate(notebook)
    found = {c["id"]: c.metadata.papermill["status"] for c in notebook.cells}
    assert {k: found[k] for k in states} == states


def test_outputs_of_a_killed_and_of_a_flooding_notebook_are_kept_but_bounded(broken):
    latest = broken[0].root / "reports" / "latest"
    assert "so far" in (latest / "killed" / "killed.ipynb").read_text()
    assert (latest / "flood" / "flood.ipynb").stat().st_size < 300_000
    assert "cut here" in (latest / "flood" / "flood.ipynb").read_text()


def test_a_cell_that_ends_with_a_check_shows_its_line_once(broken):
    notebook = nbformat.read(
        broken[0].root / "reports" / "latest" / "good" / "good.ipynb", as_version=4
    )
    cell = next(c for c in notebook.cells if c["id"] == "check")
    assert [o.get("text") for o in cell.outputs] == [
        "FAIL  pair · accuracy: 0.5  (budget >= 0.9)\n"
    ]


def test_figures_survive_a_foreign_matplotlib_backend(broken):
    notebook = (broken[0].root / "reports" / "latest" / "good" / "good.ipynb").read_text()
    assert '"image/png"' in notebook


def test_no_kernel_and_no_half_written_file_is_left(broken):
    from conftest_reproduce import kernels_of

    root = broken[0].root
    assert kernels_of(root) == []
    assert [p for p in (root / "reports").rglob(".*") if ".tmp" in p.name] == []
    assert not list((root / ".cache" / "run").glob("*")) and not list(root.glob("kernel-ipc*"))


def test_report_shows_verdict_failures_budgets_and_links_to_cells(broken):
    root = broken[0].root / "reports"
    page = (root / "index.html").read_text()
    run = broken[2]["run"]
    assert (
        page.index("Failed: 1 of 10 steps done")
        < page.index("What failed")
        < page.index('id="steps"')
    )
    assert f'href="runs/{run}/raises/raises.html#call"' in page
    assert f'href="runs/{run}/good/good.html#check"' in page, (
        "a budget links to the cell that recorded it"
    )
    assert 'alt="two points" src="data:image/png;base64,' in page
    assert "http://" not in page and "https://" not in page
    html = (root / "runs" / run / "raises" / "raises.html").read_text()
    assert (
        'id="call"' in html
        and 'src="http' not in html
        and 'href="http' not in html.split("<body")[0]
    )


# -- before any kernel starts ------------------------------------------------------------------------------------------

TYPED = code(
    "parameters",
    "n: int = 3  # how many\nrate: float | None = None  # learning rate\n"
    "mode: Literal['fast', 'exact'] = 'fast'  # how\nsizes: list[float] = [1.0]  # in pixels\n"
    "where: Path = 'data'  # folder",
    "parameters",
)


@pytest.fixture
def typed(project):
    project.notebook(
        "typed",
        md("question", "# What arrives?"),
        TYPED,
        BEGIN,
        code("tell", "run.record('got', 'values', repr((n, rate, mode, sizes, where)))"),
        VERDICT,
    )
    project.step("typed", "[step.quick]\nn = 1")
    return project


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("typed.n=many", "cannot take this value"),
        ("typed.n=1.5", "int (how many)"),
        ("typed.n=true", "int (how many)"),
        ("typed.mode=exactly", "Literal['fast', 'exact']"),
        ("typed.rate=nan", "float | None"),
        ("typed.sizes=a,b", "list[float]"),
        ("typed.moed=fast", "did you mean 'mode'?"),
        ("tpyed.n=1", "did you mean 'typed'?"),
        ("n=1", "expected: -p STEP.NAME=VALUE"),
        ("typed.n", "-p STEP.NAME=VALUE"),
    ],
)
def test_a_bad_or_unknown_parameter_is_refused_before_any_kernel_starts(typed, option, says):
    rc, summary, err = typed.run("-p", option)
    assert rc == 2 and summary is None and says in err and "Traceback" not in err
    assert not (typed.root / "reports" / "runs").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[step.full]\nn = 'x'", "step typed, full: n"),
        ("[step.quick]\nm = 1", "has no parameter 'm'"),
        ("limit = 3", "unknown field 'limit'; did you mean 'limit_s'?"),
        ("lane = 'alone'", "lane"),
        ("needs = ['typd']", "no step is named 'typd'"),
        ("limit_s = -1", "limit_s"),
    ],
)
def test_a_mistake_in_the_plan_is_refused_with_its_place(project, text, says):
    project.notebook("typed", md("question", "# ?"), TYPED, BEGIN, VERDICT)
    project.step("typed", text)
    rc, _, err = project.run()
    assert rc == 2 and says in err and "plan.toml" in err, err


def test_parameters_arrive_with_their_types_and_the_plan_is_overridden(typed):
    rc, summary, err = typed.run(
        "--profile",
        "quick",
        "-p",
        "typed.rate=1e-3",
        "-p",
        "typed.sizes=2,3.5",
        "-p",
        "typed.mode=exact",
        "-p",
        "typed.where=a b/c",
    )
    assert rc == 0, err
    record = json.loads((typed.root / "reports" / "records.jsonl").read_text())
    assert record["value"] == "(1, 0.001, 'exact', [2.0, 3.5], 'a b/c')"
    assert (
        "-p typed.rate=1e-3" in summary["command"]
        and steps(summary)["typed"]["parameters"]["n"] == "1"
    )
