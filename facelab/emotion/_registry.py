"""Load an emotion classifier by name or file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from facelab.core.errors import BadInputError
from facelab.emotion import sources
from facelab.emotion._classifier import EmotionClassifier
from facelab.emotion._labels import maps_of
from facelab.emotion._predict import find_model
from facelab.preprocess import PreprocessSpec
from facelab.zoo import load_catalogue
from facelab.zoo.families import given_spec, is_here
from facelab.zoo.given import resolve, same_content
from facelab.zoo.internals import ModelEntry, require


def available() -> list[ModelEntry]:
    """Return the catalogue's emotion classifiers whose files are on this machine. Downloads nothing.

    Returns
    -------
    list of ModelEntry
        The catalogue's emotion classifiers whose files are on this machine.

    Examples
    --------
    >>> all(entry.kind == "emotion" for entry in available())
    True
    """
    return [e for e in load_catalogue().of_kind("emotion") if e.spec is not None and is_here(e)]


def load(
    name_or_path: str | os.PathLike[str] | None = None,
    *,
    spec: PreprocessSpec | str | os.PathLike[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    threads: int | None = None,
) -> EmotionClassifier:
    """Load a classifier by its catalogue name, or from a file or the folder of a training.

    Parameters
    ----------
    name_or_path
        A name of `available()`, a `.tflite`, `.onnx` or Keras file with its spec and labels beside it, a folder that
        holds one, or a bundle; by default the classifier that was trained last.
    spec
        Replaces the file's own preprocessing: a `PreprocessSpec` or its JSON file.
    label_map
        The model's label → one of the seven emotions, for labels that are spelt otherwise.
    threads
        Threads of the runtime; by default all cores.

    Returns
    -------
    EmotionClassifier
        Ready to classify crops, or the faces in boxes of a picture.

    Raises
    ------
    MissingAssetError
        There is no such model.
    BadInputError
        The preprocessing or the labels are unknown.

    Examples
    --------
    >>> classifier = load("bundle")
    >>> classifier.classes
    ('anger', 'joy', 'neutral')
    """
    catalogue, given = load_catalogue(), None if spec is None else given_spec(spec)
    name = None if name_or_path is None else str(name_or_path)
    if name in catalogue.names and not Path(name).exists():
        entry = catalogue.model(name)
        if entry.kind != "emotion":
            raise BadInputError(
                "the model is not an emotion classifier",
                where=name,
                expected=", ".join(e.name for e in catalogue.of_kind("emotion")),
                got=entry.kind,
                fix="name one of these, or a file",
            )
        return EmotionClassifier(
            require(entry),
            spec=given or entry.spec,
            threads=threads,
            labels=entry.labels,
            label_map=label_map,
        )
    found = None if name_or_path is None else resolve(name_or_path)
    if found is not None and found.spec is not None:
        return EmotionClassifier(
            found.path,
            spec=given or found.spec,
            threads=threads,
            labels=found.labels or None,
            label_map=label_map,
        )
    path = find_model(name_or_path)
    beside = path.with_suffix(".preprocess.json")
    known = None if given or beside.is_file() else same_content(path)
    if known is not None and known.kind == "emotion" and known.spec is not None:
        # a public file under another name: the catalogue knows how it is fed
        return EmotionClassifier(
            path, spec=known.spec, threads=threads, labels=known.labels, label_map=label_map
        )
    return EmotionClassifier(path, spec=given, threads=threads, label_map=label_map)


def renamed(
    classifier: EmotionClassifier, label_map: Mapping[str, str], data: str
) -> dict[str, str]:
    """Name the classes of the model's labels in `label_map`, and return the map of the data's labels.

    Raises BadInputError for a label that neither has.
    """
    of_data = sources.labels_of(data) if label_map and Path(data).exists() else ()
    mine, theirs = maps_of(label_map, classifier.labels, of_data, where=classifier.path)
    classifier.rename(mine)
    return theirs
