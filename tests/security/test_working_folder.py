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


def python(code, folder):
    """Run a line of Python in a folder, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


def test_no_folder_that_modules_come_from_has_a_relative_name(tmp_path):
    """An editable install put one on the path: sitecustomize.py in a folder of that name ran at each start."""
    entries = json.loads(python("import json, sys; print(json.dumps(sys.path))", tmp_path))
    relative = [e for e in entries if not Path(e).is_absolute()]
    assert relative == [], "where this is an old environment, call make setup"


@pytest.mark.parametrize(
    "text",
    ["cache_dir: HERE\ndisable_jit: 1\n", pytest.param("a: [1\n", marks=pytest.mark.slow)],
    ids=["settings", "no settings"],
)
def test_numba_takes_no_settings_from_the_working_folder(tmp_path, text):
    (tmp_path / ".numba_config.yaml").write_text(text.replace("HERE", str(tmp_path / "code")))
    code = (
        "import facelab, numba; numba.njit(lambda x: x + 1)(1);"
        "print(numba.config.CACHE_DIR, numba.config.DISABLE_JIT)"
    )
    assert python(code, tmp_path) == python(code, tmp_path.parent)


@pytest.mark.parametrize("text", [b"text.usetex: True\n", b"a: \xff\xfe\n"], ids=["tex", "bytes"])
def test_commands_draw_without_the_settings_of_the_working_folder(tmp_path, text):
    (tmp_path / "matplotlibrc").write_bytes(text)
    code = (
        "from facelab import cli; cli.run(['--help']);"
        "import matplotlib; print(matplotlib.rcParams['text.usetex'])"
    )
    assert python(code, tmp_path) == "False"


def test_a_strangers_project_vouches_for_nothing(tmp_path, monkeypatch):
    """A record of trust and marks of models that were tried came from the project of the working folder."""
    from facelab.core import fresh
    from facelab.core.project import project_root
    from facelab.core.safety import first_try
    from facelab.zoo import trust

    monkeypatch.delenv("FACELAB_TRUST", raising=False)
    monkeypatch.delenv(first_try.DIRECTLY, raising=False)
    for folder in ("notebooks", ".facelab", ".cache/opened"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "notebooks/plan.toml").write_text('schema = "facelab.plan/1"\n')
    model = tmp_path / "model.bin"
    model.write_bytes(b"a stranger's")
    sha, size = trust.content_hash(model)
    row = trust.Trusted(sha, size, model.name, "here", "made here", "somebody", "now")
    (tmp_path / ".facelab/trust.jsonl").write_text(json.dumps(vars(row)) + "\n")
    (tmp_path / f".cache/opened/{sha}-math").touch()
    monkeypatch.chdir(tmp_path)
    assert project_root() == tmp_path
    assert not trust.is_vouched(model)

    def crash(*_, **__):
        raise fresh.FreshProcessError("it crashed", where="ended by SIGSEGV", fix="")

    monkeypatch.setattr(fresh, "call", crash)
    with pytest.raises(first_try.EndsProcessError):
        first_try.first_try(model, "math:sqrt", reader="math", sha=sha)


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
