"""The labelled real faces of the mirror: noisy, few, and never of people that were trained on."""

import numpy as np
import pytest

from facelab.datasets.labels import SEVEN
from facelab.emotion import Augmentation, Settings, backbones
from facelab.emotion.internals import FaceSet
from facelab.studies import emotion_finetune
from facelab.studies.emotion_finetune import CrossChecked


def test_the_margin_is_accuracy_minus_that_of_the_majority_on_the_same_faces():
    labels = np.array([0, 0, 0, 1, 1, 2])
    faces = FaceSet(
        np.zeros((6, 4, 4, 3), np.uint8),
        labels,
        ("anger", "joy", "neutral"),
        tuple("abcdef"),
        ("x", "x", "", "", "", "z"),
    )
    checked = CrossChecked(faces, np.eye(3)[[0, 0, 1, 1, 1, 2]], np.zeros(6, int))
    assert checked.accuracy().value == pytest.approx(5 / 6)
    assert checked.margin().value == pytest.approx(5 / 6 - 3 / 6)
    assert checked.margin().units == 5  # two faces are one person's
    assert np.trace(checked.table) == 5


def test_without_a_mirror_there_is_nothing_to_check(monkeypatch, spec, tmp_path):
    monkeypatch.delenv("FACELAB_MIRROR", raising=False)
    assert emotion_finetune.real_faces(spec, SEVEN) is None
    monkeypatch.setenv("FACELAB_MIRROR", str(tmp_path))
    assert emotion_finetune.real_faces(spec, SEVEN) is None
    monkeypatch.setenv("FACELAB_MIRROR", "https://example.org/mirror")
    assert emotion_finetune.real_faces(spec, SEVEN) is None


@pytest.mark.slow
@pytest.mark.tensorflow
def test_real_faces_are_recognised_better_than_by_their_majority(
    assets, spec, tmp_path, monkeypatch
):
    monkeypatch.setenv("FACELAB_MIRROR", str(assets))
    monkeypatch.setenv("FACELAB_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("FACELAB_DATA", str(tmp_path / "data"))
    real = emotion_finetune.real_faces(spec, SEVEN)
    assert len(real.faces) > 200
    weights = backbones.weights(backbones.choose("facelab"), spec, n=600, epochs=10)
    settings = Settings(
        backend="keras",
        epochs=12,
        learning_rate=0.015,
        batch=16,
        patience=0,
        augmentation=Augmentation(copies=3),
    )
    checked = emotion_finetune.cross_check(real.faces, spec, settings, backbone=weights, folds=2)
    assert checked.margin().lo > 0
    assert checked.margin().units > 150  # people, not faces
