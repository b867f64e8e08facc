"""What is bundled: a model file or a catalogue entry, with its preprocessing, labels, licence and thresholds."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.core.files import read_json
from facelab.datasets.labels import read_class_names
from facelab.preprocess.spec import PreprocessSpec
from facelab.preprocess.tflite_metadata import read_metadata
from facelab.zoo import load_catalogue
from facelab.zoo.given import TRAINED
from facelab.zoo.internals import ModelEntry, given, require
from facelab.zoo.runtimes import SUFFIXES

RUNTIMES = ("onnx", "litert", "keras")
TASKS = {
    "detector": "detection",
    "embedder": "embedding",
    "emotion": "emotion",
    "liveness": "liveness",
}


@dataclass(frozen=True)
class Source:
    """A model with everything that is known about it. `path` is the file; `thresholds` are plain JSON entries;
    `entry` says whether it is the catalogue's."""

    name: str
    path: Path
    runtime: str
    spec: PreprocessSpec
    task: str
    labels: list[str]
    licence: str
    terms: str
    origin: str
    thresholds: list[dict] = field(default_factory=list)
    folder: Path | None = None
    entry: bool = False


def resolve(
    model: str | os.PathLike,
    *,
    spec: str | os.PathLike | None = None,
    labels: str | os.PathLike | None = None,
    licence: str | None = None,
) -> Source:
    """Return the source that `model` names: a file, the folder of a training, or a model of the catalogue.

    The preprocessing is `spec`, else `<model>.preprocess.json` beside the file, else the catalogue's. Raises
    BadInputError for a model whose preprocessing nobody states, UnsupportedError for one that has no tensor input.
    """
    found = given.resolve(model)
    path = Path(model) if found is None else found.path
    if found is not None and found.spec is not None:
        return _of_bundle(found, found.spec, spec, labels, licence)
    if path.is_dir():
        raise BadInputError(
            "the folder holds several models or none",
            where=path,
            expected=f"{TRAINED}, or one model",
            fix="name the model file itself",
        )
    if path.is_file():
        return _of_file(path, spec, labels, licence)
    if path.suffix.lower() in SUFFIXES or os.sep in str(model):
        raise BadInputError(
            "the model file does not exist",
            where=path,
            fix="check the path; facelab assets list shows the models facelab knows by name",
        )
    entry = load_catalogue().model(str(model))
    return _of_entry(entry, spec, labels, licence)


def _public(
    path: Path, known: ModelEntry, spec: PreprocessSpec, labels: Any, licence: str | None
) -> Source:
    """Return a file as the catalogue knows its content."""
    return Source(
        path.stem,
        path,
        SUFFIXES[path.suffix.lower()],
        spec,
        TASKS.get(known.kind, known.kind),
        _labels(path, labels) if labels else list(known.labels),
        licence or known.licence,
        known.terms,
        known.source,
        _published(known),
        folder=path.parent,
    )


def _of_file(path: Path, spec: Any, labels: Any, licence: Any) -> Source:
    runtime = SUFFIXES.get(path.suffix.lower())
    if runtime not in RUNTIMES:
        raise UnsupportedError(
            "a bundle takes models that run on tensors",
            where=path,
            expected=".onnx, .tflite, .keras or .h5",
            got=path.suffix or "no suffix",
            fix="export the model to ONNX or TFLite",
        )
    beside = path.with_suffix(".preprocess.json")
    known = None if beside.is_file() else given.same_content(path)
    if spec is None and known is not None and known.spec is not None:
        # a public file under another name: the catalogue knows how it is fed, what it is for and on what terms
        return _public(path, known, known.spec, labels, licence)
    if spec is None and not beside.is_file():
        raise BadInputError(
            "the model's preprocessing is unknown",
            where=path,
            expected=f"{beside.name} beside it",
            fix="write it (facelab preprocess preset NAME --out FILE), or give --spec FILE",
        )
    names = _labels(path, labels)
    return Source(
        path.stem,
        path,
        runtime,
        PreprocessSpec.load(spec or beside),
        "emotion" if names else "unknown",
        names,
        licence or "not stated",
        "" if licence else "Nobody stated the model's licence; state it with --licence.",
        "",
        folder=path.parent,
    )


def _of_bundle(
    found: given.Given,
    held_spec: PreprocessSpec,
    spec: str | os.PathLike[str] | None,
    labels: Any,
    licence: Any,
) -> Source:
    """Return the source of an earlier bundle: its licence and task stay unless another licence is stated."""
    manifest = read_json(found.path.parent / given.MANIFEST, max_bytes=given.MAX_MANIFEST)
    held = manifest.get("licence", {})
    names = _labels(found.path, labels) if labels else list(found.labels)
    return Source(
        str(manifest.get("name", found.path.stem)),
        found.path,
        SUFFIXES[found.path.suffix.lower()],
        PreprocessSpec.load(spec) if spec else held_spec,
        str(manifest.get("task", "unknown")),
        names,
        licence or str(held.get("licence", "not stated")),
        "" if licence else str(held.get("terms", "")),
        "" if licence else str(held.get("source", "")),
        folder=found.path.parent,
    )


def _labels(path: Path, stated: Any) -> list[str]:
    if stated is not None:
        return list(read_class_names(stated))
    inside = read_metadata(path) if path.suffix == ".tflite" else None
    if inside and inside["labels"]:
        return list(inside["labels"])
    for beside in (path.with_suffix(".labels.txt"), path.with_name("labels.txt")):
        if beside.is_file():
            return _labels(path, beside)
    return []


def _of_entry(entry: ModelEntry, spec: Any, labels: Any, licence: Any) -> Source:
    if entry.parts or entry.builtin or entry.runtime not in RUNTIMES:
        raise UnsupportedError(
            f"{entry.name} is not one network that runs on a tensor",
            where="the model catalogue",
            expected=f"a model on {', '.join(RUNTIMES)}",
            got="several networks" if entry.parts else entry.runtime,
            fix=f"bundle its parts: {', '.join(entry.parts)}"
            if entry.parts
            else "facelab assets list shows the others",
        )
    chosen = PreprocessSpec.load(spec) if spec else entry.spec
    if chosen is None:
        raise BadInputError(
            f"the catalogue states no preprocessing for {entry.name}", fix="give --spec FILE"
        )
    path = require(entry)
    return Source(
        entry.name,
        path,
        entry.runtime,
        chosen,
        TASKS.get(entry.kind, entry.kind),
        _labels(path, labels) if labels else list(entry.labels),
        licence or entry.licence,
        entry.terms,
        entry.source,
        _published(entry),
        entry=True,
    )


def _published(entry: ModelEntry) -> list[dict]:
    names = {
        "score_threshold": "score, accepted at or above",
        "nms_threshold": "IoU, suppressed above",
        "threshold": "as the family defines it",
    }
    return [
        {
            "name": key,
            "value": float(entry.options[key]),
            "quantity": words,
            "origin": "published",
            "note": f"from {entry.source}",
        }
        for key, words in names.items()
        if isinstance(entry.options.get(key), (int, float))
    ]
