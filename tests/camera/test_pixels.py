"""Formats, JPEG headers and the V4L2 structures, against the kernel's header and other decoders."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.camera import Frame, decode_costs
from facelab.camera._bench import wire_seconds
from facelab.camera._errors import CorruptFrameError
from facelab.camera.internals import choices
from facelab.camera.pixels._convert import DECODERS, convert, decode_jpeg
from facelab.camera.pixels._formats import FORMATS, pixel_format
from facelab.camera.pixels._jpeg import HUFFMAN_SEGMENT, read_headers
from facelab.camera.v4l2 import _abi as abi
from facelab.core.errors import BadInputError
from tests.camera.conformance import without_tables


def smooth(width=64, height=48, seed=0):
    """Return a smooth colour picture, whose halved chroma loses little."""
    small = np.random.default_rng(seed).integers(30, 220, (4, 5, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def jpeg():
    return cv2.imencode(".jpg", smooth())[1].ravel()


def test_the_tables_put_in_are_those_of_the_standard(jpeg):
    raw, at, bodies = jpeg.tobytes(), 2, b""
    while raw[at + 1] != 0xDA:
        length = int.from_bytes(raw[at + 2 : at + 4], "big")
        if raw[at + 1] == 0xC4:
            bodies += raw[at + 4 : at + 2 + length]
        at += 2 + length
    assert sorted(_tables(bodies)) == sorted(_tables(HUFFMAN_SEGMENT[4:]))


def _tables(body):
    while body:
        n = 17 + sum(body[1:17])
        yield body[:n]
        body = body[n:]


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_jpeg_without_tables_decodes_to_the_same_picture(jpeg, decoder):
    if decoder == "pyav":
        pytest.importorskip("av")
    bare = np.frombuffer(without_tables(jpeg.tobytes()), np.uint8)
    assert not read_headers(bare).has_huffman
    for colour in ("RGB", "BGR", "GRAY"):
        whole = decode_jpeg(jpeg, colour, decoder)
        assert np.array_equal(decode_jpeg(bare, colour, decoder), whole)
        assert np.abs(whole.astype(int) - decode_jpeg(jpeg, colour).astype(int)).mean() < 4


@given(cut=st.integers(0, 2000), flips=st.lists(st.integers(0, 3000), max_size=4))
def test_no_damage_to_a_jpeg_does_more_than_raise_corrupt_frame(jpeg, cut, flips):
    raw = bytearray(jpeg.tobytes())
    for at in flips:
        raw[at % len(raw)] ^= 0xFF
    data = np.frombuffer(bytes(raw[: len(raw) - cut]), np.uint8)
    for decoder in ("opencv", "simplejpeg"):
        try:
            assert decode_jpeg(data, "RGB", decoder, size=(64, 48)).shape == (48, 64, 3)
        except CorruptFrameError as e:
            assert e.fix


def test_a_jpeg_of_another_size_is_refused_before_it_is_decoded(jpeg):
    with pytest.raises(CorruptFrameError, match="cannot be decoded") as e:
        decode_jpeg(jpeg, "RGB", size=(640, 480))
    assert e.value.got == "64x48"


def test_padding_after_the_end_is_not_damage_and_a_missing_end_is(jpeg):
    padded = np.concatenate([jpeg, np.zeros(1000, np.uint8)])
    assert np.array_equal(decode_jpeg(padded, "RGB"), decode_jpeg(jpeg, "RGB"))
    assert read_headers(jpeg[:-2]).end is None


@pytest.mark.parametrize("format", ["YUYV", "UYVY", "NV12", "YU12"])
@pytest.mark.parametrize("colour_range", ["limited", "full"])
def test_yuv_formats_decode_to_the_colours_they_were_made_of(format, colour_range):
    bgr = smooth()
    data = encode(bgr, format, colour_range)
    kind = FORMATS[format]
    for colour, expected in (("BGR", bgr), ("RGB", bgr[..., ::-1])):
        got = convert(data, kind, 64, 48, colour, colour_range)
        # halved chroma costs up to 3 levels on average (4:2:0), a wrong range or order 8 and more
        assert np.abs(got.astype(int) - expected).mean() < 4
    gray = convert(data, kind, 64, 48, "GRAY", colour_range)
    # limited codes hold 220 steps for 256 levels: 1 level of rounding, 1 more from clipped chroma
    assert np.abs(gray.astype(int) - cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)).max() <= 2


def encode(bgr, format, colour_range):
    """Return a picture in a YUV format by the definition (BT.601), chroma taken from every other pixel."""
    b, g, r = (bgr[..., k].astype(float) for k in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    u, v = 0.564334 * (b - y), 0.713267 * (r - y)
    if colour_range == "limited":
        y, u, v = 16 + y * 219 / 255, u * 224 / 255, v * 224 / 255
    y, u, v = (np.clip(np.rint(x), 0, 255).astype(np.uint8) for x in (y, u + 128, v + 128))
    if format in ("NV12", "YU12"):
        u, v = u[::2, ::2], v[::2, ::2]
        chroma = np.stack([u, v], -1) if format == "NV12" else np.stack([u, v])
        return np.concatenate([y.ravel(), chroma.ravel()])
    chroma = np.where(np.arange(y.shape[1]) % 2 == 0, u, np.roll(v, 1, axis=1))
    return np.stack([y, chroma] if format == "YUYV" else [chroma, y], -1)


def test_a_depth_frame_is_not_a_picture_and_a_picture_has_no_depth():
    depth = Frame(np.ones((4, 6), np.uint16), "DEPTH", 6, 4, 0, 0.0, "monotonic", 0.0)
    assert depth.image("DEPTH").dtype == np.uint16
    with pytest.raises(BadInputError, match="no RGB picture"):
        depth.image("RGB")
    colour = Frame(np.ones((4, 6, 3), np.uint8), "BGR", 6, 4, 0, 0.0, "monotonic", 0.0)
    with pytest.raises(BadInputError, match="did you mean 'opencv'"):
        colour.image("RGB", decoder="opencvv")
    with pytest.raises(BadInputError, match="did you mean 'YUYV'"):
        pixel_format("YUY")


def test_structures_have_the_sizes_and_places_of_the_kernel_header(tmp_path):
    header, compiler = (
        Path("/usr/include/linux/videodev2.h"),
        shutil.which("cc") or shutil.which("gcc"),
    )
    if not header.is_file() or compiler is None:
        pytest.skip("needs a C compiler and linux/videodev2.h")
    pairs = {
        "v4l2_capability": abi.Capability,
        "v4l2_fmtdesc": abi.FormatDescription,
        "v4l2_frmsizeenum": abi.FrameSize,
        "v4l2_frmivalenum": abi.FrameInterval,
        "v4l2_format": abi.Format,
        "v4l2_streamparm": abi.StreamParameters,
        "v4l2_requestbuffers": abi.RequestBuffers,
        "v4l2_buffer": abi.Buffer,
        "v4l2_queryctrl": abi.QueryControl,
        "v4l2_control": abi.ControlValue,
    }
    sizes = ", ".join(f"sizeof(struct {name})" for name in pairs)
    places = "offsetof(struct v4l2_buffer, timestamp), offsetof(struct v4l2_buffer, sequence), "
    places += "offsetof(struct v4l2_buffer, m), offsetof(struct v4l2_format, fmt)"
    numbers = ", ".join(f"VIDIOC_{name}" for name in abi.NAMES.values())
    source = (
        "#include <stddef.h>\n#include <stdio.h>\n#include <linux/videodev2.h>\nint main(void){"
        f"unsigned long v[] = {{{sizes}, {places}, {numbers}}};"
        'for (unsigned k = 0; k < sizeof v / sizeof *v; k++) printf("%lu\\n", v[k]); return 0;}'
    )
    (tmp_path / "x.c").write_text(source)
    subprocess.run([compiler, "-o", tmp_path / "x", tmp_path / "x.c"], check=True, timeout=60)
    said = subprocess.run([tmp_path / "x"], capture_output=True, text=True, check=True, timeout=60)
    ours = [ctypes.sizeof(t) for t in pairs.values()]
    ours += [abi.Buffer.seconds.offset, abi.Buffer.sequence.offset, abi.Buffer.offset.offset]
    ours += [abi.Format.fmt.offset, *abi.NAMES]
    assert [int(x) for x in said.stdout.split()] == ours


def test_the_wire_is_a_model_and_says_so_and_the_choice_follows():
    costs = decode_costs([(64, 48)], repeats=5, picture=smooth())
    assert {c.format for c in costs} == {"YUYV", "MJPG"}
    assert all(c.lo <= c.cpu_s <= c.hi for c in costs)
    found = choices(costs, "usb2", 30)
    assert {c.method for c in found} == {"model"}
    assert found[0].reaches
    assert wire_seconds(24_576_000, "usb2") == 1
    with pytest.raises(BadInputError, match="no bus"):
        wire_seconds(1, "usb4")


def test_where_no_case_reaches_the_rate_the_fastest_comes_first():
    costs = decode_costs([(64, 48)], repeats=5, picture=smooth())
    found = choices(costs, "usb2", 1e6)
    assert not any(c.reaches for c in found)
    assert found[0].rate == max(c.rate for c in found)
