"""`load`: a name or a file in, a ready `LivenessModel` out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError
from facelab.liveness import _families as package
from facelab.liveness._base import LivenessModel
from facelab.liveness._families.fusion import read_fusion
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.families import Families, checked, entry_named, given_spec, option_names, sidecar
from facelab.zoo.given import resolve, same_content
from facelab.zoo.runtimes import open_model

FAMILIES = Families("liveness", package, "LIVENESS")
BUILT_IN = ("depth-geometry", "motion")
"""Families that are code alone; `load` takes their names."""


def families() -> list[str]:
    """Return the names of the liveness families.

    Returns
    -------
    list of str
        The names of the liveness families.

    Examples
    --------
    >>> len(families()) > 0
    True
    """
    return FAMILIES.names()


def available() -> list[str]:
    """Return the names that `load` takes on this machine: the built-in families, and networks whose files are here.

    Downloads nothing.

    Returns
    -------
    list of str
        The names that `load` takes on this machine.

    Examples
    --------
    >>> available()[:2]
    ['depth-geometry', 'motion']
    """
    return [*BUILT_IN, *(e.name for e in FAMILIES.available())]


def load(
    name_or_path: str | os.PathLike[str],
    *,
    family: str | None = None,
    threads: int | None = None,
    spec: PreprocessSpec | str | os.PathLike[str] | None = None,
    **options: Any,
) -> LivenessModel:
    """Load a liveness model.

    Parameters
    ----------
    name_or_path : str or path
        A built-in family, a name of the catalogue, a network's file, a bundle, or the JSON file of a fusion.
    family : str, optional
        Of a network's file whose content the catalogue does not have.
    threads : int, optional
        Bounds the runtime.
    spec : PreprocessSpec or path, optional
        Instead of the catalogue's; for a file, by default the spec beside it (`<file>.preprocess.json`).
    **options
        The family's own, such as `nose_mm`.

    Returns
    -------
    LivenessModel
        Ready to score.

    Raises
    ------
    BadInputError
        Unknown names and options, or a model that does not fit its spec.
    MissingAssetError
        The weights are not on this machine; the error names the command that fetches them.

    Examples
    --------
    >>> load("depth-geometry", nose_mm=15)
    <DepthGeometry depth-geometry>
    """
    text = os.fspath(name_or_path)
    if text in BUILT_IN:
        kind = FAMILIES.named(text)
        return kind(text, **checked(options, option_names(kind), text))
    if text.endswith(".json") and Path(text).is_file():
        return read_fusion(text, lambda name: load(name, threads=threads))
    spec = given_spec(spec)
    if (entry := entry_named(text, "liveness")) is not None:
        kind, merged = FAMILIES.of_entry(entry, family, options)
        model = open_model(entry, threads=threads, spec=spec)
        return kind(entry.name, model, spec or entry.spec, **merged)
    found = resolve(text)
    text = text if found is None else str(found.path)
    spec = spec or (found and found.spec)
    if family is None and (known := same_content(Path(text))) is not None:
        family, spec = known.family, spec or known.spec
    if family not in ("minifasnet", "minifas128"):
        raise BadInputError(
            "a network's file needs its family",
            where=text,
            expected="minifasnet or minifas128",
            got=family or "none",
            fix="name the family, e.g. --family minifasnet",
        )
    kind = FAMILIES.named(family)
    merged = checked(options, option_names(kind), text)
    model = open_model(text, threads=threads)
    return kind(Path(text).name, model, spec or sidecar(Path(text)), **merged)
