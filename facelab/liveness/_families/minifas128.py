"""MiniFAS-128 (face-antispoof-onnx): 128 pixels, RGB 0 to 1, a tight square crop; weights for research only."""

from __future__ import annotations

from facelab.liveness._network import NetworkLiveness
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.runtimes import Model


class MiniFAS128(NetworkLiveness):
    """Two classes (live, attack). A box that is somewhat larger changes the answer: see `box_sensitivity`.

    Parameters
    ----------
    name, model, spec
        As for `NetworkLiveness`.
    real_class : int
        The column of live faces.
    """

    family = "minifas128"
    classes = 2

    def __init__(
        self, name: str, model: Model, spec: PreprocessSpec | None = None, *, real_class: int = 0
    ):
        super().__init__(name, model, spec, real_class=real_class)


LIVENESS = MiniFAS128
