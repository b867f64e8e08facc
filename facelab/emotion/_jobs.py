"""Training as a job: a folder with `job.json` and arrays, an interpreter that works on it, a result or an error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import extras, fresh, lifetime, sandbox
from facelab.core import job as frame
from facelab.core.errors import FacelabError, UnsupportedError
from facelab.core.files import atomic_path, read_json, write_json
from facelab.core.project import in_checkout
from facelab.emotion._data import FaceSet
from facelab.zoo.internals import trust

KERNEL = "facelab-modelmaker"
SCRIPTS = {"keras": "facelab.emotion._keras_job", "modelmaker": "facelab.emotion._modelmaker_job"}


class TrainingError(FacelabError):
    """A back end could not train; the message carries its own last words. Exit code 1."""


def modelmaker_interpreter() -> Path | None:
    """Return the interpreter of the isolated kernel, from its kernelspec beside this environment, or None.

    Returns
    -------
    path or None
        The interpreter of the isolated kernel, from its kernelspec beside this environment,
        or None.
    """
    spec = Path(sys.prefix) / "share" / "jupyter" / "kernels" / KERNEL / "kernel.json"
    try:
        python = Path(json.loads(spec.read_text())["argv"][0])
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return python if python.exists() else None


def interpreter(backend: str) -> Path:
    """Return the interpreter that runs a back end.

    Parameters
    ----------
    backend : str
        The backend.

    Returns
    -------
    path
        The interpreter that runs a back end.

    Raises
    ------
    UnsupportedError
        If Model Maker's kernel, or for `keras` TensorFlow, is absent.
    """
    if backend == "keras":
        extras.need("tensorflow")
        return Path(sys.executable)
    if backend != "modelmaker":
        raise UnsupportedError(
            "no such training back end",
            expected=" or ".join(SCRIPTS),
            got=backend,
            fix="choose one of the back ends",
        )
    if (python := modelmaker_interpreter()) is None:
        raise UnsupportedError(
            "the isolated kernel of tflite-model-maker is not installed",
            expected=f"kernel {KERNEL}",
            got="none",
            fix=(
                "run `make setup` (Linux x86-64, Python 3.9 to 3.11), or use --backend keras"
                if in_checkout()
                else "use --backend keras, or a checkout of facelab, whose `make setup` installs it (Linux x86-64)"
            ),
        )
    return python


def save_part(folder: Path, name: str, faces: FaceSet) -> None:
    """Write one part as `NAME.npz` (images uint8, labels int64) into a job's folder."""
    with atomic_path(folder / f"{name}.npz") as tmp, tmp.open("wb") as f:
        np.savez(f, images=faces.images, labels=faces.labels)


def run_job(
    backend: str,
    folder: Path,
    job: Mapping[str, Any],
    *,
    timeout: float = 1800,
    on_line: Callable[[str], None] | None = None,
    confined: bool = False,
) -> dict:
    """Run one job to its end and return what it wrote into `done.json`.

    `folder` already holds the arrays. `on_line` receives each line that the back end prints. `confined`: a model that
    facelab did not make takes part, so the process may touch this folder alone where the kernel has a sandbox, else
    the user must trust the model. Raises TrainingError with the last lines of `job.log` where the back end fails, dies
    or outlasts `timeout` seconds; nothing is left running.
    """
    command, environment = _command(backend, folder, job, confined)
    write_json(folder / "job.json", dict(job))
    (folder / "done.json").unlink(missing_ok=True)
    log = folder / "job.log"
    process = lifetime.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    )
    reader = threading.Thread(target=_pump, args=(process.stdout, log, on_line), daemon=True)
    reader.start()
    started = time.monotonic()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise TrainingError(
            f"the {backend} back end did not end in time",
            where=SCRIPTS[backend],
            expected=f"at most {timeout:g} s",
            got=f"{time.monotonic() - started:.0f} s",
            fix="train on fewer faces or fewer epochs",
        ) from None
    finally:
        _kill(process)
        reader.join(10)
        if process.stdout is not None:
            process.stdout.close()
    return _result(backend, folder, process.returncode)


def _command(
    backend: str, folder: Path, job: Mapping[str, Any], confined: bool
) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs a job, and its environment."""
    python = interpreter(backend)
    command, environment = frame.command(python, SCRIPTS[backend], folder), _environment()
    if job.get("backbone", {}).get("kind") == "network":
        # oneDNN ends the process (SIGSEGV) while it trains mini-XCEPTION's separable convolutions
        environment["TF_ENABLE_ONEDNN_OPTS"] = "0"
    if confined and not os.environ.get(trust.TRUST_MODEL):
        if (why := sandbox.why_not()) is not None:
            raise trust.refuse_stranger(folder, "training on this backbone", why)
        limits = fresh.Confined(folder, memory=None, seconds=None).limits()
        command = sandbox.command(limits, "facelab.core.job", *command[2:])
        environment = sandbox.environment(os.path.realpath(folder), environment)
    return command, environment


def _result(backend: str, folder: Path, code: int | None) -> dict[str, Any]:
    """Return what a job wrote into `done.json`. Raises TrainingError where it failed or died."""
    done = folder / "done.json"
    result = (
        read_json(done)
        if done.is_file()
        else {"ok": False, "error": "the process died", "message": _death(code)}
    )
    if not result["ok"]:
        log = (folder / "job.log").read_text(errors="replace")
        last = "\n".join(log.splitlines()[-6:])
        raise TrainingError(
            f"the {backend} back end failed: {result['error']}",
            where=SCRIPTS[backend],
            got=f"{result['message']}\n{last}".strip(),
            fix="`facelab doctor` checks the environments",
        )
    return result


def _environment() -> dict[str, str]:
    drop = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "MPLBACKEND", "VIRTUAL_ENV")
    env = {k: v for k, v in os.environ.items() if k not in drop}
    # TensorFlow frees and takes its large tensors each step; keeping them in the heap halves the time on Linux.
    env |= {
        "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
        "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
        "MALLOC_TOP_PAD_": str(256 << 20),
    }
    return env | {"PYTHONUNBUFFERED": "1"}


def _pump(lines: Iterable[str], log: Path, on_line: Callable[[str], None] | None) -> None:
    with log.open("w") as f:
        for line in lines:
            f.write(line)
            f.flush()
            if on_line:
                on_line(line.rstrip("\n").split("\r")[-1].split("\x08")[-1])


def _kill(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def _death(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "killed (SIGKILL); the usual cause is too little memory"
    return f"exit code {code}"
