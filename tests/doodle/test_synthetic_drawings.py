"""Synthetic strokes: the same for the same seed, of every kind, readable; files of strokes are checked."""

import json
from collections import Counter

import numpy as np
import pytest

from facelab.core.errors import BadInputError
from facelab.datasets import doodles
from facelab.datasets.doodles._hearts import HEARTS
from facelab.datasets.doodles._others import OTHERS
from facelab.doodle import ink


def test_a_drawing_depends_on_seed_and_number_only():
    one, two = doodles.synthetic(30, seed=4), doodles.synthetic(12, seed=4)
    assert all(np.array_equal(one[k][0], two[k][0]) for k in (0, 7, 11))
    assert not np.array_equal(one[7][0].shape, doodles.synthetic(30, seed=5)[7][0].shape) or not (
        np.array_equal(one[7][0], doodles.synthetic(30, seed=5)[7][0])
    )


def test_every_kind_occurs_in_its_share_and_shows_ink():
    found = Counter()
    for picture, label, kind in doodles.synthetic(1200, seed=1, plain=1.0):
        found[kind] += 1
        assert (kind in HEARTS) == (label == 0)
        assert ink(picture).max() >= 150
    assert set(found) == {*HEARTS, *OTHERS, "letter"}
    assert 0.44 < sum(found[k] for k in HEARTS) / 1200 < 0.56


def test_shares_leave_room_for_letters():
    assert abs(sum(s for _, s in HEARTS.values()) - 1) < 1e-9
    assert 0.9 < sum(s for _, s in OTHERS.values()) < 0.97


def test_either_polarity_and_filled_drawings_are_drawn():
    rng = np.random.default_rng(0)
    pens = [doodles.random_pen(rng) for _ in range(300)]
    light = sum(sum(p.ink) > sum(p.paper) for p in pens)
    assert 80 < light < 160 and 10 < sum(p.filled for p in pens) < 45
    square = [np.array([(0, 0), (1, 0), (1, 1), (0, 1.0)])]
    area = (doodles.draw(square, doodles.Pen(filled=True)) < 128).mean()
    assert area == pytest.approx(0.76**2, abs=0.05)
    halves = [square[0][:3], square[0][::-1][:2]]
    assert (doodles.draw(halves, doodles.Pen(filled=True)) < 128).mean() > 0.9 * area


@pytest.mark.parametrize(
    "strokes", [[], [np.zeros((0, 2))], [np.array([(0.0, np.nan)])], [np.array([(np.inf, 0.0)])]]
)
def test_strokes_that_are_none_are_refused(strokes):
    with pytest.raises(BadInputError, match="no strokes"):
        doodles.draw(strokes)


@pytest.mark.parametrize(("n", "hearts"), [(0, 0.5), (5, 1.5), (5, -0.1)])
def test_sets_that_cannot_be_are_refused(n, hearts):
    with pytest.raises(BadInputError, match="out of range"):
        doodles.synthetic(n, hearts=hearts)


def test_a_file_of_strokes_is_read_and_a_damaged_line_named(tmp_path):
    path = tmp_path / "s.jsonl"
    good = {"label": "heart", "strokes": [[[0, 0], [1, 1]], [[0, 1]]]}
    path.write_text(json.dumps(good) + "\n\n" + json.dumps(good) + "\n")
    drawings = doodles.read_strokes(path)
    assert len(drawings) == 2 and drawings[0][1] == "heart" and drawings[0][0][1].shape == (1, 2)
    for bad in (
        "nonsense",
        "[]",
        "{}",
        '{"strokes": []}',
        '{"strokes": [[]]}',
        '{"strokes": [[[1]]]}',
        '{"strokes": [[["a", "b"]]]}',
        '{"strokes": [[[NaN, 1]]]}',
        '{"label": 3, "strokes": [[[0, 0]]]}',
        "[" * 5000,
    ):
        path.write_text(json.dumps(good) + "\n" + bad + "\n")
        with pytest.raises(BadInputError) as e:
            doodles.read_strokes(path)
        assert e.value.where.endswith("s.jsonl:2") and e.value.fix
    path.write_text("\n")
    with pytest.raises(BadInputError, match="no drawing"):
        doodles.read_strokes(path)
