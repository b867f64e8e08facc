"""ONNX models on ONNX Runtime's CPU provider."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.zoo._integrity import refuse_impostor
from facelab.zoo.runtimes._base import Model, TensorInfo, first_line, thread_count

DTYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "uint16": "uint16",
    "int32": "int32",
    "uint32": "uint32",
    "int64": "int64",
    "uint64": "uint64",
    "bool": "bool",
    "string": "object",
}


class OnnxModel(Model):
    """An ONNX Runtime session; `handle` is the `InferenceSession` (for IO binding or profiling)."""

    runtime = "onnx"

    @property
    def metadata(self) -> dict[str, str]:
        """What the exporter wrote into the file, by key."""
        return dict(self.handle.get_modelmeta().custom_metadata_map)

    def _compute(self, feed: dict[str, np.ndarray]) -> Any:
        return self.handle.run(None, feed)


def open_onnx(path: Path, *, threads: int | None = None, optimise: bool = True) -> OnnxModel:
    """Open an ONNX file. Raises IntegrityError, BadInputError or UnsupportedError saying what is wrong with it."""
    import onnxruntime as ort

    refuse_impostor(path)
    n = thread_count(threads)
    options = ort.SessionOptions()
    options.log_severity_level = (
        4  # what matters arrives as an exception; the rest would be printed at C level
    )
    options.intra_op_num_threads, options.inter_op_num_threads = n, 1
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:
        raise _explain(e, path) from e
    return OnnxModel(
        path,
        session,
        [_info(v) for v in session.get_inputs()],
        [_info(v) for v in session.get_outputs()],
        n,
    )


def _info(value: Any) -> TensorInfo:
    shape = tuple(d if isinstance(d, int) and d > 0 else None for d in (value.shape or []))
    kind = re.sub(r"^tensor\((.*)\)$", r"\1", value.type)
    return TensorInfo(value.name, shape, DTYPES.get(kind, kind))


def _explain(error: Exception, path: Path) -> BadInputError | UnsupportedError:
    text = str(error)
    if match := re.search(r"No Op registered for (\S+)|In Node, \(\"[^\"]*\", (\w+)", text):
        op = match[1] or match[2]
        return UnsupportedError(
            f"ONNX Runtime does not know the model's operator {op!r}",
            where=path,
            expected="operators of the ONNX standard",
            got=first_line(error),
            fix="export the model without custom operators",
        )
    if "INVALID_PROTOBUF" in text or "Protobuf parsing failed" in text:
        return BadInputError(
            "the file is not an ONNX model (it cannot be parsed)",
            where=path,
            expected="an ONNX protobuf",
            got=f"{path.stat().st_size} bytes",
            fix="the file may be truncated; fetch it again",
        )
    if "NOT_IMPLEMENTED" in text:
        return UnsupportedError(
            "ONNX Runtime has no kernel for one of the model's operators on this machine",
            where=path,
            got=first_line(error),
            fix="export the model with other operators or types",
        )
    return BadInputError(
        "ONNX Runtime refuses the model: its graph is invalid",
        where=path,
        got=first_line(error),
        fix="export the model again",
    )
