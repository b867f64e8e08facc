"""Each picture shows what it was given: as many tiles, curves and figures as there are, and says when there is none."""

import numpy as np
import pytest
from conftest_emotion import CLASSES, toy_faces

from facelab.emotion import EmotionClassifier, evaluate
from facelab.report import emotion as pictures


def shown(fig):
    fig.canvas.draw()
    return [ax for ax in fig.axes if ax.images]


def test_the_gallery_has_a_row_a_class(toy_parts):
    fig = pictures.gallery(toy_parts["train"], each=5)
    assert len(shown(fig)) == 15
    assert [ax.get_ylabel() for ax in fig.axes[::5]] == list(CLASSES)
    few = toy_parts["train"].take([0, 1])  # no face of the third class: its row stays empty
    assert len(shown(pictures.gallery(few, each=2))) == 2


def test_the_tables_count_faces_and_people(toy_parts):
    table = pictures.parts_table(toy_parts)
    assert table["faces"].tolist() == [96, 24, 12, 48]
    assert table["people"].tolist() == [16, 4, 2, 8]


@pytest.mark.tensorflow
def test_curves_and_accuracies_show_every_training(keras_model):
    trained, evaluation = keras_model
    fig = pictures.learning_curves({"a": trained.history, "b": trained.history})
    assert [len(ax.lines) for ax in fig.axes] == [4, 4]
    fig = pictures.accuracies({"a": evaluation, "b": evaluation}, bar=0.93)
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["a", "b"]
    assert pictures.per_class_table(evaluation)["support"].sum() == 48


@pytest.mark.tensorflow
def test_mistakes_are_drawn_or_their_absence_is_said(keras_model):
    trained, _ = keras_model
    faces, classifier = toy_faces(24, 9), EmotionClassifier(trained.model)
    truth = evaluate(classifier, faces)
    right = type(faces)(faces.images, truth.predicted, faces.classes, faces.names, faces.identities)
    assert "No mistake on 24" in pictures.mistakes(evaluate(classifier, right)).get_suptitle()
    wrong = type(faces)(
        faces.images, (truth.predicted + 1) % 3, faces.classes, faces.names, faces.identities
    )
    fig = pictures.mistakes(evaluate(classifier, wrong), most=7)
    assert len(shown(fig)) == 7
    assert "7 surest of 24" in fig.get_suptitle()
    assert np.all([ax.get_title().startswith("is ") for ax in shown(fig)])
