"""How many hearts, and how many other drawings, a classifier gets right: per class, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.datasets.doodles import CLASSES
from facelab.doodle._classifier import DoodleClassifier
from facelab.doodle._data import Labelled
from facelab.metrics.intervals import wilson

THRESHOLD = 0.5


@dataclass(frozen=True)
class Evaluation(Result):
    """What a classifier answered on labelled drawings.

    `hearts` are probabilities of "heart", float64 (n,). A drawing counts as a heart from `threshold` on. A blank
    picture is not classified: it is right as "other" and wrong as "heart".
    """

    data: Labelled
    hearts: np.ndarray
    threshold: float
    model: Path
    runtime: str

    @property
    def predicted(self) -> np.ndarray:
        """The index of each answer in `CLASSES`, int64 (n,)."""
        return np.where(self.hearts >= self.threshold, 0, 1).astype(np.int64)

    @property
    def right(self) -> np.ndarray:
        """Whether each answer is right, bool (n,)."""
        return self.predicted == self.data.labels

    def share(self, name: str) -> float:
        """Return the share of a class ("heart" or "other") that is right; NaN where it has no drawing."""
        chosen = self.data.labels == CLASSES.index(name)
        return float(self.right[chosen].mean()) if chosen.any() else float("nan")

    def wrong(self) -> list[tuple[str, str, float]]:
        """Return (name, true class, probability of heart) of each mistake, the most confident first."""
        at = np.flatnonzero(~self.right)
        at = at[np.argsort(-np.abs(self.hearts[at] - self.threshold), kind="stable")]
        names = self.data.names
        return [(names[k], CLASSES[self.data.labels[k]], float(self.hearts[k])) for k in at]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per class that occurs, with Wilson's 95 % interval."""
        out = []
        for k, name in enumerate(CLASSES):
            chosen = self.data.labels == k
            if n := int(chosen.sum()):
                right = int(self.right[chosen].sum())
                low, high = wilson(right, n)
                row = {"class": name, "n": n, "right": right, "share": right / n}
                out.append(row | {"lo": low, "hi": high})
        return out

    def to_dict(self) -> dict[str, Any]:
        """Return every figure as plain JSON (`facelab.doodle-evaluation/1`)."""
        return {
            "schema": "facelab.doodle-evaluation/1",
            "model": str(self.model),
            "runtime": self.runtime,
            "threshold": self.threshold,
            "n": len(self.data),
            "blank": int(self.data.blank.sum()),
            "classes": self.rows(),
            "wrong": [{"name": n, "class": c, "heart": round(p, 4)} for n, c, p in self.wrong()],
        }


def evaluate(
    classifier: DoodleClassifier, data: Labelled, *, threshold: float = THRESHOLD
) -> Evaluation:
    """Classify labelled drawings one by one, as a device does.

    Parameters
    ----------
    classifier : DoodleClassifier
    data : Labelled
    threshold : float
        Least probability of a heart, between 0 and 1.

    Returns
    -------
    Evaluation
        The figures, with intervals.

    Raises
    ------
    BadInputError
        There is no drawing, or the threshold is out of range.

    Examples
    --------
    >>> from facelab import doodle
    >>> found = evaluate(doodle.load(), doodle.read_folder("drawings"))
    >>> found.threshold
    0.5
    """
    if not len(data) or not 0 < threshold < 1:
        raise BadInputError(
            "there is nothing to evaluate",
            expected="at least one drawing, a threshold between 0 and 1",
            got=f"{len(data)} drawings, {threshold}",
            fix="give a folder with heart/ and other/",
        )
    hearts = np.zeros(len(data))
    drawn = ~data.blank
    hearts[drawn] = classifier.probabilities(data.inks[drawn])[:, 0]
    model = classifier.model
    return Evaluation(data, hearts, threshold, model.path, model.runtime)
