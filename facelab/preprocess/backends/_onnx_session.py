"""The values of an ONNX graph, and how it is checked and run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor of the graph: its name, numpy dtype and shape."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def check(model: ModelProto) -> None:
    """Check a model as ONNX does. Raises onnx.checker.ValidationError."""
    import onnx

    onnx.checker.check_model(model)  # pyright: ignore[reportUnknownMemberType] # types are open


def run(model: ModelProto, image: np.ndarray) -> list[np.ndarray]:
    """Return the outputs of a model for its input `image`."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(tensor) for tensor in session.run(None, {"image": image})]
