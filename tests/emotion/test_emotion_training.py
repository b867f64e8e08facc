"""Both back ends: what they leave behind, that the exported file answers rightly, that failures leave nothing."""

import json
import zipfile

import numpy as np
import pytest
from conftest_emotion import CLASSES, toy_faces, toy_settings

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.emotion import Augmentation, EmotionClassifier, Settings, evaluate, train_and_evaluate
from facelab.emotion import _jobs as jobs
from facelab.emotion import _prepare as prepare
from facelab.emotion._jobs import TrainingError, run_job
from facelab.emotion.backbones import choose
from facelab.emotion.internals import check_disjoint, in_classes, sources, train
from facelab.preprocess import PreprocessSpec
from facelab.preprocess.tflite_metadata import read_metadata
from facelab.quantization._converter import convert

OUTPUTS = {
    "emotion_fp32.tflite",
    "emotion_fp32.preprocess.json",
    "labels.txt",
    "saved_model",
    "split.json",
    "training.json",
    "evaluation.json",
    "model_card.md",
}


def check_outputs(trained, evaluation, spec, parts, extra):
    assert {p.name for p in trained.folder.iterdir()} == OUTPUTS | extra
    assert PreprocessSpec.load(trained.folder / "emotion_fp32.preprocess.json").hash == spec.hash
    inside = read_metadata(trained.model)
    assert (inside["labels"], inside["mean"], inside["std"]) == (list(CLASSES), [127.5], [127.5])
    record = json.loads((trained.folder / "training.json").read_text())
    assert record["settings"]["seed"] == 5
    assert record["versions"]["tensorflow"]
    assert len(record["history"]["val_loss"]) == 4
    assert record["parts"]["test"]["hash"] == parts["test"].hash()
    card = (trained.folder / "model_card.md").read_text()
    assert f"Test accuracy {evaluation.accuracy.value:.3f}" in card
    assert evaluation.accuracy.value >= 0.9  # the toys are easy: chance is a third
    written = json.loads((trained.folder / "evaluation.json").read_text())
    assert written["correct"] == int(evaluation.right.sum())
    assert np.trace(np.array(written["confusion"])) == written["correct"]


@pytest.mark.tensorflow
def test_keras_leaves_everything_that_travels_with_a_model(keras_model, spec, toy_parts):
    check_outputs(*keras_model, spec, toy_parts, {"emotion.keras"})


@pytest.mark.modelmaker
def test_modelmaker_leaves_everything_that_travels_with_a_model(modelmaker_model, spec, toy_parts):
    trained, evaluation = modelmaker_model
    check_outputs(
        trained,
        evaluation,
        spec,
        toy_parts,
        {"emotion_int8_modelmaker.tflite", "emotion_int8_modelmaker.preprocess.json"},
    )
    assert trained.record["versions"]["tflite-model-maker"] == "0.4.3"
    int8 = EmotionClassifier(trained.folder / "emotion_int8_modelmaker.tflite")
    assert int8.spec.find("quantize").saturate
    assert int8.spec.find("quantize").rounding == "half_even"


@pytest.mark.modelmaker
def test_int8_is_calibrated_on_the_calibration_part_alone(modelmaker_model):
    # the calibration part spans 100 … 150 of 255, training 30 … 220: the input's scale says what was looked at
    quantize = EmotionClassifier(
        modelmaker_model[0].folder / "emotion_int8_modelmaker.tflite"
    ).spec.find("quantize")
    # TFLite stretches a range that leaves zero out to hold it: (150 − 100) / 127.5 over 255 steps
    assert quantize.scale == pytest.approx((150 - 100) / 127.5 / 255, rel=0.02)


@pytest.mark.tensorflow
def test_the_exported_file_answers_as_the_independent_interpreter_of_tensorflow_does(
    keras_model, toy_parts
):
    """Fed by plain numpy arithmetic instead of the spec, in ai_edge_litert directly."""
    from ai_edge_litert.interpreter import Interpreter

    trained, evaluation = keras_model
    interpreter = Interpreter(model_path=str(trained.model))
    interpreter.allocate_tensors()
    feed, out = (
        interpreter.get_input_details()[0]["index"],
        interpreter.get_output_details()[0]["index"],
    )
    for image, row in zip(toy_parts["test"].images[:8], evaluation.probabilities):
        interpreter.set_tensor(feed, ((image.astype(np.float32) - 127.5) / 127.5)[None])
        interpreter.invoke()
        np.testing.assert_allclose(
            interpreter.get_tensor(out)[0], row, atol=1e-6
        )  # float32 rounding


@pytest.mark.modelmaker
def test_model_makers_int8_file_is_evaluated_as_an_independent_loop_does(
    modelmaker_model, toy_parts
):
    """Round half to even, saturate, dequantise, with numpy and LiteRT alone: not a bit may differ on any image."""
    from ai_edge_litert.interpreter import Interpreter

    path = modelmaker_model[0].folder / "emotion_int8_modelmaker.tflite"
    run = Interpreter(model_path=str(path), num_threads=1)
    run.allocate_tensors()
    i, o = run.get_input_details()[0], run.get_output_details()[0]
    limits, expected = np.iinfo(i["dtype"]), []
    for image in toy_parts["test"].images:
        x = (image.astype(np.float32) - np.float32(127.5)) / np.float32(127.5)
        q = np.rint(x / np.float32(i["quantization"][0])) + i["quantization"][1]
        run.set_tensor(i["index"], np.clip(q, limits.min, limits.max).astype(i["dtype"])[None])
        run.invoke()
        raw = run.get_tensor(o["index"])[0].astype(np.float32)
        expected.append((raw - o["quantization"][1]) * np.float32(o["quantization"][0]))
    ours = EmotionClassifier(path, threads=1).probabilities(toy_parts["test"].images)
    np.testing.assert_array_equal(ours, np.array(expected))


@pytest.mark.modelmaker
@pytest.mark.tensorflow
def test_model_makers_saved_model_converts_with_todays_tensorflow(
    modelmaker_model, toy_parts, spec, tmp_path
):
    """Its own export did not: the optimizers inside are of a kind that no later TensorFlow loads."""
    trained = modelmaker_model[0]
    made = convert(trained.folder / "saved_model", tmp_path, [{"name": "again", "kind": "float32"}])
    (tmp_path / "labels.txt").write_text((trained.folder / "labels.txt").read_text())
    again = EmotionClassifier(made["again"], spec=spec, threads=1)
    images = toy_parts["test"].images
    # two converters ten versions apart may fuse in another order: float32 rounding
    np.testing.assert_allclose(
        again.probabilities(images),
        EmotionClassifier(trained.model, threads=1).probabilities(images),
        atol=1e-5,
    )


@pytest.mark.tensorflow
def test_figures_are_derived_from_the_answers(keras_model):
    _, evaluation = keras_model
    figures = evaluation.to_dict()
    assert figures["accuracy"]["value"] == (evaluation.predicted == evaluation.faces.labels).mean()
    assert figures["accuracy"]["lo"] <= figures["accuracy"]["value"] <= figures["accuracy"]["hi"]
    assert (
        figures["accuracy"]["units"] == 8
    )  # 48 faces of 8 people: people are resampled, not faces
    assert figures["majority"] == pytest.approx(1 / 3)
    assert set(figures["per_class"]) == set(CLASSES)
    assert 0 <= figures["ece"] <= 1


@pytest.mark.tensorflow
def test_worst_mistakes_are_the_most_confident_ones(keras_model):
    trained, _ = keras_model
    faces = toy_faces(24, 9)
    turned = type(faces)(
        faces.images, (faces.labels + 1) % 3, faces.classes, faces.names, faces.identities
    )
    wrong = evaluate(EmotionClassifier(trained.model), turned)
    order = wrong.worst(5)
    top = wrong.probabilities[order].max(axis=1)
    assert (np.diff(top) <= 0).all()
    assert not wrong.right[order].any()


@pytest.mark.tensorflow
def test_other_orders_of_classes_are_matched_by_name(keras_model):
    trained, _ = keras_model
    faces, classifier = toy_faces(24, 9), EmotionClassifier(trained.model)
    other = in_classes(faces, ("neutral", "joy", "anger", "sadness"))
    assert evaluate(classifier, other).to_dict() == evaluate(classifier, faces).to_dict()
    sad = type(faces)(
        faces.images, faces.labels, ("sadness", "joy", "neutral"), faces.names, faces.identities
    )
    with pytest.raises(BadInputError, match="does not have"):
        evaluate(classifier, sad)


def test_bad_parts_are_refused_before_any_process_starts(toy_parts, spec, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "facelab.emotion._train.run_job", lambda *_, **__: pytest.fail("training started")
    )
    for change, what in [
        ({"test": toy_parts["train"]}, "share an image"),
        (
            {"train": toy_parts["train"].take(np.flatnonzero(toy_parts["train"].labels == 1))},
            "single class",
        ),
        ({"calibration": toy_parts["calibration"].take([])}, "has no faces"),
        ({"validation": toy_faces(12, 8, size=32)}, "a different size"),
    ]:
        with pytest.raises(BadInputError, match=what):
            train({**toy_parts, **change}, spec, tmp_path / "out", toy_settings("keras"))
    with pytest.raises(BadInputError, match="fewer training faces than one batch"):
        train(toy_parts, spec, tmp_path / "out", toy_settings("keras", batch=500))
    with pytest.raises(BadInputError, match="address or SavedModel"):
        train(
            toy_parts,
            spec,
            tmp_path / "out",
            toy_settings("keras"),
            backbone="https://example.org/x",
        )
    for field, value in [
        ("strategy", "half"),
        ("class_weights", "some"),
        ("epochs", 0),
        ("learning_rate", -1),
    ]:
        with pytest.raises(BadInputError):
            Settings(**{field: value})
    with pytest.raises(BadInputError, match="belongs to Model Maker"):
        Settings(backend="keras", int8=True)
    assert not (tmp_path / "out").exists()


def test_a_job_that_fails_dies_or_hangs_is_named_and_leaves_nothing(
    toy_parts, spec, tmp_path, monkeypatch
):
    script = tmp_path / "faulty_job.py"
    monkeypatch.setattr(
        jobs.frame,
        "command",
        lambda python, _, folder: [str(python), jobs.frame.__file__, str(script), str(folder)],
    )
    for text, what, got in [
        ("raise SystemExit(3)", "the process died", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "the process died", "too little memory"),
        ("import time; print('epoch 1', flush=True); time.sleep(60)", "did not end in time", "s"),
        ("def work(job, folder): raise ValueError('no ' + job['kind'])", "ValueError", "no image"),
    ]:
        script.write_text(text)
        with pytest.raises(TrainingError, match=what) as e:
            train(toy_parts, spec, tmp_path / "out", toy_settings("keras"), timeout=2)
        assert got in e.value.got
        assert e.value.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_kernel_is_said_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setattr(jobs, "modelmaker_interpreter", lambda: None)
    with pytest.raises(UnsupportedError, match="not installed") as e:
        run_job("modelmaker", tmp_path, {})
    assert "make setup" in e.value.fix
    assert "keras" in e.value.fix
    monkeypatch.setattr(jobs, "in_checkout", lambda: False)
    with pytest.raises(UnsupportedError) as e:
        run_job("modelmaker", tmp_path, {})
    assert e.value.fix.startswith("use --backend keras")


def test_backbones_are_chosen_by_name(tmp_path, monkeypatch):
    assert choose("facelab").size == 64
    assert choose("none", size=48).size == 48
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(UnsupportedError, match="--trust-model"):
        choose(str(tmp_path), size=96)
    monkeypatch.setenv("FACELAB_TRUST_MODEL", "1")
    assert choose(str(tmp_path), size=96).where == str(tmp_path)
    assert choose("https://tfhub.dev/x", size=None).size == 224
    with pytest.raises(BadInputError, match="did you mean 'mobilenet-v2'"):
        choose("mobilenet-v3")


@pytest.mark.slow
@pytest.mark.modelmaker
def test_a_saved_model_is_a_backbone_by_folder(
    modelmaker_model, toy_parts, spec, tmp_path, keras_model
):
    """The road that EfficientNet-Lite0 takes: a SavedModel feature extractor, its archive unpacked, by folder."""
    import subprocess
    import tarfile

    from facelab.emotion.backbones import unpacked

    saved = tmp_path / "body"
    script = (
        "import sys, tensorflow as tf; sys.path.insert(0, sys.argv[1]); import _backbone as backbone; "
        "backbone.build_backbone(tf.keras, 64).save(sys.argv[2], include_optimizer=False)"
    )
    package = str(jobs.Path(jobs.__file__).parent)
    subprocess.run(
        [str(jobs.modelmaker_interpreter()), "-c", script, package, str(saved)],
        check=True,
        capture_output=True,
    )
    with tarfile.open(tmp_path / "body.tar.gz", "w:gz") as tar:
        tar.add(saved, "feature-vector")
    folder = unpacked(tmp_path / "body.tar.gz", tmp_path / "store" / "body")
    _, evaluation = train_and_evaluate(
        toy_parts,
        spec,
        tmp_path / "out",
        toy_settings("modelmaker", epochs=6),
        backbone=str(folder),
    )
    assert evaluation.accuracy.value >= 0.9


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("backend", ["keras", "modelmaker"])
def test_mobilenet_weights_are_a_backbone_of_both_back_ends(
    backend, modelmaker, toy_parts, spec, tmp_path
):
    import subprocess

    script = (
        "import sys, tensorflow as tf; tf.keras.utils.set_random_seed(1); tf.keras.applications.MobileNetV2("
        "include_top=False, weights=None, input_shape=(64, 64, 3)).save_weights(sys.argv[1])"
    )
    file = tmp_path / "mobilenet_v2_no_top.h5"
    subprocess.run([str(modelmaker), "-c", script, str(file)], check=True, capture_output=True)
    trained = train(
        toy_parts,
        spec,
        tmp_path / "out",
        toy_settings(backend, strategy="frozen", epochs=1),
        backbone=file,
    )
    assert trained.record["backbone"]
    assert trained.model.stat().st_size > 8e6  # 2.2 million weights


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("backend", ["keras", "modelmaker"])
def test_the_same_seed_gives_the_same_accuracy_to_the_last_image(
    backend, modelmaker, toy_parts, spec, tmp_path
):
    """On hard toys, so that there is something to differ on; another seed does differ."""
    rng = np.random.default_rng(3)
    parts = {}
    for name, part in toy_parts.items():
        noise = rng.integers(-90, 91, part.images.shape)
        parts[name] = type(part)(
            np.clip(part.images + noise, 0, 255).astype(np.uint8),
            part.labels,
            part.classes,
            part.names,
            part.identities,
        )
    check_disjoint(parts)
    settings = {
        "augmentation": Augmentation(copies=1),
        "epochs": 2,
        "learning_rate": 0.004,
        "strategy": "whole",
    }
    runs = [
        train_and_evaluate(
            parts, spec, tmp_path / f"{k}", toy_settings(backend, **settings, seed=seed)
        )[1]
        for k, seed in enumerate((11, 11, 12))
    ]
    assert np.array_equal(runs[0].right, runs[1].right)
    assert runs[0].accuracy.value == runs[1].accuracy.value
    # weights are not promised to be equal to the bit; answers are equal to well under any decision
    np.testing.assert_allclose(runs[0].probabilities, runs[1].probabilities, atol=1e-3)
    assert not np.array_equal(runs[0].probabilities, runs[2].probabilities)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("strategy", ["frozen", "partial", "whole"])
def test_strategies_train_what_they_say(strategy, keras_model, toy_parts, spec, tmp_path):
    """With a backbone's weights given, frozen blocks come out of the training as they went in."""
    import subprocess
    import sys

    package = str(jobs.Path(jobs.__file__).parent)
    script = (
        "import sys, numpy as np, keras; sys.path.insert(0, sys.argv[1]); import _backbone as b; "
        "keras.utils.set_random_seed(1); np.savez(sys.argv[2], **b.weights_of(b.build_backbone(keras, 64)))"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, package, str(tmp_path / "w.npz")],
        check=True,
        capture_output=True,
    )
    trained = train(
        toy_parts,
        spec,
        tmp_path / "out",
        toy_settings("keras", epochs=1, strategy=strategy),
        backbone=tmp_path / "w.npz",
    )
    read = (
        "import sys, numpy as np, keras; sys.path.insert(0, sys.argv[1]); import _backbone as b; "
        "m = keras.models.load_model(sys.argv[2]); np.savez(sys.argv[3], **b.weights_of(m.layers[1]))"
    )
    subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            read,
            package,
            str(trained.folder / "emotion.keras"),
            str(tmp_path / "after.npz"),
        ],
        check=True,
        capture_output=True,
    )
    with np.load(tmp_path / "w.npz") as before, np.load(tmp_path / "after.npz") as after:
        same = {name for name in before.files if np.array_equal(before[name], after[name])}
    moved = {name.split("/")[0] for name in set(before.files) - same}
    assert ("conv0" in moved, "conv2" in moved, "features" in moved) == {
        "frozen": (False, False, False),
        "partial": (False, True, True),
        "whole": (True, True, True),
    }[strategy]


def test_the_metadata_is_a_zip_with_labels_that_any_tool_reads(keras_model):
    with zipfile.ZipFile(keras_model[0].model) as archive:
        assert archive.read("labels.txt").decode().split() == list(CLASSES)


def test_prepared_synthetic_faces_share_no_identity(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("FACELAB_DATA", str(tmp_path))
    got = prepare.prepare(prepare.collect("synthetic", spec, n=36, seed=3, workers=1), seed=3)
    assert {len(set(p.identities)) > 0 for p in got.parts.values()} == {True}
    assert sources.synthetic(36, 3, spec, cache=tmp_path / "cache").hash()
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1
