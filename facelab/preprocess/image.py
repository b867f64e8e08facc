"""Read an image file into pixels, the one way for the whole package.

Decoding is Pillow's with libjpeg-turbo's accurate (ISLOW) inverse DCT, which OpenCV's default equals bit for bit.
"""

from __future__ import annotations

import io
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.files import read_input

if TYPE_CHECKING:
    from jaxtyping import UInt8

MAX_PIXELS = 64_000_000
"""Pixels that are decoded: 9 000 × 7 000. Every decoder is asked only after the header's size was compared with it."""
MAX_FILE = 512 << 20
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""What is opened, whatever a file is called. Pillow would start Ghostscript for a PostScript file."""
MODES = ("rgb", "bgr", "gray")


def read_image(
    path: str | os.PathLike[str] | bytes, *, mode: str = "rgb", orient: bool = True
) -> UInt8[np.ndarray, "h w *channels"]:
    """Read an image file (or its bytes) as uint8, height × width × 3 (`rgb`, `bgr`) or height × width (`gray`).

    The EXIF orientation is applied unless `orient` is false. Gray becomes three equal channels, transparency is
    dropped, 16-bit channels keep their high byte, CMYK is converted, and of an animation the first frame counts.
    `gray` is ITU-R BT.601 luma, rounded.

    Parameters
    ----------
    path : str or path or bytes
        A picture file.
    mode : str
        `rgb` or `gray`.
    orient : bool
        Whether the EXIF orientation is applied.

    Returns
    -------
    ndarray
        The pixels, (height, width, channel) uint8.

    Raises
    ------
    BadInputError
        For a missing, empty, truncated or unreadable file.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (3, 2), (255, 0, 0)).save(file, "PNG")
    >>> pixels = read_image(file.getvalue())
    >>> pixels.shape, pixels[0, 0].tolist()
    ((2, 3, 3), [255, 0, 0])
    """
    if mode not in MODES:
        raise BadInputError(
            "unknown image mode",
            expected=", ".join(MODES),
            got=repr(mode),
            fix="choose one of these",
        )
    data, where = read_bytes(path)
    pixels, orientation = decode(data, where=where)
    if orient:
        pixels = apply_exif(pixels, orientation)
    if mode == "bgr":
        pixels = pixels[..., ::-1]
    elif mode == "gray":
        r, g, b = (pixels[..., i].astype(np.uint32) for i in range(3))
        # Pillow's integers, 16 fraction bits, half up
        pixels = ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def read_bytes(path: str | os.PathLike[str] | bytes) -> tuple[bytes, str]:
    """Return a file's bytes and a name for error messages. Raises BadInputError if there is nothing to read."""
    if isinstance(path, (bytes, bytearray, memoryview)):
        data, where = bytes(path), f"{len(path)} bytes in memory"
    else:
        where = os.fspath(path)
        try:
            data = read_input(path, max_bytes=MAX_FILE, what="image file")
        except OSError as e:
            raise BadInputError(
                "the image file cannot be read",
                where=where,
                got=e.strerror or str(e),
                fix="check the path",
            ) from None
        except ValueError as e:
            raise BadInputError(
                "the image file's name is not a path",
                where=repr(where)[:200],
                got=str(e),
                fix="give the path of a file",
            ) from None
    if not data:
        raise BadInputError(
            "the image file is empty",
            where=where,
            expected="an image",
            got="0 bytes",
            fix="fetch or write the file again",
        )
    return data, where


def decode(
    data: bytes, *, where: str, alpha: str = "drop", gray: bool = False
) -> tuple[np.ndarray, int]:
    """Decode an image file's bytes to (uint8 height × width × 3 RGB as stored, EXIF orientation 1…8).

    `alpha` is `drop`, `over_black` or `over_white`. With `gray` the result is height × width × 1, the decoder's own:
    the Y plane of a JPEG, or a gray image as it is. Raises BadInputError.
    """
    from PIL import Image

    if (size := webp_size(data)) is not None:  # Pillow allocates the canvas when it opens one
        _check_size(size, where)
    with warnings.catch_warnings():
        # Pillow warns of odd metadata and of large images; the limit on pixels is checked here
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image.size, where)
                if gray and image.format == "JPEG":
                    image.draft("L", image.size)
                image.load()
                orientation = _orientation(image)
                pixels = _gray(image, where) if gray else _rgb(image, alpha, where)
        except (BadInputError, MemoryError):
            raise
        except Image.DecompressionBombError:
            raise BadInputError(
                "the image is too large to be decoded",
                where=where,
                expected=f"at most {MAX_PIXELS} pixels",
                fix="scale it down",
            ) from None
        except Exception as e:
            # Pillow's plug-ins raise OSError, SyntaxError, ValueError, struct.error … for damaged files
            raise BadInputError(
                "the file is not an image that can be decoded",
                where=where,
                expected="a whole JPEG, PNG, WebP, BMP, TIFF, GIF or PPM file",
                got=_reason(e, data),
                fix="the file may be truncated or of another type; fetch it again",
            ) from None
    return pixels, orientation


def header(data: bytes, *, where: object, orientation: bool = False) -> tuple[tuple[int, int], int]:
    """Return an image's (width, height) as stored and, where asked for, its EXIF orientation 1…8 (else 1).

    For decoders that keep no limit. Raises BadInputError for another format, and for too many pixels.
    The orientation of a PNG may stand behind its pixels, which are decoded then.

    >>> file = io.BytesIO()
    >>> from PIL import Image
    >>> Image.new("L", (3, 2)).save(file, "PNG")
    >>> header(file.getvalue(), where="a")
    ((3, 2), 1)
    """
    from PIL import Image

    if (size := webp_size(data)) is not None:
        _check_size(size, str(where))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image.size, str(where))
                return image.size, _orientation(image) if orientation else 1
        except (BadInputError, MemoryError):
            raise
        except Exception as e:  # as in `decode`
            raise BadInputError(
                "a picture's size cannot be read",
                where=where,
                expected="a JPEG, PNG, WebP, BMP, TIFF, GIF or PPM file",
                got=_reason(e, data),
                fix="save the picture again, or leave it out",
            ) from None


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) of a WebP file by its header, or None for another kind of file or a damaged header.

    >>> webp_size(b"RIFF....WEBPVP8X" + bytes(8) + (99).to_bytes(3, "little") + (49).to_bytes(3, "little"))
    (100, 50)
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        w, h = (1 + int.from_bytes(data[k : k + 3], "little") for k in (24, 27))
        return w, h
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        w, h = (int.from_bytes(data[k : k + 2], "little") & 0x3FFF for k in (26, 28))
        return w, h
    return None


def _reason(error: Exception, data: bytes) -> str:
    head = data[:200].lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (text)"
    if head.startswith((b"<!doctype", b"<html")):
        return "an HTML page"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "unknown file type" if "cannot identify" in text else text[:160]


def _check_size(size: tuple[int, int], where: str) -> None:
    w, h = size
    if w < 1 or h < 1:
        raise BadInputError(
            "the image has no pixels",
            where=where,
            expected="at least 1×1",
            got=f"{w}×{h}",
            fix="write the file again",
        )
    if w * h > MAX_PIXELS:
        raise BadInputError(
            "the image is too large to be decoded",
            where=where,
            expected=f"at most {MAX_PIXELS} pixels",
            got=f"{w}×{h}",
            fix="scale it down",
        )


def _orientation(image: Any) -> int:
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:
        return 1  # damaged EXIF data: every decoder shows such a file as stored
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _high_byte(image: Any, where: str) -> np.ndarray:
    values = np.asarray(image)
    if image.mode == "I" and (values.min() < 0 or values.max() > 65535):
        raise BadInputError(
            "the image has more than 16 bits per channel",
            where=where,
            expected="8 or 16 bits",
            got=f"values {values.min()} to {values.max()}",
            fix="convert it to 8 bits",
        )
    return (values >> 8).astype(np.uint8)


def _gray(image: Any, where: str) -> np.ndarray:
    if image.mode.startswith("I"):
        return _high_byte(image, where)[..., None]
    if image.mode == "1":
        image = image.convert("L")
    if image.mode not in ("L", "LA"):
        raise BadInputError(
            "the file holds colour, and has no gray plane",
            where=where,
            expected="a JPEG or a gray image for decode order 'gray'",
            got=f"mode {image.mode}",
            fix="decode to rgb and add a color stage to gray with stated weights",
        )
    return np.asarray(image.getchannel(0))[..., None]


def _rgb(image: Any, alpha: str, where: str) -> np.ndarray:
    if image.mode.startswith("I"):
        return np.repeat(_high_byte(image, where)[..., None], 3, axis=2)
    if image.mode == "F":
        raise BadInputError(
            "the image holds floats, whose range is not stated",
            where=where,
            expected="8 or 16 bits per channel",
            got="32-bit floats",
            fix="convert it to 8 bits",
        )
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    if not transparent:
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    rgba = np.array(image.convert("RGBA"))
    if alpha == "drop":
        return rgba[..., :3]
    a, colour = rgba[..., 3:].astype(np.uint32), rgba[..., :3].astype(np.uint32)
    ground = 0 if alpha == "over_black" else 255
    return ((colour * a + ground * (255 - a) + 127) // 255).astype(np.uint8)


def apply_exif(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels (height × width × …) upright by the EXIF orientation 1…8.

    >>> apply_exif(np.arange(6).reshape(2, 3), 6).tolist()
    [[3, 0], [4, 1], [5, 2]]
    """
    return transform(pixels, EXIF_TRANSFORMS[orientation])


EXIF_TRANSFORMS = {
    1: "none",
    2: "flip_horizontal",
    3: "rotate180",
    4: "flip_vertical",
    5: "transpose",
    6: "rotate90",
    7: "transverse",
    8: "rotate270",
}
"""EXIF orientation → what turns the stored pixels upright (rotations clockwise)."""


def transform(pixels: np.ndarray, name: str) -> np.ndarray:
    """Rotate (clockwise), flip or transpose the first two axes; a view, no copy."""
    if name in ("transpose", "transverse", "rotate90", "rotate270"):
        pixels = pixels.swapaxes(0, 1)
    vertical, horizontal = {
        "none": (1, 1),
        "transpose": (1, 1),
        "flip_horizontal": (1, -1),
        "flip_vertical": (-1, 1),
        "rotate180": (-1, -1),
        "transverse": (-1, -1),
        "rotate90": (1, -1),
        "rotate270": (-1, 1),
    }[name]
    return pixels[::vertical, ::horizontal]
