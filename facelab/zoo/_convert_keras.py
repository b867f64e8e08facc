"""A Keras HDF5 file (model configuration and weights) becomes ONNX, without importing TensorFlow.

Covers the layers of the XCEPTION emotion networks (https://github.com/oarriaga/face_classification) and their like; a
layer it does not know is refused by name. Input and outputs keep Keras' layout (NHWC), so one preprocessing spec
serves the Keras file and the ONNX file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.zoo._graph import GraphBuilder
from facelab.zoo._integrity import refuse_impostor

if TYPE_CHECKING:
    from onnx import ModelProto


ACTIVATIONS = {
    "linear": None,
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softmax": "Softmax",
}


class KerasFile:
    """What an HDF5 file says: layers in order, how they are connected, and their weights by name."""

    def __init__(self, path: Path, data: bytes | None = None):
        import h5py

        refuse_impostor(path)
        try:
            with h5py.File(path if data is None else io.BytesIO(data), "r") as f:
                config = f.attrs.get("model_config")
                weights = f.get("model_weights")
                if config is None or not isinstance(weights, h5py.Group):
                    raise BadInputError(
                        "the HDF5 file holds no whole Keras model",
                        where=path,
                        expected="model_config and model_weights",
                        fix="save the model with its configuration, not its weights alone",
                    )
                self.config = json.loads(config if isinstance(config, str) else config.decode())
                self.weights = {layer: _arrays(weights[layer]) for layer in weights}
        except (OSError, KeyError, ValueError) as e:
            raise BadInputError(
                "the file is not a Keras HDF5 model",
                where=path,
                got=str(e)[:200],
                fix="the file may be truncated; fetch it again",
            ) from e
        self.path = path
        self.layers = self.config["config"]["layers"]
        if self.config.get("class_name") not in ("Model", "Functional"):
            raise UnsupportedError(
                "only functional Keras models can be converted",
                where=path,
                got=self.config.get("class_name"),
                fix="open it with the Keras runtime",
            )


def _arrays(group: Any) -> list[np.ndarray]:
    names = [n if isinstance(n, str) else n.decode() for n in group.attrs["weight_names"]]
    return [np.asarray(group[n]) for n in names]


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _padding(config: dict) -> str:
    return {"same": "SAME_UPPER", "valid": "VALID"}[config.get("padding", "valid")]


def _activate(g: GraphBuilder, x: str, name: str, *, axis: int) -> str:
    if name not in ACTIVATIONS:
        raise UnsupportedError(
            f"the Keras activation {name!r} cannot be converted",
            expected=", ".join(ACTIVATIONS),
            fix="open it with the Keras runtime",
        )
    op = ACTIVATIONS[name]
    return x if op is None else g.node(op, x, **({"axis": axis} if op == "Softmax" else {}))


class Converter:
    """Walks the layers; `values` maps a layer's name to (value name, rank), images being NCHW inside."""

    def __init__(self, file: KerasFile):
        self.file = file
        first = next(layer for layer in file.layers if layer["class_name"] == "InputLayer")
        shape = first["config"].get("batch_input_shape") or first["config"].get("batch_shape")
        self.g = GraphBuilder(file.path.stem, [("input", tuple(shape))])
        self.values: dict[str, tuple[str, int]] = {}

    def run(self) -> ModelProto:
        """Return the ModelProto."""
        for layer in self.file.layers:
            handler: Callable | None = getattr(self, "_" + layer["class_name"], None)
            if handler is None:
                raise UnsupportedError(
                    f"the Keras layer {layer['class_name']!r} cannot be converted",
                    where=f"{self.file.path}: {layer['config']['name']}",
                    fix="open it with the Keras runtime",
                )
            inputs = [self.values[name] for name in _inbound(layer)]
            name = layer["config"]["name"]
            self.values[name] = handler(layer["config"], self.file.weights.get(name, []), *inputs)
        outputs, shapes = {}, {}
        for i, entry in enumerate(self.file.config["config"]["output_layers"]):
            value, rank = self.values[entry[0] if isinstance(entry, list) else entry]
            name = "output" if i == 0 else f"output_{i}"
            outputs[name] = (
                self.g.node("Transpose", value, perm=[0, 2, 3, 1]) if rank == 4 else value
            )
            shapes[name] = (None,) * rank
        return self.g.finish(outputs, shapes)

    def _InputLayer(self, config: dict[str, Any], weights: list[np.ndarray]) -> tuple[str, int]:
        return self.g.node("Transpose", "input", perm=[0, 3, 1, 2]), 4

    def _Conv2D(self, config: dict[str, Any], weights: list[np.ndarray], x: str) -> tuple[str, int]:
        y = self.g.node(
            "Conv",
            x[0],
            weights[0].transpose(3, 2, 0, 1),
            *weights[1:2],
            strides=list(_pair(config["strides"])),
            dilations=list(_pair(config["dilation_rate"])),
            auto_pad=_padding(config),
        )
        return _activate(self.g, y, config["activation"], axis=1), 4

    def _SeparableConv2D(
        self, config: dict[str, Any], weights: list[np.ndarray], x: str
    ) -> tuple[str, int]:
        depth = weights[0]  # height, width, channels in, multiplier
        h, w, c, m = depth.shape
        kernel = depth.transpose(2, 3, 0, 1).reshape(c * m, 1, h, w)
        y = self.g.node(
            "Conv",
            x[0],
            kernel,
            group=c,
            strides=list(_pair(config["strides"])),
            auto_pad=_padding(config),
        )
        y = self.g.node("Conv", y, weights[1].transpose(3, 2, 0, 1), *weights[2:3])
        return _activate(self.g, y, config["activation"], axis=1), 4

    def _DepthwiseConv2D(
        self, config: dict[str, Any], weights: list[np.ndarray], x: str
    ) -> tuple[str, int]:
        h, w, c, m = weights[0].shape
        kernel = weights[0].transpose(2, 3, 0, 1).reshape(c * m, 1, h, w)
        y = self.g.node(
            "Conv",
            x[0],
            kernel,
            *weights[1:2],
            group=c,
            strides=list(_pair(config["strides"])),
            auto_pad=_padding(config),
        )
        return _activate(self.g, y, config["activation"], axis=1), 4

    def _BatchNormalization(
        self, config: dict[str, Any], weights: list[np.ndarray], x: str
    ) -> tuple[str, str]:
        rest = list(weights)
        n = rest[-1].shape[0]
        gamma = rest.pop(0) if config.get("scale", True) else np.ones(n, np.float32)
        beta = rest.pop(0) if config.get("center", True) else np.zeros(n, np.float32)
        y = self.g.node(
            "BatchNormalization", x[0], gamma, beta, *rest, epsilon=float(config["epsilon"])
        )
        return y, x[1]

    def _Activation(
        self, config: dict[str, Any], weights: list[np.ndarray], x: str
    ) -> tuple[str, str]:
        return _activate(self.g, x[0], config["activation"], axis=1 if x[1] == 4 else -1), x[1]

    def _ReLU(self, config: dict[str, Any], weights: list[np.ndarray], x: Any) -> tuple[str, str]:
        limit = config.get("max_value")
        return (
            self.g.node("Clip", x[0], np.array(0, np.float32), np.array(limit, np.float32))
            if limit is not None
            else self.g.node("Relu", x[0])
        ), x[1]

    def _pooled(self, kind: str, config: dict[str, Any], x: str) -> tuple[str, int]:
        return self.g.node(
            kind,
            x[0],
            kernel_shape=list(_pair(config["pool_size"])),
            strides=list(_pair(config["strides"])),
            auto_pad=_padding(config),
        ), 4

    def _MaxPooling2D(
        self, config: dict[str, Any], weights: list[np.ndarray], x: str
    ) -> tuple[str, int]:
        return self._pooled("MaxPool", config, x)

    def _AveragePooling2D(
        self, config: dict[str, Any], weights: list[np.ndarray], x: str
    ) -> tuple[str, int]:
        return self._pooled("AveragePool", config, x)

    def _GlobalAveragePooling2D(
        self, config: dict[str, Any], weights: list[np.ndarray], x: str
    ) -> tuple[str, int]:
        return self.g.node("Flatten", self.g.node("GlobalAveragePool", x[0])), 2

    def _Flatten(
        self, config: dict[str, Any], weights: list[np.ndarray], x: str
    ) -> tuple[str, int]:
        y = self.g.node("Transpose", x[0], perm=[0, 2, 3, 1]) if x[1] == 4 else x[0]
        return self.g.node("Flatten", y), 2

    def _Dense(self, config: dict[str, Any], weights: list[np.ndarray], x: str) -> tuple[str, int]:
        y = self.g.node("Gemm", x[0], *weights[:2])
        return _activate(self.g, y, config["activation"], axis=-1), 2

    def _Dropout(self, config: dict[str, Any], weights: list[np.ndarray], x: str) -> str:
        return x

    def _Add(
        self, config: dict[str, Any], weights: list[np.ndarray], *xs: Any
    ) -> tuple[Any | str, Any]:
        y = xs[0][0]
        for other in xs[1:]:
            y = self.g.node("Add", y, other[0])
        return y, xs[0][1]


def _inbound(layer: dict) -> list[str]:
    nodes = layer.get("inbound_nodes") or []
    return [entry[0] for entry in nodes[0]] if nodes else []


def convert(source: Path, data: bytes | None = None) -> bytes:
    """Return the serialised ONNX model of a Keras HDF5 file, or of `data`, its bytes that were read before.

    Raises BadInputError or UnsupportedError.
    """
    return Converter(KerasFile(source, data)).run().SerializeToString(deterministic=True)
