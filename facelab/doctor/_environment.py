"""The interpreter, the installed versions against the lock, and environment variables."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from facelab.core import extras, machine
from facelab.core.project import in_checkout, project_root
from facelab.doctor._check import Check

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
HARMFUL = {
    "PYTHONDONTWRITEBYTECODE": "imports of TensorFlow take three to four times as long, every time",
    "PYTHONPATH": "foreign packages may shadow the locked ones",
    "PYTHONHOME": "Python may load another's library",
}
OPTIONAL = {"dlib-bin", "faiss-cpu", "usearch", "numkong", "distributed"}
"""Peers and extras: their absence costs comparisons, not work."""


def environment_checks() -> list[Check]:
    """Check the interpreter, the installed versions against the lock, and the environment variables.

    Returns
    -------
    list of Check
        One check per fact.
    """
    checks = [_python(), _lock()]
    for name, harm in HARMFUL.items():
        if os.environ.get(name):
            checks.append(Check("environment", name, "warn", f"is set: {harm}", f"unset {name}"))
    threads = {n: os.environ[n] for n in THREADS if os.environ.get(n)}
    checks.append(
        Check(
            "environment",
            "threads",
            "info",
            ", ".join(f"{k}={v}" for k, v in threads.items())
            or f"not limited ({machine.cores()} cores)",
            data=threads,
        )
    )
    return checks


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Check(
        "environment",
        "Python",
        "ok" if fits else "broken",
        f"{version} ({sys.executable})",
        None if fits else _other_python(),
        {"version": version},
    )


def _other_python() -> str:
    how = "make setup" if in_checkout() else "install it there with pip"
    return f"facelab needs Python 3.11, 3.12 or 3.13: {how}"


def locked_versions(lock: Path) -> dict[str, str]:
    """Return distribution → version for the lines of a lock file whose marker holds on this machine."""
    from packaging.requirements import InvalidRequirement, Requirement

    wanted = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        text = line.split(" \\")[0].strip()
        if not re.match(r"^[A-Za-z0-9._-]+==", text):
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            wanted[requirement.name] = next(iter(requirement.specifier)).version
    return wanted


SHOWN = (
    "numpy",
    "tensorflow",
    "onnxruntime",
    "ai-edge-litert",
    "opencv-python-headless",
    "papermill",
    "jupyterlab",
)
"""Packages whose versions are printed."""


def _lock() -> Check:
    if not in_checkout():
        return _extras()
    lock = project_root() / "requirements" / "main.lock"
    if not lock.is_file():
        return Check(
            "environment",
            "packages",
            "info",
            "not compared: no requirements/main.lock in this project",
        )
    wanted = locked_versions(lock)
    got = {name: machine.version_of(name) for name in wanted}
    missing = sorted(n for n, v in got.items() if v is None)
    other = sorted(
        f"{n} {v} (lock: {wanted[n]})" for n, v in got.items() if v is not None and v != wanted[n]
    )
    versions = {n: got[n] for n in SHOWN if n in got}
    data = {"locked": len(wanted), "missing": missing, "other": other, "versions": versions}
    shown = ", ".join(f"{n} {v}" for n, v in versions.items())
    needed = [n for n in missing if n not in OPTIONAL]
    if missing or other:
        parts = [f"missing: {', '.join(missing)}"] if missing else []
        parts += [f"other versions: {', '.join(other)}"] if other else []
        detail = "; ".join(parts)
        return Check(
            "environment", "packages", "broken" if needed else "warn", detail, "make setup", data
        )
    return Check("environment", "packages", "ok", f"{len(wanted)} as locked ({shown})", None, data)


def _extras() -> Check:
    """Return which extras an installation by pip is without: each is a choice, so nothing is wrong."""
    missing = extras.left_out()
    if not missing:
        return Check("environment", "extras", "ok", "all are installed")
    fix = extras.how_to_install(missing[0])
    what = f"not installed: {', '.join(missing)}; where you need one:"
    return Check(
        "environment", "extras", "info", f"{what} {fix}", None, {"missing": missing, "install": fix}
    )
