"""YuNet (Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023; ShiqiYu/libfacedetection.train)."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.detection._boxes import CELLS, GREEDY, grid, nms
from facelab.detection._inputs import detector_spec
from facelab.detection._neural import Found, NeuralDetector, Outputs, levels
from facelab.preprocess.spec import PreprocessSpec


class YuNet(NeuralDetector):
    """Anchor-free, three strides; agrees with OpenCV's `FaceDetectorYN` (score √(cls·obj), padding, suppression)."""

    family = "yunet"
    default_score, default_nms = 0.6, 0.3

    @classmethod
    def default_spec(cls, name: str, size: tuple[int, int] | None, layout: str) -> PreprocessSpec:
        """BGR 0–255; a free input is padded to a multiple of 32, a fixed one letterboxed at the top left."""
        return detector_spec(
            name, size=size, fit="letterbox" if size else "pad", order="bgr", layout=layout
        )

    def _decoding(self) -> dict[str, Any]:
        return {
            "outputs": "per stride cls (n, 1), obj (n, 1), bbox (n, 4), kps (n, 10); a stride is known by its n",
            "cells": CELLS,
            "score": "sqrt(clip(cls, 0, 1) · clip(obj, 0, 1)), kept from score_threshold on",
            "box": "centre = (cell + bbox[0:2]) · stride; size = exp(bbox[2:4]) · stride; corners = centre ∓ size / 2",
            "landmarks": "point k = (cell + kps[2k : 2k + 2]) · stride",
            "suppression": GREEDY + ", on x, y, width and height cut to whole pixels",
        }

    def decode(self, outputs: Outputs, size: tuple[int, int]) -> Found:
        heads = levels(outputs, (1, 4, 10))
        cells = [(-(-size[1] // s), -(-size[0] // s)) for s in self.strides]
        if [{w: len(v) for w, v in h.items()} for h in heads] != [{1: 2, 4: 1, 10: 1}] * 3 or [
            len(h[4][0]) for h in heads
        ] != [r * c for r, c in cells]:
            raise self.wrong(outputs, "cls, obj, bbox and kps at strides 8, 16, 32")
        parts = [self._level(h, s, rc) for h, s, rc in zip(heads, self.strides, cells, strict=True)]
        return self.suppress(Found(*(np.concatenate(p) for p in zip(*parts))))

    def _level(
        self, head: dict[int, list[np.ndarray]], stride: int, cells: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scores = np.sqrt(np.clip(head[1][0][:, 0], 0, 1) * np.clip(head[1][1][:, 0], 0, 1))
        keep = np.flatnonzero(scores >= np.float32(self.score_threshold))
        cell = grid(*cells)[keep]
        # float32 throughout, as OpenCV computes: its suppression truncates these numbers to whole pixels
        s = np.float32(stride)
        centre = (cell + head[4][0][keep, :2]) * s
        extent = np.exp(head[4][0][keep, 2:]) * s
        low = centre - extent / np.float32(2)
        points = (head[10][0][keep].reshape(-1, 5, 2) + cell[:, None]) * s
        return np.concatenate([low, low + extent], axis=1), scores[keep], points

    def suppress(self, found: Found) -> Found:
        """Suppress as `cv::dnn::NMSBoxes` does for `FaceDetectorYN`: on x, y, width, height cut to whole pixels."""
        low = np.trunc(found.boxes[:, :2])
        whole = np.concatenate(
            [low, low + np.trunc(found.boxes[:, 2:] - found.boxes[:, :2])], axis=1
        )
        return found.take(nms(whole, found.scores, self.nms_threshold, top_k=self.top_k))


DETECTOR = YuNet
