"""The model to quantise: its file, what converter can read it, its preprocessing, and what it is for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facelab.core.errors import BadInputError, FacelabError, UnsupportedError
from facelab.datasets.labels import read_class_names
from facelab.emotion.internals import MODEL, labels_inside, output_of_classes
from facelab.preprocess import PreprocessSpec
from facelab.zoo import load_catalogue
from facelab.zoo.families import given_spec
from facelab.zoo.given import resolve, same_content
from facelab.zoo.internals import ModelEntry, refuse_impostor, require
from facelab.zoo.runtimes import Model, check_spec, open_model

Task = Literal["classifier", "embedder", "detector", "network"]
KERAS = (".keras", ".h5", ".hdf5")


@dataclass(frozen=True)
class Subject:
    """A float model.

    `path` is the file that is run and compared with (`.tflite` or `.onnx`; None for a Keras model or SavedModel that
    is still to be converted); `source` the `.keras` file or SavedModel folder that the TensorFlow converter reads, or
    None. `task`: a classifier's outputs are probabilities of `classes`; a detector's, of the catalogue's `entry` or
    recognised by its outputs as of a `family`, are compared as boxes; an embedder's by cosine and by pairs; those of a
    network of unknown kind by cosine only. `known_by` says what the task was recognised by.
    """

    name: str
    path: Path | None
    source: Path | None
    spec: PreprocessSpec
    task: Task
    classes: tuple[str, ...] = ()
    entry: ModelEntry | None = None
    family: str | None = None
    known_by: str = ""

    @property
    def recognised(self) -> str:
        """One line: what the file was taken for, and why."""
        kind = {"network": "network of an unknown kind"}.get(self.task, self.task)
        family = f" of the family {self.family}" if self.family else ""
        classes = f" of {len(self.classes)} classes" if self.classes else ""
        return f"{self.file.name}: {kind}{family}{classes} ({self.known_by}); preprocessing {self.spec.name}"

    @property
    def file(self) -> Path:
        """The file that names the model to people."""
        file = self.path or self.source
        assert file is not None, "a subject has a file to run or to convert"
        return file


def load(
    model: str | os.PathLike, *, spec: PreprocessSpec | str | os.PathLike | None = None
) -> Subject:
    """Find out what a model is: a path (`.tflite`, `.keras`, `.h5`, `.onnx`, a SavedModel or a training's folder) or
    a catalogue name or a bundle.

    The preprocessing is `spec`, else the `<model>.preprocess.json` beside it (in the folder above for a SavedModel),
    else the catalogue's for a file with that content.

    Parameters
    ----------
    model : str or path
        A model file, or a name of the catalogue.
    spec : PreprocessSpec or str or path or None
        The preprocessing to apply.

    Returns
    -------
    Subject
        The model, its spec and its task.

    Raises
    ------
    BadInputError
        For a file that is not a model, that is quantised already, or whose preprocessing is
        unknown or does not fit.
    UnsupportedError
        Models of this format, or with several inputs, cannot be quantised here.

    Examples
    --------
    >>> subject = load("bundle")
    >>> subject.task, subject.classes
    ('classifier', ('anger', 'joy', 'neutral'))
    """
    entry = _entry(model)
    given = None if entry else resolve(model)
    if entry:
        path = require(entry)
    else:
        assert given is not None, "a name that is not of the catalogue is a path"
        path = given.path
    if given is not None and given.spec is not None and spec is None:
        spec = given.spec
    kind = _kind(path)
    # a file that is not a model is reported first, whatever is beside it
    opened = open_model(path, threads=1) if kind in (".tflite", ".onnx") else None
    if kind in KERAS:
        refuse_impostor(path)
    known = (given_spec(spec) if spec else None) or _spec(path, entry)
    if opened is not None:
        return _runnable(path, opened, entry, known)
    entry = entry or (same_content(path) if path.is_file() else None)
    classes = _labels(path, _inside(path, None), entry)
    return Subject(
        entry.name if entry else path.stem,
        None,
        path,
        known,
        "classifier" if classes else "network",
        classes,
        entry,
        None,
        _why(entry, path, classes, None, known, "classifier" if classes else "network", False),
    )


def _kind(path: Path) -> str:
    """Return a model's suffix, or `saved_model`. Raises for what cannot be quantised here."""
    if not path.exists():
        raise BadInputError(
            "the model file does not exist",
            where=path,
            expected=".tflite, .keras, SavedModel, .onnx",
            fix="check the path; facelab assets list shows the models facelab knows by name",
        )
    kind = "saved_model" if path.is_dir() else path.suffix.lower()
    if kind == "saved_model" and not (path / "saved_model.pb").is_file():
        raise BadInputError(
            "the folder holds no SavedModel",
            where=path,
            expected="saved_model.pb in it",
            fix="name the model's file, or the folder that model.export wrote",
        )
    if kind not in ("saved_model", ".tflite", ".onnx", *KERAS):
        raise UnsupportedError(
            "models of this kind cannot be quantised here",
            where=path,
            expected=".tflite, .keras, SavedModel, .onnx",
            got=path.suffix or "no suffix",
            fix="export the model to ONNX, TFLite or Keras first",
        )
    return kind


def _entry(model: str | os.PathLike) -> ModelEntry | None:
    catalogue = load_catalogue()
    return (
        catalogue.model(str(model))
        if str(model) in catalogue.names and not Path(model).exists()
        else None
    )


def _spec(path: Path, entry: ModelEntry | None) -> PreprocessSpec:
    beside = path.with_suffix(".preprocess.json")
    if beside.is_file():
        return PreprocessSpec.load(beside)
    if path.is_file() and (entry or (entry := same_content(path))) and entry.spec is not None:
        return entry.spec
    near = path.with_name(MODEL).with_suffix(".preprocess.json")
    if path.suffix.lower() not in (".tflite", ".onnx") and near.is_file():
        return PreprocessSpec.load(near)
    raise BadInputError(
        "the model's preprocessing is unknown",
        where=path,
        expected=f"{beside.name} beside it",
        fix="give it with --spec FILE; facelab preprocess writes one",
    )


def _refuse_integers(path: Path, opened: Model) -> None:
    """Raise for a model that is quantised already, or takes whole numbers that no scale explains."""
    integers = [t for t in (*opened.inputs, *opened.outputs) if not t.dtype.startswith("float")]
    held = getattr(opened, "quantization", {})
    if integers and not any(held.get(t.name, (0.0, 0))[0] for t in integers):
        raise UnsupportedError(
            "the model takes or gives whole numbers without a scale: its preprocessing is inside",
            where=path,
            expected="float32 inputs and outputs",
            got=", ".join(map(str, integers)),
            fix="export the network without those layers, and state what they do in the spec",
        )
    if integers:
        raise BadInputError(
            "the model is quantised already",
            where=path,
            expected="float32 inputs and outputs",
            got=", ".join(map(str, integers)),
            fix="give the float model that it was made from",
        )


def _refuse_several_outputs(path: Path, opened: Model) -> None:
    if len(opened.outputs) != 1:
        raise BadInputError(
            "an embedder has one output",
            where=path,
            got=", ".join(map(str, opened.outputs)),
            fix="export the network with the embedding as its only output",
        )


def _source_beside(path: Path) -> Path | None:
    """Return what a `.tflite` file was converted from, where it is still there."""
    if path.suffix.lower() != ".tflite":
        return None
    places = ("saved_model", path.with_suffix(".keras").name, "emotion.keras")
    return next((p for name in places if (p := path.parent / name).exists()), None)


def _runnable(path: Path, opened: Model, entry: ModelEntry | None, spec: PreprocessSpec) -> Subject:
    _refuse_integers(path, opened)
    if len(opened.inputs) != 1:
        raise UnsupportedError(
            "models with several inputs cannot be calibrated by one spec",
            where=path,
            expected="one input",
            got=", ".join(map(str, opened.inputs)),
            fix="export the network with one input",
        )
    check_spec(opened, spec)
    entry = entry or same_content(path)
    inside = _inside(path, opened)
    classes = _labels(path, inside, entry)
    if classes:
        output_of_classes(opened.outputs, len(classes), where=path)
    family = entry.family if entry and entry.kind == "detector" else None
    task: Task = "classifier" if classes else "network"
    if (entry and entry.kind == "embedder") or (
        not classes and any(s.op == "align" for s in spec.stages)
    ):
        task = "embedder"
        _refuse_several_outputs(path, opened)
    elif task == "network":
        family = family or _detector_family(path, spec)
    if family:
        task = "detector"
    why = _why(entry, path, classes, family, spec, task, bool(inside))
    return Subject(
        entry.name if entry else path.stem,
        path,
        _source_beside(path),
        spec,
        task,
        classes,
        entry,
        family,
        why,
    )


def _detector_family(path: Path, spec: PreprocessSpec) -> str | None:
    """Return the detector family whose decoder takes the file's outputs, or None where there is not exactly one."""
    from facelab import detection

    try:
        return detection.load(path, spec=spec, threads=1).family
    except FacelabError:
        return None  # not a detector that facelab can decode: it stays a network of unknown kind


def _why(
    entry: ModelEntry | None,
    path: Path,
    classes: tuple[str, ...],
    family: str | None,
    spec: PreprocessSpec,
    task: Task,
    inside: bool,
) -> str:
    """Say by what the task was recognised."""
    if entry:
        return f"the catalogue's {entry.name}, by its content"
    if classes:
        return "labels in the file" if inside else "labels.txt beside it"
    if family:
        return "by its outputs"
    if task == "embedder":
        return "its preprocessing aligns a face"
    return "no labels, no outputs of a known detector, no alignment"


def _labels(path: Path, inside: tuple[str, ...], entry: ModelEntry | None) -> tuple[str, ...]:
    """Return the classes inside the file, else of `labels.txt` beside it, else the catalogue's; or none."""
    if inside:
        return inside
    beside = path.with_name("labels.txt")
    if beside.is_file():
        return read_class_names(beside)
    return tuple(entry.labels) if entry and entry.kind not in ("detector", "embedder") else ()


def _inside(path: Path, opened: Model | None) -> tuple[str, ...]:
    """Return the labels in the file; those of an ONNX file only where an output of that width is (a detector has
    names too)."""
    found = labels_inside(path, opened)
    if path.suffix.lower() != ".onnx" or opened is None:
        return found
    fits = any(len(t.shape) == 2 and t.shape[-1] == len(found) > 1 for t in opened.outputs)
    return found if fits else ()


def label_file(subject: Subject, path: Path) -> None:
    """Put name, normalisation and labels into the file, as the float model has them: quantisers drop them."""
    from facelab.preprocess.tflite_metadata import write_metadata

    normalize, resize = subject.spec.find("normalize"), subject.spec.find("resize")
    if (
        normalize is None
        or resize is None
        or normalize.units != "0-255"
        or len(normalize.mean) != 1
    ):
        return  # the metadata cannot say it; labels.txt and the spec beside the file do
    write_metadata(
        path,
        name="emotion",
        description=f"Emotion of a face: {', '.join(subject.classes)}",
        size=resize.size,
        mean=float(normalize.mean[0]),
        std=float(normalize.scale[0]),
        labels=list(subject.classes),
    )
