"""Preprocessing of known models, by family, read from the model catalogue.

>>> arcface().find("align").size
(112, 112)
>>> adaface().input_order, facenet().states[-1].size
('bgr', (160, 160))
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.narrow import is_dict, is_list
from facelab.core.project import package_file
from facelab.core.toml_files import read_toml
from facelab.preprocess.spec import PreprocessSpec

FAMILIES = {
    "arcface": ("arcface",),
    "adaface": ("adaface",),
    "sface": ("sface",),
    "facenet": ("facenet",),
    "dlib": ("dlib-resnet", "dlib"),
    "yunet": ("yunet",),
    "ultraface": ("ultraface",),
    "retinaface": ("retinaface",),
    "scrfd": ("scrfd",),
    "yolov5face": ("yolov5face",),
    "mtcnn": ("mtcnn",),
    "fer": ("mini-xception", "fer", "xception", "big-xception", "ferplus"),
}
"""Factory name → the families of the catalogue that it stands for, first choice first."""


def catalogue_path() -> Path:
    """Return the path of the model catalogue, which is part of the package."""
    return package_file("zoo/data/catalogue.toml")


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a catalogue that state their preprocessing; nobody changes them."""
    try:
        state = path.stat()
    except OSError:
        return _read_rows(path, 0, 0)  # which says why it cannot be read
    return _read_rows(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _read_rows(path: Path, _modified: int, _size: int) -> list[dict[str, Any]]:
    rows = read_toml(path, "model catalogue").get("model")
    if not is_list(rows) or not all(is_dict(r) for r in rows):
        raise BadInputError(
            "the model catalogue has no entries",
            where=path,
            expected="[[model]] tables",
            fix="install facelab again, or restore the file",
        )
    return [r for r in rows if r.get("preprocess")]


def catalogue_specs(path: str | os.PathLike[str] | None = None) -> dict[str, PreprocessSpec]:
    """Return {model name: spec} for every entry of the catalogue that states its preprocessing."""
    path = Path(path) if path else catalogue_path()
    return {str(r.get("name")): _spec(r, path) for r in _rows(path)}


def _spec(row: dict[str, Any], path: Path) -> PreprocessSpec:
    return PreprocessSpec(
        str(row.get("name")), row["preprocess"], where=f"{path}: {row.get('name')}"
    )


def preset(name: str, *, model: str | None = None) -> PreprocessSpec:
    """Return the spec of a model or a family.

    `name` is a model of the catalogue, or one of FAMILIES; of a family, `model` picks one by name, else its default
    entry counts, else its first. Raises BadInputError naming the nearest known name.
    """
    path = catalogue_path()
    rows = _rows(path)
    if name not in FAMILIES:
        chosen = [r for r in rows if r.get("name") == name]
        known = [*FAMILIES, *(str(r.get("name")) for r in rows)]
    else:
        ranks = {family: i for i, family in enumerate(FAMILIES[name])}
        family = [r for r in rows if r.get("family") in ranks]
        family.sort(key=lambda r: (ranks[r["family"]], not r.get("default", False)))
        chosen = [r for r in family if model in (None, r.get("name"))]
        known = [str(r.get("name")) for r in family]
    if not chosen:
        wanted = model or name
        raise BadInputError(
            f"no preprocessing is known for {wanted!r}{did_you_mean(wanted, known)}",
            where=path,
            expected=", ".join(known[:40]),
            fix="choose one of these",
        )
    return _spec(chosen[0], path)


def _factory(name: str) -> Callable[..., PreprocessSpec]:
    def build(model: str | None = None) -> PreprocessSpec:
        return preset(name, model=model)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = (
        f"Return the preprocessing of {name} (of `model`, a name of the catalogue, where given)."
    )
    return build


arcface, adaface, sface, facenet, dlib = map(
    _factory, ("arcface", "adaface", "sface", "facenet", "dlib")
)
yunet, ultraface, retinaface, scrfd = map(_factory, ("yunet", "ultraface", "retinaface", "scrfd"))
yolov5face, mtcnn, fer = map(_factory, ("yolov5face", "mtcnn", "fer"))
