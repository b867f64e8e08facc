"""A float classifier that is fed or labelled wrongly is reported before its variants are compared."""

from types import SimpleNamespace

import numpy as np

from facelab.quantization._session import Session


def question(labels, answers, classes):
    outputs = np.eye(len(classes), dtype=np.float32)[answers]
    evaluation = SimpleNamespace(
        labels=labels, classes=classes, tensors=np.zeros((len(labels), 2, 2, 3), np.float32)
    )
    held = SimpleNamespace(
        classifier=True,
        evaluation=evaluation,
        float_outputs=outputs,
        subject=SimpleNamespace(spec=None),
        base=None,
    )
    return Session.question(held)


def test_rotated_labels_of_the_float_model_are_named_and_right_ones_are_not():
    truth, classes = np.arange(60) % 3, ("joy", "anger", "neutral")
    assert question(truth, (truth + 1) % 3, classes).cause == "labels_rotated"
    assert question(truth, truth, classes) is None
