"""Videos, folders of images and recordings as sources; broken ones are refused or counted."""

import errno
import json
import struct
from fractions import Fraction

import cv2
import numpy as np
import pytest

from facelab.camera import RenderedSensor, open_source, pair_frames, record
from facelab.camera.internals import FaceScene, NegotiationError, SourceEndedError, StreamModel
from facelab.camera.sources import _recording
from facelab.core.errors import BadInputError


def pictures(n, size=(64, 48)):
    """Return pictures that differ in one moving square."""
    out = []
    for k in range(n):
        image = np.full((size[1], size[0], 3), 40, np.uint8)
        image[10:30, 2 * k : 2 * k + 16] = (200, 120, 60)
        out.append(image)
    return out


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for image in pictures(20):
        writer.write(image)
    writer.release()
    return path


@pytest.mark.parametrize("backend", ["opencv", "pyav"])
def test_a_video_gives_every_frame_with_its_time(video, backend):
    if backend == "pyav":
        pytest.importorskip("av")
    source = open_source(video, backend=backend)
    assert source.contract.rate == 25
    frames = list(source)
    assert [f.sequence for f in frames] == list(range(20))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(20) / 25, atol=1e-3)
    for frame, image in zip(frames, pictures(20)):
        assert np.abs(frame.data.astype(int) - image).mean() < 4  # JPEG
    assert {f.clock for f in frames} == {"media"}
    with pytest.raises(SourceEndedError):
        source.read()


def test_both_backends_decode_alike(video):
    pytest.importorskip("av")
    a, b = (list(open_source(video, backend=k)) for k in ("opencv", "pyav"))
    assert max(np.abs(x.data.astype(int) - y.data).mean() for x, y in zip(a, b, strict=True)) < 3


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    """Write a video as a phone does: frames at irregular times, and a matrix that turns them."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("phone") / "phone.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for t in IRREGULAR:
            pixels = np.zeros((64, 96, 3), np.uint8)
            pixels[:16] = (255, 0, 0)  # red above
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(1000 * t), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


IRREGULAR = (0, 0.04, 0.08, 0.3, 0.34, 1.0, 1.04)
ONE = 1 << 16
TURNS = {
    0: ((ONE, 0, 0, 0, ONE, 0), (8, 48)),
    90: ((0, ONE, 0, -ONE, 0, 0), (48, 56)),
    180: ((-ONE, 0, 0, 0, -ONE, 0), (56, 48)),
    270: ((0, -ONE, 0, ONE, 0, 0), (48, 8)),
}
"""Clockwise degrees: the matrix of the container, and where (row, column) the red part then is."""


@pytest.mark.parametrize("backend", ["opencv", "pyav"])
@pytest.mark.parametrize("degrees", TURNS)
def test_a_phones_video_is_upright_and_keeps_its_times(phone, tmp_path, degrees, backend):
    matrix, (row, column) = TURNS[degrees]
    raw = bytearray(phone.read_bytes())
    header = raw.find(b"tkhd") + 4
    start = header + 4 + (32 if raw[header] else 20) + 16
    raw[start : start + 24] = struct.pack(">6i", *matrix)
    (tmp_path / "turned.mp4").write_bytes(raw)
    source = open_source(tmp_path / "turned.mp4", backend=backend)
    size = (64, 96) if degrees % 180 else (96, 64)
    assert (source.contract.width, source.contract.height) == size
    frames = list(source)
    assert [f.time_s for f in frames] == pytest.approx(IRREGULAR, abs=1e-3)
    for frame in frames:
        assert frame.data.shape == (size[1], size[0], 3)
        assert frame.data[row, column, 2] > 200  # BGR
        assert frame.data[size[1] - 1 - row, size[0] - 1 - column, 2] < 50


def test_a_video_that_is_cut_gives_what_is_there_and_counts_the_rest(video, tmp_path):
    raw = video.read_bytes()
    (tmp_path / "cut.avi").write_bytes(raw[: len(raw) // 2])
    source = open_source(tmp_path / "cut.avi")
    frames = list(source)
    assert 0 < len(frames) < 20
    assert source.ledger["lost"] + len(frames) >= 20 or source.promised <= len(frames)
    source.ledger.check(0)


@pytest.mark.parametrize("content", [b"", b"not a video", b"RIFF\x00\x00\x00\x00AVI " + b"x" * 500])
@pytest.mark.parametrize("backend", ["opencv", "pyav"])
def test_what_is_not_a_video_is_refused(tmp_path, content, backend):
    if backend == "pyav":
        pytest.importorskip("av")
    (tmp_path / "x.avi").write_bytes(content)
    with pytest.raises(BadInputError, match="not a video") as e:
        open_source(tmp_path / "x.avi", backend=backend)
    assert e.value.fix


def test_a_video_has_one_mode(video):
    with pytest.raises(NegotiationError, match="another size"):
        open_source(video, size=(640, 480))
    with pytest.raises(BadInputError, match="did you mean 'opencv'"):
        open_source(video, backend="opencx")


def test_a_folder_of_images_is_read_in_natural_order_and_bad_ones_are_counted(tmp_path):
    for k, image in enumerate(pictures(12)):
        cv2.imwrite(str(tmp_path / f"f{k}.png"), image)
    (tmp_path / "f3.png").write_bytes(b"broken")
    (tmp_path / "f5.png").write_bytes(b"")
    cv2.imwrite(str(tmp_path / "f7.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("x")
    source = open_source(tmp_path, rate=30)
    frames = list(source)
    assert [f.sequence for f in frames] == [0, 1, 2, 4, 6, 8, 9, 10, 11]
    assert source.ledger["corrupt"] == 3
    assert np.array_equal(frames[-1].data, pictures(12)[11])


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="no image"):
        open_source(tmp_path)


# ---------------------------------------------------------------- recordings
@pytest.fixture
def recorded(tmp_path):
    model = StreamModel(drop_share=0.1, latency_jitter_s=0.005)
    sensor = RenderedSensor(FaceScene(48), colour=model, format="MJPG", duration_s=2, seed=3)
    made = record(sensor, tmp_path / "r", seconds=10)
    return tmp_path / "r", made


def test_a_recording_plays_the_same_frames_with_the_same_numbers_and_times(recorded):
    folder, made = recorded
    model = StreamModel(drop_share=0.1, latency_jitter_s=0.005)
    live = list(RenderedSensor(FaceScene(48), colour=model, format="MJPG", duration_s=2, seed=3))
    again = open_source(folder)
    assert (again.contract.format, again.contract.width) == ("MJPG", 48)
    played = list(again)
    key = [(f.stream, f.sequence, f.lost_before, f.format) for f in live]
    assert [(f.stream, f.sequence, f.lost_before, f.format) for f in played] == key
    assert all(np.array_equal(a.data, b.data) for a, b in zip(live, played))
    steps = [np.diff([f.arrived_s for f in frames]) for frames in (live, played)]
    np.testing.assert_allclose(*steps, atol=1e-6)
    assert made.frames == {"colour": sum(f.stream == "colour" for f in live), "depth": 60}
    assert again.ledger["lost"] == made.ledger["events"]["lost"]


def test_pairs_of_a_recording_are_those_of_the_live_sensor(recorded):
    folder, _ = recorded
    pairs = list(pair_frames(open_source(folder), tolerance_s=0.01))
    assert len(pairs) > 40
    assert all(p.colour.sequence == p.depth.sequence for p in pairs)


def test_a_flipped_bit_is_counted_as_corrupt(recorded):
    folder, _ = recorded
    pixels = bytearray((folder / "frames.bin").read_bytes())
    pixels[700] ^= 1
    (folder / "frames.bin").write_bytes(pixels)
    source = open_source(folder)
    frames = list(source)
    assert source.ledger["corrupt"] == 1
    assert len(frames) == source.ledger.arrived - 1


def damage_bin(folder):
    (folder / "frames.bin").write_bytes(b"x")


def damage_header(**changes):
    def damage(folder):
        lines = (folder / "frames.jsonl").read_text().splitlines()
        lines[1] = json.dumps({**json.loads(lines[1]), **changes})
        (folder / "frames.jsonl").write_text("\n".join(lines))

    return damage


def damage_facts(**changes):
    def damage(folder):
        facts = json.loads((folder / "recording.json").read_text())
        (folder / "recording.json").write_text(json.dumps({**facts, **changes}))

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        damage_bin,
        damage_header(offset=-1),
        damage_header(bytes=1 << 40),
        damage_header(shape=[1 << 40]),
        damage_header(shape=[]),
        damage_header(dtype="object"),
        damage_header(format="WXYZ"),
        damage_header(sequence="1"),
        damage_header(time_s=None),
        damage_facts(schema="other/1"),
        damage_facts(streams="colour"),
        damage_facts(format=7),
        damage_facts(width="48"),
        lambda folder: (folder / "frames.jsonl").unlink(),
        lambda folder: (folder / "recording.json").write_text("{"),
    ],
)
def test_a_damaged_recording_is_refused_before_a_frame_is_read(recorded, damage):
    folder, _ = recorded
    damage(folder)
    with pytest.raises(BadInputError) as e:
        open_source(folder)
    assert e.value.fix


def test_limits_stop_a_recording_and_nothing_is_replaced(tmp_path):
    made = record(RenderedSensor(FaceScene(48)), tmp_path / "a", frames=7)
    assert sum(made.frames.values()) == 7
    made = record(RenderedSensor(FaceScene(48)), tmp_path / "b", frames=99, max_bytes=20_000)
    assert made.stopped == "max_bytes"
    assert (tmp_path / "b" / "frames.bin").stat().st_size <= 20_000
    with pytest.raises(BadInputError, match="replace"):
        record(RenderedSensor(FaceScene(48)), tmp_path / "a", frames=1)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_recording, "_append", full)
    with pytest.raises(OSError, match="No space"):
        record(RenderedSensor(FaceScene(48)), tmp_path / "r", frames=3)
    assert list(tmp_path.iterdir()) == []
