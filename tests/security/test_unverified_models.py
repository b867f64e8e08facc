"""Issue 22.6, 22.11: what strangers' models do, they do in a process that can do nothing."""

import contextlib
import os

import numpy as np
import pytest

from facelab.core import fresh, sandbox
from facelab.core.errors import FacelabError, UnsupportedError
from facelab.core.safety import first_try
from facelab.zoo.internals import trust
from facelab.zoo.runtimes import ModelRunError, open_model

needs_sandbox = pytest.mark.skipif(
    sandbox.why_not() is not None, reason=f"no sandbox here: {sandbox.why_not()}"
)


@pytest.fixture
def small(tmp_path, monkeypatch):
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))
    from conftest_deploy import write_model

    monkeypatch.delenv("FACELAB_OPEN_DIRECTLY")
    monkeypatch.setattr(first_try, "installation_root", lambda: tmp_path / "root")
    return write_model(tmp_path / "m.onnx", seed=3)


def test_a_file_that_nobody_verified_is_opened_first_in_a_child(small, tmp_path, monkeypatch):
    calls = []
    call = fresh.call
    monkeypatch.setattr(fresh, "call", lambda *a, **k: calls.append(a) or call(*a, **k))
    assert open_model(small).inputs[0].shape == (1, 24, 24, 3)
    assert len(calls) == 1
    open_model(small)
    assert len(calls) == 1  # its content is known now
    open_model(small, made_here=True)
    small.write_bytes(small.read_bytes() + b"\x0a\x00")
    with pytest.raises(FacelabError):
        open_model(tmp_path / "none.onnx")
    open_model(small)
    assert len(calls) == 2


def test_a_crash_names_the_file_and_leaves_this_process(small, monkeypatch):
    call = fresh.call
    monkeypatch.setattr(fresh, "call", lambda *a, **k: call("os:abort", timeout=30))
    with pytest.raises(ModelRunError, match="ends the process") as e:
        open_model(small)
    assert str(small) in e.value.where and e.value.got == "ended by SIGABRT"


def readers(model, folder):
    """Everything that reads a stranger's model by a native library, as calls."""
    from conftest_deploy import spec

    from facelab import budget
    from facelab.fingerprint.capture import _adapters as adapters
    from facelab.preprocess import emit

    return {
        "a runtime": lambda: open_model(model),
        "a budget": lambda: budget.cost_of(model),
        "a pipeline": lambda: adapters.onnx_pipeline(model),
        "merging": lambda: emit.emit(spec(), "onnx", size=(40, 40), merge=model),
    }


@pytest.mark.parametrize("way", ["a runtime", "a budget", "a pipeline", "merging"])
def test_a_crash_is_an_error_whatever_reads_the_model(small, tmp_path, monkeypatch, way):
    call = fresh.call
    monkeypatch.setattr(fresh, "call", lambda *a, **k: call("os:abort", timeout=30))
    with pytest.raises(FacelabError, match="ends the process") as e:
        readers(small, tmp_path)[way]()
    assert str(small) in e.value.where and e.value.got == "ended by SIGABRT"
    monkeypatch.setattr(fresh, "call", call)
    readers(small, tmp_path)[way]()
    monkeypatch.setattr(fresh, "call", lambda *a, **k: pytest.fail("tried a second time"))
    readers(small, tmp_path)[way]()


def growing(path):
    """A model whose loop doubles a tensor until no memory is left."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    nodes = [
        helper.make_node("Identity", ["c"], ["c_out"]),
        helper.make_node("Concat", ["v", "v"], ["v_out"], axis=0),
    ]
    places = [("c", TensorProto.BOOL, []), ("v", TensorProto.FLOAT, None)]
    ends = [helper.make_tensor_value_info(f"{n}_out", t, s) for n, t, s in places]
    starts = [helper.make_tensor_value_info(n, t, s) for n, t, s in places]
    count = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    body = helper.make_graph(nodes, "body", [count, *starts], ends)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    model.graph.node[-1].output[0] = "inner"
    loop = helper.make_node("Loop", ["", "true", "inner"], ["scores"], body=body)
    model.graph.node.append(loop)
    onnx.save(model, path)
    return path


@needs_sandbox
def test_a_model_that_takes_all_memory_is_an_error_and_is_not_opened_here(small, monkeypatch):
    monkeypatch.setattr(fresh, "memory_bytes", lambda: (6 << 30, 6 << 30))
    with pytest.raises(ModelRunError, match="ends the process") as e:
        open_model(growing(small))
    assert e.value.got == "more memory than it may take" and str(small) in e.value.where


def test_an_endless_model_is_an_error(small, monkeypatch):
    call = fresh.call
    monkeypatch.setattr(fresh, "call", lambda *a, **k: call("time:sleep", 30, timeout=1))
    with pytest.raises(ModelRunError, match="ends the process"):
        open_model(small)


def test_errors_of_a_model_stay_what_they_were(small):
    small.write_bytes(b"\x08\x08" + bytes(range(200)))
    with pytest.raises(FacelabError, match=r"not an ONNX model|invalid"):
        open_model(small)


# -- TensorFlow


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    """A SavedModel whose initialiser writes a file: what an attacker's does when it is loaded or converted."""
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("saved")
    script = """
import sys, tensorflow as tf
class Model(tf.Module):
    def __init__(self):
        super().__init__()
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(sys.argv[2], tf.string, 0, tf.int64, 1, delimiter=','), -1)
    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32)])
    def __call__(self, x):
        with tf.control_dependencies([tf.io.write_file(sys.argv[3], 'written')]):
            return {'y': tf.identity(x) * 2.0}
model = Model()
tf.saved_model.save(model, sys.argv[1], signatures=model.__call__)
"""
    import subprocess
    import sys

    (folder / "table.txt").write_text("a,1\n")
    target = folder / "written.txt"
    subprocess.run(
        [sys.executable, "-P", "-c", script, folder / "m", folder / "table.txt", target],
        check=True,
        capture_output=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
    )
    target.unlink(missing_ok=True)
    return folder / "m", target


@needs_sandbox
@pytest.mark.tensorflow
@pytest.mark.slow
def test_converting_a_saved_model_writes_nothing_elsewhere(saved_model, tmp_path):
    from facelab.quantization import _converter as converter

    source, target = saved_model
    # whether the converter takes such a model or not, nothing of it is left on the disk
    with contextlib.suppress(FacelabError):
        converter.convert(source, tmp_path / "out", [{"name": "m", "kind": "float32"}])
    assert not target.exists()


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    pytest.importorskip("tensorflow")
    import subprocess
    import sys

    path = tmp_path_factory.mktemp("keras") / "m.keras"
    script = """
import sys, keras
x = keras.Input((8, 8, 3)); y = keras.layers.Dense(5)(keras.layers.Flatten()(x))
keras.Model(x, y).save(sys.argv[1])
"""
    subprocess.run(
        [sys.executable, "-P", "-c", script, path],
        check=True,
        capture_output=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
    )
    return path


@needs_sandbox
@pytest.mark.tensorflow
def test_a_strangers_keras_model_runs_in_its_own_process(keras_file):
    import sys

    before = "tensorflow" in sys.modules
    model = open_model(keras_file, threads=1)
    x = np.random.default_rng(0).random((2, 8, 8, 3)).astype(np.float32)
    (y,) = model.run(x)
    assert y.shape == (2, 5) and np.isfinite(y).all()
    assert model.inputs[0].shape == (None, 8, 8, 3)
    process = model.handle
    model.close()
    assert process.poll() is not None
    assert before or "tensorflow" not in sys.modules


@needs_sandbox
@pytest.mark.tensorflow
def test_a_damaged_keras_file_is_an_error_from_the_other_process(tmp_path, keras_file):
    path = tmp_path / "bad.keras"
    path.write_bytes(keras_file.read_bytes()[:2000])
    with pytest.raises(FacelabError) as e:
        open_model(path)
    assert e.value.where == str(path)


def test_without_a_sandbox_a_strangers_model_is_refused_with_the_way_on(tmp_path, monkeypatch):
    from facelab.quantization import _converter as converter
    from facelab.zoo.runtimes import _keras as keras

    monkeypatch.setattr(sandbox, "why_not", lambda: "the kernel has no Landlock")
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"x")
    (tmp_path / "m.keras").write_bytes(b"PK\x03\x04")
    for use in (
        lambda: converter.convert(folder, tmp_path / "o", []),
        lambda: keras.open_keras(tmp_path / "m.keras"),
    ):
        with pytest.raises(UnsupportedError, match="whatever the model holds") as e:
            use()
        assert "--trust-model" in e.value.fix
    assert not trust.may_run_freely(folder)
    trust.vouch(folder)
    assert trust.may_run_freely(folder)
    (folder / "saved_model.pb").write_bytes(b"y")
    assert not trust.may_run_freely(folder)


@pytest.mark.parametrize("name", ["https://example.org/model", "saved"])
def test_training_on_a_strangers_backbone_needs_trust(name, tmp_path, monkeypatch):
    from facelab.emotion import backbones

    monkeypatch.delenv(trust.TRUST_MODEL, raising=False)
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"x")
    given = name if name.startswith("https") else str(folder)
    with pytest.raises(UnsupportedError, match="whatever the model holds"):
        backbones.choose(given)
    monkeypatch.setenv(trust.TRUST_MODEL, "1")
    assert backbones.choose(given).where


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite", "m.keras"])
def test_a_sparse_file_of_a_terabyte_is_refused_before_it_is_hashed(name, tmp_path):
    path = tmp_path / name
    with path.open("wb") as f:
        f.truncate(1 << 40)
    with pytest.raises(FacelabError, match=r"too large|refuses|is not an? "):
        open_model(path)


def test_a_sparse_file_beside_a_model_is_not_copied_into_its_bundle(small, tmp_path):
    from facelab.deploy import make_bundle

    with small.with_name("split.json").open("wb") as f:
        f.truncate(1 << 40)
    with pytest.raises(FacelabError, match="too large"):
        make_bundle(small, tmp_path / "b", licence="MIT")
