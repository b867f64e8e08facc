"""The TFLite C library through ctypes: the same answers as LiteRT, owned buffers, every code and size checked."""

import ctypes
import gc
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from facelab.core import degraded
from facelab.core.errors import BadInputError, IntegrityError, UnsupportedError
from facelab.zoo import _store as zoo_store
from facelab.zoo._catalogue import load_catalogue
from facelab.zoo.runtimes import ModelRunError, open_model
from facelab.zoo.runtimes._tflite_c import open_tflite_c, tflite_c_library

CATALOGUE = load_catalogue()
LITERT = [e for e in CATALOGUE if e.runtime == "litert" and e.file]
PACKAGE = importlib.util.find_spec("pymicro_wakeword")
pytestmark = pytest.mark.skipif(
    PACKAGE is None and not os.environ.get("FACELAB_TFLITE_C"),
    reason="no TFLite C library: install the extra `capi`",
)


def int8_models() -> list[Path]:
    """Stateful INT8 models that the extra carries: int8 in, uint8 out."""
    return sorted(Path(PACKAGE.submodule_search_locations[0]).glob("models/*.tflite"))


def arrays_for(model, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    out = []
    for info in model.inputs:
        size = tuple(n or (1 if k == 0 else 64) for k, n in enumerate(info.shape))
        if np.dtype(info.dtype).kind in "iu":
            limits = np.iinfo(info.dtype)
            out.append(rng.integers(limits.min, limits.max + 1, size).astype(info.dtype))
        else:
            out.append(rng.uniform(-1, 1, size).astype(info.dtype))
    return out


def mirrored(assets) -> list[Path]:
    broken = ("not_a_flatbuffer", "placeholder_text", "unresolved_custom_op")
    found = sorted(assets.glob("models/*/*.tflite"))
    return [p for p in found if not p.name.startswith(broken)]


def same(path: Path, ours, theirs, seed: int, tolerance: float) -> None:
    assert ours.inputs == theirs.inputs and ours.outputs == theirs.outputs
    assert ours.quantization == theirs.quantization
    given = arrays_for(ours, seed)
    for a, b in zip(ours.run(*given), theirs.run(*given), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        if a.dtype.kind == "f":
            limit = tolerance * max(1.0, float(np.abs(b).max()))
            assert np.abs(a - b).max() <= limit, (path.name, np.abs(a - b).max())
        else:
            assert np.array_equal(a, b), path.name


# -- conformance -------------------------------------------------------------------------------------------------------


OTHER_KERNELS = {
    "xnnpack": {
        "SOFTMAX", "MEAN", "SUM", "EXP", "LOG", "TANH", "SQRT", "RSQRT", "GELU", "TRANSPOSE_CONV",
        "FULLY_CONNECTED",  # at some sizes
    },
    "none": {"LOGISTIC", "TANH", "ELU", "GELU", "HARD_SWISH", "SQRT", "BATCH_MATMUL"},
}  # fmt: skip
"""Operators whose float kernels changed between TFLite 2.17 and LiteRT 2.3, with and without XNNPACK."""


def litert(path, given, delegate, threads=1):
    """Return LiteRT's own answer with the same delegate and threads."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    options = {} if delegate == "xnnpack" else {"experimental_op_resolver_type": plain}
    one = Interpreter(str(path), num_threads=threads, **options)
    for detail, array in zip(one.get_input_details(), given):
        one.resize_tensor_input(detail["index"], array.shape)
    one.allocate_tensors()
    for detail, array in zip(one.get_input_details(), given):
        one.set_tensor(detail["index"], array)
    one.invoke()
    return [one.get_tensor(d["index"]) for d in one.get_output_details()]


@pytest.mark.parametrize(
    ("delegate", "threads"),
    [
        ("xnnpack", 2),
        pytest.param("none", 1, marks=pytest.mark.slow),
        pytest.param("xnnpack", 1, marks=pytest.mark.slow),
        pytest.param("none", 2, marks=pytest.mark.slow),
    ],
)
def test_floats_are_identical_wherever_both_versions_have_the_same_kernels(
    delegate, threads, assets
):
    """To the bit where no operator's kernel changed between the two versions; else to 1e-6 of the largest output.

    Neither threads nor flags matter: ai-edge-litert 1.0.1, which is of the same time as the C library 2.17.1, equals
    it to the bit on all these models, with XNNPACK and without (measured once; the two cannot be installed together).
    """
    from facelab.budget import cost_of

    identical, paths = [], mirrored(assets)
    assert len(paths) >= 15
    for path in paths:
        ours = open_tflite_c(path, threads=threads, delegate=delegate)
        given = arrays_for(ours, 0)
        pairs = list(zip(ours.run(*given), litert(path, given, delegate, threads), strict=True))
        ours.close()
        shapes = {i.name: a.shape for i, a in zip(ours.inputs, given)}
        kinds = set(cost_of(path, shapes).by_kind())
        if kinds & OTHER_KERNELS[delegate]:
            limits = [1e-6 * max(1.0, float(np.abs(b).max())) for _, b in pairs]
            assert all(np.abs(a - b).max() <= m for (a, b), m in zip(pairs, limits)), path.name
        else:
            assert all(np.array_equal(a, b) for a, b in pairs), (path.name, kinds)
            identical.append(path.name)
    assert len(identical) >= {"xnnpack": 6, "none": 13}[delegate], identical


def test_every_litert_model_of_the_catalogue_opens_and_computes_the_same(mirror, monkeypatch):
    ran = 0
    for entry in LITERT:
        if zoo_store.find(entry) is None:
            continue
        theirs, ours = (
            open_model(entry, threads=1),
            open_model(entry, threads=1, runtime="tflite_c"),
        )
        same(Path(entry.file), ours, theirs, 3, 1e-6)
        ran += 1
    assert ran >= 10


def test_integer_models_agree_to_the_bit_with_state_kept_over_calls():
    for path in int8_models():
        theirs, ours = open_model(path, threads=1), open_model(path, threads=1, runtime="tflite_c")
        assert ours.inputs[0].dtype == "int8" and ours.outputs[0].dtype == "uint8"
        for seed in range(20):
            same(path, ours, theirs, seed, 0)


def test_own_kernels_agree_with_litert_without_its_delegate(assets):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    for name in ("blazeface_front", "mtcnn_rnet", "mtcnn_onet"):
        path = assets / "models" / "detectors" / f"{name}.tflite"
        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        theirs = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=plain)
        theirs.allocate_tensors()
        ours = open_tflite_c(path, threads=1, delegate="none")
        given = arrays_for(ours, 0)[0]
        theirs.set_tensor(theirs.get_input_details()[0]["index"], given)
        theirs.invoke()
        expected = [theirs.get_tensor(d["index"]) for d in theirs.get_output_details()]
        assert all(np.array_equal(a, b) for a, b in zip(ours.run(given), expected, strict=True))


def test_open_sizes_are_resized_back_and_forth(mirror):
    pnet = open_model(CATALOGUE.model("mtcnn-tflite-pnet"), threads=1, runtime="tflite_c")
    reference = open_model(CATALOGUE.model("mtcnn-tflite-pnet"), threads=1)
    for side in (40, 57, 40, 33):
        given = np.random.default_rng(side).random((1, side, 48, 3), dtype=np.float32)
        for a, b in zip(pnet.run(given), reference.run(given), strict=True):
            assert a.shape == b.shape and np.abs(a - b).max() <= 1e-6
    batch = open_model(CATALOGUE.model("ultraface-rfb-320-tflite"), threads=1, runtime="tflite_c")
    two = np.random.default_rng(0).random((2, 240, 320, 3), dtype=np.float32)
    both = batch.run(two)[0]
    assert both.shape[0] == 2
    assert np.abs(both[1] - batch.run(two[1:])[0][0]).max() <= 1e-6


# -- faulty files and misfits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("not_a_flatbuffer_mobilefacenet.tflite", IntegrityError, "web page"),
        ("placeholder_text_mobilefacenet.tflite", IntegrityError, "plain text"),
        ("unresolved_custom_op_edgetpu.tflite", UnsupportedError, "edgetpu-custom-op"),
    ],
)
def test_a_faulty_file_says_why(name, error, says, assets):
    with pytest.raises(error) as e:
        open_tflite_c(assets / "models" / "broken" / name)
    assert says in str(e.value) and name in e.value.where and e.value.fix


def test_truncated_and_foreign_files_are_refused_with_the_librarys_words(tmp_path, assets):
    data = (assets / "models" / "detectors" / "blazeface_front.tflite").read_bytes()
    path = tmp_path / "t.tflite"
    for part in (data[:7], data[:1000], data[: len(data) // 2], bytes(range(128, 256)) * 9):
        path.write_bytes(part)
        with pytest.raises(BadInputError, match="not a TFLite model") as e:
            open_tflite_c(path)
        assert "TfLiteModelCreate returned NULL: " in e.value.got
        assert "no message" not in e.value.got


def test_arrays_that_do_not_fit_are_refused_before_the_library_sees_them():
    model = open_tflite_c(int8_models()[0], threads=1)
    right = arrays_for(model, 0)[0]
    for wrong, says in (
        (right.astype(np.float32), "dtype"),
        (right.view(np.uint8), "dtype"),
        (right[..., :-1], "shape"),
        (right[:0], "shape|empty"),
    ):
        with pytest.raises(BadInputError, match=says):
            model.run(wrong)
    before = model.run(right)[0]
    assert before.shape == model.outputs[0].shape


def test_the_tensor_itself_checks_bytes_and_the_library_would_have_answered_with_an_error():
    """The source text copies float32 bytes into an INT8 tensor and reads no return code."""
    model = open_tflite_c(int8_models()[0], threads=1)
    session = model.handle
    tensor = session.inputs()[0]
    floats = np.zeros(tensor.shape, np.float32)
    with pytest.raises(BadInputError, match="not what the tensor holds") as e:
        tensor.write(floats)
    assert f"{floats.nbytes} bytes" in e.value.got
    raw = session.lib.TfLiteTensorCopyFromBuffer(tensor._handle, floats.ctypes.data, floats.nbytes)
    assert raw != 0, "the C function says so to who asks"


def test_other_strides_are_copied_as_they_read():
    model = open_tflite_c(int8_models()[0], threads=1)
    given = arrays_for(model, 4)[0]
    twice = np.repeat(given, 2, axis=-1)[..., ::2]
    assert not twice.flags.c_contiguous
    other = open_tflite_c(int8_models()[0], threads=1)
    assert np.array_equal(model.run(twice)[0], other.run(given)[0])


@pytest.mark.parametrize("wanted", ["onnx", "tflite-c", "keras"])
def test_a_runtime_that_does_not_read_the_file_is_refused(wanted, assets):
    with pytest.raises(BadInputError, match="does not read") as e:
        open_model(int8_models()[0], runtime=wanted)
    assert e.value.expected == "litert, tflite_c"
    with pytest.raises(BadInputError, match="delegate"):
        open_tflite_c(int8_models()[0], delegate="gpu")


# -- the library -------------------------------------------------------------------------------------------------------


def test_a_library_that_is_not_there_foreign_or_incomplete_is_named(tmp_path, monkeypatch):
    with pytest.raises(BadInputError, match="does not exist"):
        tflite_c_library(tmp_path / "no.so")
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(UnsupportedError, match="cannot be loaded") as e:
        tflite_c_library(tmp_path / "text.so")
    assert "FACELAB_TFLITE_C" in e.value.fix
    other = next(Path(sys.prefix).rglob("_multiarray_umath*.so"), None)
    if other is not None:
        with pytest.raises(UnsupportedError, match="lacks functions") as e:
            tflite_c_library(other)
        assert "TfLiteVersion" in e.value.got
    monkeypatch.setenv("FACELAB_TFLITE_C", str(tmp_path / "no.so"))
    with pytest.raises(BadInputError, match="does not exist"):
        open_tflite_c(int8_models()[0])


def test_without_the_extra_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    monkeypatch.delenv("FACELAB_TFLITE_C", raising=False)
    with pytest.raises(UnsupportedError, match="no TFLite C library") as e:
        tflite_c_library()
    assert "facelab[capi]" in e.value.fix


def test_a_build_without_xnnpack_is_said_and_none_still_runs(monkeypatch):
    monkeypatch.setattr(tflite_c_library(), "has_xnnpack", False)
    with pytest.raises(UnsupportedError, match="without XNNPACK"):
        open_tflite_c(int8_models()[0])
    model = open_tflite_c(int8_models()[0], delegate="none")
    assert model.run(*arrays_for(model, 0)) and model.degraded == ()


def test_auto_takes_own_kernels_where_xnnpack_is_missing_and_says_so(monkeypatch, tmp_path):
    with open_tflite_c(int8_models()[0], delegate="auto") as usual:
        assert usual.delegate == "xnnpack" and usual.degraded == ()
    monkeypatch.setattr(tflite_c_library(), "has_xnnpack", False)
    with open_tflite_c(int8_models()[0], delegate="auto") as plain:
        assert plain.delegate == "none" and plain.degraded == ("delegate_missing",)
        assert plain.run(*arrays_for(plain, 0))
    assert degraded.active() == ()
    (tmp_path / "t.tflite").write_bytes(bytes(range(128, 256)) * 9)
    for has in (True, False):
        monkeypatch.setattr(tflite_c_library(), "has_xnnpack", has)
        with pytest.raises(BadInputError, match="not a TFLite model"):
            open_tflite_c(tmp_path / "t.tflite", delegate="auto")
    assert degraded.active() == ()


def test_a_build_without_shape_signatures_states_the_present_shapes(monkeypatch, assets):
    monkeypatch.setattr(tflite_c_library(), "has_signature", False)
    path = (
        assets / "models" / "detectors" / "ultraface_version-RFB-320_without_postprocessing.tflite"
    )
    assert open_tflite_c(path).inputs[0].shape == (1, 240, 320, 3)


# -- memory and threads ------------------------------------------------------------------------------------------------


def test_changing_the_file_or_the_bytes_afterwards_changes_no_answer(tmp_path, assets):
    source = assets / "models" / "detectors" / "mtcnn_rnet.tflite"
    path = tmp_path / "m.tflite"
    path.write_bytes(source.read_bytes())
    model = open_tflite_c(path, threads=1)
    given = arrays_for(model, 0)
    before = model.run(*given)
    with path.open("r+b") as f:  # in place: a mapped file would change under the interpreter
        f.write(b"\0" * path.stat().st_size)
    gc.collect()
    assert all(np.array_equal(a, b) for a, b in zip(before, model.run(*given)))


def test_outputs_stay_valid_after_the_next_call_and_after_closing(assets):
    model = open_tflite_c(assets / "models" / "detectors" / "mtcnn_rnet.tflite", threads=1)
    first = model.run(*arrays_for(model, 0))
    kept = [a.copy() for a in first]
    model.run(*arrays_for(model, 1))
    model.close()
    model.close()
    assert all(np.array_equal(a, b) for a, b in zip(first, kept))
    with pytest.raises(BadInputError, match="closed"):
        model.run(*arrays_for(model, 0))


def test_opening_and_closing_many_times_keeps_memory(assets):
    from facelab.core.allocator import trim
    from facelab.core.machine import rss_bytes

    path = assets / "models" / "detectors" / "mtcnn_onet.tflite"
    given = None
    for round_ in range(30):
        with open_tflite_c(path, threads=1) as model:
            given = given or arrays_for(model, 0)
            model.run(*given)
        if round_ == 10:
            trim()
            start = rss_bytes()
    trim()
    assert rss_bytes() - start < 8e6, (
        "a copy of the file is 1.6 MB: nineteen of them would be 30 MB"
    )


def test_eight_threads_on_one_model_get_their_own_answers(assets):
    model = open_tflite_c(assets / "models" / "detectors" / "mtcnn_rnet.tflite", threads=1)
    given = [arrays_for(model, k) for k in range(8)]
    expected = [model.run(*g) for g in given]
    wrong = []

    def work(k: int) -> None:
        for _ in range(30):
            got = model.run(*given[k])
            if not all(np.array_equal(a, b) for a, b in zip(got, expected[k])):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


def test_closing_while_others_compute_ends_in_answers_or_in_the_error_for_it(assets):
    path = assets / "models" / "detectors" / "blazeface_front.tflite"
    for _ in range(5):
        model = open_tflite_c(path, threads=1)
        given, errors = arrays_for(model, 0), []

        def work(model=model, given=given, errors=errors) -> None:
            try:
                while True:
                    model.run(*given)
            except BadInputError as e:
                errors.append(e.what)

        threads = [threading.Thread(target=work) for _ in range(4)]
        [t.start() for t in threads]
        model.close()
        [t.join(20) for t in threads]
        assert errors == ["the model was closed"] * 4


FORK = """
import os, sys
from facelab.zoo.runtimes._tflite_c import open_tflite_c
from facelab.zoo.runtimes import ModelRunError
import numpy as np
model = open_tflite_c(sys.argv[1], threads=2)
given = [np.zeros([n or 1 for n in i.shape], i.dtype) for i in model.inputs]
model.run(*given)
child = os.fork()
if child == 0:
    try:
        model.run(*given)
    except ModelRunError:
        del model  # threads of the parent's delegate do not exist here: waiting for them would never end
        os._exit(7)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(model.run(*given)))
"""


def test_a_forked_child_is_refused_and_ends(assets):
    path = assets / "models" / "detectors" / "mtcnn_rnet.tflite"
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["7", "2"], done.stderr[-500:]


def test_a_stranger_that_ends_its_reader_ends_only_the_trial(tmp_path, assets, monkeypatch):
    """Damaged in its middle, a FlatBuffer may still verify: what then happens happens in another process."""
    monkeypatch.delenv("FACELAB_OPEN_DIRECTLY")
    monkeypatch.chdir(tmp_path)
    data = bytearray((assets / "models" / "detectors" / "mtcnn_rnet.tflite").read_bytes())
    rng = np.random.default_rng(5)
    for k in rng.integers(len(data) - 3000, len(data), 60):
        data[k] = int(rng.integers(256))
    path = tmp_path / "hostile.tflite"
    path.write_bytes(bytes(data))
    try:
        model = open_model(path, threads=1, runtime="tflite_c")
    except (BadInputError, IntegrityError, UnsupportedError, ModelRunError) as e:
        assert e.fix
    else:
        assert model.runtime == "tflite_c"


def test_messages_of_the_library_are_formatted():
    from facelab.zoo.runtimes._tflite_c.session import Messages

    messages = Messages()
    assert messages._vsnprintf is not None
    messages.function(None, None, None)
    assert messages.take() == ""
    assert ctypes.sizeof(ctypes.c_void_p) in (4, 8)
