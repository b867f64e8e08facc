"""Agree with a driver on format, size and rate, and read back what it really set."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable

from facelab.camera._contract import Contract, Mode, Request, differences
from facelab.camera.pixels._formats import FORMATS, PixelFormat, name_of, pixel_format
from facelab.camera.v4l2 import _abi as abi
from facelab.core.errors import UnsupportedError

Call = Callable[[int, ctypes.Structure], None]


def agree(
    call: Call, path: str, request: Request, offers: tuple[Mode, ...], buffers: int
) -> Contract:
    """Ask for a request, and return what the driver has set, whatever it answered.

    Parameters
    ----------
    call
        Calls an ioctl of the open device.
    path
        The device's name.
    request, offers
        What is asked, and what the device offers.
    buffers
        How many frames the driver may hold.
    """
    asked = abi.Format(type=abi.CAPTURE)
    call(abi.G_FMT, asked)
    _fill(asked.fmt.pix, request, offers)
    try:
        call(abi.S_FMT, asked)
    except OSError as e:
        if (
            e.errno != errno.EINVAL
        ):  # some drivers refuse what others adjust; what they have is read below
            raise
    held = abi.Format(type=abi.CAPTURE)
    call(abi.G_FMT, held)  # what S_FMT answered is a promise; this is the state
    got, kind = held.fmt.pix, _known(held.fmt.pix, path)
    rate = _set_rate(call, request.rate)
    return Contract(
        path,
        request,
        kind.name,
        got.width,
        got.height,
        rate,
        0 if kind.compressed else got.bytesperline or kind.row_bytes(got.width),
        got.sizeimage,
        "monotonic",
        _range(kind, got),
        buffers,
        differences(request, kind.name, got.width, got.height, rate),
        offers,
    )


def _fill(pix: abi.PixFormat, request: Request, offers: tuple[Mode, ...]) -> None:
    """Fill in what to ask of the driver: a format that facelab can read, and the size."""
    wanted = request.format
    if wanted is None and name_of(abi.fourcc(pix.pixelformat)) not in FORMATS:
        wanted = next((m.format for m in offers if m.format in FORMATS), None)
    if wanted is not None:
        pix.pixelformat = abi.code(pixel_format(wanted).fourcc)
    if request.size is not None:
        pix.width, pix.height = request.size
    pix.field, pix.bytesperline, pix.sizeimage = abi.FIELD_NONE, 0, 0


def _set_rate(call: Call, rate: float | None) -> float | None:
    """Ask for a rate, and return the one that is set, or None where the driver does not say."""
    held = abi.StreamParameters(type=abi.CAPTURE)
    if rate is not None:
        held.numerator, held.denominator = 1000, round(rate * 1000)
        try:
            call(abi.S_PARM, held)
        except OSError as e:
            if e.errno not in (errno.EINVAL, errno.ENOTTY):
                raise
    try:
        call(abi.G_PARM, held)
    except OSError as e:
        if e.errno not in (errno.EINVAL, errno.ENOTTY):
            raise
        return None
    if not held.numerator or not held.denominator:
        return None
    return held.denominator / held.numerator


def _known(pix: abi.PixFormat, path: str) -> PixelFormat:
    name = name_of(abi.fourcc(pix.pixelformat))
    if name not in FORMATS:
        raise UnsupportedError(
            "the camera delivers a pixel format that facelab cannot read",
            where=path,
            expected=", ".join(FORMATS),
            got=name,
            fix="ask for one of the formats that facelab camera probe lists",
        )
    return pixel_format(name)


def _range(kind: PixelFormat, pix: abi.PixFormat) -> str:
    """Return the range of the luma codes: V4L2's default is limited for YUV, full for everything else."""
    yuv = kind.name in ("YUYV", "UYVY", "NV12", "YU12")
    return "limited" if yuv and pix.quantization != abi.QUANTIZATION_FULL else "full"
