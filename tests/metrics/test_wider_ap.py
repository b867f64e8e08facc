"""WIDER AP: the published oracle to 1e-9, a slow loop as differential oracle, speed, and the command."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wider_oracle import oracle_predictions, overlap_table, slow_ap

from facelab.cli import run
from facelab.core.errors import BadInputError
from facelab.datasets import load_ground_truth, load_predictions
from facelab.datasets.internals import write_predictions
from facelab.metrics.detection import average_precision, match, recall_of, wider_ap


@pytest.fixture(scope="module")
def truth(assets):
    return load_ground_truth(assets / "annotations")


@pytest.fixture(scope="module")
def predictions(truth):
    return oracle_predictions(truth.boxes)


ORACLE = {"easy": 0.8862824771462525, "medium": 0.9323554071067476, "hard": 0.7877406878544234}


def test_the_published_oracle_is_reproduced_to_1e_9(truth, predictions):
    assert sum(map(len, predictions)) == 35229
    assert wider_ap(predictions, truth.boxes, truth.subsets) == pytest.approx(
        ORACLE, abs=1e-9, rel=0
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"iou": 0.3}, (0.88911, 0.93419, 0.78872)),
        ({"iou": 0.7}, (0.47176, 0.59578, 0.58087)),
        ({"score_threshold": 0.3}, (0.85597, 0.89935, 0.75882)),
    ],
)
def test_other_published_settings(truth, predictions, options, expected):
    got = wider_ap(predictions, truth.boxes, truth.subsets, **options)
    assert tuple(got.values()) == pytest.approx(expected, abs=5.1e-6)  # published with five digits


def test_perfect_predictions(truth):
    perfect = [np.column_stack([b, np.linspace(1, 0.5, len(b))]) for b in truth.boxes]
    got = wider_ap(perfect, truth.boxes, truth.subsets)
    assert tuple(got.values()) == pytest.approx((0.99992110, 0.99995235, 0.99990825), abs=5.1e-9)


@pytest.mark.slow
@pytest.mark.timing
def test_twenty_times_faster_than_loops_in_the_same_run(truth, predictions):
    keep = {
        s: np.split(k, np.cumsum([len(b) for b in truth.boxes])[:-1])
        for s, k in truth.subsets.items()
    }
    slow, fast = [], []
    for _ in range(2):
        t = time.perf_counter()
        want = {s: slow_ap(predictions, truth.boxes, keep[s], table=overlap_table) for s in keep}
        slow.append(time.perf_counter() - t)
        t = time.perf_counter()
        got = wider_ap(predictions, truth.boxes, truth.subsets)
        fast.append(time.perf_counter() - t)
        assert got == pytest.approx(want, abs=1e-12)
    print(f"loops {slow} s, facelab {fast} s")
    assert min(s / f for s, f in zip(slow, fast)) > 20


@st.composite
def scenes(draw):
    """A handful of images: few coordinates, so that ties, duplicates and exact thresholds occur."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse, kind = (
        draw(st.booleans()),
        draw(st.sampled_from(["unit", "constant", "tied", "large", "negative"])),
    )
    pred, gt, keep = [], [], []
    for _ in range(draw(st.integers(1, 5))):
        n, m = (int(rng.integers(0, 7)) for _ in range(2))
        g = (
            np.round(rng.uniform([0, 0, -2, 0], [12, 12, 9, 9], (m, 4)))
            if coarse
            else rng.uniform(0, 20, (m, 4))
        )
        p = np.round(rng.uniform([0, 0, -2, 0], [12, 12, 9, 9], (n, 4)))
        if m:
            copied = rng.random(n) < 0.6
            p[copied] = g[rng.integers(0, m, copied.sum())] + (
                0 if coarse else rng.normal(0, 0.4, (copied.sum(), 4))
            )
        s = {
            "unit": rng.random(n),
            "constant": np.full(n, 0.7),
            "tied": rng.integers(1, 4, n) / 4,
            "large": rng.uniform(2, 90, n),
            "negative": rng.normal(0, 3, n),
        }[kind]
        pred.append(np.column_stack([p, s]))
        gt.append(g)
        keep.append(rng.random(m) < 0.6)
    return pred, gt, keep, draw(st.sampled_from([0.3, 0.5, 0.7, 1.0]))


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_equals_the_slow_loops_on_random_scenes(scene):
    pred, gt, keep, iou = scene
    got = wider_ap(pred, gt, {"x": np.concatenate(keep)}, iou=iou)["x"]
    want = slow_ap(pred, gt, keep, iou)
    assert (got is None and want is None) or got == pytest.approx(want, abs=1e-12)


def test_order_of_predictions_does_not_matter(truth, predictions):
    rng = np.random.default_rng(4)
    mixed = [p[rng.permutation(len(p))] for p in predictions]
    assert wider_ap(mixed, truth.boxes, truth.subsets) == wider_ap(
        predictions, truth.boxes, truth.subsets
    )


def test_bootstrap_interval_is_seeded_and_holds_the_value(truth, predictions):
    m = match(predictions, truth.boxes)
    a, b = (
        average_precision(m, truth.subsets["hard"], replicates=100, seed=3).interval
        for _ in range(2)
    )
    assert a == b
    assert a.lo < a.value < a.hi
    assert 0.005 < a.hi - a.lo < 0.1


def test_recall_counts_each_face_once():
    gt = [np.array([[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 10.0, 10.0]])]
    pred = [np.array([[0.0, 0.0, 10.0, 10.0, 0.9], [0.0, 0.0, 10.0, 10.0, 0.8]])]
    assert recall_of(match(pred, gt), np.array([True, True])).value == 0.5
    assert recall_of(match(pred, gt), np.array([False, False])) is None


def test_values_that_are_not_finite_and_wrong_shapes_are_refused():
    with pytest.raises(BadInputError, match="not finite"):
        match([np.array([[0, 0, 1, 1, np.nan]])], [np.zeros((1, 4))])
    with pytest.raises(BadInputError, match="wrong shape"):
        match([np.zeros((2, 4))], [np.zeros((1, 4))])
    with pytest.raises(BadInputError, match="number of images"):
        match([], [np.zeros((1, 4))])


@pytest.fixture(scope="module")
def folder(truth, predictions, tmp_path_factory):
    out = tmp_path_factory.mktemp("predictions")
    for (event, image), boxes in zip(truth.names, predictions):
        path = out / event / f"{image}.txt"
        path.parent.mkdir(exist_ok=True)
        rows = "".join(" ".join(repr(float(v)) for v in r) + "\n" for r in boxes)
        path.write_text(f"{image}.jpg\n{len(boxes)}\n{rows}")
    return out


def test_the_command_gives_the_oracle_and_says_what_it_fixed(
    folder, truth, assets, tmp_path, capsys
):
    event, image = truth.names[0]
    path = folder / event / f"{image}.txt"
    whole = path.read_text()
    head, count, *rows = whole.splitlines()
    path.write_text("\n".join([head, count, *rows[::-1]]) + "\n")
    other = folder / truth.names[-1][0] / f"{truth.names[-1][1]}.txt"
    try:
        other_text = other.read_text()
        code = run(
            [
                "eval",
                "wider",
                "--predictions",
                str(folder),
                "--ground-truth",
                str(assets / "annotations"),
                "--json",
                str(tmp_path / "o.json"),
                "--bootstrap",
                "50",
            ]
        )
        value = json.loads((tmp_path / "o.json").read_text())
        assert code == 0
        assert value["ap"] == pytest.approx(ORACLE, abs=1e-9)
        assert value["unsorted_images"] == [f"{event}/{image}"]
        assert set(value["breakdowns"]) == {
            "size",
            "blur",
            "occlusion",
            "pose",
            "illumination",
            "expression",
        }
        assert sum(g["faces"] for g in value["breakdowns"]["blur"].values()) == 31958
        assert "not sorted" in capsys.readouterr().err
        other.unlink()
        assert load_predictions(folder, truth.names).missing_images == ["/".join(truth.names[-1])]
    finally:
        path.write_text(whole)
        other.write_text(other_text)


NAMES = [("0--E", "a"), ("0--E", "b"), ("1--F", "c")]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a.jpg\n1\n1 2 3 4\n", 3, "malformed"),
        ("a.jpg\n1\n1 2 3 4 x\n", 3, "malformed"),
        ("a.jpg\n2\n1 2 3 4 .5\n\n1 2 3 4 nan\n", 5, "malformed"),
        ("a.jpg\n2\n1 2 3 4 .5\n", 2, "as many"),
        ("a.jpg\n", 2, "no count"),
        ("", 1, "no count"),
        ("b.jpg\n0\n", 1, "another image"),
        ("a.jpg\n1\n1 2 3 4 5 6\n", 3, "malformed"),
    ],
)
def test_a_malformed_prediction_file_is_named_with_its_line(tmp_path, text, line, what):
    write_predictions(tmp_path, "1--F", "c", np.array([[1, 2, 3, 4, 0.5]]))
    (tmp_path / "0--E").mkdir()
    (tmp_path / "0--E" / "a.txt").write_text(text)
    with pytest.raises(BadInputError, match=what) as e:
        load_predictions(tmp_path, NAMES)
    assert e.value.where.endswith(f"a.txt:{line}")


def test_predictions_survive_writing_and_missing_events_are_named(tmp_path):
    boxes = np.array([[1.1, 2, 3, 4, 0.2], [1 / 3, 2, 3, 4, 0.9]])
    write_predictions(tmp_path, "0--E", "a", boxes)
    got = load_predictions(tmp_path, NAMES)
    assert np.array_equal(got.boxes[0], boxes[::-1])
    assert got.missing_events == ["1--F"]
    assert got.missing_images == ["0--E/b", "1--F/c"]


def test_a_folder_without_any_fitting_file_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="no prediction file"):
        load_predictions(tmp_path, NAMES)
