"""Haar cascades (Viola and Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", CVPR 2001)."""

from __future__ import annotations

import numpy as np

from facelab.core.errors import BadInputError
from facelab.detection._base import Detections, Detector, Stopwatch, Timings
from facelab.detection._inputs import bounded, in_order
from facelab.zoo.runtimes import CascadeModel, Model


class Haar(Detector):
    """OpenCV's cascade on gray pixels. Scores are the last stage's weights (unbounded, above 0), not probabilities."""

    family = "haar"
    has_landmarks = False

    def __init__(
        self,
        name: str,
        model: Model,
        *,
        score_threshold: float | None = None,
        scale_factor: float = 1.1,
        min_neighbors: int = 5,
        min_size: tuple[int, int] = (24, 24),
        max_side: int = 4096,
    ):
        super().__init__(name)
        if scale_factor <= 1:
            raise BadInputError(
                "scale_factor must exceed 1",
                where=name,
                got=scale_factor,
                fix="choose a value such as 1.1",
            )
        if not isinstance(model, CascadeModel):
            raise BadInputError(
                "the model is not a cascade",
                where=name,
                expected="an OpenCV cascade (.xml)",
                got=model.runtime,
                fix="name a cascade file of OpenCV, or the model's own family",
            )
        self.score_threshold = 0.0 if score_threshold is None else float(score_threshold)
        model.scale_factor, model.min_neighbors = scale_factor, min_neighbors
        model.min_size = (min_size[0], min_size[1])
        self.model, self.max_side = model, max_side

    def _run(self, rgb: np.ndarray) -> Detections:
        watch = Stopwatch()
        small, shrink = bounded(rgb, self.max_side)
        gray = in_order(small, "gray")
        pre = watch.lap()
        # an image smaller than the window holds no face, and OpenCV's pyramid cannot begin
        smallest = min(self.model.min_size)
        boxes, scores = (
            self.model.run(gray) if min(gray.shape) >= smallest else (np.zeros((0, 4)), np.zeros(0))
        )
        run = watch.lap()
        found = Detections(
            boxes / np.tile(shrink, 2),
            scores,
            None,
            None,
            (small.shape[1], small.shape[0]),
            Timings(pre, run, watch.lap()),
        )
        return found.above(self.score_threshold)


DETECTOR = Haar
