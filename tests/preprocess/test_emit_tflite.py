"""Emitted `.tflite` graphs: the reference's tensors to the bit, or a refusal that names the stage."""

import numpy as np
import pytest
from emitted import random_frames
from hypothesis import HealthCheck, Phase, given, settings
from spec_strategies import specs

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.preprocess import PreprocessSpec, presets
from facelab.preprocess.emit import Frame, emit
from facelab.preprocess.emit._golden import golden

DECODE = {"op": "decode", "format": "encoded", "order": "bgr", "idct": "accurate", "alpha": "drop"}
GRAY = {"op": "color", "from": "bgr", "to": "gray", "weights": "bt601", "rounding": "half_up"}
RESIZE = {
    "op": "resize",
    "size": [12, 9],
    "mode": "stretch",
    "kernel": "bilinear",
    "antialias": False,
    "pixel_centers": "half",
    "rounding": "half_even",
}


def run(data, frame):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    (place,) = interpreter.get_input_details()
    array = frame if isinstance(frame, np.ndarray) else np.frombuffer(frame.data, np.uint8)
    interpreter.set_tensor(place["index"], array.reshape(place["shape"]))
    interpreter.invoke()
    return [interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()]


def check(spec, frame, **options):
    size = None if spec.stages[0].size else frame.size
    data = emit(spec, "tflite", size=size, **options).files["preprocess.tflite"]
    wanted, (got,) = golden(spec, frame), run(data, frame)
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(got, wanted)


def proven(spec, counts):
    (frame,) = random_frames(spec, 1)
    frame = Frame(frame.name, frame.data, frame.size, 1, frame.face)
    try:
        golden(spec, frame)
        emit(spec, "tflite", size=frame.size, face=frame.face)
    except (BadInputError, UnsupportedError) as e:
        assert e.fix and "stage" in e.where
        return
    counts.append(spec)
    check(spec, frame, face=frame.face)


@pytest.mark.parametrize("count", [120, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_specs_give_the_golden_tensors(count):
    done = []
    quiet = {"database": None, "deadline": None, "phases": [Phase.generate], "derandomize": True}

    @settings(max_examples=count, suppress_health_check=list(HealthCheck), **quiet)
    @given(specs())
    def each(spec):
        proven(spec, done)

    each()
    assert len(done) >= 8  # what is left is refused by name


@pytest.mark.parametrize("rounding", ["half_up", "half_even", "truncate"])
@pytest.mark.parametrize("centers", ["half", "legacy", "corner"])
def test_bilinear_is_exact_at_ties_too(rounding, centers):
    stages = [DECODE, GRAY, {**RESIZE, "rounding": rounding, "pixel_centers": centers}]
    spec = PreprocessSpec("ties", [*stages, {"op": "cast", "dtype": "float32"}])
    pixels = np.random.default_rng(3).integers(0, 256, (18, 24, 3), dtype=np.uint8)
    check(spec, Frame.of("n", pixels))


@pytest.mark.parametrize("name", ["yunet-n-320", "mini-xception-48px", "openseeface-mnv3"])
def test_a_preset_gives_the_golden_tensor(name):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    check(presets.preset(name), Frame.of("noise", pixels))


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        (
            {**RESIZE, "kernel": "bicubic", "cubic_a": -0.5, "edge": "replicate"},
            "the kernel bicubic",
        ),
        ({**RESIZE, "antialias": True, "edge": "renormalize"}, "bilinear with antialias"),
        ({**RESIZE, "kernel": "area", "antialias": True}, "the kernel area"),
        ({**RESIZE, "rounding": "none"}, "keeps reals"),
        ({**RESIZE, "size": [4000, 4000]}, "32-bit integers"),
    ],
)
def test_what_litert_cannot_do_exactly_is_refused_with_the_reason(stage, reason):
    with pytest.raises(UnsupportedError, match=reason) as e:
        emit(PreprocessSpec("r", [DECODE, stage]), "tflite", size=(80, 60))
    assert "stage 2 (resize)" in e.value.where and e.value.fix


def test_alignments_yuv_and_moving_faces_are_refused():
    for name, words in (("arcface-r50", "alignment"), ("facenet", "face whose box changes")):
        with pytest.raises(UnsupportedError, match=words):
            emit(presets.preset(name), "tflite", size=(80, 60))
    yuv = {
        "op": "color",
        "from": "yuv",
        "to": "rgb",
        "matrix": "bt601",
        "range": "full",
        "rounding": "half_up",
    }
    raw = {"op": "decode", "format": "nv12", "order": "yuv", "size": [8, 8], "chroma": "replicate"}
    with pytest.raises(UnsupportedError, match="yuv to rgb"):
        emit(PreprocessSpec("y", [raw, yuv]), "tflite")


def test_a_merged_model_answers_pixels_as_the_model_answers_tensors(tmp_path):
    # a graph that this module wrote serves as the model behind
    gray = {
        "op": "decode",
        "format": "encoded",
        "order": "gray",
        "idct": "accurate",
        "alpha": "drop",
    }
    normal = {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"}
    behind = PreprocessSpec("b", [gray, normal, {"op": "cast", "dtype": "float32"}])
    path = tmp_path / "model.tflite"
    path.write_bytes(emit(behind, "tflite", size=(12, 9)).files["preprocess.tflite"])
    spec = PreprocessSpec("m", [DECODE, GRAY, {**RESIZE, "rounding": "half_up"}])
    pixels = np.random.default_rng(5).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    frame = Frame.of("n", pixels)
    files = emit(spec, "tflite", size=(30, 20), merge=path).files
    (wanted,) = run(path.read_bytes(), golden(spec, frame))
    (got,) = run(files["preprocess_merged.tflite"], frame)
    assert got.dtype == np.float32 and got.tobytes() == wanted.tobytes()


def test_a_model_that_does_not_fit_or_cannot_be_read_is_refused(tmp_path):
    spec = PreprocessSpec("m", [DECODE, GRAY])
    path = tmp_path / "model.tflite"
    path.write_bytes(emit(spec, "tflite", size=(12, 9)).files["preprocess.tflite"])
    (tmp_path / "bad.tflite").write_bytes(b"not a model at all")
    for name, words in (
        ("model", "does not give"),
        ("none", "cannot be read"),
        ("bad", "not a TFLite"),
    ):
        with pytest.raises(BadInputError, match=words) as e:
            emit(spec, "tflite", size=(30, 20), merge=tmp_path / f"{name}.tflite")
        assert name in e.value.where and e.value.fix
