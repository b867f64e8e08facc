"""Commands in the docs that are not run one by one: CI steps and hooks in YAML, an official address, a cluster."""

import functools
import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from conftest_docs import REPOSITORY, show

DOCS = REPOSITORY / "docs"
BIN = Path(sys.executable).parent
GATE = (DOCS / "how-to" / "fingerprint-gate.md").read_text()
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(REPOSITORY),
}
WORKFLOW, HOOKS = (
    yaml.safe_load(body) for body in re.findall(r"^```yaml\n(.*?)^```", GATE, re.M | re.S)
)


@pytest.fixture
def project(prepared, tmp_path):
    """A copy of the examples' folder with an application in it, as the page assumes."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "tensors")
    (tmp_path / "app").mkdir()
    shutil.copy(tmp_path / "preprocess.py", tmp_path / "app" / "preprocess.py")
    return tmp_path


def run(script: str, folder: Path, **environment):
    """Run a shell script with facelab on the path, stopping at the first error as a CI step does."""
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_workflow_passes_on_the_example_and_fails_on_a_mistake(project):
    job = WORKFLOW["jobs"]["fingerprint"]["steps"]
    steps = [s["run"] for s in job if "run" in s]
    before, program, compare = steps
    assert before == "python -m pip install -e ."
    done = run(program, project)
    assert done.returncode == 0, show(done)
    done = run(compare, project)
    assert done.returncode == 0, show(done)
    for step in job:
        if name := step.get("with", {}).get("sarif_file"):
            assert (project / name).is_file()
    shutil.rmtree(project / "tensors")
    wrong = program.replace(
        "./preprocess probes tensors", "./preprocess probes tensors --mistake bgr"
    )
    assert wrong != program and run(wrong, project).returncode == 0
    assert run(compare, project).returncode == 1


def test_the_hook_and_the_commands_above_it_work(project):
    (block,) = re.findall(
        r"^```console\n(.*?)^```", GATE.partition("## GitHub Actions")[0], re.M | re.S
    )
    *captures, compare = (line.removeprefix("$ ") for line in block.splitlines())
    for line in captures:
        done = run(line, project)
        assert done.returncode == 0, show(done)
    assert run(compare, project).returncode == 1  # the example's planted mistake
    done = run(
        "facelab fingerprint capture --spec model.preprocess.json --out train.fingerprint.json",
        project,
    )
    assert done.returncode == 0, show(done)
    (hook,) = HOOKS["repos"][0]["hooks"]
    assert re.search(hook["files"], "app/preprocess.py")
    done = run(hook["entry"], project)
    assert done.returncode == 0, show(done)
    program = project / "app" / "preprocess.py"
    right = "np.asarray(pixels, np.float32)"
    assert right in program.read_text()
    program.write_text(program.read_text().replace(right, f"{right}[..., ::-1]"))
    assert run(hook["entry"], project).returncode == 1


@pytest.fixture
def address(assets):
    """The mirror behind an address, as an official one would be."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(assets))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


PAGES = "".join(p.read_text() for p in sorted(DOCS.rglob("*.md")))
ASKING = [
    line
    for block in re.findall(r"^```console network\n(.*?)^```", PAGES, re.M | re.S)
    for line in re.findall(r"^\$ (facelab .*)", block, re.M)
]


@pytest.mark.parametrize("line", ASKING)
def test_what_asks_an_address_works_with_one(line, project, address):
    done = run(
        line,
        project,
        FACELAB_MIRROR=address,
        FACELAB_MODELS=str(project / "models"),
        FACELAB_DATA=str(project / "data"),
    )
    assert done.returncode == 0, show(done)
    assert any((project / "models").rglob("*.onnx"))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_cluster_of_the_page_runs_a_step(project):
    pytest.importorskip("distributed")
    page = (DOCS / "how-to" / "running-on-a-cluster.md").read_text()
    block = re.search(r"```console cluster\n(.*?)```", page, re.S)[1]
    scheduler, worker, reproduce = re.findall(r"^\$ (.*)", block, re.M)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    here = functools.partial(re.sub, r"8786", str(port))
    processes = []
    try:
        for line in (scheduler + " --host 127.0.0.1 --no-dashboard", worker + " --no-dashboard"):
            words = here(line).replace("head", "127.0.0.1").split()
            processes.append(
                subprocess.Popen(
                    words,
                    cwd=project,
                    env=ENVIRONMENT,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        time.sleep(6)
        shutil.rmtree(project / "reports")  # the examples' runs are records alone
        for name in ("pyproject.toml", "requirements/main.lock"):
            (project / name).parent.mkdir(exist_ok=True)
            shutil.copy(REPOSITORY / name, project / name)
        line = here(reproduce).replace("head", "127.0.0.1")
        done = run(f"{line} --only 00_overview -p 00_overview.start_kernels=false", project)
        assert "dask cluster" in done.stderr and "1 workers" in done.stderr, show(done)
        assert (project / "reports" / "latest" / "00_overview" / "end.json").is_file(), show(done)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)
