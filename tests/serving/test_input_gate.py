"""The gate before decoding: type by content, size by header, truncation, bombs; and text that is only text."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facelab.serving import checked_text, image_header
from facelab.serving.service._gate import RequestError

PIXELS = 100_000


def encoded(form: str, size=(64, 48), **options) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, form, **options)
    return out.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_whole_images_pass_whatever_they_are_called(form):
    header = image_header(encoded(form), pixels=PIXELS)
    assert (header.format, header.width, header.height) == (form, 64, 48)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_truncated_files_are_refused_without_decoding(form, share, monkeypatch):
    data = encoded(form)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("a pixel was decoded"))
    with pytest.raises(RequestError) as e:
        image_header(data[: int(len(data) * share)], pixels=PIXELS)
    assert e.value.status in (400, 415) and e.value.fix


def test_a_progressive_jpeg_and_bytes_behind_the_end_pass():
    assert image_header(encoded("JPEG", progressive=True), pixels=PIXELS).format == "JPEG"
    assert image_header(encoded("JPEG") + b"\0" * 900, pixels=PIXELS).format == "JPEG"


@pytest.mark.parametrize("part", ["text chunks", "unknown chunks", "comments", "padding", "junk"])
def test_very_many_small_parts_are_refused_before_a_plug_in_reads_each(part, monkeypatch):
    """3 MB of empty text chunks held the interpreter's lock, and with it every request, for a second."""
    png, jpeg = encoded("PNG"), encoded("JPEG")

    def chunks(kind):
        return png[:33] + (struct.pack("!I", 0) + kind + struct.pack("!I", zlib.crc32(kind))) * 9000

    data = {
        "text chunks": chunks(b"tEXt") + png[33:],
        "unknown chunks": chunks(b"abCd") + png[33:],
        "comments": jpeg[:2] + b"\xff\xfe\0\x02" * 9000 + jpeg[2:],
        "padding": jpeg[:2] + b"\xff" * 9000 + jpeg[2:],
        "junk": jpeg[:2] + b"\1" * 9000 + jpeg[2:],
    }[part]
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("a plug-in was asked"))
    with pytest.raises(RequestError, match="too many parts") as e:
        image_header(data, pixels=PIXELS)
    assert e.value.status == 400


@pytest.mark.parametrize("part", ["chunks", "comments", "padding"])
def test_some_comments_and_padding_pass(part):
    png, jpeg = encoded("PNG"), encoded("JPEG")
    text = struct.pack("!I", 3) + b"tEXta\0b" + struct.pack("!I", zlib.crc32(b"tEXta\0b"))
    data = {
        "chunks": png[:33] + text * 200 + png[33:],
        "comments": jpeg[:2] + b"\xff\xfe\0\x05abc" * 200 + jpeg[2:],
        "padding": jpeg[:2] + b"\xff" * 200 + jpeg[2:],
    }[part]
    assert image_header(data, pixels=PIXELS).width == 64


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to be enormous."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack("!I", len(body)) + kind + body + struct.pack("!I", zlib.crc32(kind + body))
        )

    head = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(100_000, 100_000), (1, 200_000), (400, 400)])
def test_bombs_are_refused_by_their_header(size):
    with pytest.raises(RequestError) as e:
        image_header(bomb(*size), pixels=PIXELS)
    assert e.value.status == 413


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 415),
        (b"<!DOCTYPE html><html></html>", 415),
        (b"GIF89a" + bytes(60), 415),
        (b"%PDF-1.4", 415),
        (b"%!PS-Adobe-3.0 EPSF", 415),
        (b"\xff\xd8\xff" + bytes(20), 415),
    ],
)
def test_other_types_are_refused_by_content(data, status):
    with pytest.raises(RequestError) as e:
        image_header(data, pixels=PIXELS)
    assert e.value.status == status


def test_bytes_are_counted_before_anything_is_parsed(monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("the file was parsed"))
    with pytest.raises(RequestError, match="too large") as e:
        image_header(bytes(2000), pixels=PIXELS, most_bytes=1000)
    assert e.value.status == 413


def test_many_frames_are_refused():
    out = io.BytesIO()
    frames = [Image.new("RGB", (20, 20), (60 * k, 255 - 60 * k, 0)) for k in range(4)]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(RequestError, match="many frames"):
        image_header(out.getvalue(), pixels=PIXELS)


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("a\0b", 400, "control"),
        ("a\x1b[31m", 400, "control"),
        ("line\nline", 400, "control"),
        ("a\u202eb", 400, "control"),
        ("a\u200bb", 400, "control"),
        ("{{7*7}}", 400, "template"),
        ("${HOME}", 400, "template"),
        ("<%= x %>", 400, "template"),
        ("{% if %}", 400, "template"),
        ("#{x}", 400, "template"),
        ("x" * 201, 413, "201 characters"),
        ("x" * 900, 413, "900 bytes"),
        ("ä" * 401, 413, "802 bytes"),
        (b"\xff\xfe", 400, "UTF-8"),
        ("\ud800", 400, "UTF-8"),
    ],
)
def test_text_that_is_more_than_text_is_refused(text, status, says):
    with pytest.raises(RequestError) as e:
        checked_text(text, what="unit")
    assert e.value.status == status and says in str(e.value)


def test_limits_are_taken_after_composition_and_nothing_is_cut_afterwards():
    assert checked_text("e\u0301" * 200, what="unit") == "é" * 200
    with pytest.raises(RequestError, match="too long"):
        checked_text("e" * 199 + "{{", what="unit")  # a cut would make it pass


@given(st.text(max_size=300))
def test_what_passes_passes_again_unchanged(text):
    try:
        once = checked_text(text, what="unit")
    except RequestError as e:
        assert e.status in (400, 413) and e.fix
    else:
        assert checked_text(once, what="unit") == once and len(once) <= 200
