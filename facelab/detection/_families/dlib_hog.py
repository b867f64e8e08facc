"""dlib's HOG detector (King, "Max-Margin Object Detection", 2015; Dalal and Triggs, CVPR 2005), part of the module."""

from __future__ import annotations

import os

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.safety.turns import Turn
from facelab.detection._base import Detections, Detector, Stopwatch, Timings
from facelab.detection._inputs import bounded
from facelab.zoo.runtimes import after_fork, import_dlib


class DlibHog(Detector):
    """Five linear filters over HOG; finds faces from 80 pixels, from 40 with one `upsample`.

    Scores are the filters' margins (0 is the detector's own threshold; `score_threshold` may be negative).
    """

    family = "dlib-hog"
    has_landmarks = False

    def __init__(
        self,
        name: str,
        *,
        score_threshold: float | None = None,
        upsample: int = 1,
        max_side: int = 2048,
    ):
        super().__init__(name)
        if not 0 <= upsample <= 4:
            raise BadInputError(
                "upsample is out of range",
                where=name,
                expected="0 … 4",
                got=upsample,
                fix="choose a number from 0 to 4",
            )
        self.score_threshold = 0.0 if score_threshold is None else float(score_threshold)
        self.upsample, self.max_side = upsample, max_side
        self._find = import_dlib().get_frontal_face_detector()
        self._turn, self._process = Turn(), os.getpid()

    def _run(self, rgb: np.ndarray) -> Detections:
        watch = Stopwatch()
        small, shrink = bounded(rgb, self.max_side)
        pre = watch.lap()
        if os.getpid() != self._process:
            raise after_fork(self.name)
        with self._turn:  # the detector keeps its pyramid between calls
            rectangles, scores, _ = self._find.run(small, self.upsample, self.score_threshold)
        run = watch.lap()
        # dlib's rectangles include their last pixel
        boxes = np.array(
            [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in rectangles],
            dtype=np.float64,
        )
        return Detections(
            boxes.reshape(-1, 4) / np.tile(shrink, 2),
            np.array(scores),
            None,
            None,
            (small.shape[1], small.shape[0]),
            Timings(pre, run, watch.lap()),
        )


DETECTOR = DlibHog
