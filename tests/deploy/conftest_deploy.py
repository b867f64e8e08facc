"""A small model with its preprocessing, for the tests of bundle and gate."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facelab.preprocess import PreprocessSpec
from facelab.preprocess.ops import DECODE_RGB, RESIZE_ANTIALIASED, UPRIGHT

STAGES = [
    DECODE_RGB,
    UPRIGHT,
    {**RESIZE_ANTIALIASED, "size": [24, 24]},
    {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"},
    {"op": "layout", "to": "nhwc"},
    {"op": "cast", "dtype": "float32"},
]
CLASSES = ("anger", "joy", "neutral")


def spec(**changes) -> PreprocessSpec:
    """The good preprocessing, with parameters of single stages changed (None drops one): `normalize={"mean": [0]}`."""
    stages = [{**s, **changes.get(s["op"], {})} for s in STAGES]
    return PreprocessSpec("small", [{k: v for k, v in s.items() if v is not None} for s in stages])


def write_model(path: Path, *, seed: int = 0, quantized: bool = False) -> Path:
    """Write an ONNX classifier: 24×24×3 pixels times a matrix, softmax; optionally through 8-bit integers."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.05, (24 * 24 * 3, 3)).astype(np.float32)
    constants = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.array([1, -1]), "shape"),
    ]
    start, nodes = "image", []
    if quantized:
        constants += [
            numpy_helper.from_array(np.float32(2 / 255), "scale"),
            numpy_helper.from_array(np.uint8(128), "zero"),
        ]
        nodes += [
            helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
        ]
        start = "dq"
    nodes += [
        helper.make_node("Reshape", [start, "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 24, 24, 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph(nodes, "small", [image], [scores], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path
    )
    spec().save(path.with_suffix(".preprocess.json"))
    path.with_suffix(".labels.txt").write_text("\n".join(CLASSES) + "\n")
    return path
