"""What a format costs: decoding on this machine (measured), the wire (modelled), and what to choose."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.camera.pixels._convert import convert, decode_jpeg
from facelab.camera.pixels._formats import pixel_format
from facelab.core.errors import BadInputError, UnsupportedError, did_you_mean
from facelab.core.result import Result
from facelab.core.timing import median_interval

BUSES: dict[str, float] = {
    "usb2": 24.576e6,
    "usb3": 360e6,
    "csi2": 1000e6,
}
"""Bytes per second that a bus can carry: USB 2 isochronous (3 x 1024 bytes, 8000 times a second), USB 3 gen 1 in
practice, MIPI CSI-2 with four lanes of 2.5 Gbit/s less overhead."""
SIZES = ((640, 480), (1280, 720))
QUALITY = 80


@dataclass(frozen=True)
class DecodeCost(Result):
    """Processor seconds per frame of one format, size and decoder, measured.

    `cpu_s` is the median over `n` frames of one thread, `lo` and `hi` its 95 % interval; `bytes` of the frame.
    """

    format: str
    width: int
    height: int
    decoder: str
    colour: str
    cpu_s: float
    lo: float
    hi: float
    n: int
    bytes: int
    samples: np.ndarray

    @property
    def case(self) -> str:
        """The case's name in records."""
        return f"{self.format} {self.width}x{self.height} by {self.decoder}"

    def share(self, rate: float) -> float:
        """Return the share of one core that decoding takes at a rate."""
        return self.cpu_s * rate

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, without the raw samples."""
        return {k: v for k, v in self.__dict__.items() if k != "samples"}


@dataclass(frozen=True)
class Choice(Result):
    """What one format gives on a bus: `wire_s` is modelled, `cpu_s` measured.

    `rate` is the highest that the wire carries, `latency_s` wire plus decoding of one frame, `core` the share of a
    core at the wanted rate (or at `rate`, if that is lower).
    """

    format: str
    width: int
    height: int
    decoder: str
    bus: str
    wire_s: float
    rate: float
    latency_s: float
    core: float
    reaches: bool
    method: str = "model"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return dict(self.__dict__)


def wire_seconds(nbytes: int, bus: str) -> float:
    """Return the seconds that one frame is on the wire (a model: bytes over the bus's rate).

    Parameters
    ----------
    nbytes : int
        Bytes on the wire.
    bus : str
        The kind of bus, a key of `BUSES`.

    Returns
    -------
    float
        The seconds that one frame is on the wire (a model.

    Raises
    ------
    BadInputError
        The bus is not one of `BUSES`.

    Examples
    --------
    >>> round(wire_seconds(1280 * 720 * 2, "usb2"), 3)
    0.075
    """
    if bus not in BUSES:
        raise BadInputError(
            f"there is no bus {bus!r}{did_you_mean(bus, BUSES)}",
            expected=", ".join(BUSES),
            got=bus,
            fix="choose one of these",
        )
    return nbytes / BUSES[bus]


def sample_picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Return a rendered scene of people as a picture of this size: (height, width, 3) uint8 BGR."""
    import cv2

    rgb = _scene(seed)
    scale = max(width / rgb.shape[1], height / rgb.shape[0])
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    large = cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC)
    y, x = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return np.ascontiguousarray(large[y : y + height, x : x + width, ::-1])


@functools.cache
def _scene(seed: int) -> np.ndarray:
    from facelab.datasets import synthetic

    return synthetic.scene(seed, 2, (640, 480)).image


def encode(picture: np.ndarray, format: str) -> np.ndarray:
    """Return a BGR picture as a camera would send it: YUYV pixels, or a 4:2:2 JPEG of quality 80."""
    import cv2

    if format == "YUYV":
        return cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_YUY2)
    if format == "MJPG":
        options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR]
        return cv2.imencode(".jpg", picture, [*options, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422])[
            1
        ].ravel()
    raise BadInputError(
        "this format is not part of the bench",
        expected="YUYV or MJPG",
        got=format,
        fix="choose one",
    )


def decoders(format: str) -> tuple[str, ...]:
    """Return the decoders of a format that are installed."""
    if format == "YUYV":
        return ("opencv",)
    found = []
    for name in ("opencv", "simplejpeg", "pyav"):
        try:
            decode_jpeg(encode(np.zeros((16, 16, 3), np.uint8), "MJPG"), "BGR", name)
            found.append(name)
        except UnsupportedError:
            continue
    return tuple(found)


def decode_costs(
    sizes: Sequence[tuple[int, int]] = SIZES,
    *,
    colours: Sequence[str] = ("BGR",),
    repeats: int = 60,
    picture: np.ndarray | None = None,
    budget_s: float = 20.0,
) -> list[DecodeCost]:
    """Measure the processor time per frame of every format, size and decoder, in interleaved rounds.

    OpenCV is held to one thread. Thread CPU time is read, so that neighbours on the machine add little.

    Parameters
    ----------
    sizes
        (width, height) pairs.
    colours
        What to decode to.
    repeats
        Frames per case.
    picture
        (h, w, 3) uint8 BGR to resize instead of the rendered scene.
    budget_s
        Seconds after which no further round begins.

    Returns
    -------
    list of DecodeCost
        One row per format, size and decoder.

    Examples
    --------
    >>> rows = decode_costs([(64, 48)], repeats=2)
    >>> {"MJPG 64x48 by opencv", "YUYV 64x48 by opencv"} <= {row.case for row in rows}
    True
    """
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return _measured(_cases(sizes, colours, picture), repeats, budget_s)
    finally:
        cv2.setNumThreads(threads)


_Case = tuple[str, int, int, str, str, int, Callable[[], np.ndarray]]


def _cases(
    sizes: Sequence[tuple[int, int]], colours: Sequence[str], picture: np.ndarray | None
) -> list[_Case]:
    import cv2

    out: list[_Case] = []
    for w, h in sizes:
        image = sample_picture(w, h) if picture is None else cv2.resize(picture, (w, h))
        for format in ("YUYV", "MJPG"):
            data, kind = encode(image, format), pixel_format(format)
            for decoder in decoders(format):
                for colour in colours:
                    call = (
                        (lambda d=data, c=colour, e=decoder: decode_jpeg(d, c, e))
                        if kind.compressed
                        else (lambda d=data, c=colour, k=kind, w=w, h=h: convert(d, k, w, h, c))
                    )
                    out.append((format, w, h, decoder, colour, data.nbytes, call))
    return out


def _measured(cases: list[_Case], repeats: int, budget_s: float) -> list[DecodeCost]:
    rng, began = np.random.default_rng(0), time.perf_counter()
    samples: list[list[float]] = [[] for _ in cases]
    for *_, call in cases:
        call()
    for k in range(repeats):
        for i in rng.permutation(len(cases)):
            call, start = cases[i][-1], time.thread_time()
            call()
            samples[i].append(time.thread_time() - start)
        if k >= 5 and time.perf_counter() - began > budget_s:
            break
    out = []
    for (format, w, h, decoder, colour, nbytes, _), seen in zip(cases, samples):
        x = np.array(seen)
        out.append(
            DecodeCost(
                format,
                w,
                h,
                decoder,
                colour,
                float(np.median(x)),
                *median_interval(x),
                len(x),
                nbytes,
                x,
            )
        )
    return out


def choices(costs: Sequence[DecodeCost], bus: str, rate: float = 30.0) -> list[Choice]:
    """Return what each measured case gives on a bus, best first.

    Best is what reaches the wanted rate; among these the one that takes the least processor time. Where none reaches
    it, the highest rate wins.

    Parameters
    ----------
    costs
        Of one size or of several.
    bus
        A key of `BUSES`.
    rate
        Frames per second that are wanted.

    Returns
    -------
    list of Choice
        What each measured case gives on a bus, best first.
    """
    out = []
    for cost in costs:
        wire = wire_seconds(cost.bytes, bus)
        most = min(1 / wire, 1 / cost.cpu_s)
        out.append(
            Choice(
                cost.format,
                cost.width,
                cost.height,
                cost.decoder,
                bus,
                wire,
                most,
                wire + cost.cpu_s,
                cost.share(min(rate, most)),
                most >= rate,
            )
        )
    return sorted(out, key=lambda c: (not c.reaches, c.core if c.reaches else -c.rate))
