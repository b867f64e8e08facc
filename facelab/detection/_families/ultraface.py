"""UltraFace RFB and slim (Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from facelab.core.errors import BadInputError
from facelab.detection._boxes import CELLS, GREEDY, from_offsets, priors
from facelab.detection._inputs import detector_spec
from facelab.detection._neural import Found, NeuralDetector, Outputs
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.runtimes import Model

MIN_BOXES = ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))
Encoding = Literal["decoded", "offsets"]


class UltraFace(NeuralDetector):
    """SSD with 10 to 256-pixel priors; no landmarks.

    Exports differ: with post-processing, `boxes` are relative corners; without, raw offsets against the priors.
    `boxes` states which (`decoded`, `offsets`); by default the model's answer to a gray picture tells (see `_learn`).
    `face_classes` are the columns of `scores` that count as faces (all but the first by default).
    """

    family = "ultraface"
    has_landmarks = False
    default_score, default_nms = 0.7, 0.3
    strides = (8, 16, 32, 64)

    def __init__(
        self,
        name: str,
        model: Model,
        spec: PreprocessSpec | None = None,
        *,
        boxes: Encoding | None = None,
        face_classes: Sequence[int] | None = None,
        min_boxes: Sequence[Sequence[float]] = MIN_BOXES,
        variances: tuple[float, float] = (0.1, 0.2),
        **options: Any,
    ):
        if boxes not in (None, "decoded", "offsets"):
            raise BadInputError(
                "unknown box encoding",
                where=name,
                expected="decoded or offsets",
                got=boxes,
                fix="leave `boxes` out: it is then measured from the model's own outputs",
            )
        self.encoding, self.face_classes = (
            boxes,
            None if face_classes is None else list(face_classes),
        )
        self.min_boxes, self.variances = min_boxes, (variances[0], variances[1])
        super().__init__(name, model, spec, **options)

    @classmethod
    def default_spec(cls, name: str, size: tuple[int, int] | None, layout: str) -> PreprocessSpec:
        """RGB, stretched to the input (320×240 where it is free), (x − 127) / 128."""
        return detector_spec(
            name, size=size or (320, 240), fit="stretch", mean=[127], scale=[128], layout=layout
        )

    def _decoding(self) -> dict[str, Any]:
        decoded = self.encoding == "decoded"
        return {
            "outputs": "scores (n, 2 or 3) and boxes (n, 4)",
            "cells": CELLS,
            "min_sizes": [list(s) for s in self.min_boxes],
            "variances": list(self.variances),
            "priors": "level by level, cell by cell, size by size: centre ((x + 0.5) · stride / width, "
            "(y + 0.5) · stride / height), size (s / width, s / height), relative to the tensor, limited to 0…1",
            "score": "the largest column but the first (background), kept above score_threshold",
            "box": "corners x1, y1, x2, y2 relative to the tensor"
            if decoded
            else "centre = prior centre + box[0:2] · variances[0] · prior size; size = prior size · exp(box[2:4] · "
            "variances[1]); times the tensor's width and height",
            "suppression": GREEDY,
        }

    def decode(self, outputs: Outputs, size: tuple[int, int]) -> Found:
        boxes, scores = self._pair(outputs, size)
        # with three classes (masked faces) a face is the better of the two
        best = scores[:, self.face_classes or slice(1, None)].max(axis=1)
        keep = np.flatnonzero(best > self.score_threshold)
        relative = boxes[keep]
        if self.encoding == "offsets":
            relative = from_offsets(relative, self._priors(size)[keep], self.variances)
        return self.suppress(Found(relative * np.array([*size, *size]), best[keep]))

    def _pair(self, outputs: Outputs, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        flat = {v.shape[-1]: v.reshape(-1, v.shape[-1]) for v in outputs.values() if v.ndim >= 2}
        scores = flat.get(2, flat.get(3))
        wanted = len(self._priors(size))
        if (
            len(outputs) != 2
            or 4 not in flat
            or scores is None
            or len(flat[4]) != wanted
            or len(scores) != wanted
        ):
            raise self.wrong(outputs, f"scores (1, {wanted}, 2 or 3) and boxes (1, {wanted}, 4)")
        return flat[4], scores

    def _priors(self, size: tuple[int, int]) -> np.ndarray:
        return np.clip(priors(size, self.strides, self.min_boxes), 0, 1)

    def _learn(self, outputs: Outputs, size: tuple[int, int]) -> None:
        """Tell corners from offsets: decoded corners lie around their prior's centre, offsets around zero."""
        if self.encoding is None:
            boxes, _ = self._pair(outputs, size)
            prior = self._priors(size)
            as_corners = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - prior[:, :2]).mean()
            decoded = from_offsets(boxes, prior, self.variances)
            as_offsets = np.abs((decoded[:, :2] + decoded[:, 2:]) / 2 - prior[:, :2]).mean()
            ordered = (boxes[:, 2:] > boxes[:, :2]).all(axis=1).mean() > 0.95
            self.encoding = "decoded" if ordered and as_corners < 0.1 else "offsets"
            if self.encoding == "offsets" and as_offsets > 0.1:
                raise self.wrong(outputs, "boxes near their priors, as corners or as offsets")


DETECTOR = UltraFace
