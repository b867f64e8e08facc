"""Which models and data are here, and whether the mirror answers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from facelab.core import extras
from facelab.core.errors import FacelabError
from facelab.core.files import read_input
from facelab.core.project import in_checkout
from facelab.doctor._check import Check
from facelab.zoo import load_catalogue, status
from facelab.zoo.internals import ModelEntry, data_folder, load_registry, mirror, models_folder

BUNDLED = ("mtcnn", "haar", "dlib-resnet")
"""Models whose weights come with a pip dependency: their absence means a broken environment."""


def asset_checks() -> list[Check]:
    """Report the mirror and which models and data sets are here; a bundled model that is not is broken.

    Returns
    -------
    list of Check
        One check per asset.
    """
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
            checks.append(_bundled(entry))
    data = [(e, status(e)) for e in registry]
    present = [e.name for e, s in data if s.state == "present"]
    absent = [e.name for e, s in data if s.state == "absent"]
    what = (
        f"{len(present)} of {len(data)} files: {', '.join(present) or 'none'} (in {data_folder()})"
    )
    held = {"present": present, "absent": absent}
    checks.append(Check("models and data", "data sets", "info", what, None, held))
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


def _bundled(entry: ModelEntry) -> Check:
    """Return the finding for a model that a package brings: without the extra that brings the package, a choice."""
    extra = extras.extra_of(entry.package.module) if entry.package else None
    if extra in extras.left_out() and not in_checkout():
        what = f"comes with the extra `{extra}`, which is not installed"
        fix = extras.how_to_install(extra or "")
        return Check("models and data", entry.name, "info", what, fix)
    fix = extras.how_to_get(entry.package.module if entry.package else "facelab")
    what = "comes with a pip dependency and is not here"
    return Check("models and data", entry.name, "broken", what, fix)


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
            f"{root} is not a folder",
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
            read_input(manifest, max_bytes=mirror.MAX_MANIFEST).decode("utf-8-sig", "replace"),
            str(manifest),
        )
    except FacelabError as e:
        return Check("models and data", "FACELAB_MIRROR", "broken", f"{e.what} ({e.where})", e.fix)
    return Check(
        "models and data",
        "FACELAB_MIRROR",
        "ok",
        f"{folder} ({sum(map(len, listed.values()))} files listed)",
    )
