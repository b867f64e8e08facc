"""The one frame type of every source, and the pair of a colour and a depth frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.camera.pixels._formats import pixel_format

if TYPE_CHECKING:
    from facelab.camera._pool import Slot

FLAGS: dict[str, str] = {
    "gap": "frames before this one are missing",
    "same content": "the bytes equal those of the frame before",
    "clock jump": "the device clock jumped before this frame",
    "no huffman tables": "the JPEG came without tables; the standard ones were put in",
    "first": "the first frame after a start; some devices send it half exposed",
}
"""What a delivered frame may be flagged with."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Frame:
    """One frame: its bytes or pixels, what they mean, and when they were taken.

    Parameters
    ----------
    array
        Pixels, (height, width) or (height, width, channels), uint8 or uint16; for compressed and planar formats the
        raw bytes, (n,) uint8. Read it through `data`, which knows whether the memory is still this frame's.
    format
        The pixel format, such as `YUYV`, `MJPG`, `BGR` or `DEPTH`.
    width, height
        Pixels.
    sequence
        The device's number of this frame; numbers that are missing are frames that were lost.
    time_s
        The device's time stamp in seconds of `clock`.
    clock
        The name of the clock that `time_s` counts: `monotonic` is the system's; two frames whose clocks have
        different names cannot be compared without an estimate.
    arrived_s
        When the frame reached this process, in seconds of the source's system clock.
    age_s
        How old the frame was when it was delivered: from its time stamp where the clock is the system's, otherwise
        from its arrival (then `age_from` says so, and the true age is larger).
    stream
        `colour` or `depth`.
    lost_before
        How many sequence numbers are missing between the frame before and this one.
    flags
        Keys of `FLAGS`.
    colour_range
        `limited` (16 … 235) or `full` (0 … 255) for YUV formats.
    truth
        What a rendered frame knows of itself (`true_time_s`, `box`, `kind`, …); None for a real camera.
    slot
        The pool's slot that holds the memory, or None. Give it back with `release()`, or use `with frame:`.

    Examples
    --------
    >>> frame = Frame(np.zeros((480, 640, 3), np.uint8), "BGR", 640, 480, 7, 1.25, "monotonic", 1.26)
    >>> frame.sequence, frame.data.shape, frame.compressed
    (7, (480, 640, 3), False)
    """

    array: np.ndarray = field(repr=False)
    format: str
    width: int
    height: int
    sequence: int
    time_s: float
    clock: str
    arrived_s: float
    age_s: float = 0.0
    age_from: str = "time stamp"
    stream: str = "colour"
    lost_before: int = 0
    flags: frozenset[str] = frozenset()
    colour_range: str = "full"
    truth: Mapping[str, Any] | None = field(default=None, repr=False)
    slot: Slot | None = field(default=None, repr=False)

    @property
    def data(self) -> np.ndarray:
        """The pixels or bytes.

        Raises
        ------
        StaleFrameError
            If the memory was given back to its pool.
        """
        if self.slot is not None:
            self.slot.check()
        return self.array

    @property
    def compressed(self) -> bool:
        """Whether `data` holds one compressed picture."""
        return pixel_format(self.format).compressed

    def image(self, colour: str = "RGB", *, decoder: str = "opencv") -> np.ndarray:
        """Return the decoded picture.

        Parameters
        ----------
        colour
            `RGB`, `BGR` or `GRAY` (full range). A depth frame answers to `DEPTH` only.
        decoder
            `opencv`, `simplejpeg` or `pyav` (the last two decode JPEG only).

        Returns
        -------
        numpy.ndarray
            (height, width, 3) uint8, (height, width) uint8 for `GRAY`, (height, width) uint16 for `DEPTH`.

        Raises
        ------
        CorruptFrameError
            If the bytes cannot be decoded.
        """
        from facelab.camera.pixels._convert import to_image

        return to_image(self, colour, decoder)

    def replace(self, **changes: Any) -> Frame:
        """Return a frame with some fields changed; the memory is shared."""
        return dataclasses.replace(self, **changes)

    def copy(self) -> Frame:
        """Return a frame with its own memory, which no pool takes back."""
        return dataclasses.replace(self, array=self.data.copy(), slot=None)

    def release(self) -> None:
        """Give the memory back to its pool; without a pool nothing happens.

        Raises
        ------
        StaleFrameError
            If it was given back before.
        """
        if self.slot is not None:
            self.slot.release()

    def __enter__(self) -> Frame:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.slot is not None and self.slot.alive:
            self.slot.release()

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the pixels, as plain JSON."""
        return {
            "stream": self.stream,
            "sequence": self.sequence,
            "time_s": self.time_s,
            "clock": self.clock,
            "arrived_s": self.arrived_s,
            "age_s": self.age_s,
            "age_from": self.age_from,
            "format": self.format,
            "width": self.width,
            "height": self.height,
            "bytes": int(self.array.nbytes),
            "lost_before": self.lost_before,
            "flags": sorted(self.flags),
            "colour_range": self.colour_range,
        }


@dataclass(frozen=True, slots=True, eq=False)
class FramePair:
    """A colour and a depth frame that were taken at nearly the same time.

    Parameters
    ----------
    colour, depth
        The two frames.
    skew_s
        Depth time minus colour time, on one clock.
    made_s
        When the pair was complete, on the system clock; `made_s` minus the later arrival is the cost of waiting.
    clock_error_s
        What is not known about the two clocks: half the width of the interval that holds their true offset. 0 where
        both streams count one clock; infinite where nothing bounds it.
    """

    colour: Frame
    depth: Frame
    skew_s: float
    made_s: float
    clock_error_s: float = 0.0

    @property
    def waited_s(self) -> float:
        """Seconds from the arrival of the later frame until the pair was made."""
        return self.made_s - max(self.colour.arrived_s, self.depth.arrived_s)

    def release(self) -> None:
        """Give both frames' memory back to their pools."""
        self.colour.release()
        self.depth.release()

    def __enter__(self) -> FramePair:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.colour.__exit__(kind, error, trace)
        self.depth.__exit__(kind, error, trace)
