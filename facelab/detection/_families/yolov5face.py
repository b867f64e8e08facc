"""YOLOv5-face (Qi et al., "YOLO5Face: Why Reinventing a Face Detector", 2021; deepcam-cn/yolov5-face)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facelab.detection._boxes import GREEDY, grid, sigmoid
from facelab.detection._inputs import detector_spec
from facelab.detection._neural import Found, NeuralDetector, Outputs
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.runtimes import Model

ANCHORS = ((4, 5, 8, 10, 13, 16), (23, 29, 43, 55, 73, 105), (146, 217, 231, 300, 335, 433))
"""Width and height of three anchors a level, in pixels."""


class YoloV5Face(NeuralDetector):
    """Raw maps (1, 3, rows, columns, 16) a stride, or the decoded (1, n, 16) of the repository's own export.

    Columns: centre x, y, width, height, objectness, ten landmark coordinates, class.
    """

    family = "yolov5face"
    default_score, default_nms = 0.5, 0.5

    def __init__(
        self,
        name: str,
        model: Model,
        spec: PreprocessSpec | None = None,
        *,
        anchors: Sequence[Sequence[float]] = ANCHORS,
        **options: Any,
    ):
        self.anchors = [np.array(a, dtype=np.float64).reshape(3, 2) for a in anchors]
        super().__init__(name, model, spec, **options)

    @classmethod
    def default_spec(cls, name: str, size: tuple[int, int] | None, layout: str) -> PreprocessSpec:
        """RGB / 255, letterboxed in the centre of 640×640 with 114."""
        return detector_spec(
            name,
            size=size or (640, 640),
            fit="letterbox_center",
            scale=[255],
            value=114,
            layout=layout,
        )

    def _decoding(self) -> dict[str, Any]:
        return {
            "outputs": "three maps (1, 3, rows, columns, 16), s = sigmoid, or one (1, n, 16) that is decoded already",
            "anchors": [a.tolist() for a in self.anchors],
            "score": "s(v[4]) · s(v[15]), kept from score_threshold on (decoded: v[4] · v[15])",
            "box": "centre = (2·s(v[0:2]) − 0.5 + cell) · stride; size = (2·s(v[2:4]))² · anchor (decoded: v[0:4] are "
            "centre and size)",
            "landmarks": "point k = v[5 + 2k : 7 + 2k] · anchor + cell · stride (decoded: as it is)",
            "suppression": GREEDY,
        }

    def decode(self, outputs: Outputs, size: tuple[int, int]) -> Found:
        maps = list(outputs.values())
        if (
            all(m.ndim == 5 and m.shape[1] == 3 and m.shape[-1] == 16 for m in maps)
            and len(maps) == 3
        ):
            maps = sorted(maps, key=lambda m: -m.shape[2])
            wanted = [(-(-size[1] // s), -(-size[0] // s)) for s in self.strides]
            if [m.shape[2:4] for m in maps] != wanted:
                raise self.wrong(outputs, f"maps at strides 8, 16, 32 of {size[0]}×{size[1]}")
            parts = [
                self._raw(*level) for level in zip(maps, self.strides, self.anchors, strict=True)
            ]
        elif len(maps) == 1 and maps[0].shape == (1, self._rows(size), 16):
            parts = [self._decoded(maps[0][0])]
        else:
            raise self.wrong(
                outputs, f"three maps (1, 3, rows, columns, 16), or one (1, {self._rows(size)}, 16)"
            )
        return self.suppress(Found(*(np.concatenate(p) for p in zip(*parts))))

    def _rows(self, size: tuple[int, int]) -> int:
        return sum(
            -(-size[0] // s) * -(-size[1] // s) * len(a) for s, a in zip(self.strides, self.anchors)
        )

    def _raw(self, output: np.ndarray, stride: int, anchors: np.ndarray) -> tuple[Any, ...]:
        rows, columns = output.shape[2:4]
        flat = output.reshape(-1, 16)
        scores = sigmoid(flat[:, 4].astype(np.float64)) * sigmoid(flat[:, 15].astype(np.float64))
        keep = np.flatnonzero(scores >= self.score_threshold)
        v = flat[keep].astype(np.float64)
        cell = np.tile(grid(rows, columns), (len(anchors), 1))[keep]
        size = np.repeat(anchors, rows * columns, axis=0)[keep]
        centre = (sigmoid(v[:, :2]) * 2 - 0.5 + cell) * stride
        half = (sigmoid(v[:, 2:4]) * 2) ** 2 * size / 2
        points = v[:, 5:15].reshape(-1, 5, 2) * size[:, None] + (cell * stride)[:, None]
        return np.concatenate([centre - half, centre + half], axis=1), scores[keep], points

    def _decoded(self, rows: np.ndarray) -> tuple[Any, ...]:
        scores = rows[:, 4] * rows[:, 15]
        v = rows[keep := np.flatnonzero(scores >= self.score_threshold)].astype(np.float64)
        half = v[:, 2:4] / 2
        return (
            np.concatenate([v[:, :2] - half, v[:, :2] + half], axis=1),
            scores[keep],
            v[:, 5:15].reshape(-1, 5, 2),
        )


DETECTOR = YoloV5Face
