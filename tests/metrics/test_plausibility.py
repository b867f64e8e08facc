"""Absurd figures: each wrong input is named, and correct inputs, weak ones too, never are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.cli import run
from facelab.metrics.plausibility import (
    question_answers,
    question_boxes,
    question_inputs,
    question_pairs,
)

WIDTH = 1024


def scene(seed, quality=0.9, images=40):
    """Return faces in images of unlike heights, and the boxes of a detector that finds `quality` of them."""
    rng = np.random.default_rng(seed)
    truths, predictions, heights = [], [], []
    for _ in range(images):
        height = rng.choice([576, 683, 768, 1365])
        corner = rng.uniform([0, 0], [WIDTH - 120, height - 140], (rng.integers(1, 12), 2))
        truth = np.hstack([corner, rng.uniform(20, 110, (len(corner), 1)) * [1, 1.25]])
        kept = truth[rng.random(len(truth)) < quality]
        found = kept + rng.normal(0, 0.04, kept.shape) * np.repeat(kept[:, 2:], 2, axis=1)
        wrong = rng.uniform([0, 0, 10, 10], [900, 500, 90, 90], (rng.integers(0, 3), 4))
        boxes = np.vstack([found, wrong])
        predictions.append(np.hstack([boxes, rng.uniform(0.1, 1, (len(boxes), 1))]))
        truths.append(truth)
        heights.append(height)
    return predictions, truths, heights


def relative(p, height):
    return p / np.array([WIDTH, height, WIDTH, height, 1])


WRONG_BOXES = {
    "xyxy": lambda p, h: np.hstack([p[:, :2], p[:, :2] + p[:, 2:4], p[:, 4:]]),
    "centre": lambda p, h: np.hstack([p[:, :2] + p[:, 2:4] / 2, p[:, 2:]]),
    "yxhw": lambda p, h: p[:, [1, 0, 3, 2, 4]],
    "relative": relative,
    "relative_centre": lambda p, h: relative(WRONG_BOXES["centre"](p, h), h),
    "relative_xyxy": lambda p, h: relative(WRONG_BOXES["xyxy"](p, h), h),
    "network_size": lambda p, h: p * np.array([0.625, 0.625, 0.625, 0.625, 1]),
    "score_first": lambda p, h: p[:, [4, 0, 1, 2, 3]],
}


@pytest.mark.parametrize("cause", WRONG_BOXES)
def test_a_wrong_form_of_boxes_is_named(cause):
    predictions, truths, heights = scene(1)
    wrong = [WRONG_BOXES[cause](p, h) for p, h in zip(predictions, heights)]
    assert question_boxes(wrong, truths).cause == cause


@given(seed=st.integers(0, 10_000), quality=st.sampled_from([0.02, 0.1, 0.5, 1.0]))
@settings(max_examples=15, deadline=None)
def test_right_boxes_are_never_questioned_however_few_faces_they_find(seed, quality):
    predictions, truths, _ = scene(seed, quality, images=25)
    assert question_boxes(predictions, truths) is None


def test_images_without_predictions_are_named():
    predictions, truths, _ = scene(1)
    none = [np.zeros((0, 5))] * len(truths)
    assert question_boxes([predictions[0], *none[1:]], truths).cause == "predictions_missing"
    assert question_boxes([], []) is None


def pairs(seed=0, noise=0.5, n=300):
    rng = np.random.default_rng(seed)
    a, other = rng.normal(size=(n, 24)), rng.normal(size=(n, 24))
    same = rng.random(n) < 0.5
    return a, np.where(same[:, None], a, other) + rng.normal(0, noise, a.shape), same


def test_wrong_pairs_are_named():
    a, b, same = pairs()
    mixed = np.concatenate([a, b])
    constant = np.full(a.shape[1], 1000.0)
    cases = {
        "labels_inverted": [(a, b, ~same)],
        "embeddings_alike": [(a + constant, b + constant, same)],
        "sides_identical": [(a, a, same)],
        "pairs_not_aligned": [
            (a, np.roll(b, 1, axis=0), same),
            (a, b, np.roll(same, -1)),
            (mixed[0::2], mixed[1::2], same),
            (a, b[::-1], same),
        ],
    }
    for cause, given_ in cases.items():
        for one in given_:
            assert question_pairs(*one).cause == cause


@given(seed=st.integers(0, 10_000), noise=st.sampled_from([0.1, 1.0, 4.0, 50.0]))
@settings(max_examples=25, deadline=None)
def test_right_pairs_are_never_questioned_however_weak(seed, noise):
    assert question_pairs(*pairs(seed, noise)) is None


CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def answers(seed, accuracy, n=280):
    rng = np.random.default_rng(seed)
    truth = rng.choice(7, n, p=[0.15, 0.05, 0.15, 0.25, 0.15, 0.1, 0.15])
    return truth, np.where(rng.random(n) < accuracy, truth, rng.integers(0, 7, n))


def test_labels_in_another_order_are_named():
    truth, predicted = answers(3, 0.6)
    rotated = question_answers(truth, (predicted + 2) % 7, CLASSES)
    assert rotated.cause == "labels_rotated"
    alphabet = sorted(CLASSES)
    place = np.array([alphabet.index(c) for c in CLASSES])
    # the outputs are in FER2013's order, the labels by the alphabet
    s = question_answers(place[truth], predicted, alphabet)
    assert s.cause == "labels_alphabetical" and ", ".join(CLASSES) in s.evidence


@given(seed=st.integers(0, 10_000), accuracy=st.sampled_from([0.0, 0.2, 0.5, 1.0]))
@settings(max_examples=40, deadline=None)
def test_labels_in_order_are_never_questioned_however_weak(seed, accuracy):
    assert question_answers(*answers(seed, accuracy), CLASSES) is None


def test_one_class_taken_for_another_is_weakness_and_not_another_order():
    truth, predicted = answers(5, 0.8)
    assert question_answers(truth, np.where(predicted == 1, 0, predicted), CLASSES) is None


def test_a_wrong_range_and_channel_order_are_found():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = rng.normal(0, 0.05, (90, 4, 4, 3)).astype(np.float32)
    x[np.arange(90), :, :, y] += 0.5
    right = np.clip(x, -1, 1)

    def answer(t):  # trained on -1 to 1 with RGB: far outside it saturates to class 0
        return np.where(np.abs(t).max(axis=(1, 2, 3)) > 2, 0, t.mean(axis=(1, 2)).argmax(axis=1))

    s = question_inputs((right + 1) * 127.5, y, answer, classes=3)
    assert (s.cause == "input_range" and "-1 to 1" in s.what) or "0 to 1" in s.what
    assert question_inputs(right, y, answer, classes=3) is None
    assert question_inputs(right, rng.integers(0, 3, 90), answer, classes=3) is None


def test_the_command_warns_first_and_is_strict_on_request(tmp_path, capsys):
    a, b, same = pairs()
    for name, labels in (("right", same), ("inverted", ~same)):
        np.savez(tmp_path / f"{name}.npz", a=a, b=b, same=labels)
    command = ["eval", "verification", "--bootstrap", "10", "--strict", "--embeddings"]
    assert run([*command, str(tmp_path / "right.npz")]) == 0
    assert "warning:" not in capsys.readouterr().out
    assert run([*command, str(tmp_path / "inverted.npz")]) == 1
    assert capsys.readouterr().out.startswith("warning: the labels look inverted")
    command.remove("--strict")
    assert run([*command, str(tmp_path / "inverted.npz")]) == 0
