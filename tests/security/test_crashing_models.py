"""Issue 22.11: files that end their runtime by a signal, each made here, and what every command says of them."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))  # tests are not a package

from conftest_deploy import CLASSES, spec, write_model

from facelab.core.errors import BadInputError, FacelabError
from facelab.core.hashing import sha256_file
from facelab.core.png import encode_png
from facelab.core.safety import first_try
from facelab.deploy._bundle import make_bundle
from facelab.deploy.manifest import canonical_hash
from facelab.zoo.runtimes import ModelRunError, open_model

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
OP, KIND = schema.BuiltinOperator, schema.TensorType


def written(path, builtin, inputs, *, custom=None, options=None, kind=0, graphs=1):
    """Write a model of one operator on an image of 24×24×3 pixels; `graphs` are equal, so that one can call itself."""
    import flatbuffers

    operator = schema.OperatorCodeT()
    operator.builtinCode, operator.deprecatedBuiltinCode = builtin, min(builtin, 127)
    operator.customCode = custom
    call = schema.OperatorT()
    call.inputs, call.outputs = np.array(inputs, np.int32), np.array([1], np.int32)
    call.builtinOptions, call.builtinOptionsType = options, kind
    model = schema.ModelT()
    model.version, model.operatorCodes, model.buffers = 3, [operator], [schema.BufferT()]
    model.subgraphs = []
    for _ in range(graphs):
        graph = schema.SubGraphT()
        graph.tensors = []
        for name, shape in ((b"image", [1, 24, 24, 3]), (b"scores", [1, 3])):
            tensor = schema.TensorT()
            tensor.name, tensor.buffer = name, 0
            tensor.shape = np.array([1] if graphs > 1 else shape, np.int32)
            tensor.type = KIND.BOOL if graphs > 1 else KIND.FLOAT32
            graph.tensors.append(tensor)
        graph.operators = [call]
        graph.inputs, graph.outputs = np.array([0], np.int32), np.array([1], np.int32)
        model.subgraphs.append(graph)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def calls_itself(path):
    options = schema.IfOptionsT()
    options.thenSubgraphIndex = options.elseSubgraphIndex = 1
    kind = schema.BuiltinOptions.IfOptions
    return written(path, OP.IF, [0, 0], options=options, kind=kind, graphs=2)


def splits_by_nothing(path):
    options = schema.SplitOptionsT()
    kind = schema.BuiltinOptions.SplitOptions
    return written(path, OP.SPLIT, [0, 0], options=options, kind=kind)


def largest_of_one_and_none(path):
    """An ONNX graph whose operator names an input that may be left out elsewhere; found by random graphs."""
    import onnx
    from onnx import helper, numpy_helper

    start = numpy_helper.from_array(np.array([2], np.int64), "a")
    end = helper.make_empty_tensor_value_info("b")
    graph = helper.make_graph([helper.make_node("Max", ["a", ""], ["b"])], "g", [], [end], [start])
    opset = [helper.make_opsetid("", 21)]
    path = path.with_suffix(".onnx")
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


WAYS = {
    "an operator without its data": lambda p: written(p, OP.CUSTOM, [0], custom=b"Mfcc"),
    "a graph that calls itself": calls_itself,
    "a product of nothing": lambda p: written(p, OP.BATCH_MATMUL, []),
    "an input that is not there": lambda p: written(p, OP.CONCATENATION, [0, -1, -1]),
    "a split by nothing": splits_by_nothing,
    "a largest of one and none": largest_of_one_and_none,
}
OPENERS = {
    ".tflite": "from ai_edge_litert.interpreter import Interpreter\n"
    "Interpreter(sys.argv[1], num_threads=1).allocate_tensors()",
    ".onnx": "import onnxruntime\nonnxruntime.InferenceSession(sys.argv[1]).run(None, {})",
}


def ended_by(path):
    """Open a model in a process without any of facelab, and return the signal that ended it, or None."""
    program = "import resource, sys; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    done = subprocess.run(
        [sys.executable, "-c", program + OPENERS[path.suffix], path],
        capture_output=True,
        check=False,
    )
    return signal.Signals(-done.returncode).name if done.returncode < 0 else None


@pytest.fixture
def crashing(tmp_path, monkeypatch):
    """Return a function that writes a model which really ends its runtime, or skips the test."""
    monkeypatch.delenv("FACELAB_OPEN_DIRECTLY")
    monkeypatch.setattr(first_try, "installation_root", lambda: tmp_path / "root")

    def make(way, path):
        path = WAYS[way](path)
        if (found := ended_by(path)) is None:
            pytest.skip("this runtime answers such a file with an error")
        spec().save(path.with_suffix(".preprocess.json"))
        (path.parent / "labels.txt").write_text("\n".join(CLASSES) + "\n")
        return path, found

    return make


@pytest.mark.parametrize("way", WAYS)
def test_such_a_file_is_an_error_that_names_it(way, tmp_path, crashing):
    path, ended = crashing(way, tmp_path / "m.tflite")
    with pytest.raises(FacelabError) as e:
        open_model(path)
    assert e.value.where == str(path) and not (tmp_path / "root").exists(), "nothing is vouched for"
    if way == "an input that is not there" and not isinstance(e.value, ModelRunError):
        # the reader looks beside its own memory: what is there crashes most processes, and not each
        assert e.value.what == "LiteRT refuses the model"
    else:
        assert isinstance(e.value, ModelRunError) and "ends the process" in e.value.what
        assert e.value.got == f"ended by {ended}"


def test_what_a_trial_refused_is_not_opened_here(tmp_path, monkeypatch):
    """It was, and a file that is an error to one process ended the next one."""
    monkeypatch.delenv("FACELAB_OPEN_DIRECTLY")
    monkeypatch.setattr(first_try, "installation_root", lambda: tmp_path / "root")
    monkeypatch.setattr(
        "facelab.zoo.runtimes._opening._open", lambda *_: pytest.fail("opened in this process")
    )
    path = tmp_path / "m.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(60))
    for _ in range(2):  # nor is it vouched for
        with pytest.raises(BadInputError) as e:
            open_model(path)
        assert e.value.where == str(path) and e.value.got and e.value.fix


def bundle_with(model, folder):
    """Make a bundle and put another model into it, every hash correct: what a stranger can make."""
    bundle = make_bundle(write_model(folder / "good.onnx"), folder / "bundle", licence="MIT").folder
    (bundle / "model.onnx").unlink()
    shutil.copy(model, bundle / "model.tflite")
    path = bundle / "manifest.json"
    value = json.loads(path.read_text())
    value |= {"model": "model.tflite", "runtime": "litert"}
    entry = next(f for f in value["files"] if f["role"] == "model")
    entry |= {"path": "model.tflite", "bytes": model.stat().st_size, "sha256": sha256_file(model)}
    path.write_text(json.dumps(value | {"hash": canonical_hash(value)}))
    return bundle


def pictures(folder):
    for k in range(12):
        place = folder / CLASSES[k % 3]
        place.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(k).integers(0, 255, (32, 32, 3), np.uint8)
        (place / f"{k}.png").write_bytes(encode_png(noise))
    return folder


COMMANDS = {
    "bundle make MODEL --licence MIT --out OUT": 2,
    "bundle verify BUNDLE": 0,  # every byte is as promised; nothing is opened
    "gate BUNDLE": 1,
    "release verify BUNDLE": 2,
    "release promote BUNDLE --store OUT": 2,
    "serve --detector haar --emotion BUNDLE --check": 2,
    "emotion predict PICTURES --model MODEL": 2,
    "emotion evaluate MODEL --data PICTURES --crop whole": 2,
    "eval detector --model MODEL --family ultraface --images PICTURES": 2,
    "quantize MODEL --recipe int8 --calibration PICTURES --evaluate PICTURES --crop whole --least 4 --out OUT": 2,
    "fingerprint capture --spec SPEC --tap MODEL --out OUT": None,
    "budget predict MODEL": 0,  # counts operators, and runs none
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", ["an operator without its data", "a graph that calls itself"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_outlives_it(command, way, tmp_path, crashing):
    model, _ = crashing(way, tmp_path / "m.tflite")
    places = {
        "MODEL": model,
        "BUNDLE": bundle_with(model, tmp_path),
        "PICTURES": pictures(tmp_path / "pictures"),
        "SPEC": tmp_path / "m.preprocess.json",
        "OUT": tmp_path / "out",
    }
    done = subprocess.run(
        [sys.executable, "-m", "facelab.cli", *(str(places.get(w, w)) for w in command.split())],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "FACELAB_OPEN_DIRECTLY"}
        | {"XDG_DATA_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode >= 0, f"ended by signal {-done.returncode}"
    text = done.stdout + done.stderr
    assert "Traceback" not in text, text
    if COMMANDS[command] is not None:
        assert done.returncode == COMMANDS[command], text
    if COMMANDS[command]:
        assert "ends the process" in text or "SIGSEGV" in text, text
        assert str(model) in text or str(places["BUNDLE"]) in text, text
