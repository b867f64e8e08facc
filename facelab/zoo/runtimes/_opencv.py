"""OpenCV's cascades (.xml): the Haar baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.zoo._integrity import refuse_impostor
from facelab.zoo.runtimes._base import Model, TensorInfo, first_line


class CascadeModel(Model):
    """A cascade classifier: one gray image (height, width) uint8 in; boxes xyxy (n, 4) and weights (n,) float32 out.

    `scale_factor`, `min_neighbors` and `min_size` are OpenCV's; the weight is the last stage's.
    """

    runtime = "opencv"
    scale_factor = 1.1
    min_neighbors = 5
    min_size: tuple[int, int] = (24, 24)

    def _compute(self, feed: dict[str, np.ndarray]) -> list[Any]:
        with self._turn:  # a cascade keeps its pyramid between calls
            boxes, _, weights = self.handle.detectMultiScale3(
                feed["gray"],
                scaleFactor=self.scale_factor,
                minNeighbors=self.min_neighbors,
                minSize=self.min_size,
                outputRejectLevels=True,
            )
        xywh = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
        xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        return [xyxy, np.asarray(weights, dtype=np.float32).reshape(-1)]


def open_cascade(path: Path) -> CascadeModel:
    """Open a cascade file. Raises BadInputError if OpenCV finds none in it."""
    import cv2

    refuse_impostor(path)
    try:
        cascade = cv2.CascadeClassifier(str(path))
        loaded = not cascade.empty()
    except (cv2.error, SystemError) as e:
        raise BadInputError(
            "OpenCV refuses the cascade",
            where=path,
            got=first_line(e),
            fix="name an .xml file that OpenCV's training wrote; fetch it again",
        ) from e
    if not loaded:
        raise BadInputError(
            "OpenCV finds no cascade in the file",
            where=path,
            expected="a cascade's XML",
            fix="fetch the file again",
        )
    return CascadeModel(
        path,
        cascade,
        [TensorInfo("gray", (None, None), "uint8")],
        [TensorInfo("boxes", (None, 4), "float32"), TensorInfo("weights", (None,), "float32")],
        1,
    )
