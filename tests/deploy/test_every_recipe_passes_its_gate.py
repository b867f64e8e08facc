"""Bundles of every recipe's file pass their own gate with an implementation that is off by one step."""

import json
import shutil

import numpy as np
import pytest
from conftest_deploy import CLASSES, spec, write_model
from PIL import Image

from facelab.cli import run
from facelab.deploy._readme import MOST
from facelab.deploy._stage_rules import one_level
from facelab.emotion import emotion_spec, train_and_evaluate
from facelab.emotion.internals import modelmaker_interpreter
from facelab.fingerprint import import_tensors
from facelab.preprocess import PreprocessSpec
from tests.emotion.conftest_emotion import toy_faces, toy_settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def pictures(folder, n, seed):
    """Noise around a level that is the class; no picture of one set is in the other."""
    rng = np.random.default_rng(seed)
    for k in range(n):
        name = CLASSES[k % 3]
        (folder / name).mkdir(parents=True, exist_ok=True)
        level = 40 + 80 * (k % 3)
        pixels = np.clip(rng.normal(level, 25, (40, 36, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{seed}-{k}.png")
    return folder


def keras_model(folder):
    """A small trained-looking network beside its spec and labels."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(1)
    k = keras.layers
    keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            k.Conv2D(8, 3, strides=2, activation="relu"),
            k.Conv2D(8, 3, strides=2, activation="relu"),
            k.GlobalAveragePooling2D(),
            k.Dense(3, activation="softmax"),
        ]
    ).save(folder / "mine.keras")
    emotion_spec(32).save(folder / "mine.preprocess.json")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    return folder / "mine.keras"


@pytest.fixture(scope="module", params=["keras", "onnx"])
def made(request, tmp_path_factory):
    """Every variant of one model that `quantize` writes, by its file."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "keras":
        model, recipes = keras_model(folder), ["all", "qat-int8"]
    else:
        model, recipes = write_model(folder / "small.onnx"), ["all"]
        (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
        spec().save(folder / "small.preprocess.json")
    args = ["quantize", model, *(w for r in recipes for w in ("--recipe", r))]
    args += [
        "--calibration",
        pictures(folder / "a", 60, 1),
        "--evaluate",
        pictures(folder / "b", 30, 2),
    ]
    args += ["--crop", "whole", "--no-latency", "--trust-model", "--out", folder / "out"]
    assert run([str(a) for a in args]) in (0, 1)
    report = json.loads((folder / "out" / "quantization.json").read_text())
    return folder / "out", report["files"]


def moved(golden, spec, *, every, seed=3):
    """Change golden tensors in place: one value of one probe by one step, or as many of all as the README allows."""
    rng = np.random.default_rng(seed)
    files = sorted(golden.glob("*.npy"))
    for path in files if every else files[len(files) // 2 :][:1]:
        a = np.load(path)
        where = rng.random(a.shape) < MOST if every else np.arange(a.size).reshape(a.shape) == 7
        if a.dtype.kind in "iu":
            info = np.iinfo(a.dtype)
            step = np.where(a == info.max, -1, 1).astype(np.int64)
            b = (a + step).astype(a.dtype)
        else:
            b = a + np.asarray(one_level(spec), a.dtype).min()
        np.save(path, np.where(where, b, a).astype(a.dtype))


def check_gate(file, tmp_path, variant, outputs="pass"):
    """Bundle a file and hand in its golden tensors, one value or as many as may be moved by one step: both pass.

    `outputs` is what the check of the golden outputs must say.
    """
    bundle = tmp_path / variant
    args = ["bundle", file, "--out", bundle, "--golden", "all", "--licence", "MIT", "--trust-model"]
    assert run([str(a) for a in args]) == 0, variant
    said = PreprocessSpec.load(bundle / "preprocess.json")
    for every in (False, True):
        tensors = tmp_path / f"{variant}-{every}"
        source = next(
            p for p in (bundle / "golden" / "tensors", bundle / "golden") if list(p.glob("*.npy"))
        )
        tensors.mkdir()
        for f in source.glob("*.npy"):
            shutil.copy(f, tensors)
        moved(tensors, said, every=every)
        inference = import_tensors(tensors).save(tmp_path / f"{variant}-{every}.json")
        report = tmp_path / "gate.json"
        run(["gate", str(bundle), "--inference", str(inference), "--json", str(report)])
        found = {c["name"]: c for c in json.loads(report.read_text())["checks"]}
        assert found["fingerprint"]["status"] == "pass", (variant, every, found["fingerprint"])
        assert found["golden_outputs"]["status"] == outputs, (variant, found["golden_outputs"])


def test_every_recipe(made, tmp_path):
    out, files = made
    assert len(files) >= 6, files
    for variant, name in files.items():
        check_gate(out / name, tmp_path, variant)


def test_model_makers_own_int8_file(tmp_path):
    """Its converter writes the file while it trains; `quantize` measures it, and its bundle passes like the others."""
    if modelmaker_interpreter() is None:
        pytest.skip("the isolated kernel of tflite-model-maker is not installed: make setup")
    sizes = {"train": 96, "validation": 24, "calibration": 30, "test": 30}
    parts = {name: toy_faces(n, k) for k, (name, n) in enumerate(sizes.items())}
    settings = toy_settings("modelmaker", int8=True)
    trained, _ = train_and_evaluate(parts, emotion_spec(), tmp_path / "trained", settings)
    sets = {
        name: pictures(tmp_path / name, n, k) for k, (name, n) in enumerate((("a", 60), ("b", 30)))
    }
    args = ["quantize", trained.model, "--recipe", "modelmaker-int8", "--out", tmp_path / "out"]
    args += ["--calibration", sets["a"], "--evaluate", sets["b"], "--crop", "whole", "--no-latency"]
    assert run([str(a) for a in args]) in (0, 1)
    files = json.loads((tmp_path / "out" / "quantization.json").read_text())["files"]
    assert list(files) == ["modelmaker-int8"]
    check_gate(tmp_path / "out" / files["modelmaker-int8"], tmp_path, "modelmaker-int8")
