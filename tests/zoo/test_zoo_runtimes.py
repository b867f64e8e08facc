"""Every model that is here opens and runs; faulty files and misfits are refused by name."""

import json
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest

from facelab.core.errors import BadInputError, IntegrityError, MissingAssetError, UnsupportedError
from facelab.preprocess.ops import RESIZE_PLAIN
from facelab.preprocess.spec import PreprocessSpec
from facelab.zoo import _store as zoo_store
from facelab.zoo._catalogue import load_catalogue
from facelab.zoo._graph import GraphBuilder
from facelab.zoo.runtimes import ModelRunError, check_spec, open_model, sanity_check
from facelab.zoo.runtimes._base import Model, TensorInfo, fit

CATALOGUE = load_catalogue()
TENSOR_MODELS = [e for e in CATALOGUE if e.runtime in ("onnx", "litert") and e.file]


@pytest.fixture(scope="module")
def mirrored(assets, tmp_path_factory):
    """The catalogue with the mirror set and its own store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACELAB_MIRROR", str(assets))
        patch.setenv("FACELAB_MODELS", str(tmp_path_factory.mktemp("models")))
        yield CATALOGUE


def tensor_for(info, seed=0):
    shape = tuple(n or (1 if i == 0 else 64) for i, n in enumerate(info.shape))
    return np.random.default_rng(seed).uniform(0, 1, shape).astype(info.dtype)


# -- real models ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", TENSOR_MODELS, ids=lambda e: e.name)
def test_every_tensor_model_that_is_here_opens_fits_its_spec_and_runs(entry, mirrored):
    if zoo_store.find(entry) is None:
        pytest.skip("not in the mirror and in no package")
    model = open_model(entry, threads=1)
    named = {
        i.name: tensor_for(i) if i.shape else np.array(0.5 if i.dtype == "float32" else 5, i.dtype)
        for i in model.inputs
    }
    outputs = model.run(**named)
    assert len(outputs) == len(model.outputs)
    for info, got in zip(model.outputs, outputs):
        assert got.dtype.name == info.dtype
        fixed = [(w, g) for w, g in zip(info.shape, got.shape) if w is not None]
        assert len(got.shape) == len(info.shape) and all(w == g for w, g in fixed)
    if len(model.inputs) == 1:
        again = model.run(tensor_for(model.inputs[0]))
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(outputs, again))


def test_ultraface_tflite_gives_its_real_output_shapes(mirrored):
    model = open_model(CATALOGUE.model("ultraface-rfb-320-tflite"), threads=1)
    boxes, scores = model.run(tensor_for(TensorInfo("x", (1, 240, 320, 3), "float32")))
    assert boxes.shape == (1, 4420, 4) and scores.shape == (1, 4420, 2)
    two = model.run(np.zeros((2, 240, 320, 3), np.float32))  # the batch axis is dynamic
    assert two[0].shape[0] in (1, 2) and np.isfinite(two[0]).all()


def test_fixed_tflite_inputs_are_resized_only_where_the_catalogue_says_so(mirrored):
    pnet = open_model(CATALOGUE.model("mtcnn-tflite-pnet"), threads=1)
    for side in (40, 57):
        scores = pnet.run(np.zeros((1, side, 48, 3), np.float32))[0]
        assert (
            scores.shape[:1] + scores.shape[3:] == (1, 2)
            and scores.shape[1] == (side - 2 + 1) // 2 - 4
        )
    rnet = open_model(CATALOGUE.model("mtcnn-tflite-rnet"), threads=1)
    with pytest.raises(BadInputError, match="shape does not fit"):
        rnet.run(np.zeros((1, 30, 30, 3), np.float32))


def test_threads_are_taken_from_the_caller_then_from_the_environment(mirrored, monkeypatch):
    entry = CATALOGUE.model("yunet-n")
    assert open_model(entry, threads=1).threads == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert open_model(entry).threads == 1
    for bad in (0, -1, True, 1.5):
        with pytest.raises(BadInputError, match="threads"):
            open_model(entry, threads=bad)


def test_dlib_models_run_on_dlib_and_haar_on_opencv():
    dlib = pytest.importorskip("dlib")
    from skimage.data import astronaut

    image = np.ascontiguousarray(astronaut()[:256, 100:356])
    box = np.array([75, 60, 185, 190], np.float32)
    points = open_model(CATALOGUE.model("dlib-landmarks-5")).run(image, box)[0]
    assert points.shape == (5, 2) and points[0, 0] > points[2, 0]  # dlib's order: right eye first
    assert open_model(CATALOGUE.model("dlib-landmarks-68")).run(image, box)[0].shape == (68, 2)
    chip = np.array(
        dlib.get_face_chip(
            image,
            open_model(CATALOGUE.model("dlib-landmarks-5")).handle(
                image, dlib.rectangle(75, 60, 184, 189)
            ),
            size=150,
        )
    )
    resnet = open_model(CATALOGUE.model("dlib-resnet"))
    one, two = resnet.run(np.stack([chip, chip[:, ::-1]]))[0]
    own = dlib.face_recognition_model_v1(str(resnet.path)).compute_face_descriptor(chip)
    # the owner's implementation on the same chip, one at a time: equal up to the order of float32 sums
    assert np.abs(one - np.array(own, np.float32)).max() < 1e-5 and np.linalg.norm(one - two) < 0.6
    found = open_model(CATALOGUE.model("dlib-cnn")).run(image)[0]
    assert found.shape == (1, 5) and found[0, 4] > 0.5
    boxes, weights = open_model(CATALOGUE.model("haar")).run(np.ascontiguousarray(image[..., 1]))
    assert len(boxes) == len(weights) >= 1 and (boxes[:, 2:] > boxes[:, :2]).all()


def test_dlib_that_cannot_be_imported_is_said(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(UnsupportedError, match="dlib cannot be imported") as e:
        open_model(CATALOGUE.model("dlib-resnet"))
    assert "dlib-bin" in e.value.fix


# -- the ten faulty files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("lfs_pointer_face_detection_yunet_2023mar.onnx", IntegrityError, "git-LFS pointer"),
        ("lfs_pointer_face_recognition_sface_2021dec.onnx", IntegrityError, "git-LFS pointer"),
        ("not_a_flatbuffer_mobilefacenet.tflite", IntegrityError, "web page"),
        ("placeholder_text_mobilefacenet.tflite", IntegrityError, "plain text"),
        ("invalid_graph_dbface_small.onnx", UnsupportedError, "'Plugin'"),
        ("unresolved_custom_op_edgetpu.tflite", UnsupportedError, "edgetpu-custom-op"),
    ],
)
def test_a_file_that_cannot_be_opened_says_why(name, error, says, assets):
    with pytest.raises(error) as e:
        open_model(assets / "models" / "broken" / name)
    assert says in str(e.value) and name in e.value.where and e.value.fix


def test_a_model_that_opens_but_does_not_run_says_so(assets):
    model = open_model(
        assets / "models" / "broken" / "loads_but_run_fails_yunet_s_640_int8.onnx", threads=1
    )
    with pytest.raises(ModelRunError, match="opens but does not run") as e:
        model.run(np.zeros((1, 3, 640, 640), np.float32))
    assert "DequantizeLinear" in e.value.got and e.value.exit_code == 2


def test_the_wrong_model_under_the_right_name_is_refused(assets, mirrored, entry):
    path = assets / "models" / "broken" / "wrong_model_under_right_name_mobilefacenet.tflite"
    with pytest.raises(BadInputError, match="spec does not fit") as e:
        open_model(path, spec=CATALOGUE.model("mobilefacenet").spec)
    assert "[?, 224, 224, 3]" in e.value.expected and "[1, 3, 112, 112]" in e.value.got
    lookalike = CATALOGUE.model("mobilefacenet").model_copy(update={"options": {"dim": 512}})
    with pytest.raises(IntegrityError, match="output is not the promised one"):
        open_model(lookalike)


@pytest.mark.parametrize(
    ("name", "share"),
    [("constant_output_emotion_64.onnx", 0.999), ("near_constant_emotion_48x3.tflite", 0.9)],
)
def test_a_classifier_with_one_answer_is_warned_of(name, share, assets):
    found = sanity_check(open_model(assets / "models" / "broken" / name, threads=1))
    assert not found.ok and "one class" in found.warnings[0] and found.top_share >= share


@pytest.mark.parametrize(
    "name",
    [
        "mini-xception-107",
        "mini-xception-00",
        "big-xception",
        "mobilefacenet",
        "fsanet",
        "minifas-128",
        "yunet-n-320",
        "minifasnet-v2-tflite",
        "ssrnet-age",
    ],
)
def test_a_sound_model_is_not_warned_of(name, mirrored):
    assert sanity_check(open_model(CATALOGUE.model(name), threads=1)).warnings == []


# -- constructed models -----------------------------------------------------------------------------------------------


def write(tmp_path, build, inputs, name="m.onnx"):
    g = GraphBuilder("t", inputs)
    outputs = build(g)
    path = tmp_path / name
    path.write_bytes(g.finish(outputs, dict.fromkeys(outputs, (None, None))).SerializeToString())
    return path


def test_constant_and_not_finite_outputs_are_warned_of(tmp_path):
    path = write(
        tmp_path,
        lambda g: {"y": g.node("Add", g.node("Mul", "x", np.float32(0)), np.float32(3))},
        [("x", (None, 8))],
    )
    found = sanity_check(open_model(path))
    assert "the output is the same" in found.warnings[0]
    path = write(
        tmp_path, lambda g: {"y": g.node("Div", "x", np.float32(0))}, [("x", (None, 8))], "n.onnx"
    )
    assert "NaN" in sanity_check(open_model(path)).warnings[0]
    samples = np.random.default_rng(0).random((5, 8), dtype=np.float32)
    path = write(tmp_path, lambda g: {"y": g.node("Relu", "x")}, [("x", (None, 8))], "o.onnx")
    assert sanity_check(open_model(path), samples).n == 5
    two = write(
        tmp_path,
        lambda g: {"y": g.node("Add", "x", "z")},
        [("x", (None, 8)), ("z", (None, 8))],
        "p.onnx",
    )
    with pytest.raises(BadInputError, match="one input"):
        sanity_check(open_model(two))


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((1, 3, 4, 5), np.uint8), "dtype"),
        (np.zeros((1, 3, 4, 5), np.float64), "dtype"),
        (np.zeros((1, 4, 5, 3), np.float32), "shape"),
        (np.zeros((3, 4, 5), np.float32), "shape"),
        (np.zeros((0, 3, 4, 5), np.float32), "empty"),
        (np.full((1, 3, 4, 5), np.nan, np.float32), "NaN"),
        (np.full((1, 3, 4, 5), np.inf, np.float32), "NaN or infinity"),
        ([[1.0]], "numpy array"),
    ],
)
def test_an_array_that_does_not_fit_is_refused_naming_both(array, says):
    info = TensorInfo("image", (None, 3, 4, 5), "float32")
    with pytest.raises(BadInputError, match=says) as e:
        fit(array, info, "m.onnx")
    assert "image" in str(e.value) and e.value.where == "m.onnx"


def test_a_finite_array_whose_sum_overflows_is_not_a_misfit():
    huge = np.full((1, 3, 4, 5), np.finfo(np.float32).max, np.float32)
    assert fit(huge, TensorInfo("image", (None, 3, 4, 5), "float32"), None) is huge


def test_inputs_come_in_order_or_by_name(tmp_path):
    model = open_model(
        write(
            tmp_path, lambda g: {"y": g.node("Sub", "a", "b")}, [("a", (None, 2)), ("b", (None, 2))]
        )
    )
    a, b = np.ones((1, 2), np.float32), np.full((1, 2), 3, np.float32)
    for out in (model.run(a, b), model.run(b=b, a=a), model.run(a, b=b), model(a, b)):
        assert out[0].tolist() == [[-2, -2]]
    for args, named in (((a,), {}), ((a, b, b), {}), ((a,), {"c": b}), ((a,), {"a": b}), ((), {})):
        with pytest.raises(BadInputError):
            model.run(*args, **named)


def test_a_spec_is_compared_with_the_input_before_anything_runs(tmp_path):
    model = open_model(
        write(tmp_path, lambda g: {"y": g.node("Flatten", "x")}, [("x", (None, 3, 6, 8))])
    )
    stages = [
        {"op": "decode", "format": "encoded", "order": "rgb", "idct": "accurate", "alpha": "drop"},
        {**RESIZE_PLAIN, "size": [8, 6]},
        {"op": "layout", "to": "nchw"},
        {"op": "cast", "dtype": "float32"},
    ]
    check_spec(model, PreprocessSpec("fits", stages))
    for i, change in (
        (1, {"size": [6, 8]}),
        (2, {"to": "nhwc"}),
        (2, {"to": "chw"}),
        (3, {"dtype": "float64"}),
    ):
        with pytest.raises(BadInputError, match="does not fit the model's input"):
            check_spec(
                model,
                PreprocessSpec(
                    "misfit", [s | change if j == i else s for j, s in enumerate(stages)]
                ),
            )


def test_truncated_and_foreign_files_are_refused(tmp_path, assets):
    for source in ("detectors/yunet_n_320_320.onnx", "detectors/blazeface_front.tflite"):
        name = "t." + source.split(".")[-1]
        data = (assets / "models" / source).read_bytes()
        for part in (data[:1000], data[: len(data) // 2], bytes(range(128, 256)) * 9):
            (tmp_path / name).write_bytes(part)
            with pytest.raises((BadInputError, IntegrityError, UnsupportedError)):
                open_model(tmp_path / name)
    (tmp_path / "x.dat").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(BadInputError, match="dlib refuses"):
        open_model(tmp_path / "x.dat")
    (tmp_path / "x.xml").write_text("<?xml version='1.0'?><opencv_storage></opencv_storage>")
    with pytest.raises(BadInputError, match="cascade"):
        open_model(tmp_path / "x.xml")
    (tmp_path / "x.txt").write_text("no")
    for path, says in ((tmp_path / "x.txt", "suffix"), (tmp_path / "no.onnx", "does not exist")):
        with pytest.raises(BadInputError, match=says):
            open_model(path)


def test_an_entry_that_is_not_here_names_the_command(store):
    with pytest.raises(MissingAssetError) as e:
        open_model(CATALOGUE.model("sface"))
    assert "facelab assets fetch sface" in e.value.fix
    with pytest.raises(BadInputError, match="several networks"):
        open_model(CATALOGUE.model("mtcnn"))


# -- memory that runs out ---------------------------------------------------------------------------------------------


class Fails(Model):
    """A model whose computation fails with a text, as native runtimes do."""

    runtime, handle, path = "made up", object(), "m.onnx"

    def __init__(self, text):
        self.text, self._process = text, os.getpid()

    def _bind(self, arrays, named):
        return named

    def _compute(self, feed):
        raise RuntimeError(self.text)


@pytest.mark.parametrize(
    "text",
    [
        "OpenCV(4.14.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 971467008 bytes",
        "std::bad_alloc",
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer",
    ],
)
def test_a_computation_without_memory_does_not_blame_the_model(text):
    with pytest.raises(MemoryError, match="lloc"):
        Fails(text).run()


def test_another_failure_names_the_model():
    with pytest.raises(ModelRunError, match="does not run"):
        Fails("wrong shape").run()


def test_a_spec_without_the_models_quantisation_gets_it_in_words():
    """It said "correct size, layout or cast" where a quantize stage was missing, and not with which scale."""
    decode = {"format": "encoded", "order": "rgb", "idct": "accurate", "alpha": "drop"}
    stages = [
        {"op": "decode", **decode},
        {**RESIZE_PLAIN, "size": [6, 4]},
        {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"},
        {"op": "layout", "to": "nhwc"},
        {"op": "cast", "dtype": "float32"},
    ]
    model = SimpleNamespace(
        path="m.tflite",
        inputs=[TensorInfo("x", (None, 4, 6, 3), "int16")],
        quantization={"x": (3.0518509447574615e-05, 0)},
    )
    with pytest.raises(BadInputError, match="does not fit") as e:
        check_spec(model, PreprocessSpec("mine", stages))
    stage = json.loads(re.search(r"\{.*\}", e.value.fix)[0])
    check_spec(model, PreprocessSpec("mine", [*stages, stage]))
    assert stage["scale"] == 3.0518509447574615e-05
