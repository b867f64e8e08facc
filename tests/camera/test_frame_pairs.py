"""Pairs against a brute-force oracle: every pair is the one an all-knowing observer would make."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelab.camera import Frame, Pairer, RenderedSensor, pair_frames
from facelab.camera.internals import POLICIES, StreamModel
from facelab.core.errors import BadInputError

TOLERANCE = 0.0165


def play(colour=None, depth=None, seconds=30.0, seed=1):
    """Return all frames of a sensor in the order of arrival."""
    usual = {"jitter_s": 5e-4, "drop_share": 0.02, "latency_jitter_s": 0.01}
    sensor = RenderedSensor(
        pixels=False,
        colour=StreamModel(**{**usual, "latency_s": 0.02, **(colour or {})}),
        depth=StreamModel(**{**usual, "latency_s": 0.06, "phase_s": 0.011, **(depth or {})}),
        seed=seed,
        duration_s=seconds,
    )
    return list(sensor)


def mutual_nearest(frames, tolerance=TOLERANCE):
    """Return the pairs of sequence numbers that are nearest to each other in true time, by comparing all."""
    sides = [[f for f in frames if f.stream == s] for s in ("colour", "depth")]
    times = [np.array([f.truth["true_time_s"] for f in side]) for side in sides]
    gaps = np.abs(times[0][:, None] - times[1][None])
    best, back = gaps.argmin(1), gaps.argmin(0)
    return {
        (sides[0][i].sequence, sides[1][j].sequence)
        for i, j in enumerate(best)
        if back[j] == i and gaps[i, j] <= tolerance
    }


def made(frames, **options):
    """Return the pairs of sequence numbers that a pairer makes, and its report."""
    pairer = Pairer(**{"tolerance_s": TOLERANCE, "buffer": 12, **options})
    pairs = {(p.colour.sequence, p.depth.sequence) for p in pair_frames(frames, pairer)}
    report = pairer.report()
    assert report.balanced
    assert report.colour.outcomes.get("paired", 0) == report.pairs == len(pairs)
    assert report.colour.arrived == sum(f.stream == "colour" for f in frames)
    return pairs, report


FAULTS = {
    "rates differ a little": {"depth": {"rate": 30.02}},
    "depth at half the rate": {"depth": {"rate": 15.0}},
    "jitter": {"depth": {"jitter_s": 0.004}, "colour": {"jitter_s": 0.004}},
    "drops": {"depth": {"drop_share": 0.1}, "colour": {"drop_share": 0.1}},
    "half a period apart": {"depth": {"phase_s": 1 / 60}},
    "depth away for a second": {"depth": {"unplugged": (5.0, 6.0)}},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_with_one_clock_the_pairs_are_exactly_the_mutual_nearest_ones(fault):
    frames = play(**FAULTS[fault])
    assert made(frames)[0] == mutual_nearest(frames)


@given(
    seed=st.integers(0, 1000),
    rate=st.floats(8, 60),
    jitter=st.floats(0, 0.01),
    drops=st.floats(0, 0.4),
    latency=st.floats(0, 0.1),
    tolerance=st.floats(0.002, 0.05),
)
@settings(max_examples=25)
def test_any_stream_is_paired_as_the_oracle_does_and_every_frame_accounted_for(
    seed, rate, jitter, drops, latency, tolerance
):
    frames = play(
        depth={"rate": rate, "jitter_s": jitter, "drop_share": drops, "latency_s": latency},
        seconds=3,
        seed=seed,
    )
    stamps = {}
    for f in (
        frames
    ):  # time stamps that step back within a stream are refused; the oracle knows nothing of that
        stamps.setdefault(f.stream, []).append(f.time_s)
    ordered = all(np.all(np.diff(s) > 0) for s in stamps.values())
    pairs, report = made(frames, tolerance_s=tolerance, buffer=60)
    if ordered and not report.clocks["depth: monotonic"].jumps:
        assert pairs == mutual_nearest(frames, tolerance)


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_loses_a_frame_without_a_reason(policy):
    frames = play(depth={"drop_share": 0.3, "jitter_s": 0.005}, seconds=10)
    _, report = made(frames, policy=policy, buffer=3)
    for ledger in (report.colour, report.depth):
        assert ledger.waiting == 0
        assert sum(ledger.outcomes.values()) == ledger.arrived


def test_what_other_systems_do_is_worse_on_uneven_streams():
    frames = play(**FAULTS["jitter"], seconds=60)
    truth = mutual_nearest(frames)
    right = {p: len(made(frames, policy=p)[0] & truth) / len(truth) for p in POLICIES}
    assert right["nearest"] == 1
    assert right["arrival"] < right["drop older"] < 0.98
    assert right["drop both"] < right["drop older"]


OWN_CLOCK = {"clock": "depth", "clock_offset_s": -123.4, "clock_drift": 80e-6}


def test_an_own_clock_with_offset_and_drift_is_found_from_arrivals():
    frames = play(depth=OWN_CLOCK, seconds=100)
    pairs, report = made(frames, latency_s=(0.02, 0.06))
    truth = mutual_nearest(frames)
    assert (
        len(pairs & truth) / len(truth) > 0.97
    )  # the first 15 frames of each stream only warm the estimate up
    assert len(pairs - truth) / len(pairs) < 0.02
    fit = report.clocks["depth: depth"]
    assert fit.drift == pytest.approx(-80e-6, abs=25e-6)
    # the fastest of 30 frames a second is .4 ms late on average
    assert fit.to_system(100 - 123.4, 0.06) == pytest.approx(100 - 80e-6 * 100, abs=2e-3)


def test_two_clocks_without_known_latencies_are_refused_because_every_pair_could_be_wrong():
    frames = play(depth=OWN_CLOCK, seconds=2)
    with pytest.raises(BadInputError, match="nothing bounds the offset") as e:
        made(frames)
    assert "latency_s" in e.value.fix or "latencies" in e.value.fix
    pairs, report = made(frames, latency_unknown_s=0.05)
    assert pairs
    assert report.clock_error_s == 0.05


def test_a_clock_that_jumps_loses_few_frames_and_no_pair_spans_the_jump():
    jump = {**OWN_CLOCK, "clock_drift": 0.0, "clock_jumps": ((15.0, 3.0),)}
    frames = play(depth=jump, seconds=30)
    pairs, report = made(frames, latency_s=(0.02, 0.06))
    truth = mutual_nearest(frames)
    assert len(pairs - truth) / len(pairs) < 0.02
    assert report.depth.events == {"clock jump": 1}
    assert 0 < report.depth.outcomes["clock jump"] < 12
    assert len(pairs & truth) / len(truth) > 0.92


@pytest.mark.parametrize("by", [-5.0, 5.0])
def test_a_shared_clock_may_jump_too(by):
    jumps = ((10.0, by),)
    frames = play(colour={"clock_jumps": jumps}, depth={"clock_jumps": jumps}, seconds=20)
    pairs, report = made(frames)
    truth = mutual_nearest(frames)
    assert pairs <= truth
    assert len(pairs) / len(truth) > 0.95
    assert report.colour.events["clock jump"] == report.depth.events["clock jump"] == 1


def test_frames_out_of_order_are_counted_and_do_not_disturb_others():
    frames = play(seconds=5)
    at = next(k for k, f in enumerate(frames) if f.stream == "depth" and f.sequence == 60)
    late = frames.pop(at)
    frames.insert(at + 4, late)
    _, report = made(frames)
    assert report.depth.outcomes["out of order"] == 1


def test_a_full_buffer_drops_its_oldest_frame_and_says_so():
    frames = [f for f in play(seconds=5) if f.stream == "colour"]
    _, report = made(frames, buffer=3)
    assert report.colour.outcomes["buffer full"] == len(frames) - 3


def test_the_patient_pairer_waits_for_at_most_one_frame_of_the_earlier_stream():
    frames = play(colour={"latency_jitter_s": 0.0}, depth={"latency_jitter_s": 0.0}, seconds=10)
    waits = [p.waited_s for p in pair_frames(frames, tolerance_s=TOLERANCE)]
    assert min(waits) >= 0
    assert np.percentile(waits, 95) < 2 / 30
    hasty = [p.waited_s for p in pair_frames(frames, tolerance_s=TOLERANCE, patient=False)]
    assert np.median(hasty) == 0


@pytest.mark.parametrize(
    "options", [{"policy": "neerest"}, {"tolerance_s": 0}, {"tolerance_s": -1}, {"buffer": 0}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(BadInputError) as e:
        Pairer(**options)
    assert e.value.fix


def test_a_frame_of_another_stream_is_refused():
    frame = Frame(np.zeros((1, 1), np.uint8), "GRAY", 1, 1, 0, 0.0, "monotonic", 0.0, stream="ir")
    with pytest.raises(BadInputError, match="neither stream"):
        Pairer().push(frame)
