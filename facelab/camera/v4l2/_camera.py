"""A V4L2 camera as a frame source: negotiated, memory-mapped, every frame judged, unplugging survived."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Collection

import numpy as np

from facelab.camera._clock import Clock
from facelab.camera._contract import Contract, Mode, Request, settle
from facelab.camera._errors import (
    CameraError,
    CorruptFrameError,
    NegotiationError,
    PoolExhaustedError,
    SourceGoneError,
)
from facelab.camera._frame import Frame
from facelab.camera._pool import FramePool
from facelab.camera._source import Continuity, Source
from facelab.camera.pixels._formats import pixel_format
from facelab.camera.pixels._jpeg import read_headers
from facelab.camera.v4l2 import _abi as abi
from facelab.camera.v4l2._buffers import checksum, fault, pixels
from facelab.camera.v4l2._describe import Control, Device, controls, describe, modes
from facelab.camera.v4l2._kernel import Kernel, LinuxKernel
from facelab.camera.v4l2._refusals import busy, changed, control_refused, failed, unopened
from facelab.camera.v4l2._settings import agree
from facelab.core.errors import BadInputError, UnsupportedError, did_you_mean

GONE = (errno.ENODEV, errno.ENXIO, errno.EIO, errno.ENOENT)
RETRY_S = 0.2


class V4L2Camera(Source):
    """A camera behind `/dev/videoN`.

    Parameters
    ----------
    path
        The device.
    kernel
        What lies below: the real kernel, or a fake one.
    buffers
        How many frames the driver may hold.
    reconnect_s
        After unplugging: how many seconds to wait for the same device (by card and bus, whatever its new number) to
        come back with the same contract. 0 gives up at once.
    pool, decode
        As for every source.

    Raises
    ------
    BadInputError
        If the device is missing or is not a camera.
    """

    def __init__(
        self,
        path: str,
        *,
        kernel: Kernel | None = None,
        buffers: int = 4,
        reconnect_s: float = 0.0,
        clock: Clock | None = None,
        pool: FramePool | None = None,
        decode: str | None = None,
    ) -> None:
        self.kernel: Kernel = kernel or LinuxKernel()
        super().__init__(path, clock=clock or self.kernel, pool=pool, decode=decode)
        if buffers < 2:
            raise BadInputError(
                "a camera needs at least two buffers", got=buffers, fix="give 2 or more"
            )
        self.path, self.buffers, self.reconnect_s = path, buffers, reconnect_s
        self._fd: int | None = None
        self._maps: list[memoryview] = []
        self._allow: Collection[str] = ()
        self._away_since: float | None = None
        self.device = self._open(path)

    # ------------------------------------------------------------ opening
    def _open(self, path: str) -> Device:
        try:
            self._fd = self.kernel.open(path)
        except OSError as e:
            raise unopened(path, e, self.kernel.devices()) from None
        try:
            device = describe(self.kernel, self._fd, path)
        except OSError as e:
            self._close()
            raise unopened(path, e, self.kernel.devices()) from None
        if not (device.captures and device.streams):
            self._close()
            raise UnsupportedError(
                "the device cannot be captured from",
                where=path,
                expected="a capture device with streaming buffers and single-plane formats",
                got=f"{device.card}: multi-planar only"
                if device.multiplanar
                else f"{device.card}: no capture",
                fix="facelab camera list shows the cameras",
            )
        return device

    def _call(self, request: int, argument: ctypes.Structure) -> None:
        if self._fd is None:
            raise OSError(errno.ENODEV, "closed")
        self.kernel.ioctl(self._fd, request, argument)

    def modes(self) -> tuple[Mode, ...]:
        """Return every format, size and rate that the device offers."""
        assert self._fd is not None
        return modes(self.kernel, self._fd)

    def controls(self) -> tuple[Control, ...]:
        """Return the device's controls and their values."""
        if self._fd is None:
            raise self._gone(None)
        try:
            return controls(self.kernel, self._fd)
        except OSError as e:
            raise self._refused(e) from None

    def set_control(self, name: str | int, value: int) -> Control:
        """Set a control and return it as it is afterwards.

        Parameters
        ----------
        name
            Its name as `controls()` lists it, or its number.

        Raises
        ------
        BadInputError
            If there is no such control, or it ends up with a different value than asked.
        """
        held = self.controls()
        known: dict[str | int, Control] = {**{c.name: c for c in held}, **{c.id: c for c in held}}
        if name not in known:
            names = [k for k in known if isinstance(k, str)]
            raise BadInputError(
                f"the camera has no control {name!r}{did_you_mean(str(name), names)}",
                where=self.path,
                expected=", ".join(names),
                fix="choose one of these",
            )
        control = known[name]
        holder = abi.ControlValue(id=control.id, value=value)
        try:
            self._call(abi.S_CTRL, holder)
        except OSError as e:
            raise control_refused(self.path, control, value, e.strerror) from None
        if (
            control.kind == "button"
        ):  # it has no value, and the one that unplugs leaves nothing to ask
            return control
        after = next(c for c in self.controls() if c.id == control.id)
        if after.value is not None and after.value != value:
            raise control_refused(self.path, control, value, f"{after.value} was set instead")
        return after

    def _negotiate(self, request: Request, allow: Collection[str]) -> Contract:
        self._allow = allow
        try:
            contract = agree(self._call, self.path, request, self.modes(), self.buffers)
        except OSError as e:
            raise self._refused(e) from None
        return settle(contract, allow)

    def _refused(self, e: OSError) -> CameraError:
        if e.errno in GONE:
            return self._gone(e)
        return busy(self.path) if e.errno == errno.EBUSY else failed(self.path, "negotiate", e)

    # ------------------------------------------------------------ streaming
    def _start(self) -> None:
        self._continuity = Continuity(
            self.ledger, 1 / self.contract.rate if self.contract.rate else None
        )
        self._last_sum: int | None = None
        try:
            self._map_buffers()
            self._call(abi.STREAMON, abi.Integer(abi.CAPTURE))
        except OSError as e:
            self._unmap()
            raise (
                busy(self.path) if e.errno == errno.EBUSY else failed(self.path, "start", e)
            ) from None

    def _map_buffers(self) -> None:
        request = abi.RequestBuffers(count=self.buffers, type=abi.CAPTURE, memory=abi.MMAP)
        self._call(abi.REQBUFS, request)
        if request.count < 2:
            raise OSError(errno.ENOMEM, f"the driver gave {request.count} buffers")
        for k in range(request.count):
            buffer = abi.Buffer(index=k, type=abi.CAPTURE, memory=abi.MMAP)
            self._call(abi.QUERYBUF, buffer)
            assert self._fd is not None
            offset = buffer.offset & 0xFFFFFFFF
            self._maps.append(self.kernel.mmap(self._fd, buffer.length, offset))
            self._call(abi.QBUF, buffer)

    def _unmap(self) -> None:
        for view in self._maps:
            self.kernel.munmap(view)
        self._maps = []
        try:
            self._call(abi.REQBUFS, abi.RequestBuffers(count=0, type=abi.CAPTURE, memory=abi.MMAP))
        except OSError:
            return  # a device that is gone has no buffers left to free

    def _stop(self) -> None:
        try:
            self._call(abi.STREAMOFF, abi.Integer(abi.CAPTURE))
        except OSError as e:
            if e.errno not in GONE:
                raise failed(self.path, "stop", e) from None
        finally:
            self._unmap()

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self.kernel.close(fd)

    def _wait(self, timeout_s: float) -> bool:
        if self._away_since is not None:
            return self._come_back(timeout_s)
        assert self._fd is not None
        answer = self.kernel.poll(self._fd, timeout_s)
        if answer == "gone":
            self._lose(None)
        return answer == "ready"

    def _take(self) -> Frame | None:
        while self._away_since is None:
            buffer = abi.Buffer(type=abi.CAPTURE, memory=abi.MMAP)
            try:
                self._call(abi.DQBUF, buffer)
            except OSError as e:
                if e.errno == errno.EAGAIN:
                    return None
                self._lose(e)
                return None
            try:
                frame = self._judged(buffer)
            finally:
                self._requeue(buffer)
            if frame is not None:
                return frame
        return None

    def _requeue(self, buffer: abi.Buffer) -> None:
        again = abi.Buffer(index=buffer.index, type=abi.CAPTURE, memory=abi.MMAP)
        try:
            self._call(abi.QBUF, again)
        except OSError as e:
            self._lose(e)

    # ------------------------------------------------------------ one frame
    def _judged(self, buffer: abi.Buffer) -> Frame | None:
        """Return a frame with its own memory, or None where it is of no use, which is counted."""
        now = self.clock.now()
        self.ledger.arrive()
        stamp = buffer.seconds + buffer.microseconds * 1e-6
        monotonic = buffer.flags & abi.TIMESTAMP_MASK == abi.TIMESTAMP_MONOTONIC
        reason, lost, flags = self._continuity.judge(buffer.sequence, stamp, now)
        bad = fault(buffer, self.contract)
        if bad or reason:
            self.ledger.settle(bad or reason or "corrupt")
            return None
        raw = np.frombuffer(self._maps[buffer.index], np.uint8, buffer.bytesused)
        total, before = checksum(raw), self._last_sum
        self._last_sum = total
        if total == before:
            self.ledger.event("same content")
            flags.add("same content")
        try:
            if self.contract.format in ("MJPG", "JPEG"):
                facts = read_headers(raw)
                if facts.end is None:
                    self.ledger.settle("truncated")
                    return None
                if not (facts.has_huffman or facts.progressive):
                    self.ledger.event("no huffman tables")
                    flags.add("no huffman tables")
            return self._frame(raw, buffer, stamp, monotonic, now, lost, frozenset(flags))
        except CorruptFrameError:
            self.ledger.settle("corrupt")
        except PoolExhaustedError:
            self.ledger.settle("pool exhausted")
        return None

    def _frame(
        self,
        raw: np.ndarray,
        buffer: abi.Buffer,
        stamp: float,
        monotonic: bool,
        now: float,
        lost: int,
        flags: frozenset[str],
    ) -> Frame:
        c, kind = self.contract, pixel_format(self.contract.format)
        picture = pixels(raw, kind, c)
        slot = None
        if self.pool is not None:
            slot = self.pool.acquire(picture.nbytes, f"{self.path} {buffer.sequence}")
            array = slot.array.view(picture.dtype).reshape(picture.shape)
            np.copyto(array, picture)
        else:
            array = picture.copy()  # the driver gets its buffer back
        return Frame(
            array,
            c.format,
            c.width,
            c.height,
            buffer.sequence,
            stamp,
            "monotonic" if monotonic else f"clock of {self.path}",
            now,
            stream="depth" if c.format == "DEPTH" else "colour",
            lost_before=lost,
            flags=flags,
            colour_range=c.colour_range,
            slot=slot,
        )

    # ------------------------------------------------------------ unplugged
    def _gone(self, error: OSError | None) -> SourceGoneError:
        return SourceGoneError(
            "the camera was unplugged",
            where=self.path,
            expected=f"{self.device.card} on {self.device.bus}",
            got="nothing" if error is None else error.strerror,
            fix="plug it in again; reconnect_s waits for it",
        )

    def _lose(self, error: OSError | None) -> None:
        """Close what is left of a device that went away; raise unless it may come back."""
        if error is not None and error.errno not in GONE:
            raise failed(self.path, "read", error)
        if self._away_since is None:
            self.ledger.event("unplugged")
            self._away_since = self.clock.now()
            self._unmap()
            self._close()
        if self.reconnect_s <= 0:
            raise self._gone(error)

    def _come_back(self, timeout_s: float) -> bool:
        """Look for the device for a while; return whether it is back and streams."""
        assert self._away_since is not None
        if self.clock.now() - self._away_since > self.reconnect_s or self.reconnect_s <= 0:
            raise self._gone(None)
        for path in self.kernel.devices():
            if self._reopened(path):
                self._away_since = None
                self.ledger.event("replugged")
                return True
        self.clock.sleep(min(RETRY_S, timeout_s))
        return False

    def _reopened(self, path: str) -> bool:
        before = self.device
        try:
            device = self._open(path)
        except (CameraError, BadInputError, UnsupportedError):
            return False
        if (device.card, device.bus, device.captures) != (before.card, before.bus, True):
            self._close()
            return False
        old, self.device, self.path = self.contract, device, path
        try:
            new = self._negotiate(old.asked, self._allow)
        except (NegotiationError, OSError) as e:
            raise changed(path, str(e)) from None
        if (new.format, new.width, new.height) != (old.format, old.width, old.height):
            raise changed(path, f"{new.format} {new.width}x{new.height}")
        self._contract = new
        self._start()
        return True
