"""`facelab emotion …` as a user calls it: figures as JSON, errors in one sentence, fall-backs that are said."""

import json
import shutil

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest_emotion import toy_faces

from facelab.cli import cli, run
from facelab.commands.emotion._epochs import EpochLines
from facelab.core.errors import FacelabError
from facelab.emotion import _jobs as jobs
from facelab.emotion import collect, emotion_spec
from facelab.emotion._split_file import write_split
from facelab.emotion.internals import detector_name


def call(*args):
    """Run a command; return (stdout, stderr). FacelabErrors come out as they are."""
    result = CliRunner().invoke(cli, ["emotion", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


@pytest.fixture
def model(keras_model, tmp_path):
    return shutil.copytree(keras_model[0].folder, tmp_path / "model")


@pytest.fixture
def astronaut(tmp_path):
    from skimage import data

    path = tmp_path / "pictures" / "astronaut.png"
    path.parent.mkdir()
    assert cv2.imwrite(str(path), data.astronaut()[..., ::-1])
    return path


def save_toys(root, faces):
    names = {"anger": "angry", "joy": "happy", "neutral": "neutral"}
    for k, (image, label) in enumerate(zip(faces.images, faces.labels)):
        folder = root / names[faces.classes[label]]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{k}.png"), image[..., ::-1])
    return root


@pytest.mark.tensorflow
def test_the_astronauts_face_is_found_and_classified(model, astronaut):
    out, _ = call("predict", astronaut, "--model", model, "--json")
    value = json.loads(out)
    [face] = value["images"][0]["faces"]
    x1, y1, x2, y2 = face["box"]
    assert 150 < x1 < 220 < 225 < x2 < 290
    assert 30 < y1 < 110 < 140 < y2 < 210
    assert face["emotion"] in value["classes"]
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert face["probability"] == max(face["probabilities"].values())
    table, _ = call("predict", astronaut.parent, "--model", model / "emotion_fp32.tflite")
    assert face["emotion"] in table
    assert "astronaut.png" in table


@pytest.mark.tensorflow
def test_a_model_is_named_by_file_or_folder_also_a_quantised_one(model, tmp_path):
    from facelab.emotion.internals import find_model

    assert find_model(model) == model / "emotion_fp32.tflite"
    other = shutil.copytree(model, tmp_path / "quantised")
    (other / "emotion_fp32.tflite").rename(other / "emotion_fp32-edge-int8.tflite")
    assert find_model(other) == other / "emotion_fp32-edge-int8.tflite"
    shutil.copy(other / "emotion_fp32-edge-int8.tflite", other / "b.tflite")
    with pytest.raises(FacelabError, match="several models"):
        find_model(other)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_keras_file_of_a_training_answers_as_its_tflite_does(model):
    from facelab.emotion import EmotionClassifier

    faces = toy_faces(6, 8).images
    by_file, by_keras = (
        EmotionClassifier(model / name).probabilities(faces)
        for name in ("emotion_fp32.tflite", "emotion.keras")
    )
    np.testing.assert_allclose(by_keras, by_file, atol=1e-4)  # float32, summed in another order


@pytest.mark.tensorflow
@pytest.mark.parametrize("detector", ["mtcnn", "haar"])
def test_detectors_that_come_with_pip_always_work(detector, model, astronaut):
    out, _ = call("predict", astronaut, "--model", model, "--detector", detector, "--json")
    assert len(json.loads(out)["images"][0]["faces"]) == 1
    assert detector_name(detector) == detector
    assert detector_name() in ("yunet-n", "mtcnn")


@pytest.mark.tensorflow
def test_a_picture_without_a_face_and_a_broken_one(model, tmp_path, astronaut):
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((200, 200, 3), 127, np.uint8))
    out, _ = call("predict", blank, "--model", model)
    assert "no face found" in out
    (astronaut.parent / "b.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(FacelabError) as e:
        call("predict", astronaut.parent / "b.jpg", "--model", model)
    assert e.value.where == str(astronaut.parent / "b.jpg")


def test_without_a_model_the_error_names_the_command_that_makes_one(
    tmp_path, monkeypatch, astronaut, capsys
):
    monkeypatch.setenv("FACELAB_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("facelab.emotion._predict.project_root", lambda: tmp_path)
    assert run(["emotion", "predict", str(astronaut)]) == 2
    assert "facelab emotion train" in capsys.readouterr().err


@pytest.mark.tensorflow
def test_evaluate_prints_every_figure_and_leaves_out_what_was_trained_on(model, tmp_path):
    fresh = save_toys(tmp_path / "fresh", toy_faces(30, 77))
    out, _ = call("evaluate", model, "--data", fresh, "--crop", "whole", "--json")
    value = json.loads(out)
    assert (value["n"], value["left_out"]) == (30, 0)
    assert value["accuracy"]["lo"] <= value["accuracy"]["value"] <= value["accuracy"]["hi"]
    assert np.sum(value["confusion"]) == 30
    assert set(value["per_class"]["joy"]) == {"precision", "recall", "f1", "support"}
    assert value["ece"] >= 0
    text, _ = call("evaluate", model, "--data", fresh, "--crop", "whole")
    assert f"accuracy {value['accuracy']['value']:.4f}" in text
    seen = collect(str(fresh), emotion_spec(), crop="whole").faces
    write_split(model, {"train": seen.take(range(20)), "test": seen.take(range(20, 30))})
    out, err = call("evaluate", model, "--data", fresh, "--crop", "whole", "--json")
    assert (json.loads(out)["n"], json.loads(out)["left_out"]) == (10, 20)
    assert "20 of 30 faces were in its training" in err
    assert (
        json.loads(
            call("evaluate", model, "--data", fresh, "--crop", "whole", "--all", "--json")[0]
        )["n"]
        == 30
    )
    write_split(model, {"train": seen})
    with pytest.raises(FacelabError, match="trained on every one"):
        call("evaluate", model, "--data", fresh, "--crop", "whole")


@pytest.mark.tensorflow
def test_evaluate_without_its_spec_or_with_a_file_that_is_not_a_model_is_refused(model, tmp_path):
    fresh = save_toys(tmp_path / "fresh", toy_faces(12, 77))
    (model / "emotion_fp32.preprocess.json").unlink()
    with pytest.raises(FacelabError, match="preprocessing is unknown"):
        call("evaluate", model, "--data", fresh)
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"no model at all")
    shutil.copy(model / "training.json", tmp_path / "bad.preprocess.json")
    with pytest.raises(FacelabError):
        call("evaluate", bad, "--data", fresh)
    with pytest.raises(FacelabError, match="there is no model"):
        call("evaluate", tmp_path / "nowhere.tflite", "--data", fresh)


def test_bad_input_ends_before_training_starts(tmp_path, monkeypatch, capsys):
    for module in ("train", "pretrain"):
        monkeypatch.setattr(
            f"facelab.emotion._{module}.run_job", lambda *_, **__: pytest.fail("training started")
        )
    root = save_toys(tmp_path / "set", toy_faces(60, 3))
    (root / "sad").mkdir()
    one = save_toys(tmp_path / "one", toy_faces(60, 3))
    for label in ("angry", "happy"):
        shutil.rmtree(one / label)
    corrupt = save_toys(tmp_path / "corrupt", toy_faces(60, 3))
    (corrupt / "happy" / "1.png").write_bytes(b"\x89PNG")
    unknown = save_toys(tmp_path / "unknown", toy_faces(60, 3))
    (unknown / "happy").rename(unknown / "hungry")
    missing = tmp_path / "missing.csv"
    missing.write_text("file,mood\na.png,joy\n")
    for data, named in [
        (root, root / "sad"),
        (one, one),
        (corrupt, corrupt / "happy" / "1.png"),
        (unknown, unknown / "hungry"),
        (missing, missing),
    ]:
        assert (
            run(
                [
                    "emotion",
                    "train",
                    "--backend",
                    "keras",
                    "--data",
                    str(data),
                    "--crop",
                    "whole",
                    "--out",
                    str(tmp_path / "out"),
                ]
            )
            == 2
        )
        err = capsys.readouterr().err
        assert str(named) in err
        assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_a_missing_kernel_falls_back_to_keras_and_says_so(monkeypatch, capsys):
    from facelab.commands.emotion.train import _usable

    monkeypatch.setattr(jobs, "modelmaker_interpreter", lambda: None)
    assert _usable("modelmaker") == "keras"
    assert "keras back end instead" in capsys.readouterr().err
    assert _usable("keras") == "keras"


def test_help_shows_examples_and_imports_no_tensorflow():
    import subprocess
    import sys

    for verb in ("train", "evaluate", "predict"):
        assert "Example: facelab emotion" in call(verb, "--help")[0]
    code = (
        "import sys; from facelab.cli import run; run(['emotion', 'train', '--help']); "
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("backend", ["keras", "modelmaker"])
def test_train_on_a_folder_then_predict_with_the_last_model(
    backend, modelmaker, tmp_path, monkeypatch, astronaut
):
    monkeypatch.setenv("FACELAB_MODELS", str(tmp_path / "models"))
    root = save_toys(tmp_path / "set", toy_faces(150, 3))
    out, _ = call(
        "train",
        "--backend",
        backend,
        "--data",
        root,
        "--crop",
        "whole",
        "--backbone",
        "none",
        "--epochs",
        6,
        "--learning-rate",
        0.02,
        "--batch",
        16,
        "--out",
        tmp_path / "out",
        "--json",
    )
    value = json.loads(out)
    assert value["backend"] == backend
    assert value["test"]["accuracy"]["value"] >= 0.8
    assert (tmp_path / "out" / "emotion_fp32.tflite").is_file()
    found, _ = call("predict", astronaut, "--json")
    assert json.loads(found)["model"] == str(tmp_path / "out" / "emotion_fp32.tflite")
    text, _ = call("evaluate", "--data", root, "--crop", "whole", "--json")
    assert json.loads(text)["left_out"] > 60


def test_each_epoch_says_its_number_whichever_back_end_trains(capsys):
    """Its lines were Keras's own, `21/21 - 1s …`: none said which epoch it was."""
    keras = "21/21 - 1s - 44ms/step - accuracy: 0.9 - loss: 0.7 - val_accuracy: 0.3 - val_loss: 1.9"
    old = "21/21 [=====] - 2s 81ms/step - loss: 0.8 - accuracy: 0.5 - val_loss: 1.8 - val_accuracy: 0.4 - lr: 0.0034"
    take = EpochLines()
    for line in ("Epoch 1/30", "20/21 [===>.] - ETA: 0s - loss: 0.7", keras, "Epoch 2/30", old):
        take(line)
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1 of 30: loss 0.7, accuracy 0.9, validation loss 1.9, validation accuracy 0.3",
        "epoch 2 of 30: loss 0.8, accuracy 0.5, validation loss 1.8, validation accuracy 0.4",
    ]
    take = EpochLines(2)  # of one epoch each: Keras gives it no heading
    take(keras)
    take(keras)
    said = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == ["fold 1 of 2, epoch 1 of 1", "fold 2 of 2, epoch 1 of 1"]
    take = EpochLines(4)
    for line in ("Epoch 1/2", keras, "Epoch 2/2", keras, "Epoch 1/2", old):
        take(line)
    said = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        "fold 1 of 4, epoch 1 of 2",
        "fold 1 of 4, epoch 2 of 2",
        "fold 2 of 4, epoch 1 of 2",
    ]
