"""A step's key: the hash of everything its result depends on, kept in parts so that `--why` can say what changed."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path
from typing import Any

from facelab.core import machine
from facelab.core.errors import BadInputError
from facelab.core.hashing import sha256_bytes, sha256_file, sha256_json
from facelab.core.modules import distributions
from facelab.core.modules.imports import Package
from facelab.core.modules.own_modules import OwnModules
from facelab.reproduce import _kernels as kernels
from facelab.reproduce import canonical
from facelab.reproduce.plan import Plan, Step

ENVIRONMENT = ("FACELAB_MIRROR", "FACELAB_TEST_ASSETS", "FACELAB_NO_MODELMAKER")
"""Variables that every step may depend on."""

_TITLES = {
    "cells": "cell",
    "parameters": "parameter",
    "modules": "",
    "inputs": "input",
    "upstream": "upstream step",
    "versions": "version of",
    "environment": "environment variable",
    "other": "",
}


class Keys:
    """Compute keys for the steps of one plan; files are read at most once."""

    def __init__(self, plan: Plan, package: Path | None = None):
        self.plan = plan
        self.modules = OwnModules(
            Package(package or Path(__file__).resolve().parents[1]),
            own_folders(plan),
            plan.root,
        )

    def components(
        self, step: Step, *, kernel: str, parameters: dict[str, str], upstream: dict[str, str]
    ) -> dict[str, dict[str, str]]:
        """Return the parts of a step's key: {part: {name: hash or value}}.

        `parameters` are literals; `upstream` maps a needed step to its key.
        """
        cells = [
            c
            for c in canonical.read(self.plan.notebook(step))["cells"]
            if c.get("cell_type") == "code"
        ]
        sources = [canonical.source(c) for c in cells]
        modules, foreign = self.modules.closure(sources)
        names = [str(c.get("id", f"number {n}")) for n, c in enumerate(cells, 1)]
        environment = {n: os.environ.get(n, "") for n in (*ENVIRONMENT, *step.environment)}
        other = {"kernel": kernel, "lane": step.lane, "threads": str(step.threads)}
        if step.lane == "exclusive":
            other["processor"] = f"{machine.cpu_model()}, {machine.cores()} cores"
        hashes = {n: sha256_bytes(s.encode()) for n, s in zip(names, sources)}
        return {
            "cells": {**hashes, "(their order)": sha256_json(names)},
            "parameters": dict(parameters),
            "modules": modules,
            "inputs": self._inputs(step),
            "upstream": dict(upstream),
            "versions": self._versions(kernel, foreign),
            "environment": {**environment, **_mirror(environment["FACELAB_MIRROR"])},
            "other": other,
        }

    def _inputs(self, step: Step) -> dict[str, str]:
        out = {}
        for glob in step.inputs:
            if Path(glob).is_absolute() or ".." in Path(glob).parts:
                raise BadInputError(
                    "an input lies outside the project",
                    where=f"{self.plan.path}: step {step.name}",
                    got=glob,
                    fix="name it from the project's root",
                )
            found = sorted(p for p in self.plan.root.glob(glob) if p.is_file())
            out.update(
                {p.relative_to(self.plan.root).as_posix(): _file_hash(p, _stamp(p)) for p in found}
            )
        return out

    def _versions(self, kernel: str, foreign: set[str]) -> dict[str, str]:
        if kernel != "facelab":
            return {
                f"{kernel}: {k}": v for k, v in kernels.installed(self.plan.root, kernel).items()
            }
        installed = distributions.by_module()
        found = {d: v for name in foreign for d, v in installed.get(name, {}).items()}
        found.pop("facelab", None)
        return {"python": platform.python_version(), **dict(sorted(found.items()))}


def own_folders(plan: Plan) -> list[Path]:
    """Return where a project keeps its own modules: beside the plan, and in the project's root."""
    return list(dict.fromkeys((plan.path.parent, plan.root)))


def key_of(components: dict[str, dict[str, str]]) -> str:
    """Return the key of its parts."""
    return sha256_json(components)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=4096)
def _file_hash(path: Path, stamp: tuple[int, int]) -> str:
    return sha256_file(path)


def _mirror(value: str) -> dict[str, str]:
    """Return the mirror's list of files as part of the key, so that a mirror that grew is noticed."""
    folder = Path(value) if value else None
    if folder is None or not folder.is_dir():
        return {}
    manifest = folder / "MANIFEST.csv"
    listed = (
        sha256_file(manifest)
        if manifest.is_file()
        else sha256_json(sorted(p.name for p in folder.iterdir()))
    )
    return {"FACELAB_MIRROR's content": listed}


def changes(
    before: dict[str, dict[str, str]], now: dict[str, dict[str, str]], *, limit: int = 6
) -> list[str]:
    """Return in words what differs between two keys' parts, most telling first.

    >>> changes({"parameters": {"n": "1"}, "modules": {}}, {"parameters": {"n": "2"}, "modules": {"a.py": "x"}})
    ['parameter n: 1 → 2', 'a.py is now used']
    """
    said = []
    for part, title in _TITLES.items():
        old, new = before.get(part, {}), now.get(part, {})
        said += [
            _change(part, f"{title} {name}".strip(), old.get(name), new.get(name))
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ]
    return said[:limit] + ([f"and {len(said) - limit} more"] if len(said) > limit else [])


def _change(part: str, name: str, old: str | None, new: str | None) -> str:
    if part in ("parameters", "versions", "environment", "other") and not name.endswith("content"):
        return f"{name}: {_shown(old)} → {_shown(new)}"
    if old is None:
        return f"{name} is now used" if part == "modules" else f"{name} is new"
    if new is None:
        return f"{name} is no longer used" if part == "modules" else f"{name} is gone"
    return f"{name} {'ran again' if part == 'upstream' else 'changed'}"


def _shown(value: Any) -> str:
    return "its default" if value is None else (str(value)[:60] or "unset")
