"""`load`: a catalogue name or a user's own file in, a ready `Detector` out."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, FacelabError
from facelab.detection import _families as package
from facelab.detection._base import Detector
from facelab.detection._neural import NeuralDetector
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo import load_catalogue
from facelab.zoo.families import (
    Families,
    checked,
    entry_named,
    given_spec,
    option_names,
    sidecar,
    with_spec,
)
from facelab.zoo.given import resolve
from facelab.zoo.internals import ModelEntry
from facelab.zoo.runtimes import Model, ModelRunError, open_model

CASCADE = ("pnet", "rnet", "onet")
FAMILIES = Families("detector", package, "DETECTOR")


def families() -> list[str]:
    """Return the names of the detector families, such as "yunet".

    Returns
    -------
    list of str
        The names of the detector families, such as "yunet".

    Examples
    --------
    >>> {"haar", "scrfd", "yunet"} <= set(families())
    True
    """
    return FAMILIES.names()


def family_class(name: str) -> type:
    """Return a family's class. Raises BadInputError for an unknown name."""
    return FAMILIES.named(name)


def available() -> list[ModelEntry]:
    """Return the catalogue's detectors whose files are on this machine. Downloads nothing.

    Returns
    -------
    list of ModelEntry
        The catalogue's detectors whose files are on this machine.

    Examples
    --------
    >>> all(entry.kind == "detector" for entry in available())
    True
    """
    return FAMILIES.available()


def load(
    name_or_path: str | os.PathLike[str],
    *,
    family: str | None = None,
    threads: int | None = None,
    spec: PreprocessSpec | str | os.PathLike[str] | None = None,
    **options: Any,
) -> Detector:
    """Load a detector by its catalogue name, from a file (for MTCNN a folder of three), or from a bundle.

    `spec` (a `PreprocessSpec` or its file) replaces the preprocessing of the catalogue; for a file, the spec beside it
    (`<file>.preprocess.json`) or the family's customary one. A file's `family` may be left out where its outputs tell.
    `threads` bounds the runtime. `options` are the family's own, among them `score_threshold` and `nms_threshold`.
    Raises BadInputError for unknown names and options and for a model whose input does not fit the spec or whose
    outputs are not the family's, MissingAssetError with the command that fetches the weights.

    Parameters
    ----------
    name_or_path : str or path
        A name of `available()`, or a model file.
    family : str or None
        The model family; None for the one that the catalogue or the file states.
    threads : int or None
        Threads of the runtime; None for all cores.
    spec : PreprocessSpec or str or path or None
        The preprocessing to apply.
    **options : Any
        The family's own options.

    Returns
    -------
    Detector
        The detector.

    Raises
    ------
    BadInputError
        An unknown name or option, or a model whose input or outputs are not the family's.
    MissingAssetError
        The weights are not here; naming the command that fetches them.

    Examples
    --------
    >>> from facelab.preprocess import read_image
    >>> faces = load("haar").detect(read_image("photo.jpg"))
    >>> len(faces), faces.boxes.shape
    (1, (1, 4))
    """
    spec = given_spec(spec)
    text = os.fspath(name_or_path)
    if (entry := entry_named(text, "detector")) is not None:
        return _from_entry(entry, family, threads, spec, options)
    found = resolve(text)
    path = Path(text) if found is None else found.path
    spec = spec or (found and found.spec) or sidecar(path)
    return _from_file(path, family, threads, spec, options)


def _from_entry(
    entry: ModelEntry,
    name: str | None,
    threads: int | None,
    spec: PreprocessSpec | None,
    options: dict[str, Any],
) -> Detector:
    kind, merged = FAMILIES.of_entry(entry, name, options)
    if entry.builtin:
        return kind(entry.name, **merged)
    if entry.parts:
        return kind(
            entry.name,
            [open_model(p, threads=threads) for p in load_catalogue().parts(entry)],
            **merged,
        )
    return _build(kind, entry.name, open_model(entry, threads=threads), spec or entry.spec, merged)


def _from_file(
    path: Path,
    name: str | None,
    threads: int | None,
    spec: PreprocessSpec | None,
    options: dict[str, Any],
) -> Detector:
    if name is None:
        return _guessed(path, threads, spec, options)
    kind = family_class(name)
    merged = checked(options, option_names(kind), path)
    if "models" in inspect.signature(kind).parameters:
        return kind(
            path.name, [open_model(_part(path, p), threads=threads) for p in CASCADE], **merged
        )
    if "model" not in inspect.signature(kind).parameters:
        raise BadInputError(
            f"{name} has no model file: it is part of a Python module",
            where=path,
            fix="load it by its catalogue name",
        )
    return _build(kind, path.name, open_model(path, threads=threads), spec, merged)


def _guessed(
    path: Path, threads: int | None, spec: PreprocessSpec | None, options: dict[str, Any]
) -> Detector:
    """Load a file of the one family whose decoder takes its outputs."""
    model = open_model(path, threads=threads)
    fitting: list[Detector] = []
    refused: dict[str, FacelabError] = {}
    for name in families():
        kind = family_class(name)
        if not issubclass(kind, NeuralDetector):
            continue
        try:
            fitting.append(
                _build(kind, path.name, model, spec, checked(options, option_names(kind), path))
            )
        except (BadInputError, ModelRunError) as e:
            refused[e.what] = e
    if len(fitting) == 1:
        return fitting[0]
    broken = [e for e in refused.values() if isinstance(e, ModelRunError)]
    # a spec that does not fit, and a model that does not run, are not a question of the family
    if not fitting and (broken or len(refused) == 1):
        raise (broken or list(refused.values()))[0]
    raise BadInputError(
        "the model's family cannot be determined from its outputs",
        where=path,
        expected=", ".join(families()),
        got=", ".join(d.family for d in fitting) or "none that fits",
        fix="name the family, e.g. --family yunet, or write one: --family file.py:Class "
        "(docs/how-to/adding-a-detector.md)",
    )


def _part(folder: Path, part: str) -> Path:
    found = sorted(folder.glob(f"*{part}*")) if folder.is_dir() else []
    if len(found) != 1:
        raise BadInputError(
            "mtcnn is a folder with one file for each of its networks",
            where=folder,
            expected=f"one file named *{part}*",
            got=", ".join(p.name for p in found) or "none",
            fix="put exactly one pnet, one rnet and one onet file into the folder",
        )
    return found[0]


def _build(
    kind: Callable[..., Detector],
    name: str,
    model: Model,
    spec: PreprocessSpec | None,
    options: dict[str, Any],
) -> Detector:
    return kind(name, model, **with_spec(kind, spec, options))
