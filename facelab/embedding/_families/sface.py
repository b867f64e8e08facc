"""SFace (Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss", TIP 2021; opencv/opencv_zoo)."""

from __future__ import annotations

from facelab.embedding._base import NeuralEmbedder
from facelab.embedding._specs import aligned_spec
from facelab.preprocess.spec import PreprocessSpec


class SFace(NeuralEmbedder):
    """Aligned 112-pixel RGB, raw 0–255, as OpenCV's `FaceRecognizerSF` gives it."""

    family = "sface"

    @classmethod
    def default_spec(cls, name: str, layout: str) -> PreprocessSpec:
        """Aligned to the template, RGB 0–255."""
        return aligned_spec(name, mean=(), layout=layout)


EMBEDDER = SFace
