"""Emitted ONNX graphs: the reference's tensors to the bit, landmarks as an input, and models behind them."""

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from emitted import random_frames
from hypothesis import HealthCheck, Phase, given, settings
from onnx import TensorProto, helper
from spec_strategies import specs

from facelab import cli
from facelab.core.errors import BadInputError, UnsupportedError
from facelab.preprocess import PreprocessSpec, presets
from facelab.preprocess.emit import Frame, emit
from facelab.preprocess.emit._golden import golden
from facelab.preprocess.ops import RESIZE_PLAIN

RESIZE = {**RESIZE_PLAIN, "size": [8, 6]}


def session(data):
    return ort.InferenceSession(data, providers=["CPUExecutionProvider"])


def run(opened, frame):
    """Feed a frame to a graph."""
    flat = np.frombuffer(frame.data, np.uint8)
    fed = {}
    for i in opened.get_inputs():
        if i.name.endswith("landmarks"):
            fed[i.name] = np.asarray(frame.face["landmarks"], np.float64)
        else:
            fed[i.name] = flat.reshape(i.shape)
    return opened.run(None, fed)


def check(spec, frame, **options):
    """Compare one frame's tensor; a face box is fixed, since shapes in a graph are."""
    size = None if spec.stages[0].size else frame.size
    data = emit(spec, "onnx", size=size, **options).files["preprocess.onnx"]
    wanted, (got,) = golden(spec, frame), run(session(data), frame)
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(got, wanted)


def proven(spec):
    """Check a random spec on one frame; what ONNX refuses by name, or no frame fits, counts as done."""
    (frame,) = random_frames(spec, 1)
    frame = Frame(frame.name, frame.data, frame.size, 1, frame.face)
    boxed = any(s.op == "crop" and s.region == "face" for s in spec.stages)
    try:
        golden(spec, frame)
        emit(spec, "onnx", size=frame.size, face=frame.face if boxed else None)
    except (BadInputError, UnsupportedError) as e:
        assert e.fix
        return
    check(spec, frame, face=frame.face if boxed else None)


QUIET = {"database": None, "deadline": None, "phases": [Phase.generate], "derandomize": True}


@settings(max_examples=20, suppress_health_check=list(HealthCheck), **QUIET)
@given(specs())
def test_random_specs_give_the_golden_tensors(spec):
    proven(spec)


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=list(HealthCheck), **QUIET)
@given(specs())
def test_many_random_specs_give_the_golden_tensors(spec):
    proven(spec)


@pytest.mark.parametrize(
    "name", ["arcface-r50", "yunet-n-320", "mini-xception-48px", "facenet", "dlib-resnet"]
)
def test_a_preset_gives_the_golden_tensor(name):
    spec = presets.preset(name)
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    face = {
        "box": [20, 10, 61, 47],
        "landmarks": [[30, 25], [52, 22], [42, 34], [33, 44], [50, 43]],
    }
    boxed = any(s.op == "crop" for s in spec.stages)
    check(spec, Frame.of("noise", noise, face=face), face=face if boxed else None)


def network(shape, dtype=TensorProto.FLOAT, opset=13, answers=("y",)):
    """A model that halves its input; with two outputs it doubles it too."""
    info = helper.make_tensor_value_info
    numbers = [helper.make_tensor(f"c{i}", dtype, [], [v]) for i, v in enumerate((0.5, 2.0))]
    nodes = [helper.make_node("Mul", ["x", f"c{i}"], [y]) for i, y in enumerate(answers)]
    outputs = [info(y, dtype, shape) for y in answers]
    graph = helper.make_graph(nodes, "net", [info("x", dtype, shape)], outputs, numbers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 7
    return model


def float_spec(**decode):
    first = {
        "op": "decode",
        "format": "encoded",
        "order": "rgb",
        "idct": "accurate",
        "alpha": "drop",
    }
    stages = [decode or first]
    if decode.get("chroma"):
        yuv = {"matrix": "bt601", "range": "limited", "rounding": "half_up"}
        stages.append({"op": "color", "from": "yuv", "to": "rgb", **yuv})
    normal = {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"}
    stages += [RESIZE, normal, {"op": "layout", "to": "nchw"}, {"op": "cast", "dtype": "float32"}]
    return PreprocessSpec("float", stages)


@pytest.mark.parametrize("opset", [9, 13, 17, 21])
def test_a_merged_model_answers_pixels_as_the_model_answers_tensors(opset, tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(network([1, 3, 6, 8], opset=opset, answers=("y", "z")), path)
    spec = float_spec()
    (frame,) = (
        f
        for f in [
            Frame.of("n", np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8))
        ]
    )
    files = emit(spec, "onnx", size=(50, 40), merge=path).files
    merged = session(files["preprocess_merged.onnx"])
    wanted = session(path.read_bytes()).run(None, {"x": golden(spec, frame)})
    got = run(merged, frame)
    assert [i.name for i in merged.get_inputs()] == ["image"]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(wanted, got)) and len(got) == 2
    model = onnx.load_from_string(files["preprocess_merged.onnx"])
    assert [(o.domain, o.version) for o in model.opset_import] == [("", max(opset, 13))]
    assert model.ir_version == 7


@pytest.mark.parametrize("fmt", ["yuyv", "nv12"])
def test_a_merged_model_takes_a_camera_frame(fmt, tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(network([None, 3, None, None]), path)
    spec = float_spec(op="decode", format=fmt, order="yuv", size=[32, 24], chroma="replicate")
    (frame,) = random_frames(spec, 1)
    merged = session(emit(spec, "onnx", merge=path).files["preprocess_merged.onnx"])
    assert [i.name for i in merged.get_inputs()] == ["frame"]
    np.testing.assert_array_equal(run(merged, frame)[0], golden(spec, frame) * np.float32(0.5))


@pytest.mark.parametrize(
    ("shape", "dtype"), [([1, 3, 8, 6], TensorProto.FLOAT), ([1, 3, 6, 8], TensorProto.DOUBLE)]
)
def test_a_model_that_takes_another_tensor_is_refused(shape, dtype, tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(network(shape, dtype), path)
    with pytest.raises(BadInputError, match="does not give what the model takes") as e:
        emit(float_spec(), "onnx", size=(50, 40), merge=path)
    assert str(path) in e.value.where


def test_broken_models_sizes_and_moving_faces_are_refused(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    spec = float_spec()
    for options in ({"merge": tmp_path / "bad.onnx"}, {"merge": tmp_path / "none.onnx"}):
        with pytest.raises(BadInputError, match="cannot be read"):
            emit(spec, "onnx", size=(50, 40), **options)
    with pytest.raises(BadInputError, match="pictures of one size"):
        emit(spec, "onnx")
    with pytest.raises(BadInputError, match="no such size"):
        emit(spec, "onnx", size=(0, 40))
    with pytest.raises(UnsupportedError, match="face whose box changes"):
        emit(presets.preset("facenet"), "onnx", size=(50, 40))


def test_the_metadata_states_hash_version_and_input():
    import facelab

    spec = float_spec()
    model = onnx.load_from_string(emit(spec, "onnx", size=(50, 40)).files["preprocess.onnx"])
    facts = {p.key: p.value for p in model.metadata_props}
    assert (
        facts["facelab.preprocess"] == spec.hash and facts["facelab.version"] == facelab.__version__
    )
    assert facts["facelab.input"].startswith("50×40, rgb") and model.opset_import[0].version == 13


def test_the_command_writes_a_merged_model_that_its_own_check_passes(tmp_path, capsys):
    import subprocess
    import sys

    path = tmp_path / "net.onnx"
    onnx.save(network([1, 3, 6, 8]), path)
    float_spec().save(tmp_path / "net.preprocess.json")
    out = tmp_path / "out"
    command = [
        "preprocess",
        "emit",
        str(path),
        "--to",
        "onnx",
        "--size",
        "50,40",
        "--merge",
        str(path),
    ]
    assert cli.run([*command, "--out", str(out), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert "preprocess_merged.onnx" in files and "testdata/cases.txt" in files
    check = [sys.executable, "preprocess_check.py", "testdata", str(path)]
    done = subprocess.run(check, cwd=out, capture_output=True, text=True)
    assert done.returncode == 0 and "output y: same" in done.stdout, done.stdout + done.stderr
