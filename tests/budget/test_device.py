"""Device models: what a rate gives, what is unknown, what is refused; the fit finds planted rates again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab import budget
from facelab.budget import internals as budget_internals
from facelab.budget._device import Rate, parse_device
from facelab.budget._measure import Point, fit_rate
from facelab.budget.internals import measure_device
from facelab.core.errors import BadInputError

RATE = "[[rate]]\nmacs_per_s = 1e9\nbytes_per_s = 1e9\n"
HEAD = 'schema = "facelab.device-model/1"\nname = "d"\n'


def test_a_roofline_takes_the_longer_and_a_sum_takes_both():
    both = {"macs_per_s": 1e9, "bytes_per_s": 1e8, "overhead_s": 1e-3}
    assert Rate(**both).seconds(10**6, 10**6) == pytest.approx(1e-3 + 1e-3 + 1e-2)
    assert Rate(**both, overlap=True).seconds(10**6, 10**6) == pytest.approx(1e-3 + 1e-2)
    spilled = Rate(**both, cache_bytes=4e5, spilled_bytes_per_s=1e7)
    assert spilled.seconds(0, 10**6) == pytest.approx(1e-3 + 1e-2 + 6e-2)


def test_the_example_is_stated_and_what_follows_is_modelled():
    device = budget.example_device()
    assert (device.source, device.memory_mb, device.busy_watts) == ("stated", 128, 1.8)
    assert device.rate("conv", "int8").macs_per_s < 1.2e12 / 2  # 1.2 TOPS are at most .6e12 MAC/s
    assert device.watts(0) == 0.4 and device.watts(2.0) == pytest.approx(1.8)
    found = budget.predict(
        budget_internals.ModelCost("m", "onnx", (), 0, 0, 0, 0, 0, 0, {}, ()), device
    )
    assert found.to_dict()["method"] == "model"
    assert "watts (modelled)" in found.rows()[0]


def test_a_device_survives_its_file(tmp_path):
    device = budget.example_device()
    assert budget.load_device(device.save(tmp_path / "d.toml")) == device


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, "rate"),
        (HEAD + RATE + "macs_per_second = 3\n", "did you mean 'macs_per_s'"),
        (HEAD + "memry_mb = 3\n" + RATE, "did you mean 'memory_mb'"),
        (HEAD + "spread = [1.2, 2.0]\n" + RATE, "spread"),
        (HEAD + "spread = [0.5, nan]\n" + RATE, "spread"),
        (HEAD + "busy_watts = 2.0\n" + RATE, "together"),
        (HEAD + "idle_watts = 3\nbusy_watts = 2.0\n" + RATE, "larger"),
        (HEAD + RATE.replace("1e9", "-1", 1), "macs_per_s"),
        (HEAD + RATE.replace("1e9", "inf", 1), "macs_per_s"),
        (HEAD + RATE + 'work = "convv"\n', "did you mean 'conv'"),
        (HEAD + RATE + "cache_bytes = 3.0\n", "together"),
        ('schema = "facelab.device-model/2"\nname = "d"\n' + RATE, "schema"),
        ("name = ", "TOML"),
    ],
)
def test_files_that_do_not_hold_are_errors_with_the_key(text, said):
    with pytest.raises(BadInputError) as e:
        parse_device(text, "d.toml")
    assert said in str(e.value) and e.value.fix


def test_no_rate_is_unknown_and_plain_work_falls_back():
    device = parse_device(
        HEAD + "channel_block = 4\n" + RATE + 'work = "conv"\ndtype = "float32"\n', "d"
    )
    assert device.rate("depthwise", "float32") is None
    assert device.rate("plain conv", "float32") is device.rate("conv", "float32")
    assert (
        device.work_of("conv", (10, 16)) == "plain conv"
        and device.work_of("conv", (3, 10)) == "conv"
    )
    assert (
        device.work_of("depthwise", (10, 10)) == "plain depthwise"
        and device.work_of("move", None) == "move"
    )


@given(
    st.floats(1e8, 1e12),
    st.floats(1e8, 1e11),
    st.floats(1e-7, 1e-4),
    st.integers(0, 1000),
)
def test_the_fit_predicts_what_planted_rates_give(macs_per_s, bytes_per_s, overhead, seed):
    """Not the rates themselves, which points may leave open, but the times, on points that it has not seen."""
    rng = np.random.default_rng(seed)
    true = Rate(macs_per_s=macs_per_s, bytes_per_s=bytes_per_s, overhead_s=overhead)
    work = [(m, b) for m in (1e4, 1e5, 1e6, 1e7) for b in (1e4, 1e5, 9e5)]
    points = [
        Point("conv", "", true.seconds(int(m), int(b)) * rng.uniform(0.97, 1.03), m, b)
        for m, b in work
    ]
    found = fit_rate("conv", points)
    for m, b in ((3e4, 2e4), (2e5, 3e5), (5e6, 5e4)):
        assert found.seconds(int(m), int(b)) == pytest.approx(
            true.seconds(int(m), int(b)), rel=0.25
        )


@pytest.mark.slow
def test_a_measured_device_predicts_its_own_points_and_models():
    measured = measure_device(rounds=3)
    assert (
        measured.device.source == "measured"
        and measured.device.rate("conv", "float32").macs_per_s > 1e8
    )
    ratios = []
    for p in measured.points:
        rate = measured.device.rate(p.work, "float32")
        ratios.append(rate.seconds(round(p.macs), round(p.bytes)) / p.seconds)
    assert 0.6 < np.median(ratios) < 1.6
