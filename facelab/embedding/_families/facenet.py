"""FaceNet (Schroff, Kalenichenko and Philbin, CVPR 2015), as Inception-ResNet by davidsandberg and facenet-pytorch."""

from __future__ import annotations

from facelab.embedding._base import NeuralEmbedder
from facelab.embedding._specs import DECODE
from facelab.preprocess.ops import FACE_SQUARE, RESIZE_ANTIALIASED
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
                FACE_SQUARE,
                {**RESIZE_ANTIALIASED, "size": [160, 160]},
                {"op": "normalize", "mean": [127.5], "scale": [128], "units": "0-255"},
                {"op": "layout", "to": layout},
                {"op": "cast", "dtype": "float32"},
            ],
        )


EMBEDDER = FaceNet
