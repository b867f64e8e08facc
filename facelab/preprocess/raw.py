"""Frames without a header: RGB, BGR, gray, and the camera formats YUYV and NV12."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.core.errors import BadInputError


def frame_bytes(fmt: str, size: tuple[int, int]) -> int:
    """Return how many bytes a frame of `size` (width, height) has.

    >>> frame_bytes("nv12", (4, 2)), frame_bytes("yuyv", (4, 2)), frame_bytes("rgb24", (4, 2))
    (12, 16, 24)
    """
    w, h = size
    return w * h * {"rgb24": 6, "bgr24": 6, "gray8": 2, "yuyv": 4, "nv12": 3}[fmt] // 2


def decode_raw(data: bytes, stage: Any, where: str) -> np.ndarray:
    """Return uint8 height × width × channel; YUV formats give (Y, U, V) with each chroma sample repeated.

    YUYV is Y0 U Y1 V a pair of pixels; NV12 a plane of Y, then rows of U V pairs at half size. Raises BadInputError
    if the number of bytes is not the frame's.
    """
    w, h = stage.size
    wanted = frame_bytes(stage.format, stage.size)
    if len(data) != wanted:
        raise BadInputError(
            f"the file is not a {stage.format} frame of {w}×{h}",
            where=where,
            expected=f"{wanted} bytes",
            got=f"{len(data)} bytes",
            fix="correct format and size in decode",
        )
    flat = np.frombuffer(data, np.uint8)
    if stage.format in ("rgb24", "bgr24", "gray8"):
        return flat.reshape(h, w, -1)
    out = np.empty((h, w, 3), np.uint8)
    if stage.format == "yuyv":
        pairs = flat.reshape(h, w // 2, 4)
        out[:, 0::2, 0], out[:, 1::2, 0] = pairs[..., 0], pairs[..., 2]
        out[..., 1], out[..., 2] = (np.repeat(pairs[..., i], 2, axis=1) for i in (1, 3))
    else:
        out[..., 0] = flat[: w * h].reshape(h, w)
        chroma = flat[w * h :].reshape(h // 2, w // 2, 2).repeat(2, axis=0).repeat(2, axis=1)
        out[..., 1:] = chroma
    return out


def encode_raw(yuv: np.ndarray, fmt: str) -> bytes:
    """Return a YUYV or NV12 frame of (Y, U, V) pixels, uint8 height × width × 3; chroma is averaged, half up."""
    y, chroma = yuv[..., 0], yuv[..., 1:].astype(np.uint32)
    if fmt == "yuyv":
        half = ((chroma[:, 0::2] + chroma[:, 1::2] + 1) // 2).astype(np.uint8)
        return np.stack([y[:, 0::2], half[..., 0], y[:, 1::2], half[..., 1]], axis=-1).tobytes()
    total = chroma[0::2, 0::2] + chroma[0::2, 1::2] + chroma[1::2, 0::2] + chroma[1::2, 1::2]
    return y.tobytes() + ((total + 2) // 4).astype(np.uint8).tobytes()
