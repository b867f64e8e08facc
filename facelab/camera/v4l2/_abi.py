"""The part of `linux/videodev2.h` that capturing needs: structures, constants and ioctl numbers (64-bit layout).

References
----------
Linux kernel documentation, "Part I - Video for Linux API".
"""

from __future__ import annotations

import ctypes as c

CAPTURE, OUTPUT = 1, 2  # V4L2_BUF_TYPE_VIDEO_…
MMAP = 1
FIELD_NONE = 1
CAP_VIDEO_CAPTURE, CAP_VIDEO_CAPTURE_MPLANE = 0x1, 0x1000
CAP_STREAMING, CAP_DEVICE_CAPS = 0x04000000, 0x80000000
CAP_TIMEPERFRAME = 0x1000
DISCRETE = 1
BUF_FLAG_ERROR = 0x40
TIMESTAMP_MASK, TIMESTAMP_MONOTONIC = 0xE000, 0x2000
CTRL_FLAG_DISABLED, CTRL_FLAG_READ_ONLY = 0x1, 0x4
CTRL_FLAG_NEXT = 0x80000000
CTRL_TYPES = {1: "integer", 2: "boolean", 3: "menu", 4: "button", 5: "integer64", 6: "class"}
CTRL_TYPES |= {7: "string", 8: "bitmask", 9: "integer menu"}
QUANTIZATION_FULL = 1

U32, U8, S32 = c.c_uint32, c.c_uint8, c.c_int32


class Capability(c.Structure):
    """`struct v4l2_capability`."""

    _fields_ = (
        ("driver", c.c_char * 16),
        ("card", c.c_char * 32),
        ("bus_info", c.c_char * 32),
        ("version", U32),
        ("capabilities", U32),
        ("device_caps", U32),
        ("reserved", U32 * 3),
    )


class FormatDescription(c.Structure):
    """`struct v4l2_fmtdesc`."""

    _fields_ = (
        ("index", U32),
        ("type", U32),
        ("flags", U32),
        ("description", c.c_char * 32),
        ("pixelformat", U32),
        ("mbus_code", U32),
        ("reserved", U32 * 3),
    )


class FrameSize(c.Structure):
    """`struct v4l2_frmsizeenum`: discrete (width, height) or (min, max, step) of each in `values`."""

    _fields_ = (
        ("index", U32),
        ("pixel_format", U32),
        ("type", U32),
        ("values", U32 * 6),
        ("reserved", U32 * 2),
    )


class FrameInterval(c.Structure):
    """`struct v4l2_frmivalenum`: one fraction, or (min, max, step) fractions, in `values`."""

    _fields_ = (
        ("index", U32),
        ("pixel_format", U32),
        ("width", U32),
        ("height", U32),
        ("type", U32),
        ("values", U32 * 6),
        ("reserved", U32 * 2),
    )


class PixFormat(c.Structure):
    """`struct v4l2_pix_format`."""

    _fields_ = tuple(
        (name, U32)
        for name in (
            "width",
            "height",
            "pixelformat",
            "field",
            "bytesperline",
            "sizeimage",
            "colorspace",
            "priv",
            "flags",
            "ycbcr_enc",
            "quantization",
            "xfer_func",
        )
    )


class _FormatUnion(c.Union):
    _fields_ = (("pix", PixFormat), ("raw", U8 * 200), ("align", c.c_uint64))


class Format(c.Structure):
    """`struct v4l2_format`."""

    _fields_ = (("type", U32), ("fmt", _FormatUnion))


class StreamParameters(c.Structure):
    """`struct v4l2_streamparm` with its capture member."""

    _fields_ = (
        ("type", U32),
        ("capability", U32),
        ("capturemode", U32),
        ("numerator", U32),
        ("denominator", U32),
        ("rest", U8 * 184),
    )


class RequestBuffers(c.Structure):
    """`struct v4l2_requestbuffers`."""

    _fields_ = (("count", U32), ("type", U32), ("memory", U32), ("rest", U32 * 2))


class _TimeCode(c.Structure):
    _fields_ = (("type", U32), ("flags", U32), ("rest", U8 * 8))


class Buffer(c.Structure):
    """`struct v4l2_buffer`."""

    _fields_ = (
        ("index", U32),
        ("type", U32),
        ("bytesused", U32),
        ("flags", U32),
        ("field", U32),
        ("seconds", c.c_int64),
        ("microseconds", c.c_int64),
        ("timecode", _TimeCode),
        ("sequence", U32),
        ("memory", U32),
        ("offset", c.c_uint64),
        ("length", U32),
        ("reserved2", U32),
        ("request_fd", S32),
    )


class Integer(c.Structure):
    """The `int` of STREAMON and STREAMOFF."""

    _fields_ = (("value", S32),)


class QueryControl(c.Structure):
    """`struct v4l2_queryctrl`."""

    _fields_ = (
        ("id", U32),
        ("type", U32),
        ("name", c.c_char * 32),
        ("minimum", S32),
        ("maximum", S32),
        ("step", S32),
        ("default_value", S32),
        ("flags", U32),
        ("reserved", U32 * 2),
    )


class ControlValue(c.Structure):
    """`struct v4l2_control`."""

    _fields_ = (("id", U32), ("value", S32))


_READ, _WRITE = 2, 1


def _ioctl(direction: int, number: int, kind: type[c.Structure]) -> int:
    return (direction << 30) | (c.sizeof(kind) << 16) | (ord("V") << 8) | number


QUERYCAP = _ioctl(_READ, 0, Capability)
ENUM_FMT = _ioctl(_READ | _WRITE, 2, FormatDescription)
G_FMT = _ioctl(_READ | _WRITE, 4, Format)
S_FMT = _ioctl(_READ | _WRITE, 5, Format)
REQBUFS = _ioctl(_READ | _WRITE, 8, RequestBuffers)
QUERYBUF = _ioctl(_READ | _WRITE, 9, Buffer)
QBUF = _ioctl(_READ | _WRITE, 15, Buffer)
DQBUF = _ioctl(_READ | _WRITE, 17, Buffer)
STREAMON = _ioctl(_WRITE, 18, Integer)
STREAMOFF = _ioctl(_WRITE, 19, Integer)
G_PARM = _ioctl(_READ | _WRITE, 21, StreamParameters)
S_PARM = _ioctl(_READ | _WRITE, 22, StreamParameters)
G_CTRL = _ioctl(_READ | _WRITE, 27, ControlValue)
S_CTRL = _ioctl(_READ | _WRITE, 28, ControlValue)
QUERYCTRL = _ioctl(_READ | _WRITE, 36, QueryControl)
ENUM_FRAMESIZES = _ioctl(_READ | _WRITE, 74, FrameSize)
ENUM_FRAMEINTERVALS = _ioctl(_READ | _WRITE, 75, FrameInterval)

NAMES = {
    value: name
    for name, value in list(globals().items())
    if name.isupper()
    and isinstance(value, int)
    and value > 0x10000
    and (value >> 8) & 0xFF == ord("V")
}
"""ioctl number → name, for errors."""


def code(fourcc: str) -> int:
    """Return the number of a FourCC code.

    >>> hex(code("YUYV"))
    '0x56595559'
    """
    return int.from_bytes(fourcc.ljust(4).encode("latin-1")[:4], "little")


def fourcc(number: int) -> str:
    """Return a FourCC code as text; the highest bit means big-endian samples.

    >>> fourcc(0x56595559), fourcc(0xB6315259)
    ('YUYV', 'YR16-BE')
    """
    text = (number & 0x7FFFFFFF).to_bytes(4, "little").decode("latin-1")
    return text + "-BE" * (number >> 31)
