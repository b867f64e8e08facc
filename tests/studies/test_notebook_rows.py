"""What notebooks take from their studies in one call: rows of pictures, of errors, of times."""

from types import SimpleNamespace

import numpy as np
import pytest

from facelab.datasets import synthetic
from facelab.embedding import PairList
from facelab.metrics import verification
from facelab.studies import camera, detector_evaluation, embedder_evaluation, synthetic_faces


def test_people_keep_their_face_through_emotions():
    rows = synthetic_faces.people_by_emotion(7, people=(1, 2))
    face = synthetic.sample(7, 2).identity
    drawn = synthetic.vary(7, 0, "emotion", synthetic.EMOTIONS, identity=face, intensity=0.9)
    assert list(rows) == ["person 1", "person 2"]
    assert all(np.array_equal(a, b.image) for a, b in zip(rows["person 2"], drawn, strict=True))


def test_one_factor_varies_in_a_row():
    rows = synthetic_faces.people_by_factor(7, {"yaw": [-20, 20], "age": [0.0, 1.0]}, emotion="joy")
    drawn = synthetic.vary(7, 12, "age", [0.0, 1.0], emotion="joy")
    assert [len(r) for r in rows.values()] == [2, 2]
    assert all(np.array_equal(a, b.image) for a, b in zip(rows["age"], drawn, strict=True))


def test_hard_variants_follow_their_anchor():
    rows = synthetic_faces.hard_variants(7, people=1)
    size = 1 + len(synthetic.HARD_FACTORS)
    assert [len(r) for r in rows.values()] == [size]
    last = synthetic.sample(7, 40 + size - 1, "verification", 120)
    assert np.array_equal(rows["person 1"][-1], last.image)


def test_kinds_of_spoofs_are_kept_apart():
    rows = synthetic_faces.spoofs_by_kind(7, each=1)
    first = next(
        s
        for s in (synthetic.sample(7, k, "liveness") for k in range(24))
        if s.recipe.tags["kind"] == "screen"
    )
    assert all(len(r) <= 1 for r in rows.values())
    assert np.array_equal(rows["screen"][0], first.image)


def test_errors_of_an_embedder_are_those_of_the_metrics():
    generator = np.random.default_rng(5)
    same = np.arange(200) % 2 == 0
    distance = np.where(same, 0.8, 1.3) + 0.3 * generator.standard_normal(200)
    who = np.arange(200) // 4
    pairs = PairList(who.astype(str), who.astype(str), same, who.astype(str), who.astype(str), None)
    found = embedder_evaluation.errors("a", distance, pairs, replicates=100)
    accuracy = verification.ten_fold(distance, same).accuracy
    assert found.accuracy == accuracy and found.honest.lo < accuracy < found.honest.hi
    assert found.row()["naive"] == f"{found.naive.lo:.3f} – {found.naive.hi:.3f}"
    assert 0 < found.eer < 0.5


def test_the_best_choice_of_a_size_comes_first():
    sizes = [("MJPEG", 640, 480), ("YUYV", 1280, 720), ("MJPEG", 1280, 720)]
    choices = [SimpleNamespace(format=f, width=w, height=h) for f, w, h in sizes]
    assert camera.of_size(choices, (1280, 720)).format == "YUYV"
    assert camera.of_size(choices, [1280, 720], "MJPEG") is choices[2]
    with pytest.raises(StopIteration):
        camera.of_size(choices, (320, 240))


def test_parts_of_time_name_model_and_threads():
    row = {"model": "yunet-n", "threads": 2, "pre": 0.1, "run": 1.5, "post": 0.2, "P50": 1.8}
    assert detector_evaluation.parts_of_time([row]) == [
        {"label": "yunet-n, 2 thr.", "pre": 0.1, "run": 1.5, "post": 0.2}
    ]
