"""TFLite models on LiteRT (ai_edge_litert)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, FacelabError, UnsupportedError
from facelab.zoo._integrity import refuse_impostor
from facelab.zoo.runtimes._base import Model, TensorInfo, first_line, thread_count


class LitertModel(Model):
    """A LiteRT interpreter; inputs are resized to what arrives where their signature allows it.

    `quantization` maps an input's or output's name to its (scale, zero point) per-tensor parameters; (0.0, 0) where
    the tensor is not quantised. An interpreter has state, so calls from several threads take turns.
    """

    runtime = "litert"

    def __init__(self, path: Path, interpreter: Any, inputs: Any, outputs: Any, threads: Any):
        super().__init__(path, interpreter, inputs, outputs, threads)
        self._inputs = interpreter.get_input_details()
        self._outputs = interpreter.get_output_details()
        self._shapes = {d["index"]: tuple(int(n) for n in d["shape"]) for d in self._inputs}
        self.quantization = {
            i.name: (float(d["quantization"][0]), int(d["quantization"][1]))
            for i, d in zip((*self.inputs, *self.outputs), (*self._inputs, *self._outputs))
        }

    def _compute(self, feed: dict[str, np.ndarray]) -> list[Any]:
        with self._turn:
            self._resize(feed)
            for info, detail in zip(self.inputs, self._inputs):
                self.handle.set_tensor(detail["index"], feed[info.name])
            self.handle.invoke()
            # declared shapes of outputs may be placeholders (UltraFace: [1, 1, 4]); get_tensor gives the real ones
            return [self.handle.get_tensor(d["index"]) for d in self._outputs]

    def _resize(self, feed: dict[str, np.ndarray]) -> None:
        changed = [
            (d["index"], feed[i.name].shape)
            for i, d in zip(self.inputs, self._inputs)
            if feed[i.name].shape != self._shapes[d["index"]]
        ]
        for index, shape in changed:
            self.handle.resize_tensor_input(index, list(shape))
        if changed:
            self.handle.allocate_tensors()
            self._shapes.update(changed)


def open_litert(path: Path, *, threads: int | None = None, resizable: bool = False) -> LitertModel:
    """Open a TFLite file.

    `resizable` treats batch, height and width as dynamic although the file fixes them: fully convolutional networks
    such as MTCNN's P-Net. Raises IntegrityError, BadInputError or UnsupportedError saying what is wrong with it.
    """
    from ai_edge_litert.interpreter import Interpreter

    refuse_impostor(path)
    n = thread_count(threads)
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=n)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError, TypeError) as e:
        raise _explain(e, path) from e
    inputs = [_info(d, resizable) for d in interpreter.get_input_details()]
    return LitertModel(
        path,
        interpreter,
        inputs,
        [_info(d, resizable) for d in interpreter.get_output_details()],
        n,
    )


def _info(detail: dict, resizable: bool) -> TensorInfo:
    signature = detail.get("shape_signature")
    shape = signature if signature is not None and len(signature) else detail["shape"]
    shape = tuple(int(n) if n > 0 else None for n in shape)
    if resizable and len(shape) == 4:
        shape = (None, None, None, shape[3])
    return TensorInfo(detail["name"], shape, np.dtype(detail["dtype"]).name)


def _explain(error: Exception, path: Path) -> FacelabError:
    text = str(error)
    if match := re.search(r"unresolved custom op: (\S+?)\.?\s", text + " "):
        fix = (
            "the file was compiled for an Edge TPU; use the model from before that compilation"
            if "edgetpu" in match[1]
            else "export the model without custom operators"
        )
        return UnsupportedError(
            f"LiteRT does not know the model's custom operator {match[1]!r}",
            where=path,
            expected="built-in operators",
            got=first_line(error),
            fix=fix,
        )
    if "Flatbuffer" in text or "FlatBuffer" in text or "identifier" in text:
        return BadInputError(
            "the file is not a TFLite model (no FlatBuffer)",
            where=path,
            expected="a TFLite FlatBuffer",
            got=f"{path.stat().st_size} bytes",
            fix="the file may be truncated; fetch it again",
        )
    return BadInputError(
        "LiteRT refuses the model", where=path, got=first_line(error), fix="export the model again"
    )
