"""APCER, BPCER and ACER against a slow count, and the rules for thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.core.errors import BadInputError
from facelab.metrics import liveness

SCORES = st.lists(
    st.tuples(
        st.sampled_from(["live", "print", "screen"]),
        st.one_of(st.just(float("nan")), st.integers(0, 8).map(lambda v: v / 8)),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=40,
).map(lambda rows: [("live", 0.5, 0), ("print", 0.5, 1), ("screen", 0.25, 1), *rows])


@given(SCORES, st.integers(0, 9).map(lambda v: v / 8 - 0.01))
def test_rates_are_those_of_a_slow_count(rows, threshold):
    kinds, scores, who = zip(*rows)
    found = liveness.rates(scores, kinds, threshold, identities=who, replicates=50)
    for kind in ("print", "screen"):
        mine = [s for k, s in zip(kinds, scores) if k == kind and s == s]
        assert found.apcer[kind].value == pytest.approx(
            sum(s >= threshold for s in mine) / len(mine)
        )
        assert found.no_response[kind] == sum(k == kind and s != s for k, s in zip(kinds, scores))
    live = [s for k, s in zip(kinds, scores) if k == "live" and s == s]
    assert found.bpcer.value == pytest.approx(sum(s < threshold for s in live) / len(live))
    worst = max(i.value for i in found.apcer.values())
    assert found.acer.value == pytest.approx((worst + found.bpcer.value) / 2)
    for interval in [*found.apcer.values(), found.bpcer, found.acer]:
        assert 0 <= interval.lo <= interval.value + 1e-12 and interval.value <= interval.hi + 1e-12


@given(SCORES)
def test_the_curve_falls_and_rises_and_its_ends_are_all_and_nothing(rows):
    kinds, scores, _ = zip(*rows)
    cuts, apcer, bpcer = liveness.error_curve(scores, kinds)
    assert (np.diff(cuts) > 0).all() and (np.diff(apcer) <= 0).all() and (np.diff(bpcer) >= 0).all()
    assert (apcer[0], bpcer[0], apcer[-1], bpcer[-1]) == (1, 0, 0, 1)
    for cut, a, b in zip(cuts, apcer, bpcer):
        found = liveness.rates(scores, kinds, cut)
        assert (max(i.value for i in found.apcer.values()), found.bpcer.value) == pytest.approx(
            (a, b)
        )


@given(SCORES, st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_a_rule_keeps_its_limit_where_it_is_chosen(rows, limit):
    kinds, scores, _ = zip(*rows)
    strict = liveness.rates(
        scores, kinds, liveness.choose_threshold(scores, kinds, f"apcer<={limit}")
    )
    assert max(i.value for i in strict.apcer.values()) <= limit
    loose = liveness.rates(
        scores, kinds, liveness.choose_threshold(scores, kinds, f"bpcer<={limit}")
    )
    assert loose.bpcer.value <= limit


def test_repeats_of_one_person_do_not_narrow_the_interval():
    scores = np.repeat([0.9, 0.1, 0.9, 0.1], 50)
    kinds = np.repeat(["live", "live", "print", "print"], 50)
    people = np.repeat([0, 1, 2, 3], 50)
    one = liveness.rates(scores, kinds, 0.5, identities=people)
    rows = liveness.rates(scores, kinds, 0.5)
    assert (one.bpcer.lo, one.bpcer.hi) == (0.0, 1.0) and rows.bpcer.hi - rows.bpcer.lo < 0.2


def test_no_error_on_few_people_is_not_certainty():
    found = liveness.rates([0.9] * 5 + [0.1] * 5, ["live"] * 5 + ["print"] * 5, 0.5)
    assert found.acer.value == 0 and found.acer.hi > 0.4


@pytest.mark.parametrize(
    ("scores", "kinds", "message"),
    [
        ([], [], "do not fit"),
        ([1.0], ["live", "print"], "do not fit"),
        ([np.inf, 0.0], ["live", "print"], "do not fit"),
        ([1.0, 0.0], ["live", "live"], "live presentations and attacks"),
        ([1.0, 0.0], ["screen", "print"], "live presentations and attacks"),
        ([1.0, np.nan], ["live", "print"], "no presentation of a kind got an answer"),
    ],
)
def test_what_cannot_be_rated_is_refused(scores, kinds, message):
    with pytest.raises(BadInputError, match=message) as caught:
        liveness.rates(scores, kinds, 0.5)
    assert caught.value.fix


@pytest.mark.parametrize(
    "rule", ["", "apcer", "apcer<=", "apcer<=2", "apcer<=nan", "fmr<=0.1", "bpcer<=-1"]
)
def test_unknown_rules_are_refused(rule):
    with pytest.raises(BadInputError, match="no rule"):
        liveness.choose_threshold([1.0, 0.0], ["live", "print"], rule)
