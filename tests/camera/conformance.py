"""One suite for every kernel: the fake one on each test run, and Debian's vivid and v4l2loopback in the slow lane.

Each `check_…` takes a rig: a kernel with a vivid camera and a loopback device, and ways to pull the plug.
`python conformance.py` runs all checks on the kernel of this machine and prints one line of JSON per check.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

import numpy as np

from facelab.camera._errors import SourceGoneError
from facelab.camera.internals import CameraError, NegotiationError, NoFrameError
from facelab.camera.v4l2 import _abi as abi
from facelab.camera.v4l2._camera import V4L2Camera
from facelab.camera.v4l2._kernel import LinuxKernel
from facelab.core.errors import BadInputError

SIZE = (320, 180)


class RealRig:
    """The kernel of this machine, with vivid at /dev/video0 and v4l2loopback at /dev/video10."""

    real = True
    vivid, loopback = "/dev/video0", "/dev/video10"

    def __init__(self):
        self.kernel = LinuxKernel()
        self.feeder = None
        self.stop = threading.Event()

    def sleep(self, seconds):
        """Wait."""
        time.sleep(seconds)

    def hold(self):
        """Keep the device open: vivid stays unplugged until its last user has closed it."""
        self.held = os.open(self.vivid, os.O_RDWR)

    def replug(self):
        """Close what `hold` opened: vivid plugs itself in again."""
        os.close(self.held)

    def open_files(self):
        """Return how many video devices this process has open."""
        links = (f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd"))  # noqa: PTH208
        return sum(os.readlink(p).startswith("/dev/video") for p in links if os.path.lexists(p))  # noqa: PTH115

    def feed(self, frames, size, rate=20.0):
        """Write JPEGs into the loopback device, again and again, until `starve`."""
        fd = os.open(self.loopback, os.O_WRONLY)
        asked = abi.Format(type=abi.OUTPUT)
        self.kernel.ioctl(fd, abi.G_FMT, asked)
        pix = asked.fmt.pix
        pix.width, pix.height, pix.pixelformat = *size, abi.code("MJPG")
        pix.field, pix.bytesperline, pix.sizeimage = abi.FIELD_NONE, 0, size[0] * size[1] * 2
        self.kernel.ioctl(fd, abi.S_FMT, asked)
        self.stop.clear()
        os.write(fd, frames[0])  # the device has no format for readers before the first frame

        def write():
            k = 1
            while not self.stop.is_set():
                os.write(fd, frames[k % len(frames)])
                k += 1
                time.sleep(1 / rate)
            os.close(fd)

        self.feeder = threading.Thread(target=write)
        self.feeder.start()

    def starve(self):
        """Stop writing."""
        self.stop.set()
        if self.feeder:
            self.feeder.join()


def vivid(rig, **options):
    """Return the vivid camera, with its error injections off."""
    return V4L2Camera(rig.vivid, kernel=rig.kernel, **options)


def started(rig, rate=25, **options):
    """Return the vivid camera at 320x180 YUYV."""
    camera = vivid(rig, **options)
    camera.configure("YUYV", SIZE, rate)
    return camera


def expect(error, call):
    """Call, and return the error that must come, which says what to do."""
    try:
        call()
    except error as e:
        assert e.fix, f"no fix in {e!r}"
        return e
    raise AssertionError(f"no {error.__name__}")


# ---------------------------------------------------------------- what it is and offers
def check_the_device_says_what_it_is(rig):
    with vivid(rig) as camera:
        assert camera.device.driver == "vivid"
        assert camera.device.captures
        assert camera.device.streams
    assert rig.vivid in rig.kernel.devices()


def check_modes_name_format_size_and_rates(rig):
    camera = vivid(rig)
    offers = camera.modes()
    camera.close()
    assert len(offers) == len(set(offers))
    small = next(m for m in offers if m.format == "YUYV" and m.offers_size(*SIZE))
    assert small.rates[:3] == (60, 50, 40)
    assert not any(m.format == "MJPG" for m in offers)


def check_controls_have_ranges_and_values(rig):
    camera = vivid(rig)
    known = {c.name: c for c in camera.controls()}
    assert (known["Brightness"].minimum, known["Brightness"].maximum) == (0, 255)
    assert camera.set_control("Brightness", 100).value == 100
    assert camera.set_control("Brightness", 128).value == 128
    expect(BadInputError, lambda: camera.set_control("Brightness", 300))
    expect(BadInputError, lambda: camera.set_control("Read-Only Integer 32 Bits", 1))
    assert "Brightness" in expect(BadInputError, lambda: camera.set_control("Brightnes", 1)).what
    camera.close()


# ---------------------------------------------------------------- the contract
def check_what_is_asked_is_what_comes(rig):
    for format, shape in (("YUYV", (180, 320, 2)), ("GRAY", (180, 320)), ("BGR", (180, 320, 3))):
        camera = vivid(rig)
        contract = camera.configure(format, SIZE, 25)
        assert contract.differences == ()
        with camera:
            frame = camera.read()
        assert (frame.format, frame.data.shape) == (format, shape)


def check_another_format_is_an_error_unless_allowed(rig):
    camera = vivid(rig)
    error = expect(NegotiationError, lambda: camera.configure("MJPG", SIZE))
    assert "format" in error.what
    contract = camera.configure("MJPG", SIZE, allow=["format"])
    assert [d.name for d in contract.differences] == ["format"]
    with camera:
        assert camera.read().format == contract.format == "YUYV"


def check_another_size_is_an_error_and_the_nearest_is_named(rig):
    camera = vivid(rig)
    error = expect(NegotiationError, lambda: camera.configure("YUYV", (1000, 700)))
    assert error.got == "size 1280x720"
    assert "1280x720" in error.fix
    camera.close()


def check_another_rate_is_an_error(rig):
    camera = vivid(rig)
    error = expect(NegotiationError, lambda: camera.configure("YUYV", SIZE, 7))
    assert error.got == "rate 10"
    camera.close()


def check_a_running_camera_is_not_negotiated_with(rig):
    with started(rig) as camera:
        expect(BadInputError, lambda: camera.configure("YUYV", SIZE))


def check_a_second_reader_is_refused_as_busy(rig):
    with started(rig) as camera:
        camera.read()
        second = vivid(rig)
        error = expect(CameraError, lambda: second.configure("YUYV", (640, 480)) and second.start())
        assert "in use" in error.what
        second.close()
        camera.read()


# ---------------------------------------------------------------- frames
def check_numbers_follow_each_other_and_stamps_keep_the_rate(rig):
    with started(rig) as camera:
        frames = [camera.read() for _ in range(12)]
    numbers = [f.sequence for f in frames]
    stamps = np.array([f.time_s for f in frames])
    assert numbers[0] == 0
    lost = sum(f.lost_before for f in frames)
    assert numbers[-1] - numbers[0] == 11 + lost
    assert (np.diff(stamps) > 0).all()
    period = (stamps[-1] - stamps[0]) / (numbers[-1] - numbers[0])
    assert abs(period - 1 / 25) < 0.2 / 25, period
    assert {f.clock for f in frames} == {"monotonic"}
    assert all(f.age_s >= 0 for f in frames), [f.age_s for f in frames]
    assert "first" in frames[0].flags


def check_frames_own_their_memory(rig):
    with started(rig) as camera:
        frame = camera.read()
        before = frame.data.copy()
        for _ in range(6):
            camera.read()
        assert np.array_equal(frame.data, before)


def check_a_pause_makes_frames_old_and_the_newest_read_gives_a_fresh_one(rig):
    with started(rig) as camera:
        camera.read()
        rig.sleep(1.0)
        assert camera.read().age_s > 0.5
        frame = camera.read_newest(max_age_s=0.3)
        assert frame.age_s <= 0.3
        assert frame.sequence >= 20
        assert camera.ledger["lost"] >= 10
        assert camera.ledger["too old"] + camera.ledger["skipped"] >= 1


def check_dropped_buffers_are_counted_as_lost(rig):
    with started(rig) as camera:
        camera.read()
        camera.set_control("Percentage of Dropped Buffers", 50)
        frames = [camera.read() for _ in range(20)]
        camera.set_control("Percentage of Dropped Buffers", 0)
        lost = sum(f.lost_before for f in frames)
        assert lost == camera.ledger["lost"] == frames[-1].sequence - 20
        assert 4 <= lost <= 80
        assert all(("gap" in f.flags) == (f.lost_before > 0) for f in frames)


def check_a_frame_flagged_as_bad_is_left_out(rig):
    with started(rig) as camera:
        camera.read()
        camera.set_control("Inject V4L2_BUF_FLAG_ERROR", 1)
        for _ in range(6):
            camera.read()
        assert camera.ledger["corrupt"] == 1


def check_sequence_numbers_may_wrap_at_32_bits(rig):
    camera = started(rig, rate=60)
    camera.set_control("Wrap Sequence Number", 1)
    with camera:
        frames = [camera.read()]
        while len(frames) < 400 and frames[-1].sequence >= frames[0].sequence:
            frames.append(camera.read())
        camera.set_control("Wrap Sequence Number", 0)
    assert frames[-1].sequence < frames[0].sequence, "no wrap came"
    assert frames[-1].lost_before < 200
    assert camera.ledger["restarted"] == 0


def check_numbers_begin_anew_after_a_restart(rig):
    camera = started(rig)
    for _ in range(2):
        with_start = camera.start()
        assert with_start.read().sequence == 0
        camera.read()
        camera.stop()
    camera.ledger.check(0)
    camera.close()
    assert camera.ledger["restarted"] == camera.ledger["repeated"] == 0


# ---------------------------------------------------------------- faults
def check_a_refused_start_leaves_the_camera_usable(rig):
    camera = started(rig)
    camera.set_control("Inject VIDIOC_STREAMON Error", 1)
    expect(CameraError, camera.start)
    with camera:
        assert camera.read().sequence == 0


def check_a_fatal_error_of_the_stream_is_an_error_at_once(rig):
    with started(rig) as camera:
        camera.read()
        camera.set_control("Inject Fatal Streaming Error", 1)
        expect(CameraError, lambda: [camera.read(timeout_s=3) for _ in range(8)])
    assert rig.open_files() == 0


def check_pulling_the_plug_is_an_error_and_nothing_stays_open(rig):
    camera = started(rig).start()
    camera.read()
    camera.set_control("Disconnect", 1)
    began = rig.kernel.now()
    error = expect(SourceGoneError, lambda: [camera.read(timeout_s=3) for _ in range(8)])
    assert rig.kernel.now() - began < 2
    assert "unplugged" in error.what
    expect(SourceGoneError, camera.read)
    camera.close()
    assert camera.ledger["unplugged"] == 1
    camera.ledger.check(0)
    assert rig.open_files() == 0


def check_plugging_in_again_goes_on_by_the_same_contract(rig):
    camera = started(rig, reconnect_s=20).start()
    camera.read()
    contract = camera.contract
    rig.hold()
    camera.set_control("Disconnect", 1)
    expect(NoFrameError, lambda: [camera.read(timeout_s=1) for _ in range(8)])
    rig.replug()
    frames = [camera.read(timeout_s=10) for _ in range(3)]
    assert frames[0].data.shape == (180, 320, 2)
    assert frames[0].sequence == 0
    assert camera.contract.to_dict() == contract.to_dict()
    assert (camera.ledger["unplugged"], camera.ledger["replugged"]) == (1, 1)
    camera.close()
    assert rig.open_files() == 0


# ---------------------------------------------------------------- MJPEG through the loopback
def _jpegs():
    import cv2

    rng = np.random.default_rng(0)
    out = []
    for k in range(4):
        image = cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (160, 120))
        image[:, 8 * k : 8 * k + 8] = 255
        out.append(cv2.imencode(".jpg", image)[1].tobytes())
    return out


def without_tables(jpeg):
    """Return a JPEG without its Huffman tables, as many cameras send it."""
    out, at = bytearray(jpeg[:2]), 2
    while jpeg[at + 1] != 0xDA:
        length = 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] != 0xC4:
            out += jpeg[at : at + length]
        at += length
    return bytes(out + jpeg[at:])


def _through(rig, frames, n, **options):
    """Feed frames round and round; return the camera after `n` frames were read or 20 s passed, and the frames."""
    rig.feed(frames, (160, 120))
    camera = V4L2Camera(rig.loopback, kernel=rig.kernel, **options)
    out = []
    try:
        camera.configure("MJPG", (160, 120))
        with camera, contextlib.suppress(NoFrameError):
            out.extend(camera.read(timeout_s=3) for _ in range(n))
    finally:
        rig.starve()
        camera.close()
    return camera, out


def check_mjpeg_frames_come_and_decode(rig):
    camera, frames = _through(rig, _jpegs(), 6)
    assert len(frames) == 6
    assert {f.format for f in frames} == {"MJPG"}
    assert all(f.image("RGB").shape == (120, 160, 3) for f in frames)
    report = camera.ledger.report()
    assert report.outcomes["delivered"] == 6, report
    # v4l2loopback's very first frame is empty, and on a busy machine it hands out a frame again
    assert set(report.outcomes) <= {"delivered", "truncated", "repeated"}, report
    assert report.outcomes.get("truncated", 0) <= 1, report


def check_mjpeg_without_tables_decodes_to_the_same_picture(rig):
    good = _jpegs()[0]
    camera, frames = _through(rig, [without_tables(good)], 3)
    assert camera.ledger["no huffman tables"] >= 3
    assert all("no huffman tables" in f.flags for f in frames)
    plain, whole = _through(rig, [good], 1)
    assert plain.ledger["no huffman tables"] == 0
    for decoder in ("opencv", "simplejpeg"):
        assert np.array_equal(
            frames[0].image("RGB", decoder=decoder), whole[0].image("RGB", decoder=decoder)
        )


def check_cut_and_broken_jpegs_are_counted_by_reason(rig):
    a, b, c, d = _jpegs()
    camera, frames = _through(rig, [a, b[: len(b) // 2], b"\0" * 500 + c[500:], d], 6)
    assert camera.ledger["truncated"] >= 1
    assert camera.ledger["corrupt"] >= 1
    assert all(f.image("RGB") is not None for f in frames)
    camera.ledger.check(0)


def check_the_same_picture_again_is_said(rig):
    camera, _ = _through(rig, [_jpegs()[0]], 5)
    assert camera.ledger["same content"] >= 3


def check_a_picture_that_only_fails_to_decode_is_counted_when_decoded(rig):
    a, b, *_ = _jpegs()
    hollow = b[:700] + b"\xff\xd9"  # headers and an end, but hardly any data between
    camera, frames = _through(rig, [a, hollow], 4, decode="RGB")
    assert {f.format for f in frames} == {"RGB"}
    assert all(f.data.shape == (120, 160, 3) for f in frames)
    camera.ledger.check(0)


def check_a_loopback_that_nobody_feeds_is_an_error_in_time(rig):
    camera = V4L2Camera(rig.loopback, kernel=rig.kernel)
    began = rig.kernel.now()
    expect(CameraError, lambda: camera.configure("MJPG", (160, 120)) and camera.read(timeout_s=1))
    assert rig.kernel.now() - began < 5
    camera.close()


def check_a_loopback_of_another_format_is_refused(rig):
    rig.feed(_jpegs(), (160, 120))
    try:
        camera = V4L2Camera(rig.loopback, kernel=rig.kernel)
        error = expect(NegotiationError, lambda: camera.configure("YUYV", (160, 120)))
        assert "MJPG" in error.got
        error = expect(NegotiationError, lambda: camera.configure("MJPG", (640, 480)))
        assert "160x120" in error.got
        camera.close()
    finally:
        rig.starve()


def check_nothing_stays_open(rig):
    assert rig.open_files() == 0


CHECKS: dict[str, Callable] = {
    name.removeprefix("check_"): value
    for name, value in list(globals().items())
    if name.startswith("check_")
}


def main() -> None:
    """Run every check on this machine's kernel."""
    rig = RealRig()
    for name, check in CHECKS.items():
        if len(sys.argv) > 1 and sys.argv[1] not in name:
            continue
        began, problem = time.monotonic(), None
        try:
            check(rig)
        except BaseException:
            problem = traceback.format_exc()[-1500:]
            rig.starve()
        took = round(time.monotonic() - began, 2)
        print("CONFORMANCE " + json.dumps({"check": name, "seconds": took, "problem": problem}))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
