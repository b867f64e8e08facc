"""ArcFace and its kin (Deng et al., "ArcFace: Additive Angular Margin Loss", CVPR 2019; deepinsight/insightface)."""

from __future__ import annotations

from facelab.embedding._base import NeuralEmbedder
from facelab.embedding._specs import aligned_spec
from facelab.preprocess.spec import PreprocessSpec


class ArcFace(NeuralEmbedder):
    """ResNets and MobileFaceNets of InsightFace: aligned 112-pixel RGB, (x − 127.5) / 127.5."""

    family = "arcface"

    @classmethod
    def default_spec(cls, name: str, layout: str) -> PreprocessSpec:
        """Aligned to the template, RGB in −1…1. The ONNX model zoo's arcfaceresnet100 takes raw 0–255 instead."""
        return aligned_spec(name, layout=layout)


EMBEDDER = ArcFace
