"""Issue 22.8, 22.17: only named formats are opened, and a header's size is looked at before anything is decoded."""

import io
import os
import struct

import hostile_png
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from facelab.core.errors import BadInputError
from facelab.core.machine import peak_rss_bytes
from facelab.preprocess.image import MAX_PIXELS, read_image
from facelab.preprocess.internals import image as files

POSTSCRIPT = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(/tmp/x) (w) file\n%%EOF\n"
)


def test_a_photo_that_is_postscript_starts_no_program(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: started.append(a))
    path = tmp_path / "photo.jpg"
    path.write_bytes(POSTSCRIPT)
    with pytest.raises(BadInputError, match="not an image"):
        read_image(path)
    assert started == []


def test_only_the_named_formats_are_opened():
    picture = Image.fromarray(np.full((8, 8, 3), 90, np.uint8))
    names = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "TGA", "PCX", "ICO", "JPEG2000")
    opened, refused = set(), set()
    for name in names:
        f = io.BytesIO()
        try:
            picture.save(f, name)
        except (OSError, ValueError, KeyError, SystemError, AttributeError):
            continue
        try:
            read_image(f.getvalue())
            opened.add(name)
        except BadInputError:
            refused.add(name)
    assert {"JPEG", "PNG", "BMP", "TIFF", "GIF", "PPM"} <= opened <= set(files.FORMATS)
    assert {"TGA", "PCX"} <= refused


def png(width, height):
    """A small PNG that promises width × height pixels; its data are a run of zeros."""
    return hostile_png.png(width, height, b"\0" * 1000)


def webp(width, height, kind=b"VP8X"):
    if kind == b"VP8X":
        body = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif kind == b"VP8L":
        body = b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + bytes(8)
    else:
        body = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    chunk = kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk + bytes(16)


def bmp(width, height):
    return b"BM" + struct.pack(
        "<IIIIiiHHIIiiII", 54, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0
    )


def gif(width, height):
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return head + b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00;"


def jpeg(width, height):
    f = io.BytesIO()
    Image.new("RGB", (16, 16)).save(f, "JPEG")
    data = bytearray(f.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff(width, height):
    f = io.BytesIO()
    Image.new("RGB", (16, 16)).save(f, "TIFF")
    data = bytearray(f.getvalue())
    at = struct.unpack_from("<I", data, 4)[0]
    for k in range(struct.unpack_from("<H", data, at)[0]):
        entry = at + 2 + 12 * k
        tag = struct.unpack_from("<H", data, entry)[0]
        if tag in (256, 257):
            struct.pack_into("<HII", data, entry + 2, 4, 1, width if tag == 256 else height)
    return bytes(data)


BOMBS = {
    "png": png(9000, 8000),
    "webp": webp(16384, 16384),
    "webp lossless": webp(16383, 16383, b"VP8L"),
    "webp lossy": webp(16383, 16383, b"VP8 "),
    "bmp": bmp(9000, 8000),
    "gif": gif(9000, 8000),
    "jpeg": jpeg(9000, 8000),
    "tiff": tiff(9000, 8000),
    "ppm": b"P6 9000 8000 255\n" + bytes(30),
    "above Pillow's own limit": png(30000, 30000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_its_header(name, monkeypatch):
    loaded = []
    load = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda self: loaded.append(1) or load(self))
    with pytest.raises(BadInputError, match="too large") as e:
        read_image(BOMBS[name])
    assert str(MAX_PIXELS) in e.value.expected and loaded == []


@pytest.mark.parametrize("backend", ["pillow", "opencv", "reference", "tensorflow"])
def test_every_backend_refuses_a_bomb_before_it_decodes(backend):
    from facelab.detection._inputs import detector_spec
    from facelab.preprocess._run import apply

    if backend == "tensorflow":
        pytest.importorskip("tensorflow")
    spec = detector_spec("d", size=(32, 32), fit="stretch")
    before = peak_rss_bytes()
    for name in ("png", "webp"):
        with pytest.raises(BadInputError, match="too large"):
            apply(spec, BOMBS[name], backend=backend)
    assert peak_rss_bytes() - before < 600 << 20  # TensorFlow's import among it


def test_the_stated_limit_is_the_one_that_holds():
    """Pillow's own limits come later, so that no file is refused by a different figure than the message's."""
    assert MAX_PIXELS <= Image.MAX_IMAGE_PIXELS
    with pytest.raises(BadInputError, match="not an image that can be decoded"):
        read_image(png(8000, 8000)[:60])  # exactly the limit: refused for its data, not its size


@pytest.mark.parametrize("kind", ["VP8X", "VP8L", "VP8 "])
def test_the_size_in_a_webp_header_is_pillows(kind, tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (37, 91, 4), np.uint8))
    f = io.BytesIO()
    if kind == "VP8X":
        picture.save(f, "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")
    else:
        picture.convert("RGB").save(f, "WEBP", lossless=kind == "VP8L")
    if f.getvalue()[12:16].decode() != kind:
        pytest.skip(f"this Pillow writes {f.getvalue()[12:16]!r}")
    assert files.webp_size(f.getvalue()) == (91, 37)


def test_a_named_pipe_as_a_picture_does_not_block(tmp_path):
    import os

    os.mkfifo(tmp_path / "photo.png")
    with pytest.raises(BadInputError, match="not a file"):
        read_image(tmp_path / "photo.png")


def odd(path, kind):
    """Write what no reader may decode: too many pixels in few bytes, another format's bytes, or a pipe."""
    if kind == "bomb":
        path.write_bytes(BOMBS["png"])
    elif kind == "another format":
        Image.new("RGB", (8, 8)).save(path, "JPEG2000")
    else:
        os.mkfifo(path)


@pytest.mark.parametrize("kind", ["bomb", "another format", "pipe"])
def test_readers_beside_the_one_reader_keep_its_limits(kind, tmp_path, monkeypatch):
    """A camera's folder, a picture beside labels and a depth picture were given to decoders with other limits."""
    import cv2

    from facelab.camera.sources._files import _decoded
    from facelab.datasets.annotations._sizes import size_of
    from facelab.liveness._presentation import _depth

    def decoded(*_):
        raise AssertionError("it was given to a decoder")

    path = tmp_path / "a.png"
    odd(path, kind)
    monkeypatch.setattr(cv2, "imdecode", decoded)
    assert _decoded(path) is None
    for read in (size_of, _depth):
        with pytest.raises(BadInputError):
            read(path)
