"""Liveness models that are one network on the colour picture, behind a preprocessing spec."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from facelab.core.errors import BadInputError
from facelab.detection.internals import in_order, prepared
from facelab.liveness._base import LivenessModel
from facelab.liveness._presentation import Look, Presentation
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo.runtimes import Model, check_spec


class NetworkLiveness(LivenessModel):
    """The share that a network's softmax gives the class of live faces.

    Parameters
    ----------
    name : str
        For reports.
    model : Model
        An opened classifier with one output (1, classes).
    spec : PreprocessSpec
        From the picture and the face's box to the tensor.
    real_class : int
        The column of live faces.

    Raises
    ------
    BadInputError
        The model's input does not fit the spec, or its output has no such column.
    """

    classes: ClassVar[int]

    def __init__(
        self, name: str, model: Model, spec: PreprocessSpec | None = None, *, real_class: int
    ):
        super().__init__(name)
        if spec is None:
            raise BadInputError(
                "a liveness network needs its spec: crop and scale decide its answer",
                where=name,
                expected="a preprocessing spec, or a name of the catalogue",
                got="none",
                fix="pass --spec FILE, or write <file>.preprocess.json beside the model",
            )
        check_spec(model, spec)
        self.model, self.spec, self.real_class = model, spec, real_class
        output = self._logits(
            Look(np.full((256, 256, 3), 127, np.uint8), np.array([80, 80, 176, 176.0]))
        )
        if output.size != self.classes or not 0 <= real_class < output.size:
            raise BadInputError(
                "the model's output is not that of its family",
                where=name,
                expected=f"{self.classes} classes",
                got=f"{output.size}, live faces in column {real_class}",
                fix="check family and real_class",
            )

    def _face(self, look: Look) -> np.ndarray:
        """Return the box that the spec's crop starts from."""
        return look.box

    def _logits(self, look: Look) -> np.ndarray:
        pixels = in_order(look.colour, self.spec.input_order)
        tensor = prepared(self.spec, pixels, face=self._face(look))
        return self.model.run(tensor)[0].reshape(-1).astype(np.float64)

    def _score(self, presentation: Presentation) -> tuple[float, str, dict[str, float]]:
        shares = softmax(self._logits(presentation.looks[-1]))
        return (
            float(shares[self.real_class]),
            "",
            {f"class {k}": float(v) for k, v in enumerate(shares)},
        )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of (n,) numbers; numbers that are shares already (none below 0, sum 1) are left alone.

    >>> softmax(np.array([0.25, 0.75])).tolist(), softmax(np.array([0.0, 0.0])).tolist()
    ([0.25, 0.75], [0.5, 0.5])
    """
    if (logits >= 0).all() and abs(logits.sum() - 1) < 1e-4:
        return logits
    e = np.exp(logits - logits.max())
    return e / e.sum()
