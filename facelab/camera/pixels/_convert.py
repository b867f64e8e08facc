"""From a frame's bytes to a picture: YUV, JPEG, depth; each decoder by its name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from facelab.camera._errors import CorruptFrameError
from facelab.camera.pixels._formats import PixelFormat, pixel_format
from facelab.camera.pixels._jpeg import read_headers, with_tables
from facelab.core.errors import BadInputError, UnsupportedError, did_you_mean

if TYPE_CHECKING:
    from facelab.camera._frame import Frame

COLOURS = ("RGB", "BGR", "GRAY", "DEPTH")
DECODERS = ("opencv", "simplejpeg", "pyav")


def to_image(frame: Frame, colour: str, decoder: str = "opencv") -> np.ndarray:
    """Return the decoded picture of a frame; see `Frame.image`."""
    for value, known in ((colour, COLOURS), (decoder, DECODERS)):
        if value not in known:
            raise BadInputError(
                f"{value!r} is not known here{did_you_mean(value, known)}",
                expected=", ".join(known),
                got=value,
                fix="choose one of these",
            )
    kind = pixel_format(frame.format)
    if (colour == "DEPTH") != (kind.name == "DEPTH"):
        raise BadInputError(
            f"a {frame.stream} frame of format {frame.format} has no {colour} picture",
            expected="DEPTH for depth frames, RGB, BGR or GRAY for the others",
            got=colour,
            fix="ask for what the frame holds",
        )
    if kind.name == "DEPTH":
        return frame.data
    if kind.compressed:
        return decode_jpeg(frame.data, colour, decoder, size=(frame.width, frame.height))
    return convert(frame.data, kind, frame.width, frame.height, colour, frame.colour_range)


def convert(
    data: np.ndarray,
    kind: PixelFormat,
    width: int,
    height: int,
    colour: str,
    colour_range: str = "limited",
) -> np.ndarray:
    """Return RGB, BGR or full-range gray of uncompressed pixels.

    OpenCV's YUV codes read limited range (BT.601). Gray is made from the luma plane stretched to 0 … 255, because
    `COLOR_YUV2GRAY_YUYV` hands luma out as it is, 8 to 10 levels off.
    """
    import cv2

    if kind.name in ("RGB", "BGR", "GRAY"):
        code = _PLAIN.get((kind.name, colour))
        return data if code is None else cv2.cvtColor(data, getattr(cv2, code))
    if colour == "GRAY":
        return _gray(_luma(data, kind, width, height), colour_range)
    if colour_range == "full":
        return _full_range(data, kind, width, height, colour)
    planes = data.reshape(height * 3 // 2, width) if kind.planar else data
    return cv2.cvtColor(planes, getattr(cv2, _YUV[kind.name].format(colour)))


_PLAIN = {
    ("RGB", "BGR"): "COLOR_RGB2BGR",
    ("BGR", "RGB"): "COLOR_BGR2RGB",
    ("RGB", "GRAY"): "COLOR_RGB2GRAY",
    ("BGR", "GRAY"): "COLOR_BGR2GRAY",
    ("GRAY", "RGB"): "COLOR_GRAY2RGB",
    ("GRAY", "BGR"): "COLOR_GRAY2BGR",
}
_YUV = {
    "YUYV": "COLOR_YUV2{}_YUYV",
    "UYVY": "COLOR_YUV2{}_UYVY",
    "NV12": "COLOR_YUV2{}_NV12",
    "YU12": "COLOR_YUV2{}_I420",
}


def _luma(data: np.ndarray, kind: PixelFormat, width: int, height: int) -> np.ndarray:
    if kind.planar:
        return data.reshape(-1)[: width * height].reshape(height, width)
    return data[..., 1 if kind.name == "UYVY" else 0]


@functools.cache
def _stretch() -> np.ndarray:
    """Return the table from limited to full range: (256,) uint8."""
    codes = (np.arange(256) - 16) * (255 / 219)
    return np.clip(np.rint(codes), 0, 255).astype(np.uint8)


def _gray(luma: np.ndarray, colour_range: str) -> np.ndarray:
    if colour_range == "full":
        return np.ascontiguousarray(luma)
    return _stretch()[luma]


def _full_range(
    data: np.ndarray, kind: PixelFormat, width: int, height: int, colour: str
) -> np.ndarray:
    import cv2

    y = _luma(data, kind, width, height)
    if kind.planar:
        u, v = _chroma(data, kind, width, height)
        size = (width, height)
        u, v = (cv2.resize(c, size, interpolation=cv2.INTER_NEAREST) for c in (u, v))
    else:
        first = 0 if kind.name == "UYVY" else 1
        u, v = (np.repeat(data[:, k::2, first], 2, axis=1)[:, :width] for k in (0, 1))
    ycrcb = np.stack([y, v, u], axis=-1)
    return cv2.cvtColor(ycrcb, getattr(cv2, f"COLOR_YCrCb2{colour}"))


def _chroma(
    data: np.ndarray, kind: PixelFormat, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    rest = data.reshape(-1)[width * height :]
    half = (height // 2, width // 2)
    if kind.name == "NV12":
        both = rest[: width * height // 2].reshape(*half, 2)
        return both[..., 0], both[..., 1]
    n = half[0] * half[1]
    return rest[:n].reshape(half), rest[n : 2 * n].reshape(half)


def decode_jpeg(
    data: np.ndarray, colour: str, decoder: str = "opencv", size: tuple[int, int] | None = None
) -> np.ndarray:
    """Decode one JPEG, putting the standard Huffman tables in where they are missing.

    Parameters
    ----------
    data
        (n,) uint8.
    colour
        `RGB`, `BGR` or `GRAY`.
    decoder
        One of `DECODERS`.
    size
        The (width, height) that was promised; another one is refused before anything is decoded.

    Raises
    ------
    CorruptFrameError
        If it is cut short, has a different size, or cannot be decoded.
    """
    facts = read_headers(data)
    if size is not None and (facts.width, facts.height) != size:
        raise _corrupt(f"{size[0]}x{size[1]} pixels", f"{facts.width}x{facts.height}")
    if facts.end is None:
        raise _corrupt("an end marker", f"none in the last bytes of {len(data)}")
    if not facts.has_huffman and not facts.progressive:
        data = with_tables(data, facts)
    out = _decoder(decoder)(data, colour)
    if out is None or out.shape[:2] != (facts.height, facts.width):
        raise _corrupt("a picture", "nothing that decodes")
    return out


@functools.cache
def _decoder(name: str) -> Callable[[np.ndarray, str], np.ndarray | None]:
    try:
        if name == "simplejpeg":
            import simplejpeg  # noqa: F401  (is it here?)

            return _simplejpeg
        return _pyav() if name == "pyav" else _opencv
    except ImportError:
        raise UnsupportedError(
            f"the decoder {name} is not installed",
            where=name,
            expected="the extra `camera`",
            fix="pip install 'facelab[camera]', or use the decoder opencv",
        ) from None


def _opencv(data: np.ndarray, colour: str) -> np.ndarray | None:
    import cv2

    if colour == "GRAY":
        return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB if colour == "RGB" else cv2.IMREAD_COLOR)


def _simplejpeg(data: np.ndarray, colour: str) -> np.ndarray | None:
    import simplejpeg

    try:
        out = simplejpeg.decode_jpeg(data, colorspace=colour)
    except ValueError as e:
        raise _corrupt("a picture", str(e)[:120]) from None
    return out[..., 0] if colour == "GRAY" else out


def _pyav() -> Callable[[np.ndarray, str], np.ndarray | None]:
    import av
    from av.error import FFmpegError

    names = {"RGB": "rgb24", "BGR": "bgr24", "GRAY": "gray"}

    def decode(data: np.ndarray, colour: str) -> np.ndarray | None:
        context = av.CodecContext.create("mjpeg", "r")
        assert isinstance(context, av.VideoCodecContext), "MJPEG is video"
        context.thread_count = 1
        try:
            frames = context.decode(av.Packet(data.tobytes())) or context.decode(None)
            return frames[0].to_ndarray(format=names[colour]) if frames else None
        except FFmpegError as e:
            raise _corrupt("a picture", str(e)[:120]) from None

    return decode


def _corrupt(expected: str, got: str) -> CorruptFrameError:
    return CorruptFrameError(
        "a JPEG frame cannot be decoded",
        expected=expected,
        got=got,
        fix="leave the frame out; check the cable and the USB bandwidth if many are corrupt",
    )
