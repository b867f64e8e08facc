"""Frame pools: use after release raises, exhaustion and forgotten frames are counted."""

import gc
import threading

import numpy as np
import pytest

from facelab.camera import Pairer, RenderedSensor, pair_frames
from facelab.camera._errors import PoolExhaustedError, StaleFrameError
from facelab.camera.internals import FaceScene, FramePool
from facelab.core.errors import BadInputError


@pytest.fixture
def sensor():
    pool = FramePool(slots=3, slot_bytes=64 * 64 * 3, poison=True)
    with RenderedSensor(FaceScene(64), depth=None, pool=pool) as sensor:
        yield sensor


def test_a_frame_used_after_its_release_raises_even_when_the_slot_is_lent_again(sensor):
    frame = sensor.read()
    kept = frame.copy()
    frame.release()
    others = [sensor.read() for _ in range(3)]
    for use in (lambda: frame.data, frame.image, frame.release, frame.copy):
        with pytest.raises(StaleFrameError) as e:
            use()
        assert "generation" in e.value.got
    assert kept.data.shape == (64, 64, 3)
    assert sensor.pool.report().stale_uses == 4
    assert len({f.slot.index for f in others}) == 3


def test_poison_shows_an_array_that_outlived_its_frame(sensor):
    frame = sensor.read()
    array = frame.data
    frame.release()
    assert (array == 0xA5).all()


def test_exhaustion_is_counted_by_the_pool_and_by_the_source(sensor):
    held = [sensor.read() for _ in range(3)]
    sensor.clock.sleep(0.1)
    with pytest.raises(Exception, match="no usable frame"):
        sensor.read(timeout_s=0.2)
    assert sensor.ledger["pool exhausted"] == sensor.pool.report().exhausted > 0
    held.pop().release()
    assert sensor.read().sequence > 3
    assert sensor.ledger.waiting == len(sensor._queue)


def test_a_forgotten_frame_comes_back_only_when_its_last_array_is_gone(sensor):
    array = sensor.read().data[:10]  # the frame itself is dropped at once
    before = array.copy()
    gc.collect()
    for _ in range(6):
        sensor.read().release()
    assert (array == before).all()
    assert sensor.pool.report().recovered == 0
    del array
    gc.collect()
    assert sensor.pool.report().recovered == 1
    assert sensor.pool.report().free == 3


def test_the_report_names_who_holds_what(sensor):
    frame = sensor.read()
    report = sensor.pool.report()
    assert [who for who, _ in report.held] == ["colour 0"]
    assert (report.free, report.most_in_use) == (2, 1)
    assert report.to_dict()["held"][0][0] == "colour 0"
    frame.release()
    with pytest.raises(PoolExhaustedError):
        _ = [sensor.pool.acquire(1) for _ in range(4)]


def test_with_gives_back_once_and_a_frame_without_a_pool_takes_it_easily(sensor):
    with sensor.read() as frame:
        frame.release()
    assert sensor.pool.report().free == 3
    with RenderedSensor(FaceScene(64), depth=None) as plain, plain.read() as frame:
        frame.release()
    assert frame.data.shape == (64, 64, 3)


def test_pairing_gives_back_what_finds_no_partner():
    pool = FramePool(slots=12, slot_bytes=64 * 64 * 3)
    sensor = RenderedSensor(FaceScene(64), pool=pool, duration_s=3)
    pairer = Pairer(tolerance_s=1e-6)  # nothing but exact coincidence
    for pair in pair_frames(sensor, pairer):
        with pair:
            assert pair.depth.data.dtype == np.uint16
    assert pool.report().free == 12
    assert pool.report().recovered == 0
    assert sensor.ledger["pool exhausted"] == 0


def test_threads_share_a_pool():
    pool, errors = FramePool(slots=4, slot_bytes=8), []

    def work():
        try:
            for _ in range(2000):
                slot = pool.acquire(8)
                slot.array[:] = threading.get_ident() % 251
                assert len(set(slot.array.tolist())) == 1
                slot.release()
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not errors
    assert pool.report().free == 4
    assert pool.report().acquired == 8000


@pytest.mark.parametrize("slots, size", [(0, 8), (1, 0), (-1, 8)])
def test_an_impossible_pool_is_refused(slots, size):
    with pytest.raises(BadInputError, match="at least one slot"):
        FramePool(slots=slots, slot_bytes=size)


def test_a_frame_too_large_for_a_slot_is_refused():
    with pytest.raises(BadInputError, match="larger than a slot"):
        FramePool(slots=1, slot_bytes=8).acquire(9)
