"""What a driver's buffer holds: whether it is whole, and its pixels without padding."""

from __future__ import annotations

import zlib

import numpy as np

from facelab.camera._contract import Contract
from facelab.camera._errors import CorruptFrameError
from facelab.camera.pixels._formats import PixelFormat, pixel_format
from facelab.camera.v4l2 import _abi as abi


def fault(buffer: abi.Buffer, c: Contract) -> str | None:
    """Return why a filled buffer is of no use (`corrupt`, `truncated`), or None."""
    if buffer.flags & abi.BUF_FLAG_ERROR:
        return "corrupt"
    kind = pixel_format(c.format)
    needed = kind.frame_bytes(c.width, c.height, c.stride)
    if needed is None:
        return "truncated" if buffer.bytesused < 4 else None
    # the last row of a padded frame may end with its pixels
    spare = 0 if kind.planar else c.stride - kind.row_bytes(c.width)
    return "truncated" if buffer.bytesused < needed - spare else None


def checksum(raw: np.ndarray) -> int:
    """Return a checksum of a sample of the bytes: equal frames have equal ones, others hardly ever."""
    step = max(1, len(raw) // 4096)
    return zlib.crc32(raw[::step].tobytes()) ^ len(raw)


def pixels(raw: np.ndarray, kind: PixelFormat, c: Contract) -> np.ndarray:
    """Return a view of a driver's buffer as pixels, without the padding of its rows."""
    if kind.compressed:
        return raw
    row, h = kind.row_bytes(c.width), c.height
    stride = max(c.stride, row)
    if kind.planar:
        if stride != row:
            raise CorruptFrameError(
                "planar frames with padded rows are not read",
                where=c.source,
                expected=f"rows of {row} bytes",
                got=f"rows of {stride} bytes",
                fix="ask for a width that is a multiple of 64, or for another format",
            )
        return raw[: row * h * 3 // 2]
    rows = np.lib.stride_tricks.as_strided(raw, (h, row), (stride, 1), writeable=False)
    if kind.dtype == "uint16":
        return np.ascontiguousarray(rows).view(np.uint16)
    return rows if kind.channels == 1 else rows.reshape(h, c.width, kind.channels)
