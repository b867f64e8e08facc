"""dlib's CNN detector (King, "Max-Margin Object Detection", 2015; mmod_human_face_detector.dat)."""

from __future__ import annotations

import numpy as np

from facelab.core.errors import BadInputError
from facelab.detection._base import Detections, Detector, Stopwatch, Timings
from facelab.detection._inputs import bounded
from facelab.zoo.runtimes import Model

LEAST = 16
"""Pixels per side that the network is given at least."""


class DlibCnn(Detector):
    """MMOD network over an image pyramid; slow without a GPU. Faces from 80 pixels, fewer with `upsample`.

    Scores are the network's margins (above 0). `upsample` doubles the image that many times; images with a side above
    `max_side` (after doubling) are shrunk: at 1280 pixels one takes about a second and 500 MB.
    """

    family = "dlib-cnn"
    has_landmarks = False

    def __init__(
        self,
        name: str,
        model: Model,
        *,
        score_threshold: float | None = None,
        upsample: int = 0,
        max_side: int = 1600,
    ):
        super().__init__(name)
        if model.runtime != "dlib" or model.outputs[0].name != "detections":
            raise BadInputError(
                "the model is not a dlib detector",
                where=name,
                expected="mmod_human_face_detector.dat",
                got=model,
                fix="name dlib's detector file, or the model's own family",
            )
        if not 0 <= upsample <= 3:
            raise BadInputError(
                "upsample is out of range",
                where=name,
                expected="0 … 3",
                got=upsample,
                fix="choose a number from 0 to 3",
            )
        self.score_threshold = 0.0 if score_threshold is None else float(score_threshold)
        self.model, self.upsample, self.max_side = model, upsample, max_side

    def _run(self, rgb: np.ndarray) -> Detections:
        import cv2

        watch = Stopwatch()
        zoom = 2**self.upsample
        image, shrink = bounded(rgb, max(1, self.max_side // zoom))
        if zoom > 1:
            image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
        least = [max(0, LEAST - side) for side in image.shape[:2]]
        if any(least):  # dlib's pyramid refuses such a picture
            image = np.pad(image, ((0, least[0]), (0, least[1]), (0, 0)), mode="edge")
        pre = watch.lap()
        rows = self.model.run(image)[0].astype(np.float64)
        run = watch.lap()
        found = Detections(
            rows[:, :4] / (np.tile(shrink, 2) * zoom),
            rows[:, 4],
            None,
            None,
            (image.shape[1], image.shape[0]),
            Timings(pre, run, watch.lap()),
        )
        return found.above(self.score_threshold)


DETECTOR = DlibCnn
