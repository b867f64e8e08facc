"""Memory, disk, cores and threads of this machine."""

from __future__ import annotations

import shutil

from facelab.core import machine
from facelab.core.project import project_root
from facelab.doctor._check import Check


def machine_checks() -> list[Check]:
    """Report processor, features, cores, memory and disk; too little memory or disk is a warning.

    Returns
    -------
    list of Check
        One check per fact.

    Examples
    --------
    >>> {check.status for check in machine_checks()} <= {"ok", "info", "warn", "broken"}
    True
    """
    facts = machine.facts()
    total, available = machine.memory_bytes()
    root = project_root()
    # the folder of an installed facelab's data is made when something is put there
    there = next(p for p in (root, *root.parents) if p.exists())
    free = shutil.disk_usage(there).free
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
