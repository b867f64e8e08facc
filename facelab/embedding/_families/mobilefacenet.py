"""MobileFaceNet (Chen et al., "MobileFaceNets", CCBR 2018), as trained by foamliu/MobileFaceNet."""

from __future__ import annotations

from facelab.embedding._base import NeuralEmbedder
from facelab.embedding._specs import aligned_spec
from facelab.preprocess.spec import PreprocessSpec


class MobileFaceNet(NeuralEmbedder):
    """Aligned 112-pixel RGB in 0…1, then ImageNet's mean and deviation; 128 numbers.

    InsightFace's own MobileFaceNet (w600k) is of family `arcface`: it takes (x − 127.5) / 127.5.
    """

    family = "mobilefacenet"

    @classmethod
    def default_spec(cls, name: str, layout: str) -> PreprocessSpec:
        """Aligned to the template, RGB, ImageNet normalisation."""
        return aligned_spec(
            name,
            mean=(0.485, 0.456, 0.406),
            scale=(0.229, 0.224, 0.225),
            units="0-1",
            layout=layout,
        )


EMBEDDER = MobileFaceNet
