"""Small classifiers with bundles, for the tests of releases: each names itself in its labels and its numbers."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facelab.deploy._bundle import make_bundle
from facelab.preprocess import PreprocessSpec
from facelab.preprocess.ops import RESIZE_PLAIN

SIZE = 8


def spec(scale: float = 127.5, order: str = "rgb") -> PreprocessSpec:
    """Return a preprocessing whose `scale` and `order` show in the tensor."""
    decode = {"op": "decode", "format": "encoded", "order": order, "idct": "accurate"}
    return PreprocessSpec(
        f"scale-{scale:g}-{order}",
        [
            {**decode, "alpha": "drop"},
            {"op": "orient", "exif": "apply", "transform": "none"},
            {**RESIZE_PLAIN, "size": [SIZE, SIZE]},
            {"op": "normalize", "mean": [0.0], "scale": [scale], "units": "0-255"},
            {"op": "layout", "to": "nhwc"},
            {"op": "cast", "dtype": "float32"},
        ],
    )


def write_model(path: Path, *, seed: int = 0, weights_mb: float = 0.0, classes: int = 3) -> Path:
    """Write an ONNX classifier of `SIZE`×`SIZE` pixels; `weights_mb` makes it as large as wanted."""
    rng = np.random.default_rng(seed)
    n = SIZE * SIZE * 3
    w = rng.normal(0, 0.05, (n, classes)).astype(np.float32)
    constants = [
        numpy_helper.from_array(w, "w"),
        numpy_helper.from_array(np.array([1, -1]), "flat"),
    ]
    nodes = [
        helper.make_node("Reshape", ["image", "flat"], ["x"]),
        helper.make_node("MatMul", ["x", "w"], ["z"]),
    ]
    last = "z"
    if weights_mb:
        wide = int(weights_mb * 2**20 / 4 / (2 * classes))
        for name, shape in (("a", (classes, wide)), ("b", (wide, classes))):
            constants.append(numpy_helper.from_array(rng.normal(0, 0.01, shape).astype("f4"), name))
        nodes += [
            helper.make_node("MatMul", ["z", "a"], ["h"]),
            helper.make_node("MatMul", ["h", "b"], ["y"]),
        ]
        last = "y"
    nodes.append(helper.make_node("Softmax", [last], ["scores"]))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, classes])],
        constants,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path
    )
    return path


def bundle(
    folder: Path, name: str, *, seed: int = 0, scale: float = 127.5, mb: float = 0.0
) -> Path:
    """Make a bundle whose labels start with its name."""
    source = write_model(folder / f"{name}-source" / "model.onnx", seed=seed, weights_mb=mb)
    labels = source.with_name("labels.txt")
    labels.write_text("".join(f"{name}-{c}\n" for c in "abc"))
    spec(scale).save(source.with_name("model.preprocess.json"))
    made = make_bundle(source, folder / name, name=name, labels=labels, licence="Apache-2.0")
    return made.folder


def emotion_bundle(folder: Path, name: str, *, seed: int = 0) -> Path:
    """Make a bundle that crops faces as facelab's emotion classifiers do."""
    from facelab.emotion import emotion_spec

    source = write_model(folder / f"{name}-source" / "model.onnx", seed=seed)
    labels = source.with_name("labels.txt")
    labels.write_text("".join(f"{name}-{c}\n" for c in "abc"))
    emotion_spec(SIZE).save(source.with_name("model.preprocess.json"))
    return make_bundle(source, folder / name, name=name, labels=labels, licence="Apache-2.0").folder


def picture(seed: int = 0) -> np.ndarray:
    """Return a random picture, uint8 RGB."""
    return np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
