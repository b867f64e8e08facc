"""FaceNet (Schroff, Kalenichenko and Philbin, CVPR 2015), as Inception-ResNet by davidsandberg and facenet-pytorch."""

from __future__ import annotations

from facelab.embedding._base import NeuralEmbedder
from facelab.embedding._specs import DECODE
from facelab.preprocess.spec import PreprocessSpec


class FaceNet(NeuralEmbedder):
    """The detector's crop with a margin, unaligned, 160-pixel RGB, (x − 127.5) / 128; finds faces by their boxes."""

    family = "facenet"
    needs = "boxes"

    @classmethod
    def default_spec(cls, name: str, layout: str) -> PreprocessSpec:
        """The box grown by a tenth on each side to a square, resized to 160×160."""
        return PreprocessSpec(
            name,
            [
                DECODE,
                {
                    "op": "crop",
                    "region": "face",
                    "margin": 0.1,
                    "aspect": "square_longer",
                    "box_rounding": "nearest",
                    "outside": "replicate",
                },
                {
                    "op": "resize",
                    "size": [160, 160],
                    "mode": "stretch",
                    "kernel": "bilinear",
                    "antialias": True,
                    "pixel_centers": "half",
                    "rounding": "half_up",
                    "edge": "renormalize",
                },
                {"op": "normalize", "mean": [127.5], "scale": [128], "units": "0-255"},
                {"op": "layout", "to": layout},
                {"op": "cast", "dtype": "float32"},
            ],
        )


EMBEDDER = FaceNet
