"""`DepthFallback`: liveness without depth is decided by another model, never by half of the first one."""

from __future__ import annotations

import math

from facelab.core.errors import BadInputError
from facelab.liveness import LivenessModel, Presentation
from facelab.serving.degradation._matrix import Degradation


class DepthFallback(LivenessModel):
    """A liveness model that needs depth, and one for colour alone that decides where depth is missing.

    Each is judged by its own threshold: `score` is a margin, 0.5 where the model's own threshold is. A fusion that
    merely leaves its depth member out would make attacks easier.

    Parameters
    ----------
    whole : LivenessModel
        The usual one; it needs depth.
    colour : LivenessModel or None
        Decides without depth. None: there is no answer then.
    degradation : Degradation or None
        Where `depth_missing` is noted; None makes one.

    Raises
    ------
    BadInputError
        The usual model needs no depth, or the other one needs it too.
    """

    family = "depth fallback"

    def __init__(
        self,
        whole: LivenessModel,
        colour: LivenessModel | None = None,
        *,
        degradation: Degradation | None = None,
    ) -> None:
        super().__init__(f"{whole.name} or {colour.name if colour else 'no answer'}")
        if "depth" not in whole.needs or (colour is not None and "depth" in colour.needs):
            raise BadInputError(
                "the models do not fit a fallback for depth",
                expected="one that needs depth, and one that does not",
                got=f"{whole.name} needs {', '.join(sorted(whole.needs)) or 'nothing'}"
                + (f"; {colour.name} needs {', '.join(sorted(colour.needs))}" if colour else ""),
                fix="choose a model for colour alone as the second one",
            )
        self.whole, self.colour = whole, colour
        self.degradation, self.threshold = degradation or Degradation(), 0.5

    @property
    def degraded(self) -> tuple[str, ...]:
        """The row of this fallback while it is active; `details["without_depth"]` says it of each answer."""
        return tuple(r for r in self.degradation.active() if r == "depth_missing")

    def _score(self, presentation: Presentation) -> tuple[float, str, dict[str, float]]:
        if all(look.depth is not None for look in presentation.looks):
            self.degradation.end("depth_missing")
            return _margin(self.whole, presentation, 0.0)
        self.degradation.trip("depth_missing", "a look has no depth")
        return _margin(self.colour or self.whole, presentation, 1.0)

    def close(self) -> None:
        """Take the fallback back."""
        self.degradation.end("depth_missing")


def _margin(
    model: LivenessModel, presentation: Presentation, missing: float
) -> tuple[float, str, dict[str, float]]:
    """Return the score as a margin from 0 to 1: 0.5 where this model's own threshold is."""
    answer = model.score(presentation)
    details = {**answer.details, "without_depth": missing}
    if not answer.answered:
        return math.nan, answer.reason, details
    apart = answer.score - model.threshold
    return 0.5 + 0.5 * apart / (1.0 + abs(apart)), "", details
