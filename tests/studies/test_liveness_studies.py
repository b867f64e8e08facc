"""What notebook 12 calls: claims count every frame, refusals are reported, wrong pairs matter, plots draw."""

import os

import numpy as np
import pytest

from facelab import liveness
from facelab.core import fresh
from facelab.report import liveness as pictures
from facelab.studies import liveness as study
from facelab.studies import pair_claims


@pytest.mark.parametrize("name", list(pair_claims.HANDS))
def test_every_frame_is_decided_or_counted_as_dropped(name):
    hand = pair_claims.HANDS[name]
    work = np.full(12, 0.02 if hand.newest else 0.002)
    due, put, dropped = pair_claims._hand_over(hand, work, period=0.004)
    assert len(due) == len(put) and len(due) + dropped == 12
    assert (due >= put - 1e-3).all() and (due > 0).all()
    assert (dropped > 0) == hand.newest


def test_a_buffer_that_keeps_order_cannot_beat_a_slow_reader():
    # with more work than time, the last frame waits for all the others, wherever it waits
    work = np.full(15, 0.012)
    for name in ("no buffer", "buffer of 3"):
        due, _, _ = pair_claims._hand_over(pair_claims.HANDS[name], work, period=0.004)
        assert due[-1] >= 15 * 0.012 - 14 * 0.004 - 0.001


def test_the_pool_makes_no_page_faults_and_no_collections_start():
    found = fresh.call("facelab.studies.pair_claims:pool_rounds", False, 2, 12).value
    assert found["faults"]["pooled"] <= 2 and found["collections"] == {"fresh": 0.0, "pooled": 0.0}
    assert len(found["seconds"]["fresh"]) == len(found["pause"]["pooled"]) == 2


def test_what_the_system_refuses_is_said(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    found = pair_claims.ticks(0.05, False, True)
    assert found["refused"] == "Operation not permitted" and len(found["late"]) >= 20


def test_late_ratios_have_intervals_that_hold_them():
    rng = np.random.default_rng(0)
    late = {"a": rng.exponential(2e-3, 200).tolist(), "b": rng.exponential(1e-3, 200).tolist()}
    claim = pair_claims._late_ratio("a", "b", late, 0)
    assert claim.lo < claim.ratio < claim.hi and 1.2 < claim.ratio < 3.5


@pytest.fixture(scope="module")
def effects():
    return {e.policy: e for e in study.pairing_effect(3.6, seed=3, size=64, faces=2)}


def test_pairs_by_time_mix_less_than_pairs_by_arrival(effects):
    assert effects["nearest"].mixed < effects["arrival"].mixed
    assert effects["nearest"].apart_ms < 10 < effects["arrival"].apart_ms
    for e in effects.values():
        assert 0 <= e.apcer_lo <= e.apcer <= e.apcer_hi <= 1 and e.pairs > 0


def test_plots_draw_what_was_found(effects, tmp_path):
    people = liveness.rendered(8, seed=1, size=64, looks=2)
    members = [liveness.load("depth-geometry"), liveness.load("motion")]
    found, fused = study.evaluations(members, people, "eer", 0)
    brier, base = study.calibration_error(fused, people)
    assert 0 <= brier <= 1 and base == pytest.approx(0.16)
    tables = study.box_tables(found, members, people, most=5)
    assert [t.model for t in tables] == ["depth-geometry"] and tables[0].flipped[2] == 0
    claim = pair_claims._claim("pool", "pooled", "fresh", "GC pause", np.array([0.5, 0.6]))
    figures = [
        pictures.sample_plot(people),
        pictures.attack_plot(found),
        pictures.box_plot(tables),
        pictures.pairing_plot(list(effects.values())),
        pictures.claim_plot([claim], pair_claims.TEXT),
        pictures.coarse_plot(study.coarse_depth(people)),
    ]
    for k, fig in enumerate(figures):
        fig.savefig(tmp_path / f"{k}.png")
    assert pictures.cost_table(found)["model"].tolist() == ["depth-geometry", "motion", "fusion"]
    assert pictures.claim_table([claim])["ratio"].tolist() == [0.55]
