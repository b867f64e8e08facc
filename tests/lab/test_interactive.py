"""Each notebook as a person runs it: top to bottom, in a kernel without a runner, after a headless run of it."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

REPOSITORY = Path(__file__).resolve().parents[2]
PLAN = tomllib.loads((REPOSITORY / "notebooks" / "plan.toml").read_text())["step"]
STEPS = {s["name"]: s for s in PLAN}
WITH_LONG_CALLS = [
    n
    for n, s in STEPS.items()
    if "run.long(" in (REPOSITORY / "notebooks" / s["notebook"]).read_text()
]


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A copy of the project whose reports are its own; the package is the checkout's."""
    home = tmp_path_factory.mktemp("interactive")
    for name in ("notebooks", "requirements", "examples"):
        shutil.copytree(REPOSITORY / name, home / name)
    shutil.copy(REPOSITORY / "pyproject.toml", home / "pyproject.toml")
    return home


@pytest.fixture(scope="session")
def environment(project):
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("FACELAB_") or k == "FACELAB_MIRROR"
    }
    return {
        **kept,
        "PYTHONPATH": str(REPOSITORY),
        "IPYTHONDIR": str(project / ".ip"),
        "JUPYTER_RUNTIME_DIR": str(project / ".jr"),
        "FACELAB_DATA": str(project / "data"),
        "FACELAB_MODELS": str(project / "models"),
    }


def with_parameters(path: Path, values: dict):
    """Return the notebook with other values in its parameters cell, and nothing else changed."""
    notebook = nbformat.read(path, as_version=4)
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    lines = []
    for line in cell.source.splitlines():
        name = line.partition(":")[0]
        before, _, after = line.partition(" = ")
        lines.append(
            f"{before} = {values[name]!r}  #{after.partition('#')[2]}" if name in values else line
        )
    cell.source = "\n".join(lines)
    return notebook


def printed(cell) -> str:
    return "".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream")


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("step", list(STEPS))
def test_it_runs_top_to_bottom_and_loads_what_takes_long(step, project, environment, monkeypatch):
    entry = STEPS[step]
    done = subprocess.run(
        [sys.executable, "-m", "facelab.cli", "reproduce", "--profile", "quick", "--only", step],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    headless = project / "reports" / "latest" / step
    assert (headless / "end.json").is_file(), done.stderr[
        -3000:
    ]  # a missed budget is another test's business
    written = json.loads((project / "reports" / "latest" / "run.json").read_text())
    quick = {**entry.get("parameters", {}), **entry.get("quick", {})}
    note = next(s for s in written["steps"] if s["step"] == step)
    if note.get("note"):  # the plan's fallback where Model Maker's kernel is not installed
        quick |= entry.get("fallback", {}).get("parameters", {})
    notebook = with_parameters(project / "notebooks" / entry["notebook"], quick)
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        resources={"metadata": {"path": str(project / "notebooks")}},
    ).execute()
    said = "\n".join(printed(c) for c in notebook.cells if c.cell_type == "code")
    kept = sorted(p.stem for p in (headless / "results").glob("*.json"))
    assert bool(kept) == (step in WITH_LONG_CALLS), "a runner keeps the result of every long call"
    for name in kept:
        assert f"{name}: loaded, computed on" in said, f"{name} was not loaded\n{said[-3000:]}"
    assert "computing" not in said
    person = project / "reports" / "interactive" / step
    assert (
        json.loads((person / "end.json").read_text())["figures"]
        == json.loads((headless / "end.json").read_text())["figures"]
    )


def test_the_notebooks_that_take_long_keep_their_long_calls():
    assert set(STEPS) - set(WITH_LONG_CALLS) == {"00_overview", "09_deploy_gate"}  # seconds each
