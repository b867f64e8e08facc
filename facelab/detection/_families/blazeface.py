"""BlazeFace (Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019; MediaPipe)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.detection._boxes import CELLS, blend, grid, sigmoid
from facelab.detection._inputs import SMOOTH, detector_spec
from facelab.detection._neural import Found, NeuralDetector, Outputs
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.runtimes import Model

KEYPOINTS = ("left eye", "right eye", "nose", "mouth", "left ear", "right ear")
"""The six keypoints, left as seen in the image (MediaPipe names them from the person's side)."""
LEVELS = {128: ((8, 2), (16, 6)), 256: ((16, 2), (32, 6)), 192: ((4, 1),)}
"""Input side → (stride, anchors a cell): front, back and full-range models."""


class BlazeFace(NeuralDetector):
    """Anchors of unit size and score-weighted suppression; six keypoints, but no mouth corners.

    Runs the TFLite models and ONNX conversions of them, with or without suppression inside the graph. MediaPipe's own
    threshold is 0.5; at 0.4 more faces of group photographs are found, and still none on photographs without faces.
    """

    family = "blazeface"
    has_landmarks = False
    default_score, default_nms = 0.4, 0.3

    def __init__(
        self,
        name: str,
        model: Model,
        spec: PreprocessSpec | None = None,
        *,
        anchors: Sequence[tuple[int, int]] | None = None,
        **options: Any,
    ):
        self.levels = anchors
        super().__init__(name, model, spec, **options)

    @classmethod
    def default_spec(cls, name: str, size: tuple[int, int] | None, layout: str) -> PreprocessSpec:
        """RGB, letterboxed in the centre of the square input, (x − 127.5) / 127.5.

        The inputs are small, so the resize averages when it shrinks: without that, faces of a photograph vanish.
        """
        return detector_spec(
            name,
            size=size or (128, 128),
            fit="letterbox_center",
            mean=[127.5],
            scale=[127.5],
            layout=layout,
            kernel=SMOOTH,
        )

    def _outputs(self, tensor: np.ndarray) -> Outputs:
        names = [i.name for i in self.session.inputs]
        if len(names) == 1:
            return super()._outputs(tensor)
        # the export with suppression inside takes its thresholds as inputs
        values = {
            "max_output_boxes": np.array(self.top_k, np.int64),
            "iou_threshold": np.array(self.nms_threshold, np.float32),
            "score_threshold": np.array(self.score_threshold, np.float32),
        }
        if set(names[1:]) != set(values):
            raise BadInputError(
                "the model's inputs are not those of blazeface",
                where=self.name,
                expected=f"one image, or an image with {', '.join(values)}",
                got=", ".join(names),
                fix="name the model's own family, or export it with the image as its first input",
            )
        return dict(
            zip(
                (o.name for o in self.session.outputs),
                self.session.run(tensor, **values),
                strict=True,
            )
        )

    def _decoding(self) -> dict[str, Any]:
        side = (self.preparation.fixed_size or (128, 128))[0]
        levels = self.levels or LEVELS.get(side, ())
        return {
            "strides": [s for s, _ in levels],
            "outputs": "regressors (n, 16) and scores (n, 1), or one (n, 17) that is suppressed already: y1, x1, y2, "
            "x2, six points, score, relative to the tensor",
            "cells": CELLS,
            "anchors": [{"stride": s, "a cell": n} for s, n in levels],
            "score": "sigmoid(score), kept from score_threshold on",
            "box": "centre = r[0:2] + (cell + 0.5) · stride, size = r[2:4], in tensor pixels",
            "keypoints": "point k = r[4 + 2k : 6 + 2k] + (cell + 0.5) · stride: "
            + ", ".join(KEYPOINTS),
            "suppression": "weighted: the best box and all that overlap it by more than nms_threshold become one, "
            "coordinates weighted by score, its score the best one; again with what remains",
        }

    def decode(self, outputs: Outputs, size: tuple[int, int]) -> Found:
        if len(outputs) == 1 and (rows := next(iter(outputs.values()))).shape[-1] == 17:
            return self._suppressed(rows.reshape(-1, 17).astype(np.float64), size)
        flat = {v.shape[-1]: v.reshape(-1, v.shape[-1]) for v in outputs.values() if v.ndim >= 2}
        anchors = self._anchors(size)
        if (
            set(flat) != {16, 1}
            or anchors is None
            or len(flat[16]) != len(anchors)
            or len(flat[1]) != len(anchors)
        ):
            raise self.wrong(outputs, "boxes (896 or 2304, 16) and scores (…, 1)")
        scores = sigmoid(flat[1][:, 0].astype(np.float64))
        keep = np.flatnonzero(scores >= self.score_threshold)
        raw = flat[16][keep].reshape(-1, 8, 2).astype(np.float64)
        centre, half = raw[:, 0] + anchors[keep] * size, raw[:, 1] / 2
        points = raw[:, 2:] + (anchors[keep] * size)[:, None]
        boxes, scores, points = blend(
            np.concatenate([centre - half, centre + half], axis=1),
            scores[keep],
            points.reshape(-1, 12),
            self.nms_threshold,
        )
        return Found(boxes, scores, None, points.reshape(-1, 6, 2))

    @staticmethod
    def _suppressed(rows: np.ndarray, size: tuple[int, int]) -> Found:
        """Read ready detections: y1, x1, y2, x2, six points, score, all relative to the input."""
        scale = np.array(size, dtype=np.float64)
        return Found(
            rows[:, [1, 0, 3, 2]] * np.tile(scale, 2),
            rows[:, 16],
            None,
            rows[:, 4:16].reshape(-1, 6, 2) * scale,
        )

    def _anchors(self, size: tuple[int, int]) -> np.ndarray | None:
        """Return anchor centres (n, 2), relative to the input."""
        side = size[0]
        levels = self.levels or LEVELS.get(side)
        if size[0] != size[1] or levels is None:
            return None
        return np.concatenate([(grid(side // s, side // s, n) + 0.5) * s / side for s, n in levels])


DETECTOR = BlazeFace
