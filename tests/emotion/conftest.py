"""One model of each back end, trained once on toy faces."""

import pytest
from conftest_emotion import toy_faces, toy_settings
from shared_work import made_once

from facelab.emotion import emotion_spec, train_and_evaluate
from facelab.emotion.internals import modelmaker_interpreter


@pytest.fixture(scope="session")
def spec():
    return emotion_spec()


@pytest.fixture(scope="session")
def toy_parts():
    """The calibration part spans 100 … 150 only, so that anyone who calibrates on anything else is found out."""
    return {
        "train": toy_faces(96, 1),
        "validation": toy_faces(24, 2),
        "calibration": toy_faces(12, 3, low=100, high=150),
        "test": toy_faces(48, 4),
    }


@pytest.fixture(scope="session")
def keras_model(toy_parts, spec, tmp_path_factory):
    def make(folder):
        return train_and_evaluate(toy_parts, spec, folder, toy_settings("keras"), source="toys")

    return made_once(tmp_path_factory, "emotion-keras", make)


@pytest.fixture(scope="session")
def modelmaker():
    """The isolated kernel's interpreter, or skip."""
    python = modelmaker_interpreter()
    if python is None:
        pytest.skip("the isolated kernel of tflite-model-maker is not installed: make setup")
    return python


@pytest.fixture(scope="session")
def modelmaker_model(modelmaker, toy_parts, spec, tmp_path_factory):
    def make(folder):
        settings = toy_settings("modelmaker", int8=True)
        return train_and_evaluate(toy_parts, spec, folder, settings, source="toys")

    return made_once(tmp_path_factory, "emotion-modelmaker", make)
