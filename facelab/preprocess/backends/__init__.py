"""Who carries a spec out. Each backend does a stage exactly as written or raises UnsupportedError naming it."""

from __future__ import annotations

import importlib
from typing import Any

from facelab.core.errors import BadInputError, did_you_mean

BACKENDS = {
    "reference": "numpy, float64: defines what each op means",
    "opencv": "OpenCV for pixels, numpy float32 for the tensor",
    "pillow": "Pillow for pixels, numpy float32 for the tensor",
    "tensorflow": "TensorFlow ops, v1 legacy and v2 resizes",
    "onnx": "one ONNX graph with the stages embedded, run by ONNX Runtime",
}
"""Backend name → what it is. The class is `Backend` in the module of the same name."""


def make(name: str) -> Any:
    """Return a new backend object. Raises BadInputError for an unknown name."""
    if name not in BACKENDS:
        raise BadInputError(
            f"unknown preprocessing backend {str(name)[:40]!r}{did_you_mean(name, BACKENDS)}",
            expected=", ".join(BACKENDS),
            fix="choose one of these",
        )
    return importlib.import_module(f"facelab.preprocess.backends.{name}").Backend()
