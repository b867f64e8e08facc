"""The doctor's single checks: each looks at one thing and says what is wrong and what mends it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from facelab.core import machine
from facelab.core.errors import FacelabError
from facelab.core.run import project_root
from facelab.zoo import mirror
from facelab.zoo.assets import data_folder, models_folder
from facelab.zoo.catalogue import ModelEntry, load_catalogue
from facelab.zoo.registry import load_registry
from facelab.zoo.store import status

KERNELS = {
    "facelab": ("ipykernel, facelab", 60),
    "facelab-modelmaker": ("ipykernel, tflite_model_maker", 240),
}
"""Kernel → what its interpreter must be able to import, and the seconds it may take."""
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
BUNDLED = ("mtcnn", "haar", "dlib-resnet")
"""Models whose weights come with a pip dependency: their absence means a broken environment."""
OPTIONAL = {"dlib-bin", "faiss-cpu", "usearch", "numkong", "distributed"}
"""Peers and extras: their absence costs comparisons, not work."""


@dataclass(frozen=True)
class Check:
    """One finding: `status` is ok, info, warn or broken; `fix` says what mends it; `data` has the figures."""

    area: str
    name: str
    status: Literal["ok", "info", "warn", "broken"]
    detail: str
    fix: str | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict:
        """Return the finding as plain JSON."""
        return dataclasses.asdict(self)


def all_checks(*, start_kernels: bool = True) -> list[Check]:
    """Return every finding; `start_kernels` really starts both kernels' interpreters."""
    return [
        *environment_checks(),
        *kernel_checks(start=start_kernels),
        *machine_checks(),
        *asset_checks(),
    ]


# -- environment -----------------------------------------------------------------------------------------------------


def environment_checks() -> list[Check]:
    """Check the interpreter, the installed versions against the lock, and the environment variables."""
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
        None if fits else "facelab needs Python 3.11, 3.12 or 3.13: make setup",
        {"version": version},
    )


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


def _lock() -> Check:
    lock = project_root() / "requirements" / "main.lock"
    if not lock.is_file():
        return Check(
            "environment",
            "packages",
            "warn",
            "no requirements/main.lock: versions cannot be compared",
            "run facelab inside its checkout",
        )
    wanted = locked_versions(lock)
    got = {name: machine.version_of(name) for name in wanted}
    missing = sorted(n for n, v in got.items() if v is None)
    other = sorted(
        f"{n} {v} (lock: {wanted[n]})" for n, v in got.items() if v is not None and v != wanted[n]
    )
    data = {
        "locked": len(wanted),
        "missing": missing,
        "other": other,
        "versions": {
            n: got.get(n)
            for n in (
                "numpy",
                "tensorflow",
                "onnxruntime",
                "ai-edge-litert",
                "opencv-python-headless",
                "papermill",
                "jupyterlab",
            )
            if n in got
        },
    }
    shown = ", ".join(f"{n} {v}" for n, v in data["versions"].items())
    needed = [n for n in missing if n not in OPTIONAL]
    if missing or other:
        detail = "; ".join(
            filter(
                None,
                (
                    f"missing: {', '.join(missing)}" if missing else "",
                    f"other versions: {', '.join(other)}" if other else "",
                ),
            )
        )
        return Check(
            "environment", "packages", "broken" if needed else "warn", detail, "make setup", data
        )
    return Check("environment", "packages", "ok", f"{len(wanted)} as locked ({shown})", None, data)


# -- kernels ---------------------------------------------------------------------------------------------------------


def kernel_checks(*, start: bool = True) -> list[Check]:
    """Check that each kernel is registered inside this environment and, with `start`, that its interpreter imports."""
    return [_kernel(name, modules, limit, start) for name, (modules, limit) in KERNELS.items()]


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
        return Check(
            "kernels",
            name,
            bad,
            f"its interpreter {python} does not exist (has the folder moved?)",
            "make setup",
        )
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


def try_imports(python: str, modules: str, limit: float) -> tuple[bool, str]:
    """Start an interpreter and import modules. Return (True, its version) or (False, why not)."""
    code = f"import sys; print('%d.%d.%d' % sys.version_info[:3]); sys.stdout.flush(); import {modules}"
    env = {k: v for k, v in os.environ.items() if k not in HARMFUL} | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            [python, "-I", "-c", code],
            capture_output=True,
            text=True,
            timeout=limit,
            env=env,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {limit:g} s"
    except OSError as e:
        return False, f"{python} cannot be started ({e.strerror})"
    if done.returncode == 0:
        return True, done.stdout.split()[0]
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return False, last[:200]


# -- machine ---------------------------------------------------------------------------------------------------------


def machine_checks() -> list[Check]:
    """Report processor, features, cores, memory and disk; too little memory or disk is a warning."""
    facts = machine.facts()
    total, available = machine.memory_bytes()
    free = shutil.disk_usage(project_root()).free
    avx2 = facts["arch"] not in ("x86_64", "AMD64") or "avx2" in facts["features"]
    return [
        Check(
            "machine",
            "processor",
            "ok" if avx2 else "warn",
            f"{facts['cpu']} ({facts['arch']}; {', '.join(facts['features']) or 'no SIMD features reported'})",
            None
            if avx2
            else "without AVX2 the SIMD figures are the fall-back's; use another machine for them",
            {"cpu": facts["cpu"], "arch": facts["arch"], "features": facts["features"]},
        ),
        Check(
            "machine",
            "cores",
            "ok" if facts["cores"] > 1 else "warn",
            f"{facts['cores']}, load {facts['load']}",
            None
            if facts["cores"] > 1
            else "allow two; with one, steps run in turn: make reproduce JOBS=1",
            {"cores": facts["cores"], "load": facts["load"]},
        ),
        Check(
            "machine",
            "memory",
            "ok" if available > 2e9 else "warn",
            f"{available / 1e9:.1f} of {total / 1e9:.1f} GB available",
            None
            if available > 2e9
            else "a TensorFlow kernel needs about 1 GB: close programs, or JOBS=1",
            {"total": total, "available": available},
        ),
        Check(
            "machine",
            "disk",
            "ok" if free > 2e9 else "warn",
            f"{free / 1e9:.1f} GB free at {project_root()}",
            None if free > 2e9 else "make clean, or free some space: both environments take 4.5 GB",
            {"free": free},
        ),
    ]


# -- models and data -------------------------------------------------------------------------------------------------


def asset_checks() -> list[Check]:
    """Report the mirror and which models and data sets are here; a bundled model that is not is broken."""
    checks = [_mirror()]
    if checks[0].status == "broken":
        return checks
    try:
        catalogue, registry = load_catalogue(), load_registry()
    except FacelabError as e:
        return [
            *checks,
            Check("models and data", "catalogue", "broken", str(e).splitlines()[0], e.fix),
        ]
    models = [(e, status(e)) for e in catalogue]
    kinds = ("detector", "embedder", "emotion", "liveness", "aux")
    checks += [_kind(kind, [(e, s) for e, s in models if e.kind == kind]) for kind in kinds]
    for entry, found in models:
        if entry.name in BUNDLED and found.state != "present":
            checks.append(
                Check(
                    "models and data",
                    entry.name,
                    "broken",
                    "comes with a pip dependency and is not here",
                    "make setup",
                )
            )
    data = [(e, status(e)) for e in registry]
    present = [e.name for e, s in data if s.state == "present"]
    checks.append(
        Check(
            "models and data",
            "data sets",
            "info",
            f"{len(present)} of {len(data)} files: {', '.join(present) or 'none'} (in {data_folder()})",
            None,
            {"present": present, "absent": [e.name for e, s in data if s.state == "absent"]},
        )
    )
    for entry, found in [*models, *data]:
        if found.state == "bad" and found.problem is not None:
            p = found.problem
            checks.append(
                Check(
                    "models and data",
                    entry.name,
                    "broken",
                    f"{p.what}: expected {p.expected}, got {p.got} ({p.where})",
                    p.fix,
                )
            )
    return checks


def _kind(kind: str, models: list[tuple[ModelEntry, Any]]) -> Check:
    present = [(e, s) for e, s in models if s.state == "present"]
    places = Counter(s.place for _, s in present)
    absent = [e.name for e, s in models if s.state == "absent"]
    detail = f"{len(present)} of {len(models)} here ({', '.join(f'{n} {p}' for p, n in places.items()) or 'none'})"
    fix = (
        f"facelab assets fetch --kind {kind}, or set FACELAB_MIRROR"
        if absent and not present
        else None
    )
    return Check(
        "models and data",
        kind,
        "ok" if present else "warn",
        detail,
        fix,
        {"present": [e.name for e, _ in present], "absent": absent, "folder": str(models_folder())},
    )


def _mirror() -> Check:
    root = mirror.mirror()
    if root is None:
        return Check("models and data", "FACELAB_MIRROR", "info", "not set")
    if mirror.is_address(root):
        return Check(
            "models and data", "FACELAB_MIRROR", "info", f"{root} (asked by facelab assets fetch)"
        )
    folder = Path(root).expanduser()
    if not folder.is_dir():
        return Check(
            "models and data",
            "FACELAB_MIRROR",
            "broken",
            f"{root} is no folder",
            "correct or unset FACELAB_MIRROR",
        )
    manifest = folder / mirror.MANIFEST
    if not manifest.is_file():
        return Check(
            "models and data",
            "FACELAB_MIRROR",
            "ok",
            f"{folder} (no {mirror.MANIFEST}: by sha256 or name)",
        )
    try:
        listed = mirror.parse_manifest(
            manifest.read_text(encoding="utf-8-sig", errors="replace"), str(manifest)
        )
    except FacelabError as e:
        return Check("models and data", "FACELAB_MIRROR", "broken", f"{e.what} ({e.where})", e.fix)
    return Check(
        "models and data",
        "FACELAB_MIRROR",
        "ok",
        f"{folder} ({sum(map(len, listed.values()))} files listed)",
    )
