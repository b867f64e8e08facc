"""Notebooks 16 and 17: their studies say what they measured, and the long promise of 1 000 swaps."""

import numpy as np
import pytest

from facelab.report import serving as pictures
from facelab.studies import canaries, model_swaps, pools, release


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return release.versions(tmp_path_factory.mktemp("versions"), megabytes=5)


def test_shares_are_inside_their_interval_and_nested():
    rows = canaries.shares([0.01, 0.1, 0.5])
    assert all(r["inside"] and r["nested"] for r in rows)
    assert pictures.shares(rows).axes[0].get_title()


def test_peeking_costs_an_ordinary_interval_and_not_ours():
    ever = canaries.peeking(runs=60, n=1000)
    assert ever["anytime-valid"] <= 0.1 < ever["ordinary 95 %"]


def test_pictures_take_what_the_studies_give():
    x = np.random.default_rng(0).exponential(0.01, 500)
    pictures.tail({"quiet": x, "swapping": 2 * x}, title="t")
    pictures.memory({"a": np.arange(4.0)}, model_mb=2)
    trail = np.array([[0, 1, 0.2, 1.0], [5, 3, 0.1, 0.9]])
    pictures.agreement({"a": trail, "none": np.zeros((0, 4))}, least=0.95)
    rows = [
        {"queue": q, "offered": f, "goodput": min(f, 1.0), "shed": 0.0, "p99 [ms]": 1.0}
        for q in ("bounded", "unbounded")
        for f in (0.5, 2.0)
    ]
    result = pools.Overload(100.0, 0.1, rows)
    assert len(result.to_frame()) == 4
    pictures.overload(result)
    planted = [
        pools.Planted(k, f, f, "", "", {}, np.array([[1.0, 0.01, 0.0]]), "")
        for k in ("a", "b")
        for f in pools.FAULTS
    ]
    assert len(pictures.waits(planted).axes) == 4


def test_ratios_and_intervals_follow_the_samples():
    rng = np.random.default_rng(1)
    quiet, swapping = rng.exponential(0.01, 4000), rng.exponential(0.02, 4000)
    swaps = model_swaps.Swaps(
        quiet, swapping, 4, 0, 0, 0, 8000, np.ones(4), 0, 10, np.ones(4), {}, 20, 0.0
    )
    low, high = swaps.p99_interval()
    assert low < swaps.p99_ratio() < high and abs(swaps.p99_ratio() - 2) < 0.4
    assert swaps.growth() == 0.5
    assert [r["windows"] for r in swaps.rows()] == ["quiet", "swapping"]


@pytest.mark.slow
def test_bad_bundles_and_canaries(made, tmp_path):
    bundles, trust = made
    reasons = release.bad_bundles(bundles[1], bundles[0], trust, tmp_path)
    assert set(reasons) == set(release.DAMAGE)
    assert canaries.canary(bundles[0], bundles[2], requests=300).stopped is None
    other = canaries.canary(bundles[0], bundles[1], requests=2000)
    assert "agreement" in other.stopped and other.failed == 0
    assert "stop" in other.audit


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_1000_swaps_under_load_fail_no_request_mix_none_and_leave_nothing(made):
    bundles, trust = made
    found = model_swaps.swaps_under_load(bundles[:2], trust, swaps=1000, most_s=1500)
    assert found.swaps == 1000
    assert (found.failed, found.mixed, found.refused) == (0, 0, 0)
    assert found.old_gone["no"] == 0
    assert found.growth() <= 1


def test_swaps_are_counted_and_the_limit_ends_them(made):
    bundles, trust = made
    found = model_swaps.swaps_under_load(
        bundles[:2], trust, swaps=500, rate_hz=40, window_s=0.3, most_s=0.1
    )
    assert 0 < found.swaps < 500 and len(found.quiet) and len(found.swapping)
    assert (found.failed, found.mixed, found.refused) == (0, 0, 0)
    assert found.swaps == len(found.load_s) == sum(found.old_gone.values())
