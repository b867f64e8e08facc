"""Your own classes, labels mapped, nothing dropped without a count; guessing is called guessing."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from facelab import emotion
from facelab.cli import run
from facelab.commands.emotion._summary import summary
from facelab.commands.emotion.evaluate import _classes_in
from facelab.commands.emotion.train import _settings, _stopped
from facelab.core.errors import BadInputError
from facelab.emotion import Settings, collect, emotion_spec
from facelab.emotion._data import FaceSet
from facelab.emotion._evaluate import Evaluation, evaluate
from facelab.emotion._labels import emotions
from facelab.emotion.internals import classes_of, usual_settings
from facelab.metrics import classification

SPEC = emotion_spec(64)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, n in (("Alert", 5), ("very drowsy", 4), ("Freude", 3)):
        (tmp_path / name).mkdir()
        for k in range(n):
            pixels = rng.integers(0, 255, (70, 70, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{k}.png")
    return tmp_path


def test_names_of_classes(folder):
    assert classes_of("alert,drowsy") == ("alert", "drowsy")
    assert classes_of("happy, sad,neutral") == ("joy", "neutral", "sadness")
    assert classes_of("contempt,joy") == ("contempt", "joy")
    assert classes_of("labels", str(folder)) == ("Alert", "Freude", "very drowsy")
    for text, says in (
        ("joi,neutral", "did you mean 'joy'"),
        ("joy", "two classes"),
        ("labels", "no labels"),
    ):
        with pytest.raises(BadInputError) as e:
            classes_of(text)
        assert says in str(e.value)


def a_picture_each(folder, *labels):
    for name in labels:
        (folder / name).mkdir()
        Image.fromarray(np.full((70, 70, 3), len(name), np.uint8)).save(folder / name / "0.png")


def test_labels_that_are_emotions_go_by_one_name_from_training_to_evaluation(tmp_path):
    """`--classes labels` with folders angry and happy trained, and then refused its own test part."""
    a_picture_each(tmp_path, "angry", "happy", "alert")
    classes = classes_of("labels", str(tmp_path))
    assert classes == ("alert", "anger", "joy")
    faces = collect(str(tmp_path), SPEC, classes=classes, crop="whole", to_train=False).faces
    assert faces.counts() == {"alert": 1, "anger": 1, "joy": 1}
    # to name them as they are gives the same figures
    named = ("alert", "angry", "happy")
    raw = collect(str(tmp_path), SPEC, classes=named, crop="whole", to_train=False).faces
    model = SimpleNamespace(
        classes=classes, path=tmp_path, probabilities=lambda images: np.eye(3)[: len(images)]
    )
    for found in (evaluate(model, faces), evaluate(model, raw)):
        assert found.accuracy.value == 1.0 and found.faces.classes == classes


def test_two_labels_of_one_emotion_stay_two_classes(tmp_path):
    """A set with calm and neutral trained, and its model was then refused as ambiguous."""
    a_picture_each(tmp_path, "calm", "neutral", "sad")
    classes = classes_of("labels", str(tmp_path))
    assert classes == ("calm", "neutral", "sadness")
    assert emotions(classes, {}, where="m") == classes
    counts = collect(str(tmp_path), SPEC, classes=classes, crop="whole", to_train=False)
    assert counts.faces.counts() == dict.fromkeys(classes, 1)
    asked = _classes_in(SimpleNamespace(classes=classes, emotions=classes[1:]), str(tmp_path), {})
    assert asked == classes, "calm pictures would count as neutral"
    with pytest.raises(BadInputError, match="two labels of the model mean one emotion"):
        emotions(classes, {"calm": "neutral"}, where="m")


def test_labels_become_classes_by_name_or_by_a_map(folder):
    own = collect(str(folder), SPEC, classes=("Alert", "Freude", "very drowsy"), crop="whole")
    assert own.faces.counts() == {"Alert": 5, "Freude": 3, "very drowsy": 4} and not own.notes
    mapped = collect(
        str(folder),
        SPEC,
        classes=("alert", "joy"),
        crop="whole",
        label_map={"Freude": "joy", "very drowsy": ""},
    )
    assert mapped.faces.counts() == {"alert": 5, "joy": 3}
    assert mapped.notes == ("4 pictures of other labels are left out: very drowsy 4",)


def test_an_unknown_label_is_an_error_that_says_what_to_do(folder):
    with pytest.raises(BadInputError, match="not in the table") as e:
        collect(str(folder), SPEC, classes=("alert", "very drowsy"), crop="whole")
    assert "--label-map Freude=CLASS" in e.value.fix and "--classes labels" in e.value.fix
    with pytest.raises(BadInputError, match="label map names 'joj'"):
        collect(str(folder), SPEC, classes=("alert", "joy"), label_map={"Freude": "joj"})
    with pytest.raises(BadInputError, match="no emotion is called 'alert'"):
        collect("synthetic", SPEC, classes=("alert", "drowsy"))


def test_what_is_left_out_of_a_csv_is_counted(folder):
    rows = ["file,emotion"] + [f"Alert/{k}.png,{'happy' if k % 2 else 'sad'}" for k in range(5)]
    rows += [f"Freude/{k}.png,neutral" for k in range(3)]
    (folder / "l.csv").write_text("\n".join(rows) + "\n")
    found = collect(str(folder / "l.csv"), SPEC, classes=("joy", "neutral"), crop="whole")
    assert found.faces.counts() == {"joy": 2, "neutral": 3}
    assert found.notes[0] == "3 pictures of other labels are left out: sad 3"


def evaluation(right, n=40):
    labels = np.arange(n) % 4
    predicted = np.where(np.arange(n) < right, labels, (labels + 1) % 4)
    faces = FaceSet(
        np.zeros((n, 4, 4, 3), np.uint8),
        labels,
        tuple("abcd"),
        ("",) * n,
        tuple(map(str, range(n))),
    )
    p = np.eye(4)[predicted] * 0.9 + 0.025
    accuracy = classification.accuracy(labels, predicted, seed=0)
    return Evaluation(faces, p, __file__, accuracy, classification.reliability(p, labels))


@pytest.mark.parametrize("right, better", [(38, True), (12, False)])
def test_guessing_is_called_guessing(right, better):
    found = evaluation(right)
    assert (
        found.better_than_guessing == better and found.to_dict()["better_than_guessing"] == better
    )
    assert ("NO BETTER THAN GUESSING" in summary(found)) == (not better)


def test_long_names_of_classes_keep_the_columns():
    found = evaluation(38)
    value = found.to_dict()
    old, new = value["classes"][0], "Überraschung und Freude"
    value["classes"] = [new, *value["classes"][1:]]
    value["per_class"][new] = value["per_class"].pop(old)
    head, *rows = summary(SimpleNamespace(to_dict=lambda: value)).splitlines()[-5:]
    assert {len(row) for row in rows} == {len(head)}


def test_few_real_faces_get_their_own_settings_and_options_stay():
    given = dict.fromkeys(("strategy", "epochs", "learning_rate", "patience"))
    more = {"backbone": "facelab", "batch": 8, "dropout": 0.1, "class_weights": "none", "copies": 1}
    more |= {"seed": 1, "int8": False}
    few, many = (usual_settings(n, None, facelabs=True, classes=("a", "b")) for n in (200, 2000))
    chosen = _settings("keras", given | more, few)
    assert (chosen.strategy, chosen.epochs, chosen.learning_rate, chosen.patience) == (
        "partial", 30, 0.005, 0,
    )  # fmt: skip
    own = _settings("keras", {**given, **more, "epochs": 3, "strategy": "frozen"}, few)
    assert (own.strategy, own.epochs, own.learning_rate) == ("frozen", 3, 0.005)
    usual = _settings("keras", given | more, many)
    assert (usual.strategy, usual.epochs, usual.patience) == ("whole", 8, 3)


def test_the_epoch_of_the_kept_weights_is_reported():
    losses = {"loss": [3, 2, 1, 1], "val_loss": [0.9, 0.5, 0.6, 0.7]}
    assert _stopped(losses, Settings(epochs=9, patience=2)) == [
        "stopped after epoch 4 of 9; the weights of epoch 2 are kept"
    ]
    assert "last weights" in _stopped(losses, Settings(epochs=4, patience=0))[0]


def test_annotated_pictures_and_tables(assets, tmp_path, capsys, monkeypatch):
    """On a real photograph, by a classifier of brightness whose file is made here."""
    from tests.emotion.test_own_classifiers import BGR, write_model

    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    model = write_model(tmp_path, BGR, labels=("happy", "angry", "neutral"))
    photo = str(assets / "labelled" / "detection" / "ageitgey_two_people.jpg")
    args = ["emotion", "predict", photo, str(assets / "labelled" / "detection" / "Linzaer_6.jpg")]
    args += [
        "--model",
        str(model),
        "--csv",
        str(tmp_path / "t.csv"),
        "--annotate",
        str(tmp_path / "p"),
    ]
    assert run([*args, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert len(value["images"]) == len(value["annotated"]) == 2
    faces = sum(len(i["faces"]) for i in value["images"])
    assert len((tmp_path / "t.csv").read_text().splitlines()) == faces + 1 and faces >= 2
    with Image.open(value["annotated"][0]) as picture, Image.open(photo) as original:
        ratio = picture.width / original.width
        green = (np.asarray(picture) == (0, 158, 115)).all(axis=2).sum()
    assert ratio <= 1 and green > 100


def test_a_video_is_followed_and_smoothed(tmp_path, capsys, monkeypatch):
    """A face that is dark, with one bright frame: frame by frame the label flickers, smoothed it stays."""
    import cv2

    from facelab import detection
    from facelab.detection import Detections
    from tests.emotion.test_own_classifiers import BGR, write_model

    path = tmp_path / "v.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 64))
    for k in range(30):
        video.write(np.full((64, 64, 3), 240 if k == 15 else 20, np.uint8))
    video.release()

    class Whole:
        name = "whole"

        def detect(self, image):
            return Detections(np.array([[0, 0, 64, 64.0]]), np.ones(1))

    monkeypatch.setattr(detection, "load", lambda *a, **k: Whole())
    monkeypatch.setattr(emotion, "detector_name", lambda name: name)
    model = write_model(tmp_path, BGR, labels=("happy", "angry", "neutral"))
    args = [
        "emotion",
        "predict",
        str(path),
        "--model",
        str(model),
        "--json",
        "--csv",
        str(tmp_path / "v.csv"),
    ]
    assert run(args) == 0
    value = json.loads(capsys.readouterr().out)
    assert (
        value["frames"] == 30 and value["changes"] == 0 and value["changes_of_single_frames"] == 2
    )
    assert [s["label"] for s in value["shown"]] == ["joy"]
    assert len((tmp_path / "v.csv").read_text().splitlines()) == 31
    assert run([*args[:3], str(path), *args[3:]]) == 2  # one video at a time


def test_classes_that_cannot_be_drawn_are_numbered_in_a_file(tmp_path, capsys):
    """`classes.txt` said "#1 is #1"."""
    from tests.emotion.test_own_classifiers import BGR, write_model

    model = write_model(tmp_path, BGR, labels=("wach 😀", "plain", "müde"))
    for gray in (20, 240):
        Image.fromarray(np.full((95, 95, 3), gray, np.uint8)).save(tmp_path / f"{gray}.png")
    out = tmp_path / "out"
    args = ["emotion", "predict", str(tmp_path / "20.png"), str(tmp_path / "240.png")]
    assert run([*args, "--model", str(model), "--annotate", str(out)]) == 0
    assert (out / "classes.txt").read_text() == "#2\tmüde\n#0\twach 😀\n"
