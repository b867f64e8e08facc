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


def test_labels_by_the_alphabet_are_named_though_the_model_is_better_than_guessing():
    outputs = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    named = tuple(sorted(outputs))
    rng = np.random.default_rng(3)
    names = np.repeat(outputs, 25)
    seen = np.array([outputs.index(n) for n in names])
    answers = np.where(rng.random(len(seen)) < 0.5, seen, rng.integers(0, 7, len(seen)))
    truth = np.array([named.index(n) for n in names])
    assert (truth == answers).mean() > 1.5 / 7
    doubt = question(truth, answers, named)
    assert doubt.cause == "labels_alphabetical" and ", ".join(outputs) in doubt.evidence
    assert question(seen, answers, outputs) is None
