"""A real JupyterLab in a real headless Chromium: open the overview, run all cells, see a plot and no error."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from chromium import Page, executable

REPOSITORY = Path(__file__).resolve().parents[2]
OVERVIEW, MODELS = "00_overview.ipynb", "01_data_and_models.ipynb"


def tab(notebook: str) -> str:
    """JavaScript for a notebook's tab: looked up, not taken as "current", since a headless window focuses nobody."""
    return (
        f"Array.from(window.jupyterapp.shell.widgets('main'))"
        f".find(w => w.context?.path === 'notebooks/{notebook}')"
    )


def cells_of(notebook: str) -> str:
    """JavaScript for a notebook's code cells: id, execution count, outputs."""
    return (
        f"Array.from({tab(notebook)}.content.model.cells).filter(c => c.type === 'code').map(c => "
        "({id: c.id, count: c.executionCount, outputs: c.toJSON().outputs}))"
    )


@pytest.fixture
def project(tmp_path):
    """A copy of what the notebooks read beside the package, so that their reports land here."""
    for name in ("notebooks", "requirements"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def set_parameters(project: Path, notebook: str, **values) -> None:
    """Write other values into a notebook's parameters cell, the only knob that a person has to turn."""
    path = project / "notebooks" / notebook
    written = json.loads(path.read_text())
    cell = next(c for c in written["cells"] if "parameters" in c["metadata"].get("tags", []))
    text = "".join(cell["source"])
    for name, value in values.items():
        text, found = re.subn(rf"^({name}: [^=]+= )\S+", rf"\g<1>{value!r}", text, flags=re.M)
        assert found == 1, name
    cell["source"] = text.splitlines(keepends=True)
    path.write_text(json.dumps(written))


@pytest.fixture
def environment(project):
    """The variables of both a run and a session: nothing of Jupyter's lies outside the project, and no mirror."""
    folders = {
        "JUPYTER_CONFIG_DIR": ".jc",
        "JUPYTER_DATA_DIR": ".jd",
        "JUPYTER_RUNTIME_DIR": ".jr",
        "IPYTHONDIR": ".ip",
    }
    kept = {k: v for k, v in os.environ.items() if k != "FACELAB_MIRROR"}
    return {
        **kept,
        **{k: str(project / v) for k, v in folders.items()},
        "PYTHONPATH": str(REPOSITORY),
    }


@pytest.fixture
def lab(project, environment):
    """A JupyterLab on the project as `make lab` starts one, without opening a browser; yields its address."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    token, log = secrets.token_hex(16), project / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                f"--port={port}",
                "--ip=127.0.0.1",
                f"--IdentityProvider.token={token}",
                "--LabApp.expose_app_in_browser=True",
                "--notebook-dir=.",
                f"--LabApp.default_url={default_url()}",
                f"--ServerApp.contents_manager_class={in_make_lab('contents_manager_class')}",
                "--LabApp.news_url=None",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            ],
            cwd=project,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(f"{address}/api?token={token}", timeout=5).close()
            break
        except OSError:
            assert server.poll() is None and time.monotonic() < end, log.read_text()[-2000:]
            time.sleep(0.5)
    yield address, token
    server.terminate()
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


@pytest.fixture
def page(tmp_path):
    opened = Page(tmp_path / "profile")
    yield opened
    opened.close()


def default_url() -> str:
    """Return the page that `make lab` opens on."""
    return in_make_lab("default_url")


def in_make_lab(option: str) -> str:
    """Return what `make lab` gives for an option."""
    recipe = re.search(r"^lab:.*\n(\t.*\n)+", (REPOSITORY / "Makefile").read_text(), re.M)[0]
    return re.search(rf"{option}=(\S+)", recipe)[1]


def wait_open(page, project, notebook: str) -> None:
    """Wait until a notebook is open with its kernel idle, and bring it to the front."""
    written = len(json.loads((project / "notebooks" / notebook).read_text())["cells"])
    page.wait(
        f"{tab(notebook)}.content.model.cells.length === {written}",
        seconds=120,
        what="the notebook opens",
    )
    page.wait(
        f"{tab(notebook)}.sessionContext.session?.kernel?.status === 'idle'",
        seconds=120,
        what="the kernel starts",
    )
    page.evaluate(f"window.jupyterapp.shell.activateById({tab(notebook)}.id)")
    page.wait(
        f"window.jupyterapp.shell.currentWidget === {tab(notebook)}",
        seconds=30,
        what="the tab comes to the front",
    )


def scroll_to(page, notebook: str, cell: str) -> None:
    """Bring a cell into view: JupyterLab draws only what is seen."""
    page.evaluate(
        f"{tab(notebook)}.content.scrollToItem(Array.from({tab(notebook)}.content.model.cells)"
        f".findIndex(c => c.id === '{cell}')).then(() => true)"
    )


def run_all(page) -> None:
    """Start running all cells, without waiting for them."""
    page.evaluate("(window.jupyterapp.commands.execute('notebook:run-all-cells'), true)")


def wait_done(page, notebook: str) -> dict[str, list[dict]]:
    """Wait until every code cell has run and return their outputs by cell; an error is a failure of the test."""
    page.wait(
        f"{cells_of(notebook)}.every(c => c.count !== null) || "
        f"{cells_of(notebook)}.some(c => c.outputs.some(o => o.output_type === 'error'))",
        seconds=240,
        what="every cell has run",
    )
    cells = page.evaluate(cells_of(notebook))
    errors = [o for c in cells for o in c["outputs"] if o["output_type"] == "error"]
    assert not errors, errors
    return {c["id"]: c["outputs"] for c in cells}


def see_plot(page, notebook: str, cell: str) -> list[int]:
    """Return the size of a plot that is really drawn in the browser, in pixels."""
    scroll_to(page, notebook, cell)
    return page.wait(
        "(() => { const i = document.querySelector('.jp-RenderedImage img');"
        " return i && i.complete && i.naturalWidth > 200 && [i.naturalWidth, i.clientHeight] })()",
        seconds=60,
        what="a plot is seen",
    )


def text_of(outputs: list[dict]) -> str:
    """Return what a cell printed and displayed as text and markup."""
    said = [o["text"] if "text" in o else o.get("data", {}).get("text/html", "") for o in outputs]
    return "\n".join("".join(s) if isinstance(s, list) else s for s in said)


needs_chromium = pytest.mark.skipif(
    executable() is None, reason="no Chromium is installed (Debian: chromium)"
)


@pytest.mark.slow
@pytest.mark.timeout(420)
@needs_chromium
def test_make_lab_opens_the_overview_which_runs_and_shows_a_plot(lab, page, project, tmp_path):
    set_parameters(project, OVERVIEW, start_kernels=False)
    address, token = lab
    page.send("Page.navigate", url=f"{address}{default_url()}?token={token}")
    wait_open(page, project, OVERVIEW)
    run_all(page)
    outputs = wait_done(page, OVERVIEW)
    assert len(outputs) >= 8
    assert any("text/html" in o.get("data", {}) for found in outputs.values() for o in found), (
        "no rich display"
    )
    assert "budgets met" in text_of(outputs["verdict"]) and "PASS" in text_of(outputs["verdict"])
    assert see_plot(page, OVERVIEW, "models-figure")[1] > 50
    assert page.screenshot(tmp_path / "lab.png").stat().st_size > 20_000
    left = project / "reports" / "interactive" / "00_overview"
    assert (left / "end.json").is_file() and (left / "figures" / "models.png").is_file()


@pytest.mark.slow
@pytest.mark.timeout(300)
@needs_chromium
def test_opening_and_saving_changes_nothing(lab, page, project):
    """JupyterLab wrote the kernel's Python version into each notebook that it opened, and marked it as changed."""
    file = project / "notebooks" / MODELS
    written = file.read_bytes()
    address, token = lab
    page.send("Page.navigate", url=f"{address}/lab/tree/notebooks/{MODELS}?token={token}")
    wait_open(page, project, MODELS)
    time.sleep(3)  # what the kernel says of itself arrives after it is idle
    assert page.evaluate(f"{tab(MODELS)}.context.model.dirty") is False
    assert page.evaluate(f"{tab(MODELS)}.context.save().then(() => true)")
    assert json.loads(file.read_text()) == json.loads(written)


@pytest.mark.slow
@pytest.mark.timeout(540)
@needs_chromium
def test_long_results_come_from_the_last_run_and_others_are_computed_below_a_bar(
    lab, page, project, environment, tmp_path
):
    said = [
        f"-p01_data_and_models.{text}" for text in ("repeats=3", "most_models=2", "crowd=false")
    ]
    done = subprocess.run(
        [sys.executable, "-m", "facelab.cli", "reproduce", "--only", "01_data_and_models", *said],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = (project / "reports" / "latest").resolve().name
    # the person asks for more repeats: boxes and likeness still hold, costs do not
    set_parameters(project, MODELS, repeats=60, most_models=2, crowd=False)
    address, token = lab
    page.send("Page.navigate", url=f"{address}/lab/tree/notebooks/{MODELS}?token={token}")
    wait_open(page, project, MODELS)
    scroll_to(page, MODELS, "cost")
    run_all(page)
    bar = page.wait(
        "(() => { const p = document.querySelector('.jp-OutputArea progress');"
        " return p && p.clientWidth > 20 && p.parentElement.innerText })()",
        seconds=200,
        what="a progress bar is seen",
    )
    assert "detector-costs" in bar or "embedder-costs" in bar
    page.screenshot(tmp_path / "bar.png")
    outputs = wait_done(page, MODELS)
    for cell, name in (("photo", "boxes"), ("embed", "mirrored")):
        assert f"{name}: loaded" in text_of(outputs[cell]) and f"by run {run}" in text_of(
            outputs[cell]
        )
    cost = text_of(outputs["cost"])
    assert "detector-costs: computing, the last result differs (repeats: 3 → 60)" in cost
    assert "detector-costs: computed in" in cost and "<progress" not in cost
    assert "2 of 2 budgets met" in text_of(outputs["verdict"])
    assert see_plot(page, MODELS, "photo")[1] > 50
    page.screenshot(tmp_path / "loaded.png")
    # what was loaded is recorded like what was computed
    records = [
        json.loads(line)
        for line in (project / "reports" / "interactive" / "01_data_and_models" / "records.jsonl")
        .read_text()
        .splitlines()
    ]
    theirs = [
        json.loads(line)
        for line in (project / "reports" / "latest" / "01_data_and_models" / "records.jsonl")
        .read_text()
        .splitlines()
    ]
    value = {(r["case"], r["metric"]): r["value"] for r in records}
    for record in theirs:
        assert (record["case"], record["metric"]) in value
        if record["metric"] in ("found_by", "mirrored_cosine"):
            assert value[record["case"], record["metric"]] == record["value"]


def test_what_the_labs_tools_keep_stays_in_the_project():
    """JupyterLab starts npm where it is installed, which would leave ~/.npm behind."""
    done = subprocess.run(
        ["make", "-s", "--eval=show: ; @env", "show"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    for name in (
        "IPYTHONDIR",
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "npm_config_cache",
    ):
        assert Path(seen[name]).is_relative_to(REPOSITORY / ".cache"), name


def test_make_lab_opens_on_the_overview():
    assert default_url() == f"/lab/tree/notebooks/{OVERVIEW}"


@pytest.mark.parametrize(
    "notebook", sorted(p.name for p in (REPOSITORY / "notebooks").glob("*.ipynb"))
)
def test_the_parameters_cell_runs_where_a_person_runs_it(notebook):
    """Nobody injects imports interactively: what its types name must have been imported by a cell above."""
    names: dict = {}
    for cell in json.loads((REPOSITORY / "notebooks" / notebook).read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{notebook}:{cell['id']}", "exec"), names)  # noqa: S102 (our own notebooks)
            if "parameters" in cell["metadata"].get("tags", []):
                break
    else:
        pytest.fail("no cell is tagged parameters")
