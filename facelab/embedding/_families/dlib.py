"""dlib's ResNet (King, "High Quality Face Recognition with Deep Metric Learning", 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.detection.internals import Stopwatch, Timings
from facelab.embedding._base import Embedder
from facelab.zoo import load_catalogue
from facelab.zoo.runtimes import Model, import_dlib, open_model

if TYPE_CHECKING:
    from jaxtyping import Num

BOX_FROM_LANDMARKS = (0.52, 0.51, 2.38)
"""Of dlib's face box: where the middle of eyes and mouth is in it (x, y, as fractions), and its side as a multiple
of the distance between the middle of the eyes and the middle of the mouth. Medians over 199 faces that both dlib's
HOG detector and YuNet found; the middle halves lie within 0.03, 0.03 and 0.13 of them."""


class DlibResNet(Embedder):
    """A 150-pixel RGB chip, cut by dlib itself around its own five points; raw 128-d, compared by Euclidean distance.

    A face is named by its box, in which dlib's five-point predictor finds the points; from five ArcFace landmarks the
    box is estimated. The chip, the points and the descriptor are dlib's own code, so results equal dlib's.
    """

    family = "dlib"
    needs = "boxes"
    dim = 128
    metric = "euclidean"
    normalised = False
    input_size = (150, 150)

    def __init__(
        self, name: str, model: Model, *, points: Model | None = None, padding: float = 0.25
    ):
        super().__init__(name)
        if model.runtime != "dlib" or model.outputs[0].name != "descriptors":
            raise BadInputError(
                "the model is not a dlib embedder",
                where=name,
                expected="dlib_face_recognition_resnet_model_v1.dat",
                got=model,
                fix="name dlib's embedder file, or the model's own family",
            )
        self.model, self.padding = model, padding
        self.points = points or open_model(load_catalogue().model("dlib-landmarks-5"))

    def _crops(self, crops: np.ndarray) -> np.ndarray:
        watch = Stopwatch()
        rows = self.model.run(crops)[0]
        self.timings = Timings(0.0, watch.lap(), 0.0)
        return rows

    def _faces(
        self, rgb: np.ndarray, landmarks: np.ndarray | None, boxes: np.ndarray | None
    ) -> np.ndarray:
        watch = Stopwatch()
        if boxes is None:
            assert landmarks is not None, "embed() calls this with landmarks or boxes"
            boxes = boxes_from_landmarks(landmarks)
        chips = [self.chip(rgb, box) for box in boxes]
        pre = watch.lap()
        rows = self.model.run(np.stack(chips))[0] if chips else np.zeros((0, self.dim), np.float32)
        self.timings = Timings(pre, watch.lap(), 0.0)
        return rows

    def chip(self, rgb: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Return the 150×150 chip of the face in a box (x1, y1, x2, y2)."""
        dlib = import_dlib()
        points = self.points.run(rgb, np.asarray(box, dtype=np.float32))[0]
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        shape = dlib.full_object_detection(
            dlib.rectangle(x1, y1, x2 - 1, y2 - 1), [dlib.point(int(x), int(y)) for x, y in points]
        )
        return dlib.get_face_chip(rgb, shape, size=self.input_size[0], padding=self.padding)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "padding": self.padding}


def boxes_from_landmarks(landmarks: Num[np.ndarray, "n 5 2"]) -> Num[np.ndarray, "n 4"]:
    """Estimate the boxes (n, 4) that dlib's detector would give for ArcFace landmarks (n, 5, 2).

    Parameters
    ----------
    landmarks : ndarray
        Five points per face, (n, 5, 2), in pixels.

    Returns
    -------
    ndarray
        The boxes (n, 4).

    Examples
    --------
    >>> import numpy as np
    >>> points = np.array([[[38, 52], [74, 52], [56, 72], [42, 92], [71, 92]]])
    >>> boxes_from_landmarks(points).shape
    (1, 4)
    """
    eyes, mouth = landmarks[:, :2].mean(axis=1), landmarks[:, 3:].mean(axis=1)
    x, y, ratio = BOX_FROM_LANDMARKS
    side = np.linalg.norm(eyes - mouth, axis=1, keepdims=True) * ratio
    low = (eyes + mouth) / 2 - side * np.array([x, y])
    return np.concatenate([low, low + side], axis=1)


EMBEDDER = DlibResNet
