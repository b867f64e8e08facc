"""Cross-validation on labelled faces that are few: every face is tested once, by a model that never saw its person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facelab.core.safety.scratch import ScratchFolder
from facelab.emotion import EmotionClassifier, Settings, collect
from facelab.emotion.internals import (
    Answers,
    Collected,
    FaceSet,
    check_disjoint,
    modelmaker_interpreter,
    prepare,
    split,
    train,
)
from facelab.emotion.internals import classes_of as classes_of
from facelab.emotion.internals import detector_name as detector_name
from facelab.metrics import classification as metrics
from facelab.metrics.intervals import Interval, bootstrap_mean
from facelab.preprocess import PreprocessSpec
from facelab.zoo.internals import mirror


@dataclass(frozen=True)
class CrossChecked(Answers):
    """Answers on held-out faces; `majority` is the most frequent class of each one's training part, the answer of a
    classifier that looks at nothing."""

    majority: np.ndarray

    @property
    def people(self) -> np.ndarray:
        """One name a face for resampling: the person, or the file where nobody knows."""
        return np.array([who or name for who, name in zip(self.faces.identities, self.faces.names)])

    def accuracy(self) -> Interval:
        """Return the share of right answers, resampling people."""
        return metrics.accuracy(self.faces.labels, self.predicted, groups=self.people)

    def margin(self) -> Interval:
        """Return accuracy minus that of the majority class, on the same faces, resampling people."""
        gain = self.right.astype(float) - (self.majority == self.faces.labels)
        return bootstrap_mean(gain, groups=self.people)


def parts_of(collected: Collected, *, seed: int) -> dict[str, FaceSet]:
    """Return collected faces split into training, validation, calibration and test parts, by person."""
    return prepare(collected, seed=seed).parts


def modelmaker_is_here() -> bool:
    """Return whether the environment of TFLite Model Maker is set up."""
    return modelmaker_interpreter() is not None


def real_faces(spec: PreprocessSpec, classes: Sequence[str]) -> Collected | None:
    """Return the labelled faces of the mirror (`labelled/emotion.csv` below FACELAB_MIRROR), or None without them.

    Faces are cropped by the detector that `facelab.emotion.internals.detector_name` prefers.
    """
    table = mirror.labelled("emotion.csv")
    return None if table is None else collect(str(table), spec, classes=classes)


def cross_check(
    faces: FaceSet,
    spec: PreprocessSpec,
    settings: Settings,
    *,
    backbone: Path | None = None,
    folds: int = 3,
    on_line: Callable[[str], None] | None = None,
) -> CrossChecked:
    """Train `folds` times on all folds but one and answer for the one left out; folds share no identity and no image.

    The validation and calibration parts are cut from the training folds, so that nothing of the fold left out decides
    anything. Raises what `facelab.emotion._train` raises.
    """
    labelled = _by_place(faces)
    held = split(labelled, {f"fold {k}": 1 / folds for k in range(folds)}, seed=settings.seed)
    check_disjoint(held)
    probabilities = np.zeros((len(faces), len(faces.classes)))
    majority = np.zeros(len(faces), np.int64)
    for name, test in held.items():
        rest = labelled.take(
            sorted(int(n) for k, fold in held.items() if k != name for n in fold.names)
        )
        parts = split(
            rest, {"train": 0.84, "validation": 0.12, "calibration": 0.04}, seed=settings.seed
        )
        with ScratchFolder(prefix="facelab-fold-") as folder:
            trained = train(
                {**parts, "test": test},
                spec,
                Path(folder),
                settings,
                backbone=backbone,
                on_line=on_line,
            )
            answers = EmotionClassifier(trained.model).probabilities(test.images)
        index = [int(n) for n in test.names]
        probabilities[index] = answers
        majority[index] = int(np.bincount(rest.labels, minlength=len(faces.classes)).argmax())
    return CrossChecked(faces, probabilities, majority)


def _by_place(faces: FaceSet) -> FaceSet:
    """Return the faces named by their place, so that folds can be put together again."""
    return replace(faces, names=tuple(str(i) for i in range(len(faces))))
