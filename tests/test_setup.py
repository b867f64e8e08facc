"""The set-up script: pinned tools, kernelspecs inside the project, a fall-back that says so."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture
def bootstrap(repository, tmp_path, monkeypatch):
    """Return the set-up script as a module that works on a temporary project."""
    spec = importlib.util.spec_from_file_location(
        "bootstrap", repository / "requirements" / "bootstrap.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, folder in (
        ("ROOT", ""),
        ("TOOLS", ".tools"),
        ("MAIN", ".venv"),
        ("MODELMAKER", ".venv-modelmaker"),
        ("CACHE", ".cache"),
    ):
        monkeypatch.setattr(module, name, tmp_path / folder)
    monkeypatch.setattr(module, "SKIPPED", tmp_path / ".cache" / "modelmaker-skipped.txt")
    (tmp_path / ".cache").mkdir()
    return module


def test_wrong_usage_explains_itself(repository):
    done = subprocess.run(
        [sys.executable, repository / "requirements" / "bootstrap.py", "nonsense"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "bootstrap.py main" in done.stdout


def test_foreign_python_settings_do_not_reach_the_children(bootstrap, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "x")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    env = bootstrap.environment()
    assert "PYTHONPATH" not in env and "PYTHONDONTWRITEBYTECODE" not in env
    assert env["UV_DEFAULT_INDEX"] == "https://index.example/simple"


def test_an_interpreter_must_start_to_count(bootstrap, tmp_path):
    shim = tmp_path / "python3.11"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert not bootstrap.answers(shim, ("3.11",)) and not bootstrap.answers(
        tmp_path / "none", ("3.11",)
    )
    assert bootstrap.answers(sys.executable, (running,)) and not bootstrap.answers(
        sys.executable, ("2.7",)
    )


def test_jupyterlab_fetches_no_news(bootstrap):
    bootstrap.jupyterlab_settings()
    written = json.loads((bootstrap.MAIN / "share/jupyter/lab/settings/overrides.json").read_text())
    assert written["@jupyterlab/apputils-extension:notification"] == {
        "fetchNews": "false",
        "checkForUpdates": False,
    }


def test_kernelspecs_stay_inside_the_project(bootstrap, tmp_path):
    bootstrap.kernelspec("facelab", "facelab", tmp_path / "python")
    spec = json.loads((tmp_path / ".venv/share/jupyter/kernels/facelab/kernel.json").read_text())
    assert spec["argv"][0] == str(tmp_path / "python") and spec["language"] == "python"


def test_a_missing_platform_is_said_and_is_not_an_error(bootstrap, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap.platform, "machine", lambda: "aarch64")
    bootstrap.kernelspec("facelab-modelmaker", "old", tmp_path / "python")
    bootstrap.modelmaker_environment()
    assert (
        "Linux x86-64 only" in bootstrap.SKIPPED.read_text()
        and "Keras back end" in capsys.readouterr().err
    )
    assert not (tmp_path / ".venv/share/jupyter/kernels/facelab-modelmaker").exists()


def test_an_install_error_stays_an_error(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "uv", lambda: "false")
    monkeypatch.setattr(bootstrap, "pip_index", lambda: None)
    with pytest.raises(bootstrap.SetupError, match="check the network and the package index"):
        bootstrap.uv_run([], "installing main.lock")
    assert bootstrap.main(["main"]) == 1 and "[setup] error:" in capsys.readouterr().err


def test_a_moved_folder_or_another_lock_is_not_current(bootstrap, tmp_path):
    folder = tmp_path / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    wanted = {"lock": "a", "root": str(tmp_path), "extra": "editable"}
    assert not bootstrap.environment_is_current(folder, wanted)
    (folder / bootstrap.STAMP).write_text(json.dumps(wanted))
    assert bootstrap.environment_is_current(folder, wanted)
    assert not bootstrap.environment_is_current(folder, {**wanted, "root": "/elsewhere"})
    assert not bootstrap.environment_is_current(folder, {**wanted, "lock": "b"})


@pytest.mark.slow
def test_a_python_without_venv_can_still_get_uv(bootstrap, monkeypatch):
    real = bootstrap.run
    # this environment's own Python has no pip; the one it was made from may
    monkeypatch.setattr(bootstrap.sys, "executable", sys._base_executable)
    if real([sys._base_executable, "-m", "pip", "--version"])[0]:
        pytest.skip("the base Python has no pip either")

    def without_venv(command, **options):
        return (
            (1, "No module named venv") if "venv" in map(str, command) else real(command, **options)
        )

    monkeypatch.setattr(bootstrap, "run", without_venv)
    place = bootstrap.uv()
    assert "target" in place.parts and "uv" in real([place, "--version"])[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_fresh_clone_sets_itself_up_in_an_empty_home(repository, tmp_path):
    clone, home = tmp_path / "clone", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "-q", str(repository), str(clone)], check=True)
    keep = {
        k: v
        for k, v in os.environ.items()
        if k.startswith(
            (
                "PIP_",
                "SSL_",
                "UV_INDEX",
                "UV_DEFAULT",
                "HTTP",
                "http",
                "REQUESTS_",
                "NO_PROXY",
                "no_proxy",
            )
        )
    }
    env = keep | {
        "HOME": str(home),
        "PATH": f"{Path(sys._base_executable).parent}:/usr/bin:/bin",
        "FACELAB_NO_MODELMAKER": "1",
    }
    subprocess.run(["make", "setup"], cwd=clone, env=env, check=True)
    # uv's downloads and nothing else (PATH is short because pip asks rustc its version, and a rustup shim litters)
    assert {p.name for p in home.iterdir()} <= {".cache"}
    assert (clone / ".cache" / "modelmaker-skipped.txt").is_file()
    kernels = subprocess.run(
        [clone / ".venv/bin/jupyter", "kernelspec", "list"],
        env=env,
        cwd=clone,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert (
        str(clone / ".venv/share/jupyter/kernels/facelab") in kernels
        and "modelmaker" not in kernels
    )
    started = time.monotonic()
    subprocess.run(["make", "setup"], cwd=clone, env=env, check=True)
    assert time.monotonic() - started < 5  # nothing to do: measured 0.1 s on a quiet machine
