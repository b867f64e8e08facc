"""What notebooks 19 and 20 measure, on sequences whose answers are known."""

import numpy as np
import pytest

from facelab.feedback import heart
from facelab.feedback.internals import EmotionScores
from facelab.studies import feedback_schedule
from facelab.studies import heart as study

LABELS = ("anger", "joy")


def clean(seconds=40.0, rate=15.0, every=5.0):
    """Scores that follow the truth at once and without a mistake."""
    times = np.arange(int(seconds * rate)) / rate
    state = (times // every).astype(int) % 2
    scores = np.where(state[:, None] == np.arange(2), 0.9, 0.1)
    return EmotionScores(times, scores, LABELS, "made", tuple(LABELS[k] for k in state))


def test_without_smoothing_clean_scores_have_no_delay_and_no_extra_change():
    found = study.point([clean()], "argmax")
    assert found.changes_per_minute == found.true_per_minute and found.n == 7
    assert found.delay_s == 0 and found.missed == 0 and found.right == 1


def test_the_delay_of_a_mean_is_the_one_of_its_exponential():
    """From .9 to .1: the new label leads by .15 when the mean has gone share s, .1 + .8 s - (.9 - .8 s) = .15."""
    found = study.point([clean()], "ema", tau_s=0.6)
    share = (0.15 + 0.8) / 1.6
    expected = -0.6 * np.log(1 - share)
    assert expected - 1 / 15 <= found.delay_s <= expected + 1 / 15
    assert found.changes_per_minute == found.true_per_minute


def test_changes_that_are_never_followed_are_missed_and_not_fast():
    found = study.point([clean(every=1.0)], "ema", tau_s=5.0)
    assert found.missed > 0.9


def test_a_reference_that_looks_ahead_has_no_delay():
    scores = clean()
    truth = study.offline_truth(scores)
    assert np.mean([a == b for a, b in zip(truth, scores.truth)]) > 0.97


def test_flickering_labels_flash_literally_and_not_eased():
    rng = np.random.default_rng(1)
    scores = clean(12.0)
    rows = scores.scores.copy()
    flip = rng.random(len(rows)) < 0.4
    rows[flip] = rows[flip][:, ::-1]
    noisy = EmotionScores(scores.times_s, rows, LABELS, "made", scores.truth)
    found = study.flicker_flashes(noisy)
    assert not found["literal"].passed and found["eased"].passed


def test_flash_rows_are_those_of_the_formulas():
    rows = {(r["emotion"], r["formula"]): r for r in study.flash_rows()}
    assert len(rows) == 6
    assert rows["anger", "literal"]["red"] == 4 and not rows["anger", "literal"]["allowed"]
    assert all(r["allowed"] for (_, formula), r in rows.items() if formula == "eased")


def test_the_longest_change_of_hue_follows_from_the_settings():
    assert study.hue_seconds() == pytest.approx(120 / heart.load_settings().hue_rate_deg_s)


def test_random_programs_break_no_promise():
    found = feedback_schedule.try_rules(200, 3)
    assert found.broken == 0 and found.pulses > 1000
    assert 0 < found.merged < 1 and 0 < found.dropped < 1 and 0 < found.stretched < 1
