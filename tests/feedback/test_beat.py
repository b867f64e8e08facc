"""The adaptive beat: formulas, the steady law, margins against a second computation, and sysfs as it misbehaves."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.core.errors import BadInputError, UnsupportedError
from facelab.feedback import beat


@pytest.mark.parametrize(
    ("celsius", "fps", "printed", "coded", "described"),
    [(40, 60, 50, 200, 200), (60, 30, 120, 120, 280), (80, 30, 280, 280, 440), (60, 10, 67, 66, 333)],
)  # fmt: skip
def test_the_source_texts_formula_contradicts_its_words(celsius, fps, printed, coded, described):
    found = [round(beat.interval_ms(celsius, fps, f)) for f in ("printed", "coded", "described")]
    assert found == [printed, coded, described]


@given(st.floats(-40, 150), st.floats(0, 240), st.floats(0, 30), st.floats(0, 30))
def test_the_corrected_formula_never_asks_a_hot_or_slow_device_for_more(celsius, fps, hotter, less):
    here = beat.interval_ms(celsius, fps)
    assert 50 <= here <= 500
    assert beat.interval_ms(celsius + hotter, fps) >= here - 1e-9
    assert beat.interval_ms(celsius, max(0.0, fps - less)) >= here - 1e-9


def test_a_heart_that_is_fed_its_own_rate_runs_down():
    assert beat.own_rate_settles_at("described") == pytest.approx(2.84, abs=0.01)
    assert beat.own_rate_settles_at("corrected") == pytest.approx(2.84, abs=0.01)


@pytest.mark.parametrize("wrong", [(math.nan, 60), (60, math.inf), (60, -1)])
def test_what_is_not_measured_is_refused(wrong):
    with pytest.raises(BadInputError) as e:
        beat.interval_ms(*wrong)
    assert e.value.fix
    with pytest.raises(BadInputError, match="did you mean"):
        beat.interval_ms(60, 60, "correctd")


def test_the_rate_meter_counts_frames_by_their_own_times():
    meter = beat.RateMeter(window_s=1.0)
    assert meter.tick(0.0) is None
    found = [meter.tick(k * 0.04) for k in range(1, 60)]
    assert found[-1] == pytest.approx(25.0)
    assert meter.tick(0.0) is None  # the camera restarted
    slow = [meter.tick(k * 5.0) for k in range(1, 4)]
    assert slow[-1] == pytest.approx(0.2)


def test_a_step_of_the_sensor_changes_nothing_and_real_heat_does():
    one = beat.AdaptiveBeat()
    for k in range(100):
        one.update(float(k), 60.0 + (k % 2), 60.0)  # a sensor between two of its steps
    assert one.interval_ms == 200.0
    for k in range(100, 200):
        ms = one.update(float(k), 80.0, 60.0)
    assert ms == pytest.approx(360.0, abs=10.1)


def test_without_a_temperature_the_beat_becomes_slow_and_comes_back():
    one = beat.AdaptiveBeat(stale_s=10.0)
    assert one.update(0.0, None, None) == 200.0
    assert one.update(11.0, None, None) == 500.0  # never heard of one
    assert one.update(12.0, 60.0, 60.0) == pytest.approx(200.0)
    assert one.update(20.0, float("nan"), 60.0) == pytest.approx(200.0)
    assert one.update(23.0, None, 60.0) == 500.0
    assert one.update(24.0, 60.0, 60.0) == pytest.approx(200.0)


@pytest.mark.parametrize("delay", [0.5, 1.0, 5.0, 10.0])
@pytest.mark.parametrize("tau", [0.0, 10.0])
def test_the_gain_margin_agrees_with_the_frequency_response(delay, tau):
    """Computed a second time without python-control and without Padé's fraction: the exact delay."""
    plant = beat.ThermalPlant()
    found = beat.margins("corrected", plant, delay_s=delay, tau_s=tau)
    celsius, ms = beat.settle("corrected", plant)
    assert plant.steady_c(ms) == pytest.approx(celsius)
    assert beat.interval_ms(celsius, 60) == pytest.approx(ms, abs=1e-6)
    gain = 0.008 * plant.beat_j / (ms / 1000) ** 2  # 8 ms per °C
    w = np.geomspace(1e-4, 30, 400_000)
    s = 1j * w
    heat = sum(r / (1 + s * r * c) for r, c in ((3.0, 1.7), (8.0, 40.0)))
    loop = gain * heat * np.exp(-s * delay) / (1 + s * tau)
    angle = np.unwrap(np.angle(loop))
    crossing = np.flatnonzero(angle <= -np.pi)[0]
    assert found.gain_margin == pytest.approx(1 / abs(loop[crossing]), rel=0.01)
    assert found.loop_gain == pytest.approx(gain * 11, rel=1e-3)


def test_the_margin_is_where_the_loop_really_begins_to_oscillate():
    """The beat's energy grows until the linear loop leaves its margin: below it settles, above it swings."""
    plant = beat.ThermalPlant()
    margin = beat.margins("corrected", plant, delay_s=10.0).gain_margin
    assert 5 < margin < 100
    _celsius, ms = beat.settle("corrected", plant)
    gain = 0.008 * plant.beat_j / (ms / 1000) ** 2
    swings = []
    for factor in (0.8 * margin, 1.2 * margin):
        a = b = 0.0
        queue = [0.0] * 100  # 10 s of 0.1 s
        fast, slow = plant.decay(0.1)
        out = []
        for k in range(20_000):
            queue.append(a + b + (1.0 if k < 5 else 0.0))
            power = -factor * gain * queue.pop(0)
            a, b = 3.0 * power + (a - 3.0 * power) * fast, 8.0 * power + (b - 8.0 * power) * slow
            out.append(a + b)
        swings.append(np.ptp(out[-3000:]) / max(np.ptp(out[300:3300]), 1e-300))
    assert swings[0] < 0.5 and swings[1] > 2


def test_relay_and_unsmoothed_formula_chatter_and_the_steady_law_does_not():
    found = {r.law: r for r in beat.compare_laws(seed=3)}
    assert found["relay at 65 °C"].changes_per_minute > 10
    assert found["relay at 65 °C"].swing_ms == 450
    assert found["corrected formula"].changes_per_minute > 5
    assert found["smoothed + dead band"].changes_per_minute == 0
    hysteresis = found["relay, 5 °C hysteresis"]
    assert 0 < hysteresis.changes_per_minute < 3 and hysteresis.swing_c > 4
    assert found["smoothed + dead band"].swing_c < 0.5


def test_the_simulated_plant_settles_where_the_algebra_says():
    plant = beat.ThermalPlant()
    run = beat.simulate("corrected formula", plant, sensor_step_c=1e-6, noise_c=0.0)
    celsius, ms = beat.settle("corrected", plant)
    assert run.celsius[-1] == pytest.approx(celsius, abs=0.01)
    assert run.interval_ms[-1] == pytest.approx(ms, abs=0.1)


# ---------------------------------------------------------------- sysfs
def zone(root, number, kind="cpu-thermal", temp="45000\n"):
    folder = root / f"thermal_zone{number}"
    folder.mkdir(parents=True)
    if kind is not None:
        (folder / "type").write_text(kind + "\n")
    if temp is not None:
        (folder / "temp").write_text(temp)
    return folder


def test_the_processors_zone_is_read_though_others_come_first(tmp_path):
    zone(tmp_path, 0, "acpitz", "27800\n")
    zone(tmp_path, 10, "x86_pkg_temp", "61500\n")
    zone(tmp_path, 2, "iwlwifi_1", "39000\n")
    assert beat.read_celsius(tmp_path) == 61.5
    assert [s.zone for s in beat.sensors(tmp_path)] == [f"thermal_zone{k}" for k in (10, 0, 2)]


def test_zones_that_fail_or_tell_nonsense_are_left_out_with_their_reason(tmp_path):
    zone(tmp_path, 0, "cpu-thermal", None)
    zone(tmp_path, 1, "soc-thermal", "N/A\n")
    zone(tmp_path, 2, "soc-thermal", "-273200\n")
    (tmp_path / "thermal_zone3" / "temp").mkdir(parents=True)
    zone(tmp_path, 4, None, "-5000\n")
    assert beat.read_celsius(tmp_path) == -5.0
    said = {s.zone: s.problem for s in beat.sensors(tmp_path)}
    assert "No such file" in said["thermal_zone0"] and "whole number" in said["thermal_zone1"]
    assert "not believable" in said["thermal_zone2"] and said["thermal_zone3"]


def test_a_machine_without_a_sensor_says_so(tmp_path):
    with pytest.raises(UnsupportedError) as e:
        beat.read_celsius(tmp_path / "none")
    assert "cannot be determined" in str(e.value) and e.value.fix
    zone(tmp_path, 0, "cpu-thermal", "")
    with pytest.raises(UnsupportedError, match=r"cannot be determined"):
        beat.read_celsius(tmp_path)


def test_a_clock_that_jumps_back_does_not_hide_a_dead_sensor_and_fallbacks_are_said():
    from facelab.core import degraded
    from facelab.feedback.beat import AdaptiveBeat

    law = AdaptiveBeat()
    law.update(10_000.0, 55.0, 60.0)
    assert law.degraded == ()
    law.update(5.0, None, 60.0)  # the clock was set back, and the sensor died
    for k in range(1, 32):
        ms = law.update(5.0 + k, None, 60.0)
    assert ms == 500.0 and law.degraded == ("temperature_unknown",) == degraded.active()
    law.update(37.0, 90.0, 60.0)
    for k in range(60):
        law.update(38.0 + k, 90.0, 60.0)
    assert law.degraded == ("hot",) == degraded.active()
    law.close()
    assert degraded.active() == ()
