"""A Keras file of the user's own as a backbone: how it is fed, and what its process says of it before training."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.safety.scratch import ScratchFolder
from facelab.datasets.labels import read_class_names
from facelab.emotion._jobs import run_job
from facelab.emotion._labels import emotions
from facelab.emotion._spec import face_size, number_part, pixel_order
from facelab.preprocess import PreprocessSpec, apply
from facelab.zoo.families import given_spec
from facelab.zoo.given import same_content
from facelab.zoo.internals import ModelEntry

SUFFIXES = (".keras", ".h5", ".hdf5")
CHANNELS = {"gray": 1, "rgb": 3, "bgr": 3}


@dataclass(frozen=True)
class KerasNetwork:
    """A saved Keras model that a classifier is built on.

    Attributes
    ----------
    path : Path
        The file (`.keras`, `.h5`, `.hdf5`) of a whole model.
    spec : PreprocessSpec
        How the model is fed; the new classifier is fed the same way.
    layer : str or None
        The layer whose output the features are; by default what goes into the model's head.
    labels : tuple[str, ...]
        The classes of the file's outputs, in order, where they are known.
    """

    path: Path
    spec: PreprocessSpec
    layer: str | None = None
    labels: tuple[str, ...] = ()

    def columns(self, classes: Sequence[str]) -> list[int] | None:
        """Return which of the file's outputs answer for `classes`, where it knows them all: its head is kept then."""
        times = Counter(self.labels)
        if self.layer is not None or any(times[c] != 1 for c in classes):
            return None
        places = {c: k for k, c in enumerate(self.labels)}
        return [places[c] for c in classes]

    def inspected(self) -> dict[str, Any]:
        """Return what the file holds: `features`, `width`, `head`, `input`, `layers`, and how many classes it `answers`
        for (None where it does not end in a softmax). Takes a process of seconds.

        Raises BadInputError where it cannot be a backbone or the preprocessing does not fit its input.
        """
        feeding(self.spec)  # a preprocessing that cannot be trained with is refused first
        with ScratchFolder(prefix="facelab-network-") as name:
            job = {"kind": "inspect", "seed": 0, "backbone": self.in_job(Path(name))}
            told = run_job("keras", Path(name), job, timeout=300, confined=True)
        if "problem" in told:
            what, expected, got, fix = told["problem"]
            raise BadInputError(what, where=self.path, expected=expected, got=got, fix=fix)
        if self.labels and told["answers"] not in (None, len(self.labels)):
            raise BadInputError(
                "labels and outputs differ in number",
                where=self.path,
                expected=f"{told['answers']} labels",
                got=len(self.labels),
                fix="correct labels.txt",
            )
        width, height = face_size(self.spec)
        wanted = (height, width, CHANNELS[pixel_order(self.spec)])
        if len(told["input"]) != 4 or any(
            n not in (None, m) for n, m in zip(told["input"][1:], wanted)
        ):
            raise BadInputError(
                "the backbone's input and the preprocessing differ",
                where=self.path,
                expected=f"(n, {', '.join(map(str, wanted))}), as {self.spec.name} makes it",
                got=str(tuple(told["input"])),
                fix="correct the preprocessing, or name another with --spec",
            )
        return told

    def described(self, classes: Sequence[str]) -> str:
        """Say what of the file becomes the backbone of these classes. Raises BadInputError where nothing can."""
        told = self.inspected()
        layers = f"{told['layers']} layers with weights"
        fed = f"preprocessing {self.spec.name}"
        if told["answers"] and self.columns(classes) is not None:
            return (
                f"{self.path.name}: knows all {len(classes)} classes and keeps its head, {layers} (a new head: "
                f"--backbone-layer NAME); {fed}"
            )
        head = f"its head {', '.join(told['head'])} is replaced" if told["head"] else "it is whole"
        features = f"{told['width']} features ({told['features']})"
        return f"{self.path.name}: {features}, {layers}; {head}; {fed}"

    def in_job(self, folder: Path, classes: Sequence[str] = ()) -> dict[str, Any]:
        """Copy the file into a job's folder and return what the job is given of it, to answer for `classes`."""
        name = f"backbone{self.path.suffix.lower()}"
        shutil.copy(self.path, folder / name)
        columns = self.columns(classes) if classes else None
        return {"kind": "network", "file": name, "layer": self.layer, "columns": columns}


def network(path: Path, *, spec: Any = None, layer: str | None = None) -> KerasNetwork:
    """Return a Keras file as a backbone: fed by `spec`, by the spec beside it, or as the catalogue says.

    Raises BadInputError where nothing says how it is fed.
    """
    beside, known = path.with_suffix(".preprocess.json"), same_content(path)
    if (given := given_spec(spec)) is not None:
        found = given
    elif beside.is_file():
        found = PreprocessSpec.load(beside)
    elif known is not None and (held := known.spec) is not None:
        found = held
    else:
        raise BadInputError(
            "the backbone's preprocessing is unknown",
            where=path,
            expected=f"{beside.name} beside it, or --spec",
            fix="facelab preprocess new --like mini-xception-107 writes one to correct by hand",
        )
    return KerasNetwork(path, found, layer, _classes(path, known))


def _classes(path: Path, known: ModelEntry | None) -> tuple[str, ...]:
    """Return the classes that labels.txt beside the file or the catalogue names, under facelab's names of emotions."""
    beside = path.with_name("labels.txt")
    labels = read_class_names(beside) if beside.is_file() else known.labels if known else ()
    return emotions(labels, {}, where=path)


def feeding(spec: PreprocessSpec) -> dict[str, Any]:
    """Return how pixels become the input: `order` of the channels, `mean` and `std` of each, for (x - mean) / std.

    Raises BadInputError for a preprocessing whose numbers are not of this form, or not float32 (n, height, width, c).

    >>> from facelab.emotion import emotion_spec
    >>> feeding(emotion_spec())
    {'order': 'rgb', 'mean': [127.5, 127.5, 127.5], 'std': [127.5, 127.5, 127.5]}
    """
    width, height = face_size(spec)
    order = pixel_order(spec)
    channels, numbers = CHANNELS[order], number_part(spec)
    levels = (0, 255, 51, 204)
    pixels = [np.full((height, width, channels), v, np.uint8) for v in levels]
    made = [np.asarray(apply(numbers, p)) for p in pixels]
    expected = (1, height, width, channels)
    if made[0].shape != expected or made[0].dtype != np.float32:
        raise BadInputError(
            "a classifier cannot be trained on this input",
            where=spec.name,
            expected=f"float32 {expected}",
            got=f"{made[0].dtype} {made[0].shape}",
            fix="end the preprocessing with layout nhwc and cast float32",
        )
    zero, full, *between = (m[0].reshape(-1, channels)[0].astype(np.float64) for m in made)
    slope = (full - zero) / 255
    straight = all(
        np.allclose(b, zero + slope * v, rtol=0, atol=1e-4 * float(np.abs(full - zero).max()))
        for b, v in zip(between, levels[2:])
    )
    if not straight or not slope.all():
        raise BadInputError(
            "the numbers do not follow the pixels by a factor and an offset",
            where=spec.name,
            expected="normalize with a mean and a scale for each channel",
            got=" → ".join(s.op for s in numbers.stages),
            fix="give a preprocessing whose last stages are normalize, layout and cast",
        )
    return {
        "order": order,
        "mean": [float(round(v, 9)) + 0.0 for v in -zero / slope],
        "std": [float(round(v, 9)) for v in 1 / slope],
    }
