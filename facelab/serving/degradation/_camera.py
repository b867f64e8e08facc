"""`WatchedSource`: a camera that comes slower, without colour, or not at all is noticed frame by frame."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np

from facelab.camera.internals import NoFrameError
from facelab.core.errors import BadInputError
from facelab.serving.degradation._matrix import Degradation

WINDOW = 12
"""Frames over which the rate is measured."""


class WatchedSource:
    """A source of frames whose rate, colours and depth are watched while it is read.

    Parameters
    ----------
    source : facelab.camera.Source
        What is read.
    rate_hz : float or None
        Colour frames per second that the pipeline was made for; None: what the source promises.
    depth : bool
        Whether depth frames are wanted too.
    degradation : Degradation or None
        Where fallbacks are noted; None makes one.
    clock : callable
        Seconds; for tests.

    Raises
    ------
    BadInputError
        The rate is not above 0.
    """

    ROWS = ("camera_slow", "camera_gray", "camera_silent", "depth_missing")

    def __init__(
        self,
        source: Any,
        *,
        rate_hz: float | None = None,
        depth: bool = False,
        degradation: Degradation | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if rate_hz is not None and not rate_hz > 0:
            raise BadInputError(
                "the rate of a camera is above 0",
                expected="frames per second",
                got=rate_hz,
                fix="give the rate that was asked for, or leave it out",
            )
        self.source, self.depth = source, depth
        self.degradation, self._clock = degradation or Degradation(), clock
        self._wanted = rate_hz
        self._times: deque[float] = deque(maxlen=WINDOW)
        self._since_depth = 0
        if depth and "depth" not in getattr(source, "streams", ("colour",)):
            self.degradation.trip("depth_missing", "the source has no depth stream")

    @property
    def degraded(self) -> tuple[str, ...]:
        """The camera's fallbacks that are active."""
        return tuple(row for row in self.degradation.active() if row in self.ROWS)

    @property
    def rate_hz(self) -> float | None:
        """Colour frames per second over the last frames; None until there are two."""
        passed = self._times[-1] - self._times[0] if len(self._times) > 1 else 0.0
        return (len(self._times) - 1) / passed if passed > 0 else None

    def read(self, timeout_s: float | None = None) -> Any:
        """Return the next frame.

        Parameters
        ----------
        timeout_s : float or None
            Seconds to wait at most; None waits as long as frames are missing, which `camera_silent` says.

        Raises
        ------
        NoFrameError
            None came within `timeout_s`.
        SourceEndedError, SourceGoneError
            There are no more.
        """
        patience = self.degradation.matrix.named("camera_silent").limit
        began = self._clock()
        while True:
            left = None if timeout_s is None else timeout_s - (self._clock() - began)
            wait = patience if left is None else max(0.0, min(patience, left))
            try:
                frame = self._next(wait)
            except NoFrameError:
                if self._clock() - began >= patience:
                    self.degradation.trip("camera_silent", f"no frame for {patience:g} s")
                    self._times.clear()
                if timeout_s is not None and self._clock() - began >= timeout_s:
                    raise
                continue
            if frame is not None:
                self.degradation.calm("camera_silent")
                self.look(frame)
            return frame

    def _next(self, wait: float) -> Any:
        try:
            return self.source.read(wait)
        except TypeError:  # a source of pictures in memory: it never keeps anybody waiting
            return self.source.read()

    def look(self, frame: Any) -> None:
        """Watch one frame."""
        if getattr(frame, "stream", "colour") == "depth":
            self._since_depth = 0
            self.degradation.calm("depth_missing")
            return
        self._since_depth += 1
        if self.depth and self._since_depth > WINDOW:
            self.degradation.trip("depth_missing", f"{WINDOW} colour frames came without depth")
        self._say("camera_gray", _is_gray(frame), "frames have no colour")
        self._times.append(_time_of(frame, self._clock))
        self._look_at_rate()

    def _look_at_rate(self) -> None:
        if len(self._times) > 1 and self._times[-1] < self._times[-2]:
            newest = self._times[-1]
            self._times.clear()  # another clock, or a restarted camera
            self._times.append(newest)
        wanted, got = self._wanted or self._promised(), self.rate_hz
        if wanted and got and len(self._times) == WINDOW:
            least = self.degradation.matrix.named("camera_slow").limit * wanted
            self._say("camera_slow", got < least, f"{got:.1f} of {wanted:g} frames per second")

    def _promised(self) -> float | None:
        contract = getattr(self.source, "contract", None)
        return getattr(contract, "rate", None)

    def _say(self, row: str, holds: bool, why: str) -> None:
        if holds:
            self.degradation.trip(row, why)
        else:
            self.degradation.calm(row)

    def close(self) -> None:
        """Close the source, and take the fallbacks back."""
        for row in self.ROWS:
            self.degradation.end(row)
        close = getattr(self.source, "close", None)
        if close is not None:
            close()

    def __iter__(self) -> Iterator[Any]:
        from facelab.camera.internals import SourceEndedError

        while True:
            try:
                frame = self.read()
            except SourceEndedError:
                return
            if frame is None:
                return
            yield frame

    def __enter__(self) -> Self:
        enter = getattr(self.source, "__enter__", None)
        if enter is not None:
            enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _time_of(frame: Any, clock: Callable[[], float]) -> float:
    """Return the frame's own time where it has one: reading late must not count as a slow camera."""
    own = getattr(frame, "time_s", None)
    return clock() if own is None else float(own)


def _is_gray(frame: Any) -> bool:
    """Return whether a frame has no colour, by its format or by a sample of its pixels."""
    if getattr(frame, "format", "") in ("GRAY", "GREY"):
        return True
    if getattr(frame, "compressed", False):
        return (
            _components(bytes(frame.data[:65536])) == 1
        )  # decoding only for this would cost too much
    picture = frame.image("RGB")[::16, ::16].astype(np.int16)
    apart = np.abs(picture - picture.mean(axis=2, keepdims=True)).max() if picture.size else 0
    return bool(apart <= 2)


def _components(jpeg: bytes) -> int:
    """Return how many colour components a JPEG's header names; 0 where it has no such header."""
    found = re.search(rb"\xff[\xc0-\xc3]..[\x08\x0c]....(.)", jpeg, re.S)
    return found[1][0] if found else 0
