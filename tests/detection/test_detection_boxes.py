"""Overlap, suppression and decoding against slow, obvious versions of themselves."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facelab.detection import _boxes as bx


def some_boxes(draw_max=25):
    corner = st.floats(0, 60, width=32)
    return st.lists(
        st.tuples(corner, corner, st.floats(0, 40, width=32), st.floats(0, 40, width=32)),
        min_size=0,
        max_size=draw_max,
    ).map(
        lambda rows: np.array(
            [(x, y, x + w, y + h) for x, y, w, h in rows], dtype=np.float64
        ).reshape(-1, 4)
    )


def slow_overlap(a, b, over):
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(v[2] - v[0]) * (v[3] - v[1]) for v in (a, b)]
    whole = min(areas) if over == "min" else sum(areas) - w * h
    return w * h / whole if whole > 0 else 0.0


def slow_nms(boxes, scores, threshold, over):
    left = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    keep = []
    while left:
        best, left = left[0], left[1:]
        keep.append(best)
        left = [i for i in left if slow_overlap(boxes[best], boxes[i], over) <= threshold]
    return keep


@settings(max_examples=40, deadline=None)
@given(some_boxes(8), some_boxes(8), st.sampled_from(["union", "min"]))
def test_overlap_is_the_obvious_one(a, b, over):
    expected = [[slow_overlap(x, y, over) for y in b] for x in a]
    # sums of areas are taken in another order
    assert np.allclose(
        bx.overlap(a, b, over=over), np.array(expected).reshape(len(a), len(b)), atol=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(
    some_boxes(), st.floats(0.05, 0.95), st.sampled_from(["union", "min"]), st.integers(0, 2**31)
)
def test_suppression_is_the_greedy_one(boxes, threshold, over, seed):
    # quantised scores give ties, which keep the order of the input
    scores = np.random.default_rng(seed).integers(0, 6, len(boxes)) / 6
    assert bx.nms(boxes, scores, threshold, over=over).tolist() == slow_nms(
        boxes, scores, threshold, over
    )


def test_suppression_agrees_with_opencv():
    rng = np.random.default_rng(5)
    for _ in range(20):
        low = rng.integers(0, 200, (80, 2))
        boxes = np.concatenate([low, low + rng.integers(5, 90, (80, 2))], axis=1)
        scores = rng.permutation(80) / 100 + 0.1
        theirs = cv2.dnn.NMSBoxes(
            [(int(a), int(b), int(c - a), int(d - b)) for a, b, c, d in boxes],
            scores.tolist(),
            0.0,
            0.4,
        )
        assert bx.nms(boxes, scores, 0.4).tolist() == np.asarray(theirs).ravel().tolist()


def test_top_k_bounds_the_candidates():
    boxes = np.array([[i * 20.0, 0, i * 20 + 9, 9] for i in range(10)])
    assert bx.nms(boxes, np.arange(10.0), 0.5, top_k=3).tolist() == [9, 8, 7]


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float64, (6, 4), elements=st.floats(-2, 2)), st.integers(0, 2**31))
def test_offsets_are_decoded_as_they_were_encoded(offsets, seed):
    rng = np.random.default_rng(seed)
    prior = np.concatenate([rng.random((6, 2)), 0.05 + rng.random((6, 2))], axis=1)
    decoded = bx.from_offsets(offsets, prior)
    centre, size = (decoded[:, :2] + decoded[:, 2:]) / 2, decoded[:, 2:] - decoded[:, :2]
    back = np.concatenate(
        [(centre - prior[:, :2]) / prior[:, 2:] / 0.1, np.log(size / prior[:, 2:]) / 0.2], axis=1
    )
    assert np.allclose(back, offsets, atol=1e-9)


def test_priors_are_those_that_come_with_the_model(assets):
    import json

    theirs = np.array(
        json.loads((assets / "models/detectors/retinaface_mnet025_640_priorbox.json").read_text())
    )
    ours = bx.priors((640, 640), (8, 16, 32), ((16, 32), (64, 128), (256, 512)))
    # theirs are float32
    assert ours.shape == theirs.shape and np.abs(ours - theirs).max() < 1e-6


def test_blazeface_anchors_are_those_that_come_with_the_model(assets, load):
    theirs = np.load(assets / "models/detectors/blazeface_anchors.npy")
    ours = load("blazeface-front")._anchors((128, 128))
    assert np.abs(ours - theirs[:, :2]).max() < 1e-6 and (theirs[:, 2:] == 1).all()


def test_blending_averages_a_group_by_score_and_leaves_a_lone_box_alone():
    boxes = np.array([[0.0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]])
    merged, scores, extra = bx.blend(boxes, np.array([0.6, 0.3, 0.9]), np.arange(3.0)[:, None], 0.3)
    assert scores.tolist() == [0.9, 0.6]
    assert np.allclose(merged, [[50, 50, 60, 60], [2 / 3, 0, 10 + 2 / 3, 10]])
    assert np.allclose(extra, [[2], [1 / 3]])


@pytest.mark.parametrize("size", [(1, 1), (33, 7), (320, 240)])
def test_priors_cover_every_cell(size):
    count = sum(-(-size[0] // s) * -(-size[1] // s) * n for s, n in ((8, 3), (16, 2)))
    assert bx.priors(size, (8, 16), ((10, 16, 24), (32, 48))).shape == (count, 4)


def test_detections_show_themselves_in_a_notebook():
    from facelab.detection import Detections
    from facelab.detection.internals import Timings

    found = Detections(
        np.array([[1, 2, 30, 40]]), np.array([0.5]), timings=Timings(0.001, 0.002, 0.001)
    )
    shown = found._repr_html_()
    assert "1 face, 4.0 ms" in shown and "<td>40</td>" in shown
    assert "0 faces" in Detections(np.zeros((0, 4)), np.zeros(0))._repr_html_()
