"""facelab's own evaluation of an exported classifier: the file as a device runs it, rounding and saturating."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.hashing import sha256_file
from facelab.datasets.labels import NAMES, plain
from facelab.emotion._classifier import EmotionClassifier
from facelab.emotion._data import FaceSet
from facelab.emotion._spec import to_tensor
from facelab.metrics import classification as metrics
from facelab.metrics.intervals import Interval
from facelab.metrics.plausibility import Suspicion, question_answers, question_inputs

SCHEMA = "facelab.emotion-evaluation/1"


@dataclass(frozen=True)
class Answers:
    """What was answered on labelled faces: `probabilities` is float (n, classes), in the order of `faces`."""

    faces: FaceSet
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each face, int64 (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def right(self) -> np.ndarray:
        """Whether each answer is right, bool (n,)."""
        return self.predicted == self.faces.labels

    @property
    def table(self) -> np.ndarray:
        """The confusion table: one row per true class."""
        return metrics.confusion(self.faces.labels, self.predicted, len(self.faces.classes))


@dataclass(frozen=True)
class Evaluation(Answers):
    """What one classifier file answered on labelled faces, and every figure derived from that."""

    model: Path
    accuracy: Interval
    reliability: metrics.Reliability

    @property
    def majority(self) -> float:
        """The accuracy of always naming the most frequent class."""
        support = self.table.sum(axis=1)
        return float(support.max() / support.sum())

    @property
    def better_than_guessing(self) -> bool:
        """Whether the whole interval of the accuracy lies above the majority class's share."""
        return self.accuracy.lo > self.majority

    def worst(self, n: int) -> np.ndarray:
        """Return the indices of up to `n` mistakes, those with the most confident wrong answers first."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.probabilities[wrong].max(axis=1), kind="stable")][:n]

    def question(self, classifier: EmotionClassifier) -> Suspicion | None:
        """Return the likely cause where the labels or the figures can only be wrong, tested by trying it."""
        labels, spec = self.faces.labels, classifier.spec
        return (
            classifier.suspicion
            or question_answers(labels, self.predicted, classifier.classes)
            or question_inputs(
                self.faces.images,
                labels,
                lambda x: classifier.answers(x).argmax(axis=1),
                classes=len(classifier.classes),
                prepare=lambda images: to_tensor(spec, images),
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return every figure as plain JSON (`facelab.emotion-evaluation/1`)."""
        classes = self.faces.classes
        return {
            "schema": SCHEMA,
            "model": str(self.model),
            "model_sha256": sha256_file(self.model),
            "n": len(self.faces),
            "classes": list(classes),
            "accuracy": self.accuracy.as_dict(),
            "correct": int(self.right.sum()),
            "majority": self.majority,
            "better_than_guessing": self.better_than_guessing,
            "balanced_accuracy": metrics.balanced_accuracy(self.table),
            "macro_f1": metrics.macro_f1(self.table),
            "ece": self.reliability.ece,
            "per_class": metrics.per_class(self.table, classes),
            "confusion": self.table.tolist(),
        }


def evaluate(classifier: EmotionClassifier, faces: FaceSet, *, seed: int = 0) -> Evaluation:
    """Run the exported file on every face and return the figures.

    `faces` are crops by the classifier's spec; their classes must be among the model's. The interval of the accuracy
    resamples identities where all are known, else images.

    Parameters
    ----------
    classifier : EmotionClassifier
        A classifier of `emotion.load`.
    faces : FaceSet
        Labelled pictures.
    seed : int
        Seeds every random choice.

    Returns
    -------
    Evaluation
        The figures, with intervals.

    Raises
    ------
    BadInputError
        For no faces or a class that the model does not have.

    Examples
    --------
    >>> from facelab import emotion
    >>> classifier = emotion.load("bundle")
    >>> faces = emotion.collect("data/test", classifier.spec, crop="whole").faces
    >>> evaluate(classifier, faces).accuracy.value
    0.375
    """
    if not len(faces):
        raise BadInputError(
            "there is no face to evaluate on", where=classifier.path, fix="give labelled faces"
        )
    unknown = [c for c, n in faces.counts().items() if n and place_of(c, classifier.classes) < 0]
    if unknown:
        raise BadInputError(
            "the data shows a class that the model does not have",
            where=classifier.path,
            expected=", ".join(classifier.classes),
            got=", ".join(unknown),
            fix="name the model's classes with --classes",
        )
    faces = in_classes(faces, classifier.classes)
    probabilities = classifier.probabilities(faces.images)
    predicted = probabilities.argmax(axis=1)
    groups = np.array(faces.identities) if all(faces.identities) else None
    return Evaluation(
        faces,
        probabilities,
        classifier.path,
        metrics.accuracy(faces.labels, predicted, groups=groups, seed=seed),
        metrics.reliability(probabilities, faces.labels),
    )


def place_of(label: str, classes: tuple[str, ...]) -> int:
    """Return where a label of the data is among a model's classes, by itself or as an emotion (`happy` is joy), or -1.

    >>> place_of("happy", ("anger", "joy")), place_of("alert", ("anger", "joy"))
    (1, -1)
    """
    names = (label, NAMES.get(plain(label), label))
    return next((classes.index(c) for c in names if c in classes), -1)


def in_classes(faces: FaceSet, classes: tuple[str, ...]) -> FaceSet:
    """Return the same faces with labels that count in `classes`, which must hold every class that occurs.

    Parameters
    ----------
    faces : FaceSet
        Labelled pictures.
    classes : tuple[str, ...]
        The class names, in the order of the outputs.

    Returns
    -------
    FaceSet
        The same faces with labels that count in `classes`, which must hold every class that
        occurs.

    Examples
    --------
    >>> import numpy as np
    >>> from facelab.emotion.internals import FaceSet
    >>> faces = FaceSet(np.zeros((1, 8, 8, 3), np.uint8), np.array([0]), ("joy",), ("1.png",), ("a",))
    >>> in_classes(faces, ("anger", "joy")).labels.tolist()
    [1]
    """
    place = np.array([place_of(c, classes) for c in faces.classes], np.int64)
    return FaceSet(faces.images, place[faces.labels], tuple(classes), faces.names, faces.identities)
