"""Whether each notebook kernel starts and imports what its notebooks need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from facelab.core import extras, lifetime
from facelab.core.project import in_checkout, project_root
from facelab.doctor._check import Check
from facelab.doctor._environment import HARMFUL

KERNELS = {
    "facelab": ("ipykernel, facelab", 60),
    "facelab-modelmaker": ("ipykernel, tflite_model_maker", 240),
}
"""Kernel → what its interpreter must be able to import, and the seconds it may take."""


def kernel_checks(
    *, start: bool = True, answered: Callable[[Check], None] | None = None
) -> list[Check]:
    """Check that each kernel is registered inside this environment and, with `start`, that its interpreter imports.

    The interpreters are started side by side; `answered` is called for each as soon as it is known.

    Parameters
    ----------
    start : bool
        Whether each kernel is started, which takes seconds.
    answered : Callable[[Check], None] or None
        Called with each check when it is done.

    Returns
    -------
    list of Check
        One check per kernel.
    """
    with ThreadPoolExecutor(len(KERNELS), "doctor") as pool:
        asked = {
            name: pool.submit(_kernel, name, modules, limit, start)
            for name, (modules, limit) in KERNELS.items()
        }
        for future in as_completed(asked.values()):
            if answered:
                answered(future.result())
    return [future.result() for future in asked.values()]


def kernels_folder() -> Path:
    """Return the folder in which this environment's Jupyter finds kernels."""
    return Path(sys.prefix) / "share" / "jupyter" / "kernels"


def _kernel(name: str, modules: str, limit: int, start: bool) -> Check:
    spec = kernels_folder() / name / "kernel.json"
    needed = name == "facelab"
    bad = "broken" if needed else "warn"
    if not spec.is_file():
        return _kernel_missing(name, spec, needed)
    try:
        python = json.loads(spec.read_text(encoding="utf-8"))["argv"][0]
    except (OSError, ValueError, LookupError, TypeError) as e:
        return Check(
            "kernels", name, bad, f"{spec} cannot be read ({type(e).__name__})", "make setup"
        )
    if not Path(python).exists():
        what = f"its interpreter {python} does not exist (has the folder moved?)"
        return Check("kernels", name, bad, what, "make setup")
    if not start:
        return Check(
            "kernels", name, "ok", f"registered, not started ({python})", None, {"python": python}
        )
    ok, said = try_imports(python, modules, limit)
    if ok:
        return Check(
            "kernels",
            name,
            "ok",
            f"answers: Python {said} imports {modules}",
            None,
            {"python": python, "version": said},
        )
    return Check(
        "kernels",
        name,
        bad,
        f"does not answer: {said}",
        f"rm -r {Path(python).parents[1].name} && make setup",
        {"python": python},
    )


def _kernel_missing(name: str, spec: Path, needed: bool) -> Check:
    if not in_checkout():
        return _without_checkout(name, needed)
    if needed:
        return Check("kernels", name, "broken", f"not registered ({spec})", "make setup")
    skipped = project_root() / ".cache" / "modelmaker-skipped.txt"
    if skipped.is_file():
        return Check(
            "kernels",
            name,
            "info",
            f"left out: {skipped.read_text().strip()}; fine-tuning uses Keras",
        )
    return Check(
        "kernels", name, "warn", "not registered; fine-tuning uses the Keras back end", "make setup"
    )


def _without_checkout(name: str, needed: bool) -> Check:
    """Return what an installation by pip can do without its own kernel."""
    if not needed:
        what = "only a checkout of facelab sets it up; fine-tuning uses the Keras back end"
        return Check("kernels", name, "info", what)
    if "notebooks" in extras.left_out():
        what = "notebooks are not installed: `facelab reproduce` and JupyterLab need them"
        return Check("kernels", name, "info", what, extras.how_to_install("notebooks"))
    return Check("kernels", name, "info", "`facelab reproduce` registers it when it first runs")


def try_imports(python: str, modules: str, limit: float) -> tuple[bool, str]:
    """Start an interpreter and import modules. Return (True, its version) or (False, why not)."""
    code = f"import sys; print('%d.%d.%d' % sys.version_info[:3]); sys.stdout.flush(); import {modules}"
    env = {k: v for k, v in os.environ.items() if k not in HARMFUL} | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = lifetime.run(
            [python, "-I", "-c", code],
            capture_output=True,
            text=True,
            timeout=limit,
            env=env,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {limit:g} s"
    except OSError as e:
        return False, f"{python} cannot be started ({e.strerror})"
    if done.returncode == 0:
        return True, done.stdout.split()[0]
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return False, last[:200]
