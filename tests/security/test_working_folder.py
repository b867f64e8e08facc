"""Issue 22.4: no code of the working folder runs, whatever helper processes a command starts."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def run(*words, timeout=120):
    """Run a command as a user does, in the working folder, and return what it left."""
    program = Path(sys.executable).with_name("facelab")
    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=timeout, check=False
    )


def test_a_fresh_process_does_not_import_from_the_working_folder(planted):
    from facelab.core import fresh

    assert fresh.call("math:sqrt", 9).value == 3.0
    assert planted() == []


def test_workers_of_the_renderer_do_not_import_from_the_working_folder(planted, tmp_path):
    done = run(
        "data", "synth", "--set", "emotion", "--n", "4", "--workers", "2", "--out", tmp_path / "o"
    )
    assert planted() == []
    assert done.returncode == 0, done.stderr


def test_measuring_a_detector_does_not_import_from_the_working_folder(planted):
    from facelab.studies.model_cost import cost

    image = np.zeros((64, 64, 3), np.uint8)
    assert cost("detector", "haar", threads=1, images=[image], repeats=1)["peak_bytes"] > 0
    assert planted() == []


def test_timing_a_model_does_not_import_from_the_working_folder(planted, tmp_path):
    from facelab.quantization import _bench as bench
    from tests.deploy.conftest_deploy import write_model

    model = write_model(tmp_path / "m.onnx")
    x = np.zeros((1, 24, 24, 3), np.float32)
    assert bench.compare({"m": model}, {"m": x}, threads=1)["m"].samples.size >= 50
    assert planted() == []


def test_a_job_does_not_import_from_the_working_folder(planted, tmp_path):
    from facelab.core import job

    (tmp_path / "script.py").write_text(
        "import json, numpy\ndef work(job, folder):\n    return {'numpy': numpy.__version__}\n"
    )
    (tmp_path / "job.json").write_text("{}")
    frame = Path(job.__file__)
    done = subprocess.run(
        [sys.executable, frame, tmp_path / "script.py", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert planted() == []
    assert json.loads((tmp_path / "done.json").read_text())["ok"], done.stderr


def test_the_kernels_answer_without_importing_from_the_working_folder(planted):
    from facelab.doctor._kernels import try_imports

    assert try_imports(sys.executable, "ipykernel, facelab", 60)[0]
    assert planted() == []


def test_a_kernel_does_not_import_from_the_notebooks_folder(planted, tmp_path):
    from jupyter_client import KernelManager

    from facelab.reproduce import _kernels as kernels

    environment = kernels.environment(tmp_path, threads=1)
    spec = json.loads((Path(sys.prefix) / "share/jupyter/kernels/facelab/kernel.json").read_text())
    manager = KernelManager()
    manager.kernel_spec.argv[:] = spec["argv"]
    manager.start_kernel(env=environment, cwd=Path.cwd())
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        reply = client.execute("import numpy, json; x = numpy.zeros(1)", reply=True, timeout=60)
        assert reply["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert planted() == []


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        pytest.param(("doctor",), marks=pytest.mark.slow),
        ("gate", "--print-policy"),
        ("assets", "list", "--json"),
        ("match", "bench", "--help"),
    ],
    ids=str,
)
def test_commands_do_not_import_from_the_working_folder(planted, words):
    run(*words)
    assert planted() == []


@pytest.mark.slow
def test_every_command_of_the_documentation_leaves_planted_files_alone(planted):
    import facelab.cli

    for noun in facelab.cli.COMMANDS:
        run(noun, "--help")
    assert planted() == []


def test_no_helper_is_started_with_the_working_folder_on_its_path():
    """Every start of an interpreter in the package names -P, -I, a script's path, or goes through `isolated`."""
    import re

    found = []
    for path in (REPOSITORY / "facelab").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        starts = re.finditer(r"\[\s*(?:sys\.executable|python),\s*\"(-[mc])\"", text)
        found += [f"{path.relative_to(REPOSITORY)}: {match[0]}" for match in starts]
    assert found == []
