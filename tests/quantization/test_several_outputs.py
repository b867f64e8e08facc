"""A user's classifier with features beside its answer, and one that answers in logits: judged by the right numbers."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from facelab import emotion
from facelab.cli import run
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.fingerprint import compare, import_tensors, load
from facelab.preprocess import PreprocessSpec
from facelab.preprocess.ops import DECODE_RGB, RESIZE_ANTIALIASED, UPRIGHT
from facelab.quantization import _subject as subject
from facelab.quantization._qat import check_outputs
from facelab.quantization.measure import ends
from facelab.zoo.runtimes import open_model

CLASSES = ("alert", "drowsy", "asleep")
STAGES = [
    DECODE_RGB,
    UPRIGHT,
    {**RESIZE_ANTIALIASED, "size": [16, 16]},
    {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"},
    {"op": "layout", "to": "nhwc"},
    {"op": "cast", "dtype": "float32"},
]


def write_model(folder, *, outputs=("features", "answer"), softmax=True, metadata=None):
    """Write a classifier of brightness; its features are on a different scale than its answer."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    first = rng.normal(0, 0.002, (768, 3 * 8)).astype(np.float32)
    first[:, 0] = 1 / 768  # the mean
    second = np.zeros((24, 3), np.float32)
    second[0] = [-9, 0, 9]
    constants = [
        numpy_helper.from_array(first, "w1"),
        numpy_helper.from_array(second, "w2"),
        numpy_helper.from_array(np.array([0, 2.5, 0], np.float32), "b2"),
        numpy_helper.from_array(np.array([1, -1]), "flat"),
    ]
    nodes = [
        helper.make_node("Reshape", ["image", "flat"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "w1"], ["features"]),
        helper.make_node("MatMul", ["features", "w2"], ["z"]),
        helper.make_node("Add", ["z", "b2"], ["logits" if softmax else "answer"]),
    ]
    nodes += [helper.make_node("Softmax", ["logits"], ["answer"])] * softmax
    widths = {"features": 24, "answer": 3}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 16, 16, 3])],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, [1, widths[o]]) for o in outputs],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(made, metadata or {})
    onnx.save(made, str(folder / "own.onnx"))
    PreprocessSpec("own", STAGES).save(folder / "own.preprocess.json")
    if metadata is None:
        (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    return folder / "own.onnx"


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    for name, n, seed in (("a", 30, 1), ("b", 24, 2)):
        rng = np.random.default_rng(seed)
        for k in range(n):
            place = folder / name / CLASSES[k % 3]
            place.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(rng.normal(45 + 80 * (k % 3), 20, (20, 20, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{seed}-{k}.png")
    return folder


def quantised(model, sets, out):
    args = ["quantize", model, "--recipe", "s8s8-per-channel-minmax", "--out", out, "--no-latency"]
    args += ["--calibration", sets / "a", "--evaluate", sets / "b", "--crop", "whole"]
    assert run([str(a) for a in args]) in (0, 1)
    report = json.loads((out / "quantization.json").read_text())
    return {row["variant"]: row for row in report["rows"]}, out


@pytest.mark.parametrize("outputs", [("features", "answer"), ("answer", "features")])
def test_the_answer_is_judged_whatever_is_beside_it(tmp_path, sets, outputs):
    alone, _ = quantised(
        write_model(tmp_path / "one", outputs=("answer",)), sets, tmp_path / "alone"
    )
    both, out = quantised(write_model(tmp_path / "two", outputs=outputs), sets, tmp_path / "both")
    for a, b in zip(alone.values(), both.values(), strict=True):
        assert b["accuracy"]["value"] == a["accuracy"]["value"] > 0.9
        assert b["ece"] == pytest.approx(a["ece"], abs=1e-6)
    classifier = emotion.load(next(out.glob("*.onnx")))
    assert classifier.answers(np.zeros((1, 16, 16, 3), np.float32)).shape == (1, 3)


def test_logits_become_probabilities(tmp_path, sets):
    same, _ = quantised(write_model(tmp_path / "a", outputs=("answer",)), sets, tmp_path / "s")
    model = write_model(tmp_path / "b", outputs=("answer",), softmax=False)
    rows, _ = quantised(model, sets, tmp_path / "l")
    assert rows["float32"]["ece"] == pytest.approx(same["float32"]["ece"], abs=1e-6)
    assert rows["s8s8-per-channel-minmax"]["agreement"]["value"] > 0.9


def test_labels_of_an_onnx_file_make_it_a_classifier(tmp_path):
    names = {"names": json.dumps(dict(enumerate(CLASSES)))}
    it = subject.load(write_model(tmp_path / "a", metadata=names))
    assert (it.task, it.classes, it.known_by) == ("classifier", CLASSES, "labels in the file")
    other = {"names": json.dumps({0: "face"})}  # a detector states names too
    assert subject.load(write_model(tmp_path / "b", metadata=other)).task == "network"


def test_a_bundle_says_which_output_has_the_labels(tmp_path, capsys):
    model = write_model(tmp_path / "m")
    assert run(["bundle", str(model), "--out", str(tmp_path / "b"), "--licence", "MIT"]) == 0
    assert "in the order of the output `answer`" in (tmp_path / "b" / "README.md").read_text()
    (model.parent / "labels.txt").write_text("a\nb\nc\nd\n")
    assert run(["bundle", str(model), "--out", str(tmp_path / "c"), "--licence", "MIT"]) == 2
    assert "the output with the scores of the classes" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_a_network_that_takes_bytes_is_not_called_quantised(tmp_path):
    """Cast and normalize are inside: evaluated and bundled as it is, but calibration needs a float input."""
    model = onnx.load(write_model(tmp_path / "m", outputs=("answer",)))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    model.graph.node[0].input[0] = "floats"
    model.graph.node.insert(
        0, helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT)
    )
    onnx.save(model, tmp_path / "m" / "own.onnx")
    PreprocessSpec("bytes", [*STAGES[:3], STAGES[4]]).save(tmp_path / "m" / "own.preprocess.json")
    with pytest.raises(UnsupportedError, match="its preprocessing is inside"):
        subject.load(tmp_path / "m" / "own.onnx")
    pixels = np.full((2, 16, 16, 3), 200, np.uint8)
    assert emotion.load(tmp_path / "m" / "own.onnx").answers(pixels).shape == (2, 3)
    out = tmp_path / "b"
    assert (
        run(["bundle", str(tmp_path / "m" / "own.onnx"), "--out", str(out), "--licence", "MIT"])
        == 0
    )
    tensors = out / "golden" / "tensors"
    for path in sorted(tensors.glob("*.npy"))[:5]:  # off by a level in some pixels
        a = np.load(path)
        np.save(path, np.where(np.arange(a.size).reshape(a.shape) % 7 == 0, a ^ 1, a))
    inference = import_tensors(tensors).save(tmp_path / "i.json")
    assert compare(load(out / "train.json"), load(inference)).verdict == "equivalent"


def test_an_embedder_with_two_outputs_is_refused(tmp_path):
    model = write_model(tmp_path, metadata={})
    stages = [s for s in STAGES if s["op"] != "resize"]
    align = {
        "op": "align", "template": "arcface", "size": [16, 16], "estimator": "umeyama", "kernel": "bilinear",
        "coordinates": "exact", "border": [0], "rounding": "half_up",
    }  # fmt: skip
    spec = PreprocessSpec("aligned", [*stages[:2], align, *stages[2:]])
    with pytest.raises(BadInputError, match="one output"):
        subject.load(model, spec=spec)


def test_training_under_rounding_takes_one_output(tmp_path):
    model = write_model(tmp_path)
    with pytest.raises(UnsupportedError, match="one output"):
        check_outputs(model, model)


def test_each_output_has_its_own_scale(tmp_path):
    model = open_model(write_model(tmp_path))
    model.outputs = [dataclasses.replace(t, dtype="int8") for t in model.outputs]
    model.quantization = {"features": (0.5, 3), "answer": (1 / 256, -128)}
    assert ends(model, 0).output == (0.5, 3, "int8")
    assert ends(model, 1).output == (1 / 256, -128, "int8")


def test_the_answers_scale_is_that_of_its_output(tmp_path):
    classifier = emotion.load(write_model(tmp_path))
    classifier.model = open_model(tmp_path / "own.onnx")
    classifier.model.quantization = {"features": (7.0, 0), "answer": (0.5, 2)}
    raw = np.array([[2, 4, 6]], np.int8)
    assert classifier._dequantized(raw).tolist() == [[0, 1, 2]]
