"""A user's own project: made by `init`, run, changed, swept and compared."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest_reproduce import Project, code, steps
from hypothesis import given
from hypothesis import strategies as st

from facelab import cli
from facelab.core import records
from facelab.core.errors import BadInputError
from facelab.core.modules.imports import Package
from facelab.core.modules.own_modules import OwnModules
from facelab.report import runs as pictures
from facelab.reproduce import _scaffold as scaffold
from facelab.reproduce import plan, sweep
from facelab.reproduce._several import Figure, Runs, side_by_side
from facelab.reproduce.internals import canonical


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("own") / "my project"
    assert cli.run(["init", str(root)]) == 0
    project = Project(root)
    return project, project.run("--profile", "quick")


def test_a_new_project_runs_as_it_is(made):
    project, (rc, summary, err) = made
    assert rc == 0, err
    assert steps(summary)["01_threshold"]["budgets"] == 2
    assert canonical.main(["--check", str(next(project.notebooks.glob("*.ipynb")))]) == 0


def test_a_changed_own_module_runs_the_step_again_and_why_says_so(made):
    project, _ = made
    module = project.notebooks / "own.py"
    before = module.read_text()
    assert not project.run("--profile", "quick", "--dry-run")[1][0]["run"]
    module.write_text(before + "\n# changed\n")
    planned = project.run("--profile", "quick", "--dry-run")[1][0]
    module.write_text(before)
    assert planned["run"] and planned["why"] == ["notebooks/own.py changed"]


def test_a_sweep_makes_a_run_per_value_and_compare_shows_table_and_plot(made, capsys, monkeypatch):
    project, _ = made
    rc, summary, err = project.run(
        "--profile", "quick", "--sweep", "01_threshold.gap=0.4,0.6", "-p", "01_threshold.seed=3"
    )
    assert summary["schema"] == "facelab.sweep/1" and summary["points"] == 2, err
    assert rc == summary["exit_code"] == 1, "at a gap of 0.4 a budget is missed"
    assert [s["state"] for s in summary["runs"]] == ["missed", "good"]
    planned = project.run("--sweep", "01_threshold.gap=0.4,0.6", "--dry-run")[2]
    assert "with  01_threshold.gap=0.4\n" in planned and "not asked for" not in planned
    heads = [line for line in err.splitlines() if line.startswith("point ")]
    assert heads[0] == "point 1 of 2: 01_threshold.gap=0.4", (
        "each run's lines stand below its point"
    )
    assert heads[1].startswith("point 2 of 2: 01_threshold.gap=0.6 · about ")
    monkeypatch.chdir(project.root)
    capsys.readouterr()
    assert cli.run(["compare", "sweep", "--json", "--plot", "sweep.png"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == {"01_threshold.gap": [0.4, 0.6]}
    accepted = next(f for f in found["figures"] if f["case"] == "genuine")
    assert accepted["values"][0] < accepted["values"][1] and accepted["intervals"][0]
    assert (project.root / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert cli.run(["compare"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("parameter 01_threshold.gap: 0.4 → 0.6\n") and "BETTER" in text
    assert (
        project.run(
            "--profile", "quick", "--sweep", "01_threshold.gap=0.4,0.6", "-p", "01_threshold.seed=3"
        )[1]["runs"][0]["kernels_started"]
        == 0
    ), "a point that was run before is not run again"


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("01_threshold.gap=0.4,many", "cannot take this value"),
        ("01_threshold.gap=", "cannot be read"),
        ("01_threshold.gap=1,1", "different values"),
        ("01_threshold.gab=1,2", "did you mean 'gap'?"),
        ("gap=1,2", "STEP.NAME"),
        ("01_threshold.seed=" + ",".join(map(str, range(201))), "at most 200"),
    ],
)
def test_a_mistake_in_a_sweep_is_refused_before_anything_runs(made, option, says):
    project, _ = made
    before = sorted((project.root / "reports" / "runs").iterdir())
    rc, summary, err = project.run("--sweep", option)
    assert rc == 2 and summary is None and says in err and "Traceback" not in err
    assert sorted((project.root / "reports" / "runs").iterdir()) == before


def test_a_point_that_failed_keeps_its_values_in_the_comparison(tmp_path):
    """One point without records made the whole comparison fail, and a failed one was labelled `gap=None`."""
    folders = []
    for gap, state in (("0.4", "done"), ("0.6", "failed")):
        folder = tmp_path / gap
        folder.mkdir()
        step = {"step": "s", "state": state, "parameters": {"gap": gap}, "defaults": {}}
        (folder / "run.json").write_text(json.dumps({"steps": [step]}))
        value = records.Record(run=gap, step="s", case="c", metric="m", value=1)
        records.write(folder / "records.jsonl", [value] if state == "done" else [])
        folders.append(folder)
    found = side_by_side(folders)
    assert found.parameters == {"s.gap": (0.4, 0.6)}
    assert "gap=0.6  -" in found.text()
    assert found.text().endswith("recorded nothing, see its report: gap=0.6")
    records.write(folders[0] / "records.jsonl", [])
    with pytest.raises(BadInputError, match="no records to compare"):
        side_by_side(folders)


def test_a_grid_is_the_product_of_its_axes(made):
    project, _ = made
    read = plan.read(project.notebooks / "plan.toml")
    grid = sweep.points(read, ("01_threshold.gap=0.1,0.2", "01_threshold.seed=1;2;3"))
    assert len(grid) == 6 and grid[1] == ("01_threshold.gap=0.1", "01_threshold.seed=2")


@pytest.mark.parametrize(("codes", "named"), [((0, 0, 0), ""), ((0, 1, 2), "b.x=2; b.x=3")])
def test_a_grid_ends_with_the_points_that_were_not_good(codes, named):
    runners = [
        SimpleNamespace(options=SimpleNamespace(sweep=("s", (f"b.x={k}",)))) for k in (1, 2, 3)
    ]
    said, left = [], list(codes)
    ended = sweep.execute(
        runners,
        lambda _: {"exit_code": left.pop(0), "seconds": 1, "kernels_started": 1},
        said.append,
    )
    assert ended["exit_code"] == max(codes) and len(said) == 3 + bool(named)
    if named:
        assert said[-1] == f"2 of 3 points missed a budget or failed (exit code 2): {named}"


def test_init_says_a_command_that_can_be_pasted(tmp_path, capsys):
    root = tmp_path / "mein Projekt ü"
    assert cli.run(["init", str(root)]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(line) == ["Next:", "cd", str(root), "&&", "facelab", "reproduce"]


def test_init_replaces_nothing(tmp_path):
    (tmp_path / "Makefile").write_text("mine")
    with pytest.raises(BadInputError, match="already holds"):
        scaffold.create_project(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["Makefile"]
    assert cli.run(["init", str(tmp_path / "Makefile")]) == 2


# -- own modules -------------------------------------------------------------------------------------------------------

FILES = {
    "notebooks/flat.py": "import far\nfrom tools import deep",
    "notebooks/far.py": "",
    "notebooks/numpy.py": "",
    "notebooks/json.py": "",
    "notebooks/broken.py": "def",
    "notebooks/x.ipynb": "{}",
    "tools/__init__.py": "",
    "tools/deep.py": "from . import near\nfrom .near import X",
    "tools/near.py": "from facelab.core import hashing",
    "tools/table.csv": "a",
    "tools/by_name.py": "import importlib\nimportlib.import_module('far')",
    "tools/any.py": "import importlib\ndef get(n): return importlib.import_module(n)",
    "space/one.py": "",
    "circle.py": "import circle2",
    "circle2.py": "import circle",
}


@pytest.fixture
def modules(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    package = Package(Path(cli.__file__).parent)
    return OwnModules(package, [tmp_path / "notebooks", tmp_path], tmp_path)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "import flat",
            "notebooks/flat.py notebooks/far.py tools/__init__.py tools/deep.py tools/near.py tools/table.csv",
        ),
        ("def f():\n    from far import y", "notebooks/far.py"),
        ("import json, os", ""),
        ("import broken", "notebooks/broken.py"),
        ("import space.one", "space/one.py"),
        ("import circle", "circle.py circle2.py"),
        ("run('tools.near:main')", "tools/__init__.py tools/near.py tools/table.csv"),
        (
            "import tools.by_name",
            "tools/__init__.py tools/by_name.py tools/table.csv notebooks/far.py",
        ),
        ("import absent, sklearn", ""),
        ("%run x\n!ls\nimport far", "notebooks/far.py"),
    ],
)
def test_own_modules_are_followed_wherever_they_are_imported(modules, source, expected):
    files, _ = modules.closure([source])
    own = {name for name in files if not name.startswith("facelab/")}
    assert own == set(expected.split())


def test_what_an_own_module_needs_of_facelab_and_others_belongs_to_the_key(modules):
    files, foreign = modules.closure(["import tools.near\nimport pandas"])
    assert "facelab/core/hashing.py" in files and "pandas" in foreign
    assert {n for n in modules.closure(["import tools.any"])[0] if n.startswith("tools/")} == {
        n for n in FILES if n.startswith("tools/")
    }, "a computed name may mean any module of its package"


def test_a_file_beside_the_notebooks_replaces_no_installed_package(project):
    for name in ("numpy", "json", "facelab"):
        (project.notebooks / f"{name}.py").write_text(
            f"from pathlib import Path\nPath({str(project.root / 'ran')!r}).touch()\n"
        )
    (project.notebooks / "helper.py").write_text("X = 3\n")
    project.body(
        "imports", code("use", "import json, numpy, helper\nrun.record('a', 'x', helper.X)")
    )
    project.step("imports", 'records = ["a/x"]')
    rc, _, err = project.run()
    assert rc == 0, err
    assert not (project.root / "ran").exists()


# -- tables and plots --------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-3, 3), st.floats(-1e6, 1e6), st.text(max_size=3)),
            st.one_of(st.none(), st.booleans(), st.floats(-1e6, 1e6), st.text(max_size=3)),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_any_runs_have_a_table_and_a_plot_or_a_reason(cells):
    parameters, values = zip(*cells, strict=True)
    figure = Figure("s", "c", "m", "ms", values, tuple(None for _ in values))
    found = Runs(tuple(f"r{k}" for k in range(len(values))), {"s.p": parameters}, (figure,))
    assert len(found.rows()) == len(values) and found.text()
    assert found.to_dict()["names"] == list(found.names)
    try:
        fig = pictures.plot(found)
    except BadInputError as e:
        assert "nothing to plot" in str(e)
    else:
        assert fig.axes[0].get_ylabel() == "c · m [ms]"


def test_no_whisker_of_a_grid_covers_another_and_one_legend_names_the_lines():
    """Lines stood on the same places, and each panel's legend covered what it names."""
    points = [(lr, seed) for lr in (0.005, 0.02) for seed in (7, 8, 9)]
    parameters = {"s.lr": tuple(p[0] for p in points), "s.seed": tuple(p[1] for p in points)}
    values = tuple(0.5 + 0.01 * k for k in range(6))
    spans = tuple((v - 0.1, v + 0.1) for v in values)
    figures = tuple(
        Figure("s", "c", m, "", values, i) for m, i in (("a", spans), ("b", (None,) * 6))
    )
    fig = pictures.plot(Runs(tuple("abcdef"), parameters, figures))
    first, second = fig.axes
    assert first.get_xlabel() == "seed"
    places = [x for line in first.containers for x in line[0].get_xdata()]
    assert len(set(places)) == len(places) == 6
    assert [len(line[2]) for line in first.containers] == [1, 1]
    assert [len(line[2]) for line in second.containers] == [0, 0], "no interval, no whisker"
    assert first.get_legend() is None and len(fig.legends) == 1
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["lr=0.005", "lr=0.02"]


def test_an_installed_facelab_finds_the_project_from_a_notebooks_folder(tmp_path):
    scaffold.create_project(tmp_path)
    code = "from facelab.core.project import project_root; print(project_root())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "notebooks",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(tmp_path)
    assert re.search(r"facelab\.plan/1", (tmp_path / "notebooks" / "plan.toml").read_text())


def test_two_values_of_one_parameter_are_not_silently_one(made):
    project, _ = made
    found = plan.read(project.root / "notebooks" / "plan.toml")
    step = found.names[0]
    assert plan.overrides(found, [f"{step}.pairs=7", f"{step}.pairs=7"]) == {step: {"pairs": "7"}}
    with pytest.raises(BadInputError, match="two values") as e:
        plan.overrides(found, [f"{step}.pairs=7", f"{step}.pairs=8"])
    assert f"--sweep {step}.pairs=7,8" in e.value.fix
