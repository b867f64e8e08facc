"""Pixel formats: their names, FourCC codes, sizes in bytes and array shapes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from facelab.core.errors import BadInputError, did_you_mean


@dataclass(frozen=True)
class PixelFormat:
    """One pixel format.

    `fourcc` is the V4L2 code; `bits` are bits per pixel, None where frames are compressed; `channels` and `dtype`
    describe the array of an uncompressed interleaved format.
    """

    name: str
    fourcc: str
    bits: int | None
    channels: int
    dtype: str
    what: str
    planar: bool = False

    @property
    def compressed(self) -> bool:
        """Whether the size of a frame varies."""
        return self.bits is None

    def row_bytes(self, width: int) -> int:
        """Return the least bytes of one row (of the first plane)."""
        bits = 8 if self.planar else self.bits or 0
        return int(Fraction(width * bits, 8).__ceil__())

    def frame_bytes(self, width: int, height: int, stride: int | None = None) -> int | None:
        """Return the bytes of one frame, or None for a compressed format.

        Parameters
        ----------
        width, height
            Pixels.
        stride
            Bytes from one row to the next, where rows are padded.
        """
        if self.bits is None:
            return None
        stride = max(stride or 0, self.row_bytes(width))
        return stride * height * 3 // 2 if self.planar else stride * height


FORMATS: dict[str, PixelFormat] = {
    f.name: f
    for f in (
        PixelFormat("YUYV", "YUYV", 16, 2, "uint8", "4:2:2, Y U Y V; limited range unless said"),
        PixelFormat("UYVY", "UYVY", 16, 2, "uint8", "4:2:2, U Y V Y; limited range unless said"),
        PixelFormat("NV12", "NV12", 12, 1, "uint8", "4:2:0, a Y plane and a UV plane", planar=True),
        PixelFormat("YU12", "YU12", 12, 1, "uint8", "4:2:0, planes Y, U and V", planar=True),
        PixelFormat("MJPG", "MJPG", None, 3, "uint8", "one JPEG per frame"),
        PixelFormat("JPEG", "JPEG", None, 3, "uint8", "one JPEG per frame"),
        PixelFormat("BGR", "BGR3", 24, 3, "uint8", "blue, green, red"),
        PixelFormat("RGB", "RGB3", 24, 3, "uint8", "red, green, blue"),
        PixelFormat("GRAY", "GREY", 8, 1, "uint8", "full-range gray"),
        PixelFormat("DEPTH", "Z16 ", 16, 1, "uint16", "millimetres, 0 where nothing is known"),
    )
}
"""Name → format. `name` is what facelab calls it: the FourCC, or a plain word where the code is not readable."""

_BY_FOURCC = {f.fourcc: f for f in FORMATS.values()}


def pixel_format(name: str) -> PixelFormat:
    """Return a format by its name or FourCC code.

    Raises
    ------
    BadInputError
        For a name that facelab does not know, with the nearest known one.

    Examples
    --------
    >>> pixel_format("YUYV").frame_bytes(1280, 720)
    1843200
    >>> pixel_format("BGR3").name
    'BGR'
    """
    found = FORMATS.get(name) or FORMATS.get(name.upper()) or _BY_FOURCC.get(name)
    if found is None:
        raise BadInputError(
            f"the pixel format {name!r} is not known{did_you_mean(name.upper(), FORMATS)}",
            expected=", ".join(FORMATS),
            got=name,
            fix="choose one of these",
        )
    return found


def name_of(fourcc: str) -> str:
    """Return facelab's name for a FourCC code; an unknown code is its own name.

    >>> name_of("BGR3"), name_of("pRAA")
    ('BGR', 'pRAA')
    """
    return _BY_FOURCC[fourcc].name if fourcc in _BY_FOURCC else fourcc.strip()
