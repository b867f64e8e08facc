"""What a classifier's outputs mean: labels inside the file, in labels.txt, and facelab's names for them; which of
several outputs answers for the classes, and whether it gives probabilities or logits."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.hashing import sha256_file
from facelab.datasets.labels import SEVEN, by_emotion, plain, read_class_names
from facelab.metrics.plausibility import Suspicion
from facelab.preprocess.tflite_metadata import read_metadata
from facelab.zoo import load_catalogue

if TYPE_CHECKING:
    from facelab.zoo.runtimes import TensorInfo

KEYS = ("labels", "classes", "names", "class_names")
"""Keys of an ONNX file's metadata under which exporters write labels."""


def read_labels(path: Path, model: Any) -> tuple[tuple[str, ...], Suspicion | None]:
    """Return the labels of a model file in the order of its outputs, and where two sources disagree.

    The file's own metadata come first, then `labels.txt` beside it, then the catalogue for a file that it knows.
    """
    named = path.with_name("labels.txt")
    inside, beside = labels_inside(path, model), read_class_names(named) if named.is_file() else ()
    if inside and beside and [plain(c) for c in inside] != [plain(c) for c in beside]:
        return inside, Suspicion(
            "labels_disagree",
            "labels.txt and the model's own metadata name the outputs differently",
            f"labels.txt: {', '.join(beside)}; metadata: {', '.join(inside)}, which are used",
            "correct labels.txt, or export the model again",
        )
    found = inside or beside or _catalogued(path)
    if not found:
        raise BadInputError(
            "the model's labels are unknown",
            where=path,
            expected="metadata with labels or labels.txt",
            fix="put a labels.txt beside it, one class per line",
        )
    return found, None


def labels_inside(path: Path, model: Any) -> tuple[str, ...]:
    """Return the labels that a `.tflite`'s or an ONNX file's own metadata state, in order; or none."""
    if path.suffix.lower() == ".tflite":
        found = read_metadata(path)
        return tuple(found["labels"]) if found and found["labels"] else ()
    metadata = getattr(model, "metadata", {})
    return next((v for k in KEYS if (v := _parsed(metadata.get(k, "")))), ())


def _parsed(text: str) -> tuple[str, ...]:
    """Return the labels in a JSON or Python list or mapping by index, or in words separated by commas.

    >>> _parsed("{0: 'angry', 1: 'happy'}"), _parsed('["a", "b"]'), _parsed("a, b"), _parsed("")
    (('angry', 'happy'), ('a', 'b'), ('a', 'b'), ())
    """
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict) and all(str(k).isdigit() for k in value):
            value = [value[k] for k in sorted(value, key=int)]
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            return tuple(value)
        return ()
    return tuple(t for part in text.split(",") if (t := part.strip()))


def _catalogued(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    size = path.stat().st_size
    alike = [e for e in load_catalogue() if e.bytes == size and e.sha256 and e.kind == "emotion"]
    known = next((e for e in alike if e.sha256 == sha256_file(path)), None) if alike else None
    return tuple(known.labels) if known else ()


def emotions(
    labels: Sequence[str], label_map: Mapping[str, str], *, where: object
) -> tuple[str, ...]:
    """Return facelab's name of each label; a label that is not an emotion of the seven keeps its own.

    >>> emotions(["angry", "Happy", "contempt", "meh"], {"meh": "neutral"}, where="m")
    ('anger', 'joy', 'contempt', 'neutral')
    """
    unknown = [k for k in label_map if k not in labels]
    wrong = [v for v in label_map.values() if v not in SEVEN]
    if unknown or wrong:
        name = (unknown or wrong)[0]
        known = labels if unknown else SEVEN
        raise BadInputError(
            f"the label map names {name!r}{did_you_mean(name, known)}",
            where=where,
            expected=", ".join(known),
            got=name,
            fix="write LABEL=EMOTION for a label of the model",
        )
    found = by_emotion(labels, label_map)
    sources: dict[str, list[str]] = {}
    for name, emotion in zip(labels, found):
        sources.setdefault(emotion, []).append(name)
    twice = {c: sources[c] for c in sorted(sources) if len(sources[c]) > 1}
    if twice:
        raise BadInputError(
            "two labels of the model mean one emotion",
            where=where,
            expected="one output for each emotion",
            got=", ".join(f"{c} from {'+'.join(names)}" for c, names in twice.items()),
            fix="correct labels.txt or the label map",
        )
    return found


def maps_of(
    label_map: Mapping[str, str], labels: Sequence[str], of_data: Sequence[str], *, where: object
) -> tuple[dict[str, str], dict[str, str]]:
    """Divide a map into that of the model's labels and that of the data's; a label of both counts for both.

    Parameters
    ----------
    label_map : Mapping[str, str]
        What labels mean, as the user states it.
    labels : Sequence[str]
        The model's labels.
    of_data : Sequence[str]
        The labels of the data.
    where : object
        The model's file, for the message.

    Returns
    -------
    tuple[dict[str, str], dict[str, str]]
        The map of the model's labels, and that of the data's.

    Raises
    ------
    BadInputError
        A label is in neither.
    """
    for name in label_map:
        if name not in labels and name not in of_data:
            known = sorted({*labels, *of_data})
            raise BadInputError(
                f"neither the model nor the data have the label {name!r}{did_you_mean(name, known)}",
                where=where,
                expected=", ".join(known),
                got=name,
                fix="correct the label map",
            )
    mine, theirs = (
        {k: v for k, v in label_map.items() if k in known} for known in (labels, of_data)
    )
    return mine, theirs


def output_of_classes(outputs: Sequence[TensorInfo], classes: int, *, where: object) -> int:
    """Return which output has a number per class; a network may give features beside them.

    Parameters
    ----------
    outputs : Sequence[TensorInfo]
        The model's outputs, in order.
    classes : int
        How many labels there are.
    where : object
        The model's file, for the message.

    Returns
    -------
    int
        The place of that output.

    Raises
    ------
    BadInputError
        No output has as many numbers as there are labels, or several have.
    """
    widths = [t.shape[-1] if t.shape else None for t in outputs]
    fits = [k for k, w in enumerate(widths) if w == classes]
    if len(fits) == 1 or (len(outputs) == 1 and widths[0] is None):
        return fits[0] if fits else 0
    if len(outputs) == 1:
        raise BadInputError(
            "labels and outputs differ in number",
            where=where,
            expected=f"{widths[0]} labels",
            got=classes,
            fix="correct labels.txt",
        )
    raise BadInputError(
        "the output with the scores of the classes cannot be determined",
        where=where,
        expected=f"one output of {classes} numbers",
        got="; ".join(map(str, outputs)),
        fix="correct labels.txt, or export the model with that output alone",
    )


def are_logits(values: np.ndarray) -> bool:
    """Return whether rows (n, classes) are logits: rounding to whole numbers moves a sum of probabilities by little.

    >>> are_logits(np.array([[0.2, 0.8], [0.5, 0.53]])), are_logits(np.array([[-3.0, 4.0]]))
    (False, True)
    """
    return bool(
        len(values) and (values.min() < -0.05 or np.abs(values.sum(axis=1) - 1).max() > 0.1)
    )
