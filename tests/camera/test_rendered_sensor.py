"""The rendered sensor behaves as its parameters say, and every source's reads keep their promises."""

import numpy as np
import pytest

from facelab.camera import RenderedSensor, open_source
from facelab.camera._ledger import Ledger
from facelab.camera.internals import (
    FaceScene,
    NegotiationError,
    NoFrameError,
    SourceEndedError,
    StreamModel,
)
from facelab.core.errors import BadInputError, CheckFailedError


@pytest.fixture(scope="module")
def scene():
    return FaceScene(64)


def test_rate_latency_and_drift_are_those_of_the_model(scene):
    model = StreamModel(rate=25, clock="own", clock_offset_s=7, clock_drift=1e-3, latency_s=0.05)
    frames = list(RenderedSensor(colour=model, depth=None, pixels=False, duration_s=20))
    times = np.array([f.time_s for f in frames])
    arrived = np.array([f.arrived_s for f in frames])
    true = np.array([f.truth["true_time_s"] for f in frames])
    np.testing.assert_allclose(
        np.diff(times), 1 / 25, atol=1e-9
    )  # by its own clock the rate is exact
    np.testing.assert_allclose(times, true * 1.001 + 7, atol=1e-9)
    np.testing.assert_allclose(arrived - true, 0.05, atol=1e-9)
    assert {f.age_from for f in frames} == {"arrival"}


def test_jitter_and_drops_have_the_planned_size():
    model = StreamModel(jitter_s=0.003, drop_share=0.1)
    sensor = RenderedSensor(colour=model, depth=None, pixels=False, duration_s=200, seed=5)
    frames = list(sensor)
    steps = np.array([f.time_s - f.sequence / 30 for f in frames])
    assert np.std(steps) == pytest.approx(0.003, rel=0.05)
    lost = 1 - len(frames) / 6000
    assert lost == pytest.approx(0.1, abs=4 * np.sqrt(0.1 * 0.9 / 6000))
    # frames that were dropped at either end leave no gap behind
    assert 6000 - len(frames) - sensor.ledger["lost"] in (0, 1)


def test_colour_and_depth_of_one_moment_show_one_place(scene):
    early, late = scene.at(0.0), scene.at(0.4)
    assert early.depth.dtype == np.uint16
    assert (early.truth["box"] != late.truth["box"]).any()
    shift = np.subtract(scene.shift_at(0.4), scene.shift_at(0.0))
    np.testing.assert_allclose(early.truth["landmarks"] - late.truth["landmarks"], [shift] * 5)
    assert not np.array_equal(early.colour, late.colour)


def test_the_same_seed_gives_the_same_frames(scene):
    def frames():
        model = StreamModel(jitter_s=0.002, drop_share=0.2)
        return list(RenderedSensor(scene, colour=model, seed=3, duration_s=0.5))

    a, b = frames(), frames()
    assert [(f.stream, f.sequence, f.time_s) for f in a] == [
        (f.stream, f.sequence, f.time_s) for f in b
    ]
    assert all(np.array_equal(x.data, y.data) for x, y in zip(a, b))


@pytest.mark.parametrize("format", ["RGB", "BGR", "YUYV", "MJPG"])
def test_every_format_decodes_to_the_same_picture(scene, format):
    with RenderedSensor(scene, format=format, depth=None) as sensor:
        frame = sensor.read()
    assert frame.format == format
    truth = scene.at(frame.truth["true_time_s"]).colour.astype(int)
    limit = {"RGB": 0, "BGR": 0, "YUYV": 4, "MJPG": 6}[format]  # mean levels: chroma is halved
    assert np.abs(frame.image("RGB").astype(int) - truth).mean() <= limit
    assert np.array_equal(frame.image("RGB")[..., ::-1], frame.image("BGR"))


def test_planted_faults_are_counted_by_reason(scene):
    faults = ((3, "corrupt"), (5, "repeated"), (8, "truncated"), (9, "no huffman tables"))
    model = StreamModel(faults=faults)
    sensor = RenderedSensor(scene, colour=model, depth=None, duration_s=1, format="MJPG")
    frames = list(sensor)
    report = sensor.ledger.report()
    assert report.outcomes == {"delivered": 27, "corrupt": 1, "repeated": 1, "truncated": 1}
    assert report.events["no huffman tables"] == 1
    assert report.balanced
    assert len(frames) == 27


def test_the_newest_frame_is_fresh_after_a_pause_and_what_was_left_out_is_counted(scene):
    with RenderedSensor(scene, depth=None) as sensor:
        sensor.read_newest()
        sensor.clock.sleep(1.0)
        frame = sensor.read_newest(max_age_s=0.04)
    assert frame.age_s <= 0.04
    assert frame.sequence in (30, 31)
    assert frame.lost_before == sensor.ledger["lost"] > 20  # the driver had four buffers
    assert sensor.ledger["too old"] + sensor.ledger["skipped"] == 4


def test_reading_in_order_after_a_pause_gives_the_old_frame_with_its_true_age(scene):
    with RenderedSensor(scene, depth=None) as sensor:
        sensor.read()
        sensor.clock.sleep(1.0)
        assert sensor.read().age_s > 0.9


def test_an_impossible_age_times_out_and_says_what_was_seen(scene):
    with RenderedSensor(scene, depth=None) as sensor:
        with pytest.raises(NoFrameError, match="no usable frame") as e:
            sensor.read_newest(max_age_s=0.001, timeout_s=0.5)
        assert "too old" in e.value.got
        assert sensor.ledger["timeout"] == 1
        sensor.ledger.check(len(sensor._queue))


def test_the_newest_frame_of_a_stream_that_is_named(scene):
    with RenderedSensor(scene) as sensor:
        sensor.clock.sleep(0.2)
        assert sensor.read_newest(stream="depth").stream == "depth"
        assert sensor.read_newest().stream == "colour"


def test_the_end_is_an_error_for_read_and_an_end_for_iteration(scene):
    sensor = RenderedSensor(scene, depth=None, duration_s=0.1)
    assert len(list(sensor)) == 3
    with pytest.raises(SourceEndedError):
        sensor.read()
    sensor.close()
    sensor.close()
    with sensor:
        assert sensor.read().sequence == 0


@pytest.mark.parametrize(
    "ask, name",
    [({"format": "NV12"}, "format"), ({"size": (640, 480)}, "size"), ({"rate": 60}, "rate")],
)
def test_a_difference_is_an_error_unless_allowed_by_name(ask, name):
    with pytest.raises(NegotiationError) as e:
        open_source("rendered:size=64", **ask)
    assert e.value.exit_code == 2
    assert name in e.value.what
    assert "64x64" in e.value.fix
    source = open_source("rendered:size=64", **ask, allow=[name])
    assert [d.name for d in source.contract.differences] == [name]
    with pytest.raises(NegotiationError):
        open_source("rendered:size=64", **ask, allow=[{"rate": "size"}.get(name, "rate")])


def test_allowing_something_unknown_is_refused_with_the_near_name():
    with pytest.raises(BadInputError, match="did you mean 'size'"):
        open_source("rendered:", allow=["sise"])


def test_the_contract_is_a_result(tmp_path):
    source = open_source("rendered:size=64", rate=29.97, format="YUYV")
    contract = source.contract
    assert contract.differences == ()
    assert contract.frame_bytes == 64 * 64 * 2
    assert list(contract.to_frame()["same"]) == [True] * 3
    assert "YUYV" in contract._repr_html_()
    assert contract.save(tmp_path / "c.json").read_text().startswith("{")


@pytest.mark.parametrize(
    "name, word",
    [
        ("rendered:sise=64", "did you mean 'size'"),
        ("rendered:size=big", "cannot have this value"),
        ("rendered:kind=alive", "did you mean 'live'"),
        ("rendered:format=NV12", "does not make"),
        ("rendered:drop_share=1", "impossible"),
        ("rendered:rate=0", "impossible"),
        ("rtsp://camera", "no kind of source"),
        ("nothing-here", "no such source"),
    ],
)
def test_a_name_that_cannot_be_opened_says_what_can(name, word):
    with pytest.raises(BadInputError, match=word) as e:
        open_source(name)
    assert e.value.fix


def test_a_ledger_that_does_not_add_up_is_an_error():
    ledger = Ledger("x")
    ledger.arrive(2)
    ledger.settle("delivered")
    with pytest.raises(CheckFailedError, match="without a reason"):
        ledger.check(0)
    with pytest.raises(ValueError, match="no such outcome"):
        ledger.settle("eaten")


def test_a_paced_sensor_keeps_real_time(scene):
    import time

    with RenderedSensor(scene, depth=None, paced=True, colour=StreamModel(rate=50)) as sensor:
        began = time.monotonic()
        frames = [sensor.read() for _ in range(10)]
        took = time.monotonic() - began
    assert took >= 9 / 50
    assert frames[-1].arrived_s <= time.monotonic()
    assert all(f.age_s >= 0.02 - 1e-6 for f in frames)
