"""Classification and landmark metrics against scikit-learn and by hand; the plots draw."""

import numpy as np
import pytest

from facelab.core.errors import BadInputError
from facelab.metrics import classification, intervals, landmarks, operating
from facelab.report import metrics as plots


def answers(seed=0, n=400, classes=5):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    return truth, np.where(rng.random(n) < 0.7, truth, rng.integers(0, classes, n))


def test_confusion_and_per_class_equal_scikit_learn():
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    truth, said = answers()
    table = classification.confusion(truth, said, 5)
    assert np.array_equal(table, confusion_matrix(truth, said))
    rows = classification.per_class(table, list("abcde"))
    for k, want in zip(("precision", "recall", "f1"), precision_recall_fscore_support(truth, said)):
        assert [r[k] for r in rows.values()] == pytest.approx(want, abs=1e-12)


def test_ece_against_plain_loops():
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.ones(4), 300)
    truth = rng.integers(0, 4, 300)
    top, right = p.max(1), p.argmax(1) == truth
    want = sum(
        abs(right[m].mean() - top[m].mean()) * m.mean()
        for k in range(15)
        if (m := (top > k / 15) & (top <= (k + 1) / 15)).any()
    )
    assert classification.expected_calibration_error(p, truth) == pytest.approx(want, abs=1e-12)


def test_accuracy_interval_covers_by_group_and_by_row():
    truth, said = answers(n=1000)
    i = classification.accuracy(truth, said)
    lo, hi = intervals.wilson(np.sum(truth == said), 1000)
    assert (i.lo, i.hi) == pytest.approx(
        (lo, hi), abs=0.01
    )  # independent rows: bootstrap and Wilson agree
    wide = classification.accuracy(
        np.repeat(truth, 9), np.repeat(said, 9), groups=np.repeat(np.arange(1000), 9)
    )
    assert (wide.hi - wide.lo) == pytest.approx(i.hi - i.lo, rel=0.15)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: classification.confusion(np.array([0, 5]), np.array([0, 1]), 2),
        lambda: classification.accuracy(np.array([0.5]), np.array([1])),
        lambda: classification.reliability(np.array([[3.0, 4.0]]), np.array([0])),
        lambda: classification.reliability(np.array([[np.nan, 1.0]]), np.array([0])),
        lambda: landmarks.ced_area(np.array([np.nan])),
    ],
)
def test_bad_input_is_refused(bad):
    with pytest.raises(BadInputError):
        bad()


def test_area_under_the_error_curve_equals_the_step_integral():
    nme = np.abs(np.random.default_rng(0).normal(0.05, 0.03, 200))
    error, share = landmarks.ced(nme, 0.1, missed=10)
    assert landmarks.ced_area(nme, 0.1, missed=10) == pytest.approx(
        np.sum(np.diff(error) * share[:-1]) / 0.1, abs=1e-12
    )


def test_the_error_curve_ends_at_the_faces_that_are_no_failures():
    nme = np.array([0.01, 0.01, 0.05, 0.2])
    (line,) = plots.cumulative_error({"a": nme}, limit=0.08, missed={"a": 1}).axes[0].lines
    assert line.get_xdata().tolist() == pytest.approx([0, 1, 5, 8])
    assert line.get_ydata().tolist() == pytest.approx([0, 40, 60, 60])
    assert line.get_label() == "a\narea 0.425, failures 40.0%"


def test_the_plots_draw_without_a_warning(tmp_path):
    rng = np.random.default_rng(0)
    same = np.arange(400) % 2 == 0
    d = np.where(same, 1.0, 2.0) + rng.normal(0, 0.3, 400)
    truth, said = answers()
    table = classification.reliability(rng.dirichlet(np.ones(4), 400), rng.integers(0, 4, 400))
    curves = {"x": operating.error_curve(d, same)}
    for k, fig in enumerate(
        [
            plots.det(curves, impostors=200),
            plots.score_histogram(d, same, threshold=1.5),
            plots.reliability(table),
            plots.cumulative_error({"a": np.abs(d - 1) / 20}, missed={"a": 3}),
            plots.confusion(classification.confusion(truth, said, 5), list("abcde")),
        ]
    ):
        fig.savefig(tmp_path / f"{k}.png")
        assert all(ax.get_ylabel() for ax in fig.axes)


@pytest.mark.parametrize("right", [True, False])
def test_all_alike_is_not_certain(right):
    """Two of two right said "1.0000 [1.0000, 1.0000]": a resample of equal answers never differs."""
    truth = np.array([0, 1, 0, 1, 1, 0])
    predicted = truth if right else 1 - truth
    by_row = classification.accuracy(truth, predicted)
    by_person = classification.accuracy(truth, predicted, groups=np.array(list("aabbbb")))
    for got, n in ((by_row, 6), (by_person, 2)):
        free = got.hi - got.lo
        exact = 1 - 0.025 ** (1 / n)  # Clopper and Pearson's bound, which is a little wider
        assert got.value == right and got.units == n and exact - 0.2 < free < exact
        assert (got.lo, got.hi)[right] == right
    assert by_person.hi - by_person.lo > by_row.hi - by_row.lo
