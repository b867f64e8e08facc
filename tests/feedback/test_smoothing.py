"""Labels that do not flicker: constants in seconds, gaps, restarts, wrong scores."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.core.errors import BadInputError
from facelab.feedback import _smoothing, follow, smoother
from facelab.feedback.internals import EmotionScores

LABELS = ("anger", "joy", "neutral")
KINDS = [k for k in _smoothing.SMOOTHERS if k != "argmax"]


def noisy(rate: float, seconds: float = 120.0, seed: int = 0):
    """Scores whose truth stays 8 s on average, and whose errors last about 0.15 s at every rate."""
    rng = np.random.default_rng(seed)
    fine = 60
    n = int(seconds * fine)
    truth, wrong = np.zeros(n, int), np.zeros(n, int)
    k = state = 0
    while k < n:
        k2 = k + int(fine * (2 + rng.exponential(6)))
        truth[k:k2] = state = (state + rng.integers(1, 3)) % 3
        k = k2
    k = 0
    while k < n:
        k2 = k + max(1, int(fine * rng.exponential(0.15)))
        wrong[k:k2] = 0 if rng.random() < 0.7 else rng.integers(1, 3)
        k = k2
    at = (np.arange(int(seconds * rate)) * fine / rate).astype(int)
    shown = (truth + wrong)[at] % 3
    scores = np.full((len(at), 3), 0.15)
    scores[np.arange(len(at)), shown] = 0.7
    return np.arange(len(at)) / rate, scores, truth[at]


def changes(labels):
    return sum(a != b for a, b in itertools.pairwise(labels))


@pytest.mark.parametrize("kind", KINDS)
def test_each_smoother_changes_far_less_often_than_the_newest_frame_and_follows_the_truth(kind):
    times, scores, truth = noisy(15)
    plain, _ = smoother(LABELS, "argmax").run(times, scores)
    labels, smoothed = smoother(LABELS, kind).run(times, scores)
    assert changes(labels) < 0.6 * changes(plain)
    right = np.mean([LABELS[t] == label for t, label in zip(truth, labels)])
    assert right > np.mean([LABELS[t] == label for t, label in zip(truth, plain)])
    assert np.allclose(smoothed.sum(1), 1, atol=1e-9 if kind != "one-euro" else 0.2)


def test_the_margin_flickers_least_and_a_plain_mean_more():
    times, scores, _ = noisy(15)
    with_margin, _ = smoother(LABELS, "ema").run(times, scores)
    plain, _ = smoother(LABELS, "ema", margin=0.0).run(times, scores)
    assert changes(with_margin) < 0.6 * changes(plain)


@pytest.mark.parametrize("kind", KINDS)
def test_constants_are_seconds_so_that_the_frame_rate_changes_little(kind):
    """The same minute at 15 and at 60 frames per second: labels agree on nine tenths of the time."""
    slow_t, slow_s, _ = noisy(15)
    fast_t, fast_s, _ = noisy(60)
    slow, _ = smoother(LABELS, kind).run(slow_t, slow_s)
    fast, _ = smoother(LABELS, kind).run(fast_t, fast_s)
    assert np.mean([a == b for a, b in zip(slow, fast[::4])]) > 0.9


def test_the_mean_of_a_step_is_the_exponential_whatever_the_steps():
    def reached(steps):
        one = smoother(LABELS, "ema", tau_s=0.5)
        one.update(0.0, [0.0, 0.0, 1.0])
        for t in np.cumsum(steps):
            found = one.update(float(t), [0.0, 1.0, 0.0])
        return found.scores[1]

    expected = 1 - np.exp(-0.9 / 0.5)
    assert reached([0.9]) == pytest.approx(expected)
    assert reached([0.1, 0.3, 0.5]) == pytest.approx(expected)


def test_one_euro_agrees_with_the_published_recursion():
    """An oracle written from the paper: the same cut-off, discretised by the exact exponential."""
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.02, 0.1, 40))
    x = rng.dirichlet([1, 1, 1], 40)
    _, found = smoother(LABELS, "one-euro", min_cutoff_hz=0.7, beta=0.3).run(times, x)

    def share(cutoff, dt):
        return 1 - np.exp(-2 * np.pi * cutoff * dt)

    for c in range(3):
        hat, speed = x[0, c], 0.0
        for k in range(1, 40):
            dt = times[k] - times[k - 1]
            speed += share(1.0, dt) * ((x[k, c] - hat) / dt - speed)
            hat += share(0.7 + 0.3 * abs(speed), dt) * (x[k, c] - hat)
        assert found[-1, c] == pytest.approx(hat, abs=1e-12)


def test_the_hidden_markov_model_agrees_with_the_sum_over_all_paths():
    rng = np.random.default_rng(5)
    n, dt, dwell = 6, 0.2, 1.0
    x = rng.dirichlet([2, 2, 2], n)
    _, found = smoother(LABELS, "hmm", dwell_s=dwell, evidence_s=dt).run(np.arange(n) * dt, x)
    stay = np.exp(-dt / dwell)
    total = np.zeros(3)
    for path in itertools.product(range(3), repeat=n):
        weight = x[0, path[0]] / 3
        for k in range(1, n):
            weight *= (stay if path[k] == path[k - 1] else (1 - stay) / 2) * x[k, path[k]]
        total[path[-1]] += weight
    assert np.allclose(found[-1], total / total.sum(), atol=1e-9)


@pytest.mark.parametrize("kind", _smoothing.SMOOTHERS)
def test_no_face_holds_the_label_for_a_while_and_then_forgets(kind):
    one = smoother(LABELS, kind, hold_s=1.0)
    assert one.update(0.0, None).label is None
    assert one.update(0.1, [0.8, 0.1, 0.1]).label == "anger"
    assert one.update(1.0, None).label == "anger"
    gone = one.update(1.2, None)
    assert gone.label is None and gone.changed and gone.scores is None
    assert one.update(1.3, [0.1, 0.8, 0.1]).label == "joy"  # nothing of the old face is left


def test_a_clock_that_steps_back_starts_anew():
    one = smoother(LABELS, "hmm")
    for k in range(50):
        one.update(k / 10, [0.9, 0.05, 0.05])
    assert one.update(0.0, [0.05, 0.9, 0.05]).label == "joy" and one.restarts == 1


@pytest.mark.parametrize(
    "scores",
    [[0.5, 0.5], [3.0, -2.0, 0.0], [0.2, 0.2, 0.2], [np.nan, 0.5, 0.5], [255, 0, 0], [[1, 0, 0]]],
)
def test_what_is_not_a_probability_is_refused(scores):
    with pytest.raises(BadInputError, match="not probabilities") as e:
        smoother(LABELS).update(0.0, scores)
    assert e.value.fix


@pytest.mark.parametrize(
    ("kind", "constants"),
    [
        ("emaa", {}),
        ("ema", {"tau": 1}),
        ("ema", {"tau_s": 0}),
        ("ema", {"margin": 2}),
        ("majority", {"window_s": float("nan")}),
        ("hmm", {"dwell_s": "8"}),
    ],
)
def test_unknown_names_and_constants_are_refused(kind, constants):
    with pytest.raises(BadInputError) as e:
        smoother(LABELS, kind, **constants)
    assert e.value.fix


@given(
    st.sampled_from(list(_smoothing.SMOOTHERS)),
    st.lists(
        st.tuples(st.floats(0, 3), st.none() | st.tuples(*[st.floats(0.01, 1)] * 3)),
        min_size=1,
        max_size=30,
    ),
)
def test_any_sequence_gives_a_label_that_was_asked_for(kind, steps):
    one, time = smoother(LABELS, kind), 0.0
    for dt, raw in steps:
        time += dt
        row = None if raw is None else np.array(raw) / sum(raw)
        found = one.update(time, row)
        assert found.label in (*LABELS, None)
        assert (found.label is not None) or row is None
        if found.scores is not None:
            assert np.isfinite(found.scores).all() and found.scores.min() >= 0


@pytest.mark.parametrize("step", [5e-324, 2.3e-311, 1e-9])
def test_times_that_hardly_differ_are_one_moment(step):
    one = smoother(LABELS, "one-euro")
    before = one.update(0.0, np.array([0.4, 0.4, 0.2])).scores
    found = one.update(step, np.array([0.2, 0.4, 0.4]))
    assert np.array_equal(found.scores, before)


def test_follow_counts_changes_and_lists_what_was_shown():
    times = np.arange(40) / 10
    scores = np.tile([0.9, 0.05, 0.05], (40, 1))
    scores[20:] = [0.05, 0.9, 0.05]
    scores[10] = np.nan
    found = follow(EmotionScores(times, scores, LABELS, "made"), smoother(LABELS, "argmax"))
    assert found.changes == 1 and found.changes_per_minute == pytest.approx(60 / 3.9)
    assert [r["shown"] for r in found.rows()] == ["anger", "joy"]
    assert found.rows()[0]["seconds"] == pytest.approx(2.0)
