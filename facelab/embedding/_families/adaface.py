"""AdaFace (Kim, Jain and Liu, "AdaFace: Quality Adaptive Margin for Face Recognition", CVPR 2022)."""

from __future__ import annotations

from facelab.embedding._base import NeuralEmbedder
from facelab.embedding._specs import aligned_spec
from facelab.preprocess.spec import PreprocessSpec


class AdaFace(NeuralEmbedder):
    """Aligned 112-pixel **BGR**, (x − 127.5) / 127.5 (mk-minchul/AdaFace; CVLFace's re-releases take RGB)."""

    family = "adaface"

    @classmethod
    def default_spec(cls, name: str, layout: str) -> PreprocessSpec:
        """Aligned to the template, BGR in −1…1."""
        return aligned_spec(name, order="bgr", layout=layout)


EMBEDDER = AdaFace
