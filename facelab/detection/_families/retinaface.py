"""RetinaFace (Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the Wild", CVPR 2020).

The layout is biubug6/Pytorch_Retinaface's, for MobileNet0.25 and ResNet-50 alike: they share the priors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facelab.detection._boxes import CELLS, GREEDY, from_offsets, points_from_offsets, priors
from facelab.detection._inputs import detector_spec
from facelab.detection._neural import Found, NeuralDetector, Outputs
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.runtimes import Model

MIN_SIZES = ((16, 32), (64, 128), (256, 512))


class RetinaFace(NeuralDetector):
    """SSD on three levels; outputs `loc`, `conf`, `landm`, or one tensor that holds 4 + 2 + 10 columns."""

    family = "retinaface"
    default_score, default_nms = 0.5, 0.4

    def __init__(
        self,
        name: str,
        model: Model,
        spec: PreprocessSpec | None = None,
        *,
        min_sizes: Sequence[Sequence[float]] = MIN_SIZES,
        variances: tuple[float, float] = (0.1, 0.2),
        **options: Any,
    ):
        self.min_sizes, self.variances = min_sizes, (variances[0], variances[1])
        super().__init__(name, model, spec, **options)

    @classmethod
    def default_spec(cls, name: str, size: tuple[int, int] | None, layout: str) -> PreprocessSpec:
        """BGR − (104, 117, 123); letterboxed at the top left, or padded to a multiple of 32 where the size is free."""
        return detector_spec(
            name,
            size=size,
            fit="letterbox" if size else "pad",
            order="bgr",
            layout=layout,
            mean=(104, 117, 123),
        )

    def _decoding(self) -> dict[str, Any]:
        return {
            "outputs": "loc (n, 4), conf (n, 2), landm (n, 10), or one (n, 16) with these columns",
            "cells": CELLS,
            "min_sizes": [list(s) for s in self.min_sizes],
            "variances": list(self.variances),
            "priors": "level by level, cell by cell, size by size: centre ((x + 0.5) · stride / width, "
            "(y + 0.5) · stride / height), size (s / width, s / height), relative to the tensor",
            "score": "second column of conf, after a softmax where rows do not sum to 1; kept above score_threshold",
            "box": "centre = prior centre + loc[0:2] · variances[0] · prior size; size = prior size · exp(loc[2:4] · "
            "variances[1]); times the tensor's width and height",
            "landmarks": "point k = (prior centre + landm[2k : 2k + 2] · variances[0] · prior size) · tensor size",
            "suppression": GREEDY,
        }

    def decode(self, outputs: Outputs, size: tuple[int, int]) -> Found:
        loc, conf, landm = self._split(outputs)
        prior = priors(size, self.strides, self.min_sizes)
        if not len(loc) == len(conf) == len(landm) == len(prior):
            raise self.wrong(outputs, f"{len(prior)} rows for a {size[0]}×{size[1]} input")
        scores = _face_probability(conf)
        keep = np.flatnonzero(scores > self.score_threshold)
        scale = np.array(size, dtype=np.float64)
        boxes = from_offsets(loc[keep], prior[keep], self.variances) * np.tile(scale, 2)
        points = points_from_offsets(landm[keep], prior[keep], self.variances[0]) * scale
        return self.suppress(Found(boxes, scores[keep], points))

    def _split(self, outputs: Outputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        flat = {v.shape[-1]: v.reshape(-1, v.shape[-1]) for v in outputs.values() if v.ndim >= 2}
        if len(outputs) == 1 and 16 in flat:
            return flat[16][:, :4], flat[16][:, 4:6], flat[16][:, 6:]
        if len(outputs) == 3 and set(flat) == {2, 4, 10}:
            return flat[4], flat[2], flat[10]
        raise self.wrong(outputs, "loc (n, 4), conf (n, 2) and landm (n, 10), or one (n, 16)")


def _face_probability(conf: np.ndarray) -> np.ndarray:
    """Return the second column; logits (an export without softmax) are turned into probabilities first."""
    if np.abs(conf.sum(axis=1) - 1).max(initial=0) < 1e-3 and conf.min(initial=0) >= 0:
        return conf[:, 1]
    shifted = np.exp(conf - conf.max(axis=1, keepdims=True))
    return shifted[:, 1] / shifted.sum(axis=1)


DETECTOR = RetinaFace
