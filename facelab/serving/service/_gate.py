"""The gate before any decoder: what a body is by its content, how large by its header, and text that is only text."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from dataclasses import dataclass

from facelab.core.errors import FacelabError
from facelab.preprocess.image import webp_size

IMAGES = ("JPEG", "PNG", "WEBP", "BMP")
SCANS = 100
"""Scans that a JPEG may have: each makes the decoder pass over the whole image once more."""
PARTS = 1000
"""Chunks or segments that may come before the pixels: they are read one by one, in Python."""
_TEMPLATES = re.compile(r"\{\{|\}\}|\{%|%\}|\$\{|<%|%>|#\{")
_INVISIBLE = frozenset("\u200b\u2060\ufeff\u00ad")


class RequestError(FacelabError):
    """A request that is refused with a status and a sentence."""

    def __init__(self, status: int, what: str, **fields: str | None) -> None:
        self.status = status
        super().__init__(what, **fields)


@dataclass(frozen=True)
class ImageHeader:
    """What an image's header says: its format by content, and its size in pixels."""

    format: str
    width: int
    height: int


def image_header(data: bytes, *, pixels: int, most_bytes: int | None = None) -> ImageHeader:
    """Return what an image file says of itself, without decoding a pixel.

    Checked in this order: bytes, parts before the pixels, type by content, pixels by the header, frames and scans, and
    whether the file ends where its format says.

    Parameters
    ----------
    data : bytes
        The file.
    pixels : int
        Largest image.
    most_bytes : int or None
        Largest file.

    Returns
    -------
    ImageHeader
        What an image file says of itself, without decoding a pixel.

    Raises
    ------
    RequestError
        413 too many bytes or pixels, 415 another type, 400 many parts, frames or scans, or a truncated file.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (3, 2)).save(file, "PNG")
    >>> header = image_header(file.getvalue(), pixels=100)
    >>> header.width, header.height
    (3, 2)
    """
    from PIL import Image

    if most_bytes is not None and len(data) > most_bytes:
        raise RequestError(
            413,
            "the image file is too large",
            expected=f"at most {most_bytes:,} bytes",
            got=f"{len(data):,} bytes",
            fix="scale the image down, or compress it more",
        )
    _check_parts(data)
    if (size := webp_size(data)) is not None:  # Pillow allocates a WebP's canvas when it opens it
        _check_pixels(size, pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=IMAGES) as image:
                size, frames = image.size, getattr(image, "n_frames", 1)
                form = str(image.format)
    except Image.DecompressionBombError:
        raise _too_many("a multiple of that by its header", pixels) from None
    except Exception as e:  # plug-ins raise whatever a damaged header leads them to
        raise RequestError(
            415,
            "the body is not an image that this service takes",
            expected=", ".join(IMAGES),
            got=f"{type(e).__name__}, {len(data):,} bytes",
            fix="send the file of an image as it is",
        ) from None
    _check_pixels(size, pixels)
    if frames > 1 or (form == "JPEG" and data.count(b"\xff\xda") > SCANS):
        raise RequestError(
            400, "the image has many frames or scans", fix="send one still image, not progressive"
        )
    _check_whole(data, form)
    return ImageHeader(form, *size)


def _check_parts(data: bytes) -> None:
    """Refuse a PNG or JPEG of very many small parts, before a plug-in has read each of them."""
    png = data.startswith(b"\x89PNG\r\n\x1a\n")
    if not png and not data.startswith(b"\xff\xd8"):
        return
    at = 8 if png else 2
    for _ in range(PARTS):
        head = data[at : at + 8]
        if len(head) < 4 or (head[4:8] == b"IDAT" if png else head[:2] == b"\xff\xda"):
            return
        at += 12 + int.from_bytes(head[:4], "big") if png else _jpeg_step(head)
    raise RequestError(
        400,
        "the image has too many parts before its pixels",
        expected=f"at most {PARTS} chunks or segments",
        fix="save the image again without its comments",
    )


def _jpeg_step(head: bytes) -> int:
    """Return the bytes of what begins with `head`: a segment, a marker alone, or one byte of padding."""
    if head[0] != 0xFF or head[1] in (0x00, 0xFF):
        return 1
    alone = head[1] == 0x01 or 0xD0 <= head[1] <= 0xD9
    return 2 if alone else 2 + int.from_bytes(head[2:4], "big")


def _check_whole(data: bytes, form: str) -> None:
    """Refuse a file that ends early, before a decoder has worked on the part that came."""
    whole = True
    if form == "JPEG":
        whole = data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    elif form == "PNG":
        whole = b"IEND" in data[-4096:]
    elif form == "WEBP":
        whole = len(data) >= int.from_bytes(data[4:8], "little") + 8
    if not whole:
        raise RequestError(
            400,
            "the image file is truncated",
            expected=f"a whole {form} file",
            got=f"{len(data):,} bytes without its end",
            fix="send the whole file",
        )


def _check_pixels(size: tuple[int, int], pixels: int) -> None:
    width, height = size
    if width * height > pixels:
        raise _too_many(f"{width}×{height} by its header", pixels)


def _too_many(got: str, pixels: int) -> RequestError:
    return RequestError(
        413,
        "the image has too many pixels",
        expected=f"at most {pixels:,}",
        got=got,
        fix="scale it down",
    )


def checked_text(data: bytes | str, *, what: str, bytes_most: int = 800, most: int = 200) -> str:
    """Return text that is only text: nothing is cut off after it was checked.

    Checked in this order: bytes, UTF-8, then in composed form (NFC) the number of characters, control, invisible and
    direction-changing characters, and marks of templates, which a later stage might carry out.

    Parameters
    ----------
    data : bytes or str
        What came.
    what : str
        Its name in errors.
    bytes_most, most : int
        Largest number of bytes and of characters.

    Returns
    -------
    str
        Text that is only text.

    Raises
    ------
    RequestError
        413 too long, 400 anything else.

    Examples
    --------
    >>> checked_text("Zoe\\u0308", what="unit")
    'Zoë'
    >>> checked_text("{{ 7 * 7 }}", what="unit")
    Traceback (most recent call last):
    facelab.serving.service._gate.RequestError: the unit holds a template's mark
      expected: plain text
      got:      '{{'
      fix:      send it without this mark
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > bytes_most:
        raise _long(what, f"{bytes_most} bytes", f"{len(raw)} bytes")
    try:
        text = unicodedata.normalize("NFC", raw.decode("utf-8"))
    except UnicodeDecodeError as e:
        raise _refused(what, "is not UTF-8", f"byte {e.start}", "encode it in UTF-8") from None
    if len(text) > most:
        raise _long(what, f"{most} characters", f"{len(text)} characters")
    for c in text:
        if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co") or c in _INVISIBLE:
            got = f"U+{ord(c):04X}"
            raise _refused(what, "holds a control character", got, "send it without these")
    if found := _TEMPLATES.search(text):
        raise _refused(what, "holds a template's mark", repr(found[0]), "send it without this mark")
    return text


def _long(what: str, expected: str, got: str) -> RequestError:
    return RequestError(
        413, f"the {what} is too long", expected=f"at most {expected}", got=got, fix="shorten it"
    )


def _refused(what: str, why: str, got: str, fix: str) -> RequestError:
    return RequestError(400, f"the {what} {why}", expected="plain text", got=got, fix=fix)
