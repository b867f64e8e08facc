"""SCRFD (Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", ICLR 2022; InsightFace)."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.detection._boxes import CELLS, GREEDY, from_distances, grid
from facelab.detection._inputs import detector_spec
from facelab.detection._neural import Found, NeuralDetector, Outputs, levels
from facelab.preprocess.spec import PreprocessSpec


class Scrfd(NeuralDetector):
    """Distances from anchor centres on three (or five) strides, one or two anchors a cell; with or without points."""

    family = "scrfd"
    default_score, default_nms = 0.5, 0.4

    @classmethod
    def default_spec(cls, name: str, size: tuple[int, int] | None, layout: str) -> PreprocessSpec:
        """RGB, letterboxed at the top left (to 640×640 where the size is free), (x − 127.5) / 128."""
        return detector_spec(
            name, size=size or (640, 640), fit="letterbox", mean=[127.5], scale=[128], layout=layout
        )

    def _decoding(self) -> dict[str, Any]:
        return {
            "outputs": "per stride score (n, 1), bbox (n, 4) and perhaps kps (n, 10); a stride is known by its n",
            "cells": CELLS,
            "anchors": "n / cells anchors a cell (one or two), one after another, all at (x, y) · stride",
            "score": "as it is (a probability), kept from score_threshold on",
            "box": "left, top, right, bottom = bbox · stride, from the anchor: x1 = ax − left, y1 = ay − top, "
            "x2 = ax + right, y2 = ay + bottom",
            "landmarks": "point k = anchor + kps[2k : 2k + 2] · stride",
            "suppression": GREEDY,
        }

    def decode(self, outputs: Outputs, size: tuple[int, int]) -> Found:
        heads = levels(outputs, (1, 4, 10))
        with_points = bool(heads) and 10 in heads[0]
        widths = {1, 4, 10} if with_points else {1, 4}
        strides = {3: self.strides, 5: (8, 16, 32, 64, 128)}.get(len(heads), ())
        if not strides or any(
            set(h) != widths or any(len(v) != 1 for v in h.values()) for h in heads
        ):
            raise self.wrong(
                outputs, "score (n, 1), bbox (n, 4) and perhaps kps (n, 10) at 3 or 5 strides"
            )
        parts = [self._level(h, s, size, outputs) for h, s in zip(heads, strides, strict=True)]
        boxes, scores, points = (np.concatenate(p) for p in zip(*parts))
        self.has_landmarks = with_points
        return self.suppress(Found(boxes, scores, points if with_points else None))

    def _level(
        self,
        head: dict[int, list[np.ndarray]],
        stride: int,
        size: tuple[int, int],
        outputs: Outputs,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scores, rows, columns = head[1][0][:, 0], -(-size[1] // stride), -(-size[0] // stride)
        anchors, rest = divmod(len(scores), rows * columns)
        if rest or anchors not in (1, 2):
            raise self.wrong(
                outputs, f"{rows}×{columns} cells with 1 or 2 anchors at stride {stride}"
            )
        keep = np.flatnonzero(scores >= self.score_threshold)
        centres = grid(rows, columns, anchors)[keep] * stride
        points = (
            head[10][0][keep].reshape(-1, 5, 2) * stride + centres[:, None]
            if 10 in head
            else np.zeros((len(keep), 0, 2))
        )
        return from_distances(centres, head[4][0][keep] * stride), scores[keep], points


DETECTOR = Scrfd
