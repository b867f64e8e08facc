"""What every liveness model gives and takes."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.liveness._presentation import Presentation


@dataclass(frozen=True)
class Answer(Result):
    """What a model says of one presentation.

    Attributes
    ----------
    score : float
        Higher is more live; NaN where the model cannot answer.
    reason : str
        Why there is no answer; empty where there is one.
    details : dict of str to float
        What the score was made of, with units in the names.
    seconds : float
        Wall time of the model.
    """

    score: float
    reason: str
    details: dict[str, float]
    seconds: float

    @property
    def answered(self) -> bool:
        """Whether there is a score."""
        return math.isfinite(self.score)


class LivenessModel(ABC):
    """A liveness model: looks at one face in, a score out; higher is more live. A subclass implements `_score`.

    Attributes
    ----------
    name, family : str
        The name to report, and the family of the model.
    threshold : float
        Where "live" begins (score >= threshold). It is the family's own; `evaluate` chooses a better one.
    needs : frozenset of str
        What a presentation must hold: `depth`, `landmarks`, `two looks`.

    Examples
    --------
    >>> from facelab import liveness
    >>> model = liveness.load("depth-geometry")
    >>> (seen,) = liveness.rendered(1, kinds=("live",))
    >>> isinstance(model, LivenessModel), sorted(model.needs), model.is_live(seen)
    (True, ['depth'], True)
    """

    family: ClassVar[str]
    needs: frozenset[str] = frozenset()
    threshold: float = 0.5

    def __init__(self, name: str):
        self.name = name

    @abstractmethod
    def _score(self, presentation: Presentation) -> tuple[float, str, dict[str, float]]:
        """Return score (or NaN), the reason why there is none, and details."""

    def score(self, presentation: Presentation) -> Answer:
        """Score one presentation; higher is more live.

        Parameters
        ----------
        presentation : Presentation
            Looks at one face.

        Returns
        -------
        Answer
            Without a score, and with the reason, where the presentation lacks what the model needs.
        """
        started = time.perf_counter()
        if missing := self._missing(presentation):
            return Answer(math.nan, missing, {}, time.perf_counter() - started)
        score, reason, details = self._score(presentation)
        if math.isinf(score):
            raise BadInputError(
                "the model put out a score that is not finite",
                where=self.name,
                got=score,
                fix="check the preprocessing spec against the model; run `facelab assets verify`",
            )
        return Answer(float(score), reason, details, time.perf_counter() - started)

    def is_live(self, presentation: Presentation, threshold: float | None = None) -> bool:
        """Return whether the presentation passes; one without an answer does not.

        Parameters
        ----------
        presentation : Presentation
            Looks at one face.
        threshold : float, optional
            Instead of the model's own.
        """
        return bool(
            self.score(presentation).score >= (self.threshold if threshold is None else threshold)
        )

    def _missing(self, presentation: Presentation) -> str:
        looks = presentation.looks
        if "two looks" in self.needs and len(looks) < 2:
            return "needs two looks or more"
        if "depth" in self.needs and any(look.depth is None for look in looks):
            return "needs depth"
        if "landmarks" in self.needs and any(look.landmarks is None for look in looks):
            return "needs landmarks"
        return ""

    def describe(self) -> dict[str, Any]:
        """Return what a report says about this model."""
        return {
            "name": self.name,
            "family": self.family,
            "needs": sorted(self.needs),
            "threshold": self.threshold,
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
