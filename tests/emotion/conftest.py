"""Toy faces that a small network learns in seconds, and one model of each back end trained on them."""

import numpy as np
import pytest

from facelab.emotion.augment import Augmentation
from facelab.emotion.data import FaceSet
from facelab.emotion.jobs import modelmaker_interpreter
from facelab.emotion.spec import emotion_spec
from facelab.emotion.train import Settings, train_and_evaluate

CLASSES = ("anger", "joy", "neutral")


def toy_faces(n, seed, *, size=64, low=30, high=220, identities=True):
    """Noise with a bright bar whose height in the picture is the class; every second face is of the same person."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = rng.integers(low, (low + high) // 2, (n, size, size, 3))
    for image, label in zip(images, labels):
        top = size // 8 + label * size // 3
        image[top:top + size // 8, size // 6:-size // 6] = high
    who = tuple(f"{seed}-{i // 6}" for i in range(n)) if identities else ("",) * n
    return FaceSet(images.astype(np.uint8), labels, CLASSES, tuple(f"toy {seed} {i}" for i in range(n)), who)


@pytest.fixture(scope="session")
def spec():
    return emotion_spec()


@pytest.fixture(scope="session")
def toy_parts():
    """The calibration part spans 100 … 150 only, so that whoever calibrates on anything else is found out."""
    return {"train": toy_faces(96, 1), "validation": toy_faces(24, 2),
            "calibration": toy_faces(12, 3, low=100, high=150), "test": toy_faces(48, 4)}


def toy_settings(backend, **changes):
    return Settings(**{"backend": backend, "epochs": 4, "batch": 16, "learning_rate": 0.02, "patience": 0, "seed": 5,
                       "augmentation": Augmentation(copies=0)} | changes)


@pytest.fixture(scope="session")
def keras_model(toy_parts, spec, tmp_path_factory):
    out = tmp_path_factory.mktemp("keras")
    return train_and_evaluate(toy_parts, spec, out, toy_settings("keras"), source="toys")


@pytest.fixture(scope="session")
def modelmaker():
    """The isolated kernel's interpreter, or skip."""
    python = modelmaker_interpreter()
    if python is None:
        pytest.skip("the isolated kernel of tflite-model-maker is not installed: make setup")
    return python


@pytest.fixture(scope="session")
def modelmaker_model(modelmaker, toy_parts, spec, tmp_path_factory):
    out = tmp_path_factory.mktemp("modelmaker")
    return train_and_evaluate(toy_parts, spec, out, toy_settings("modelmaker", int8=True), source="toys")
