"""`read_image` gives the same pixels as any good decoder, and one clear error for each kind of damage."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from facelab.core.errors import BadInputError
from facelab.preprocess.image import apply_exif, decode, header, read_image

RGB = np.random.default_rng(5).integers(0, 256, (11, 7, 3), dtype=np.uint8)


def saved(image, fmt, **kwargs):
    out = io.BytesIO()
    image.save(out, fmt, **kwargs)
    return out.getvalue()


def png(w, h, depth, colour, rows):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_applied_as_pillow_does(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(RGB), "PNG", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(read_image(data), upright)
    assert np.array_equal(read_image(data, orient=False), RGB)


def test_opencv_decodes_real_photographs_to_the_same_bytes(assets):
    import cv2

    photographs = sorted((assets / "labelled/detection").glob("*.jpg"))[:4]
    assert photographs
    for path in photographs:
        assert np.array_equal(read_image(path, mode="bgr"), cv2.imread(str(path))), path.name


def test_modes_hold_the_same_picture():
    data = saved(Image.fromarray(RGB), "PNG")
    assert np.array_equal(read_image(data), RGB)
    assert np.array_equal(read_image(data, mode="bgr"), RGB[..., ::-1])
    assert np.array_equal(
        read_image(data, mode="gray"), np.asarray(Image.fromarray(RGB).convert("L"))
    )
    with pytest.raises(BadInputError, match="mode"):
        read_image(data, mode="RGBX")


def test_gray_alpha_palette_16_bit_and_cmyk_become_rgb():
    gray = RGB[..., 0]
    assert np.array_equal(
        read_image(saved(Image.fromarray(gray), "PNG")), np.repeat(gray[..., None], 3, 2)
    )
    rgba = np.dstack([RGB, np.arange(77, dtype=np.uint8).reshape(11, 7)])
    data = saved(Image.fromarray(rgba), "PNG")
    assert np.array_equal(read_image(data), RGB), "alpha is dropped, colours stay as stored"
    white = decode(data, where="x", alpha="over_white")[0]
    expected = np.asarray(
        Image.alpha_composite(Image.new("RGBA", (7, 11), "white"), Image.fromarray(rgba))
    )[..., :3]
    assert np.abs(white.astype(int) - expected).max() <= 1
    assert read_image(saved(Image.fromarray(RGB).quantize(8), "GIF")).shape == (11, 7, 3)
    deep = np.array([[0, 255, 256, 65535]], dtype=">u2")
    assert read_image(png(4, 1, 16, 0, b"\0" + deep.tobytes()))[0, :, 0].tolist() == [0, 0, 1, 255]
    deep_rgb = np.array([[[256, 512, 65535]]], dtype=">u2")
    assert read_image(png(1, 1, 16, 2, b"\0" + deep_rgb.tobytes()))[0, 0].tolist() == [1, 2, 255]
    cmyk = Image.fromarray(RGB).convert("CMYK")
    assert np.abs(read_image(saved(cmyk, "TIFF")).astype(int) - RGB).max() <= 1


def test_gray_from_the_decoder_is_the_y_plane_and_refuses_colour_png():
    smooth = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 3, 64, axis=0).repeat(
        3, axis=2
    )
    got, _ = decode(saved(Image.fromarray(smooth), "JPEG", quality=100), where="x", gray=True)
    assert got.shape == (64, 64, 1) and np.abs(got.astype(int) - smooth[..., :1]).max() <= 2
    with pytest.raises(BadInputError, match="no gray plane"):
        decode(saved(Image.fromarray(RGB), "PNG"), where="x", gray=True)


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("empty", b"", "empty"),
        ("text", b"hello, this is not an image", "not an image"),
        ("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "not an image"),
        ("html", b"<!DOCTYPE html><html></html>", "not an image"),
        (
            "truncated jpeg",
            saved(Image.fromarray(RGB.repeat(9, 0).repeat(9, 1)), "JPEG")[:-400],
            "not an image",
        ),
        ("truncated png", saved(Image.fromarray(RGB), "PNG")[:60], "not an image"),
        ("damaged png", saved(Image.fromarray(RGB), "PNG")[:45] + b"\xff" * 80, "not an image"),
        ("0 by 0", png(0, 0, 8, 2, b""), "no"),
        ("bomb", png(60000, 60000, 8, 2, b""), "too large"),
        ("float tiff", saved(Image.fromarray(np.ones((3, 3), np.float32)), "TIFF"), "floats"),
    ],
)
def test_damage_ends_in_one_clear_error(tmp_path, name, data, what):
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    with pytest.raises(BadInputError, match=what) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_a_folder_and_a_name_with_a_null_byte_are_named(tmp_path):
    for path in (tmp_path / "none.png", tmp_path, "a\0b"):
        with pytest.raises(BadInputError, match="image file"):
            read_image(path)


def test_damaged_exif_does_not_spoil_the_picture():
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = saved(Image.fromarray(RGB), "JPEG", exif=exif)
    at = whole.index(b"Exif\0\0") + 6
    broken = whole[:at] + b"\xff" * 12 + whole[at + 12 :]
    assert read_image(broken).shape == (11, 7, 3)
    assert read_image(whole).shape == (7, 11, 3)


def test_exif_transforms_undo_themselves():
    pairs = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
    for there, back in pairs.items():
        assert np.array_equal(apply_exif(apply_exif(RGB, there), back), RGB)


@pytest.mark.parametrize("read", [header, decode])
def test_memory_that_does_not_suffice_is_not_the_pictures_fault(read, monkeypatch):
    def no_memory(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image, "open", no_memory)
    with pytest.raises(MemoryError):
        read(saved(Image.fromarray(RGB), "PNG"), where="x.png")
