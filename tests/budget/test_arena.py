"""The plan of activations: valid for every grid of lives, never below what must live at once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facelab.budget.model._arena import Life, greedy_by_size, peak

LIVES = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 12), st.integers(0, 6)).map(
        lambda t: Life(t[0], t[1], t[1] + t[2])
    ),
    max_size=25,
)


@given(LIVES)
def test_the_peak_is_what_a_clock_sees(lives):
    seen = [sum(life.size for life in lives if life.begin <= at <= life.end) for at in range(20)]
    assert peak(lives) == max(seen, default=0)


@given(LIVES, st.sampled_from([1, 16, 64]))
def test_a_plan_holds_the_peak_and_never_more_than_everything(lives, alignment):
    aligned = [Life(-(-life.size // alignment) * alignment, life.begin, life.end) for life in lives]
    plan = greedy_by_size(lives, alignment)
    assert peak(aligned) <= plan <= sum(life.size for life in aligned)
    assert plan % alignment == 0


def test_a_known_case_where_greedy_is_not_the_best():
    """Sizes 3, 2, 2, 1 in a row: the plan is checked against all orders of placement, by hand."""
    lives = [Life(3, 0, 1), Life(2, 1, 2), Life(2, 2, 3), Life(1, 3, 4)]
    assert peak(lives) == greedy_by_size(lives, 1) == 5


def test_views_share_and_constants_do_not_count(tmp_path):
    from facelab import budget
    from tests.budget.test_macs_onnx import helper, saved  # the same small graphs

    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Reshape", ["a", "s"], ["b"]),
        helper.make_node("Reshape", ["b", "s"], ["c"]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    cost = budget.cost_of(saved(tmp_path, nodes, {"x": (1, 100)}, {"s": np.array([100, 1])}))
    assert cost.peak_bytes == 3 * 400  # the caller holds x; a, b and c are one; y
