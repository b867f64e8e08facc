"""The one interface of frame sources: negotiate, start, read in order or the newest, count what was lost."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Self

from facelab.camera._clock import Clock, MonotonicClock
from facelab.camera._contract import Contract, Mode, Request
from facelab.camera._errors import CameraError, CorruptFrameError, NoFrameError, SourceEndedError
from facelab.camera._frame import Frame
from facelab.camera._ledger import DELIVERED, Ledger
from facelab.camera._pool import FramePool
from facelab.core.errors import BadInputError

PATIENCE_S = 5.0
"""How long a read waits where the reader names no limit."""
JUMP_S = 0.5
"""A time stamp that runs ahead by more than this, unexplained, is a jump of the device clock."""


class Source(abc.ABC):
    """A source of frames: a camera, a file, a folder, a recording, a rendered sensor, or a process that captures.

    Use it as a context manager, and iterate over it or call `read` and `read_newest`. A source names its streams; most
    have one. Everything that arrives is counted in `ledger`: delivered, or under a reason.

    Parameters
    ----------
    name
        What errors and reports call the source.
    clock
        The system clock of the source: real, or virtual for rendered and faked ones.
    pool
        Where frames get their memory; None makes a fresh array for each.
    decode
        Decode every frame to `RGB`, `BGR` or `GRAY` when it is read, so that corrupt ones are counted and left out.
    """

    streams: tuple[str, ...] = ("colour",)

    def __init__(
        self,
        name: str,
        *,
        clock: Clock | None = None,
        pool: FramePool | None = None,
        decode: str | None = None,
    ) -> None:
        self.name = name
        self.clock: Clock = clock or MonotonicClock()
        self.pool = pool
        self.decode = decode
        self.ledger = Ledger(name)
        self._contract: Contract | None = None
        self._started = False

    # ------------------------------------------------------------ what a source implements
    @abc.abstractmethod
    def modes(self) -> tuple[Mode, ...]:
        """Return what the source offers."""

    @abc.abstractmethod
    def _negotiate(self, request: Request, allow: Collection[str]) -> Contract: ...

    @abc.abstractmethod
    def _start(self) -> None: ...

    @abc.abstractmethod
    def _wait(self, timeout_s: float) -> bool:
        """Wait until a frame can be taken; return False after `timeout_s`. Raises SourceEndedError at the end."""

    @abc.abstractmethod
    def _take(self) -> Frame | None:
        """Return the next frame that is there, or None; a frame that is no use is counted, and the next one taken."""

    @abc.abstractmethod
    def _stop(self) -> None: ...

    def _close(self) -> None:  # noqa: B027  (most sources have nothing open)
        """Release what `__init__` opened."""

    # ------------------------------------------------------------ what a reader calls
    @property
    def contract(self) -> Contract:
        """What the source has promised. Raises BadInputError before `configure`."""
        if self._contract is None:
            raise BadInputError(
                "the source has promised nothing yet",
                where=self.name,
                expected="a call of configure(...) or start()",
                fix="call configure() first",
            )
        return self._contract

    def configure(
        self,
        format: str | None = None,
        size: tuple[int, int] | None = None,
        rate: float | None = None,
        *,
        allow: Collection[str] = (),
    ) -> Contract:
        """Negotiate what is delivered.

        Parameters
        ----------
        format
            A name of `FORMATS`, or None for the source's own.
        size
            (width, height) in pixels, or None.
        rate
            Frames per second, or None.
        allow
            What may differ from the request: any of `format`, `size`, `rate`.

        Returns
        -------
        Contract
            What will really be delivered.

        Raises
        ------
        NegotiationError
            If the source would deliver something else and the difference is not allowed.
        """
        if self._started:
            raise BadInputError(
                "a running source cannot be negotiated with",
                where=self.name,
                fix="call stop() first",
            )
        request = Request(format, (size[0], size[1]) if size else None, rate)
        self._contract = self._negotiate(request, allow)
        return self._contract

    def start(self) -> Self:
        """Start delivering (negotiating first, if nobody did) and return the source."""
        if not self._started:
            if self._contract is None:
                self.configure()
            self._start()
            self._started = True
        return self

    def stop(self) -> None:
        """Stop delivering; frames that nobody read are counted as left over."""
        if self._started:
            self._started = False
            self._stop()

    def close(self) -> None:
        """Stop, and release the device or the files. May be called twice."""
        try:
            self.stop()
        finally:
            self._close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, timeout_s: float = PATIENCE_S) -> Frame:
        """Return the next frame, in order.

        Parameters
        ----------
        timeout_s
            Seconds to wait at most.

        Raises
        ------
        NoFrameError
            If none came in time.
        SourceEndedError
            If there is none left.
        SourceGoneError
            If the device was unplugged.
        """
        self.start()
        deadline = self.clock.now() + timeout_s
        while True:
            frame = self._next(deadline, timeout_s)
            if (done := self._deliver(frame)) is not None:
                return done

    def read_newest(
        self,
        max_age_s: float | None = None,
        timeout_s: float = PATIENCE_S,
        *,
        stream: str | None = None,
    ) -> Frame:
        """Return the newest frame of one stream, leaving older ones out; its `age_s` is measured and bounded.

        Parameters
        ----------
        max_age_s
            Seconds; an older frame is left out, counted as `too old`, and the next one awaited. None sets no bound.
        timeout_s
            Seconds to wait at most.
        stream
            Which stream; by default the first. Frames of other streams are counted as `skipped`.

        Raises
        ------
        NoFrameError
            If no frame that is fresh enough came in time.
        """
        self.start()
        deadline, wanted = self.clock.now() + timeout_s, stream or self.streams[0]
        while True:
            frame = self._newest_taken(self._next(deadline, timeout_s), wanted)
            if frame is None:
                continue
            if max_age_s is not None and self._aged(frame)[0] > max_age_s:
                self._drop(frame, "too old")
            elif (done := self._deliver(frame)) is not None:
                return done

    def _newest_taken(self, first: Frame, wanted: str) -> Frame | None:
        """Take all that is there; return the newest frame of the wanted stream, or None."""
        best: Frame | None = None
        frame: Frame | None = first
        while frame is not None:
            if frame.stream == wanted:
                best, frame = frame, best
            if frame is not None:
                self._drop(frame, "skipped")
            try:
                frame = self._take()
            except CameraError:
                break  # what is in hand is still good; the next read meets the error again
        return best

    def __iter__(self) -> Iterator[Frame]:
        self.start()
        while True:
            try:
                frame = self.read()
            except SourceEndedError:
                return
            yield frame

    # ------------------------------------------------------------ shared steps
    def _next(self, deadline: float, timeout_s: float) -> Frame:
        while True:
            if (frame := self._take()) is not None:
                return frame
            left = deadline - self.clock.now()
            if left <= 0 or (not self._wait(left) and self.clock.now() >= deadline):
                if (frame := self._take()) is not None:
                    return frame
                self.ledger.event("timeout")
                raise NoFrameError(
                    "no usable frame came in time",
                    where=self.name,
                    expected=f"a frame within {timeout_s:g} s",
                    got=f"{self.ledger.report().to_dict()}",
                    fix="check that the device runs, or wait longer (timeout_s)",
                )

    def _aged(self, frame: Frame) -> tuple[float, str]:
        """Return a frame's age in seconds, and what it was counted from."""
        now = self.clock.now()
        if frame.clock == "monotonic" and frame.time_s <= now:
            return now - frame.time_s, "time stamp"
        return (
            now - frame.arrived_s,
            "arrival",
        )  # vivid stamps the end of a frame before it has come

    def _deliver(self, frame: Frame) -> Frame | None:
        age, since = self._aged(frame)
        if self.decode is not None and frame.stream != "depth":
            try:
                frame = self._decoded(frame)
            except CorruptFrameError:
                self._drop(frame, "corrupt")
                return None
        self.ledger.settle(DELIVERED)
        return frame.replace(age_s=age, age_from=since)

    def _decoded(self, frame: Frame) -> Frame:
        if frame.format == self.decode:
            return frame
        image = frame.image(self.decode or "RGB")
        if frame.slot is not None:
            frame.release()
        return frame.replace(
            array=image, format=self.decode or "RGB", slot=None, colour_range="full"
        )

    def _drop(self, frame: Frame, reason: str) -> None:
        self.ledger.settle(reason)
        if frame.slot is not None and frame.slot.alive:
            frame.release()


@dataclasses.dataclass
class Continuity:
    """Find gaps, repeats, restarts and jumps in one stream from sequence numbers and time stamps."""

    ledger: Ledger
    period_s: float | None = None
    last: tuple[int, float, float] | None = None

    def judge(
        self, sequence: int, time_s: float, arrived_s: float
    ) -> tuple[str | None, int, set[str]]:
        """Return (reason to leave the frame out or None, frames lost before it, flags), and count what was seen.

        A number or a time stamp that stands still is a repeat; a number that steps back with a later stamp is a
        restart. A stamp is a jump of the clock where neither the numbers nor the arrivals explain it.
        """
        if self.last is None:
            self.last = (sequence, time_s, arrived_s)
            return None, 0, {"first"}
        sequence0, time0, arrived0 = self.last
        step, passed, flags, lost = sequence - sequence0, time_s - time0, set(), 0
        if step < -(1 << 31):
            step += 1 << 32  # V4L2's numbers have 32 bits
        if step == 0 or passed == 0 or (step < 0 and passed < 0):
            return "repeated", 0, set()
        if step < 0:
            self.ledger.event("restarted")
        elif step > 1:
            lost = step - 1
            self.ledger.event("lost", lost)
            flags.add("gap")
        if self._jumped(step, passed, arrived_s - arrived0):
            self.ledger.event("clock jump")
            flags.add("clock jump")
        elif step == 1 and (self.period_s is None or passed < self.period_s):
            self.period_s = passed
        self.last = (sequence, time_s, arrived_s)
        return None, lost, flags

    def _jumped(self, step: int, passed: float, waited: float) -> bool:
        if passed < 0:
            return True
        if step < 0:
            return False
        explained = max(step * (self.period_s or passed), waited)
        return passed > explained + JUMP_S
