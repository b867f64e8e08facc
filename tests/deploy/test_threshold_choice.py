"""Choosing a rejection threshold, against a search over every level."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.core.errors import BadInputError
from facelab.deploy.thresholds import accepted, data_set, parse, rejection
from facelab.metrics.verification_report import evaluate


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.booleans()),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([0.0, 0.05, 0.2, 0.5]),
)
def test_it_is_the_lowest_level_that_keeps_the_error(answers, error):
    confidence, correct = (np.array(x) for x in zip(*answers))
    good = [t for t in np.unique(confidence) if np.mean(~correct[confidence >= t]) <= error]
    assert rejection(confidence, correct, error=error) == (min(good) if good else 1.0)


def test_what_is_accepted_is_counted():
    got = accepted(np.array([0.9, 0.8, 0.2]), np.array([True, False, False]), 0.5)
    assert got == {"coverage": pytest.approx(2 / 3), "error": 0.5, "n": 3}
    assert accepted(np.array([0.1]), np.array([True]), 0.5)["error"] is None


def test_the_recommendation_of_an_evaluation_is_a_threshold():
    """What the command writes today, not what it wrote once."""
    random = np.random.default_rng(0)
    same = np.arange(400) % 2 == 0
    value = evaluate(
        np.where(same, 0.5, 1.5) + 0.2 * random.standard_normal(400),
        same,
        None,
        None,
        replicates=20,
    )
    found, recommended = parse(value, "x").thresholds[0], value["recommended"]
    assert value["schema"] and found.value == recommended["threshold"]
    assert (
        found.target == f"FAR {recommended['target_far']:g}"
        and found.chosen_on.name == recommended["chosen_on"]
    )
    with pytest.raises(BadInputError, match="recommends no threshold"):
        parse(value | {"recommended": None}, "x")
    for broken in (
        {k: v for k, v in recommended.items() if k != "chosen_on"},
        recommended | {"target_far": "low"},
    ):
        with pytest.raises(BadInputError, match="is not whole"):
            parse(value | {"recommended": broken}, "x")


def test_a_data_set_is_named_by_its_content():
    a, b = data_set("a", ["x", "y"]), data_set("b", ["y", "x"])
    assert a["hash"] == b["hash"] and a["images"] == ["x", "y"]


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"schema": "facelab.thresholds/1", "thresholds": [{"name": "t"}]},
        {
            "schema": "facelab.thresholds/1",
            "thresholds": [{"name": "t", "value": "high", "quantity": "q"}],
        },
    ],
)
def test_other_documents_are_bad_input(value):
    with pytest.raises(BadInputError):
        parse(value, "t.json")
