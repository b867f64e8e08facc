"""A user's own classifier: gray, other sizes, other labels; its spec and its words count, not facelab's."""

import csv

import cv2
import numpy as np
import pytest

from facelab import detection, emotion
from facelab.core.errors import BadInputError
from facelab.detection import Detections
from facelab.emotion.internals import to_tensor
from facelab.preprocess import PreprocessSpec, apply
from facelab.preprocess.ops import RESIZE_PLAIN
from facelab.quantization._labelled import emotions_of
from facelab.quantization._subject import Subject
from facelab.quantization.internals import images


@pytest.fixture
def gray_spec():
    return PreprocessSpec(
        "gray-48",
        [
            {
                "op": "decode",
                "format": "encoded",
                "order": "rgb",
                "idct": "accurate",
                "alpha": "drop",
            },
            {"op": "color", "from": "rgb", "to": "gray", "weights": "bt601", "rounding": "half_up"},
            {**RESIZE_PLAIN, "size": [48, 48]},
            {"op": "normalize", "mean": [127.5], "scale": [127.5], "units": "0-255"},
            {"op": "layout", "to": "nhwc"},
            {"op": "cast", "dtype": "float32"},
        ],
    )


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("angry", "happy", "contempt"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for i in range(3):
            cv2.imwrite(
                str(tmp_path / "set" / label / f"{i}.png"),
                rng.integers(0, 256, (60, 70, 3)).astype(np.uint8),
            )
    return tmp_path / "set"


def subject(spec, tmp_path, *classes):
    return Subject("mine", tmp_path / "mine.tflite", None, spec, "classifier", classes)


def test_emotions_by_other_names_and_a_gray_spec(gray_spec, folder, tmp_path):
    got = images.read(subject(gray_spec, tmp_path, "happy", "sad", "angry"), str(folder))
    assert got.tensors.shape == (6, 48, 48, 1) and got.tensors.dtype == np.float32
    assert got.labels.tolist() == [
        2,
        2,
        2,
        0,
        0,
        0,
    ]  # contempt has no place, and the order is the model's
    expected = apply(gray_spec, folder / "angry" / "0.png")[0]
    np.testing.assert_allclose(
        got.tensors[0], expected, atol=2 / 127.5
    )  # another backend: a step of 255 at most


def test_labels_that_are_not_emotions(gray_spec, folder, tmp_path):
    for old, new in (("angry", "mask"), ("happy", "No Mask")):
        (folder / old).rename(folder / new)
    it = subject(gray_spec, tmp_path, "no_mask", "mask")
    with pytest.raises(BadInputError, match="not in the table") as e:
        images.read(it, str(folder))
    assert e.value.where == str(folder / "contempt")
    assert "--unlabelled" in e.value.fix, "folders of people label nothing: this is the way on"
    for file in (folder / "contempt").iterdir():
        file.unlink()
    (folder / "contempt").rmdir()
    assert images.read(it, str(folder)).labels.tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(BadInputError, match="no labelled images"):
        images.read(it, "synthetic")
    assert (
        emotions_of(("angry", "anger")) is None
    )  # two names for one emotion cannot be distinguished


def test_boxes_of_a_list_are_cut_out_where_the_spec_has_no_crop(gray_spec, tmp_path):
    image = np.zeros((80, 200, 3), np.uint8)
    image[:, 100:] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    with (tmp_path / "set.csv").open("w", newline="") as f:
        csv.writer(f).writerows(
            [
                ("file", "emotion", "x1", "y1", "x2", "y2"),
                ("a.png", "angry", 5, 5, 60, 60),
                ("a.png", "happy", 120, 5, 190, 60),
            ]
        )
    got = images.read(subject(gray_spec, tmp_path, "angry", "happy"), str(tmp_path / "set.csv"))
    assert got.tensors[0].max() == -1 and got.tensors[1].min() == 1


def test_fer2013_and_synthetic_faces_fit_a_gray_model(gray_spec, tmp_path, monkeypatch):
    pixels = np.random.default_rng(1).integers(0, 256, (2, 2304))
    with (tmp_path / "fer2013.csv").open("w", newline="") as f:
        csv.writer(f).writerows(
            [
                ("emotion", "pixels", "Usage"),
                (0, " ".join(map(str, pixels[0])), "Training"),
                (3, " ".join(map(str, pixels[1])), "Training"),
            ]
        )
    it = subject(gray_spec, tmp_path, "happy", "angry")
    got = images.read(it, str(tmp_path / "fer2013.csv"))
    assert got.labels.tolist() == [1, 0]
    np.testing.assert_allclose(
        got.tensors[0, ..., 0], (pixels[0].reshape(48, 48) - 127.5) / 127.5, atol=1e-6
    )
    drawn = images.read(it, "synthetic", n=4, seed=3)
    assert drawn.tensors.shape == (4, 48, 48, 1) and len(set(drawn.groups)) == 4


def test_a_spec_without_a_crop_gets_what_evaluation_feeds_it(gray_spec, tmp_path, monkeypatch):
    """`quantize` calibrated and judged on whole photographs, `emotion evaluate` on the faces in them."""
    rng = np.random.default_rng(3)
    for label in ("happy", "angry"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for i, side in enumerate((60, 140)):
            picture = rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "set" / label / f"{i}.png"), picture)
    monkeypatch.setattr(detection, "load", lambda *a, **k: Middle())
    it = subject(gray_spec, tmp_path, "happy", "angry")
    evaluated = emotion.collect(str(tmp_path / "set"), gray_spec, classes=("anger", "joy")).faces
    fed = dict(zip(evaluated.names, to_tensor(gray_spec, evaluated.images)))
    said = []
    labelled = images.read(it, str(tmp_path / "set"), say=said.append)
    loose = images.read(it, str(tmp_path / "set"), unlabelled=True)
    whole = images.read(it, str(tmp_path / "set"), crop="whole")
    for name, a, b, c in zip(labelled.names, labelled.tensors, loose.tensors, whole.tensors):
        np.testing.assert_allclose(a, fed[name], atol=2 / 127.5)
        np.testing.assert_array_equal(a, b)
        assert (a == c).all() == name.endswith("0.png")  # a small picture is a face already
    assert said[0].endswith(
        "2 pictures have a side below 96 pixels: each is taken whole, as a face"
    )
    assert said[1].endswith("found a face in 2 of 2 others")


class Middle:
    """A detector that finds one face, in the middle."""

    name = "middle"

    def detect(self, image):
        height, width = image.shape[:2]
        box = [width / 4, height / 4, width * 3 / 4, height * 3 / 4]
        return Detections(np.array([box], np.float32), np.ones(1, np.float32))
