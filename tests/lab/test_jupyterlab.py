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

sys.path.insert(0, str(Path(__file__).parent))   # tests are no package

from chromium import Page, executable

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOK = "00_overview.ipynb"
# the tab is looked up, not taken as "current": a headless window gives the focus to nobody
TAB = (f"Array.from(window.jupyterapp.shell.widgets('main')).find(w => w.context?.path === 'notebooks/{NOTEBOOK}')")
MODEL = f"{TAB}.content.model"
CELLS = f"""Array.from({MODEL}.cells).filter(c => c.type === 'code').map(c => ({{
  id: c.id, count: c.executionCount, outputs: c.toJSON().outputs}}))"""


@pytest.fixture
def project(tmp_path):
    """A copy of what the overview reads, so that its report lands here."""
    for name in ("notebooks", "requirements"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    for name in ("pyproject.toml", "models/catalogue.toml", "data/registry.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    path = tmp_path / "notebooks" / NOTEBOOK
    text = path.read_text()
    # the parameters cell is the only knob: do not start the second kernel
    assert "start_kernels: bool = True" in text
    path.write_text(text.replace("start_kernels: bool = True", "start_kernels: bool = False"))
    return tmp_path


@pytest.fixture
def lab(project):
    """A JupyterLab on the project as `make lab` starts one, without opening a browser; yields its address."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    token, log = secrets.token_hex(16), project / "lab.log"
    env = {**os.environ, "JUPYTER_CONFIG_DIR": str(project / ".jc"), "JUPYTER_DATA_DIR": str(project / ".jd"),
           "JUPYTER_RUNTIME_DIR": str(project / ".jr"), "IPYTHONDIR": str(project / ".ip")}
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1",
             f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True", "--notebook-dir=.",
             "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"],
            cwd=project, env=env, stdout=out, stderr=subprocess.STDOUT)
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


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.skipif(executable() is None, reason="no Chromium is installed (Debian: chromium)")
def test_the_overview_runs_top_to_bottom_and_shows_a_plot(lab, page, project, tmp_path):
    address, token = lab
    page.send("Page.navigate", url=f"{address}/lab/tree/notebooks/{NOTEBOOK}?token={token}")
    written = len(json.loads((project / "notebooks" / NOTEBOOK).read_text())["cells"])
    page.wait(f"{MODEL}.cells.length === {written}", seconds=120, what="the notebook opens")
    page.wait(f"{TAB}.sessionContext.session?.kernel?.status === 'idle'", seconds=120, what="the kernel starts")
    page.evaluate(f"window.jupyterapp.shell.activateById({TAB}.id)")
    page.wait(f"window.jupyterapp.shell.currentWidget === {TAB}", seconds=30, what="the tab comes to the front")
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => true)")
    page.wait(f"{CELLS}.every(c => c.count !== null)", seconds=240, what="every cell has run")
    cells = page.evaluate(CELLS)
    assert len(cells) >= 8
    errors = [o for c in cells for o in c["outputs"] if o["output_type"] == "error"]
    assert not errors, errors
    tables = [o for c in cells for o in c["outputs"] if "text/html" in o.get("data", {})]
    assert tables, "no result has a rich display"
    verdict = next(c for c in cells if c["id"] == "verdict")
    assert "budgets met" in str(verdict["outputs"])
    page.evaluate(f"{TAB}.content.scrollToItem("
                  f"Array.from({MODEL}.cells).findIndex(c => c.id === 'models-figure')).then(() => true)")
    size = page.wait("(() => { const i = document.querySelector('.jp-RenderedImage img');"
                     " return i && i.complete && i.naturalWidth > 200 && [i.naturalWidth, i.clientHeight] })()",
                     seconds=60, what="a plot is seen")
    assert size[1] > 50
    assert page.screenshot(tmp_path / "lab.png").stat().st_size > 20_000
    left = project / "reports" / "interactive" / "00_overview"
    assert (left / "end.json").is_file() and (left / "figures" / "models.png").is_file()


def test_make_lab_opens_on_the_overview():
    recipe = re.search(r"^lab:.*\n(\t.*\n)+", (REPOSITORY / "Makefile").read_text(), re.M)[0]
    assert "default_url=/lab/tree/notebooks/00_overview.ipynb" in recipe


@pytest.mark.parametrize("notebook", sorted(p.name for p in (REPOSITORY / "notebooks").glob("*.ipynb")))
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
