"""What fake drivers share (buffers, formats, controls), and the fake v4l2loopback."""

from __future__ import annotations

import ctypes
import errno
from collections import deque
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from facelab.camera.pixels._formats import pixel_format
from facelab.camera.v4l2 import _abi as abi


class FakeDevice:
    """What every fake driver shares: buffers that are queued, filled and handed out."""

    driver, card, bus = "fake", "fake", "platform:fake"
    controls: dict[str, list[int]]

    def __init__(self) -> None:
        self.users: list[int] = []
        self.owner: int | None = None
        self.unplugged = self.broken = self.streaming = False
        self.controls = {}
        self.memory: list[bytearray] = []
        self.release()

    def release(self) -> None:
        """Free the buffers and stop."""
        self.streaming, self.broken, self.owner = False, False, None
        self.queued: deque[int] = deque()
        self.done: deque[abi.Buffer] = deque()
        self.memory = []

    # ------------------------------------------------------------ what a driver decides
    def formats(self) -> tuple[str, ...]:
        """Return the offered formats."""
        raise NotImplementedError

    def sizes(self, format: str) -> tuple[tuple[int, int], ...]:
        """Return the offered sizes."""
        raise NotImplementedError

    def rates(self, size: tuple[int, int]) -> tuple[float, ...]:
        """Return the offered rates."""
        raise NotImplementedError

    def current(self) -> tuple[str, tuple[int, int], float] | None:
        """Return format, size and rate, or None where there is none yet."""
        raise NotImplementedError

    def set_format(self, format: str, size: tuple[int, int]) -> int:
        """Set what is nearest, or return an error number."""
        raise NotImplementedError

    def set_rate(self, rate: float) -> int:
        """Set what is nearest, or return an error number."""
        raise NotImplementedError

    def advance(self, now: float) -> None:
        """Fill buffers with the frames that are due."""
        raise NotImplementedError

    def next_due(self) -> float | None:
        """Return when the next frame comes, or None."""
        raise NotImplementedError

    def begin(self, now: float) -> int:
        """Start streaming, or return an error number."""
        raise NotImplementedError

    def control(self, name: str, value: int) -> int:
        """Carry a control out, or return an error number."""
        return 0

    # ------------------------------------------------------------ ioctls
    def answer(self, fd: int, name: str, a: ctypes.Structure, now: float) -> int:
        """Answer one ioctl; return 0 or an error number."""
        handler = getattr(self, f"_{name.lower()}", None)
        return errno.ENOTTY if handler is None else handler(a, fd, now)

    def _querycap(self, a: abi.Capability, fd: int, now: float) -> int:
        a.driver, a.card, a.bus_info = self.driver.encode(), self.card.encode(), self.bus.encode()
        a.device_caps = abi.CAP_VIDEO_CAPTURE | abi.CAP_STREAMING
        a.capabilities = a.device_caps | abi.CAP_DEVICE_CAPS
        return 0

    def _enum_fmt(self, a: abi.FormatDescription, fd: int, now: float) -> int:
        if a.type != abi.CAPTURE or a.index >= len(self.formats()):
            return errno.EINVAL
        a.pixelformat = abi.code(pixel_format(self.formats()[a.index]).fourcc)
        return 0

    def _enum_framesizes(self, a: abi.FrameSize, fd: int, now: float) -> int:
        sizes = self.sizes(_name(a.pixel_format))
        if a.index >= len(sizes):
            return errno.EINVAL
        a.type, a.values[0], a.values[1] = abi.DISCRETE, *sizes[a.index]
        return 0

    def _enum_frameintervals(self, a: abi.FrameInterval, fd: int, now: float) -> int:
        rates = self.rates((a.width, a.height))
        if a.index >= len(rates):
            return errno.EINVAL
        rate = Fraction(rates[a.index]).limit_denominator(1000)
        a.type, a.values[0], a.values[1] = abi.DISCRETE, rate.denominator, rate.numerator
        return 0

    def _g_fmt(self, a: abi.Format, fd: int, now: float) -> int:
        current = self.current()
        if current is None:
            return errno.EINVAL
        name, (w, h), _ = current
        kind = pixel_format(name)
        pix = a.fmt.pix
        pix.width, pix.height, pix.pixelformat = w, h, abi.code(kind.fourcc)
        pix.field, pix.quantization = abi.FIELD_NONE, 0
        pix.bytesperline = 0 if kind.compressed else kind.row_bytes(w)
        pix.sizeimage = kind.frame_bytes(w, h) or w * h * 2
        return 0

    def _s_fmt(self, a: abi.Format, fd: int, now: float) -> int:
        if self.memory:
            return errno.EBUSY
        pix = a.fmt.pix
        code = self.set_format(_name(pix.pixelformat), (pix.width, pix.height))
        return code or self._g_fmt(a, fd, now)

    def _g_parm(self, a: abi.StreamParameters, fd: int, now: float) -> int:
        current = self.current()
        if current is None:
            return errno.EINVAL
        rate = Fraction(current[2]).limit_denominator(1000)
        a.capability, a.numerator, a.denominator = (
            abi.CAP_TIMEPERFRAME,
            rate.denominator,
            rate.numerator,
        )
        return 0

    def _s_parm(self, a: abi.StreamParameters, fd: int, now: float) -> int:
        asked = a.denominator / a.numerator if a.numerator else 0.0
        return self.set_rate(asked) or self._g_parm(a, fd, now)

    def _reqbufs(self, a: abi.RequestBuffers, fd: int, now: float) -> int:
        if self.owner not in (None, fd):
            return errno.EBUSY
        if a.count == 0:
            self.release()
            return 0
        current = self.current()
        if current is None:
            return errno.EINVAL
        name, (w, h), _ = current
        size = pixel_format(name).frame_bytes(w, h) or w * h * 2
        a.count = min(a.count, 32)
        self.memory = [bytearray(size) for _ in range(a.count)]
        self.owner = fd
        return 0

    def _querybuf(self, a: abi.Buffer, fd: int, now: float) -> int:
        if a.index >= len(self.memory):
            return errno.EINVAL
        a.length = len(self.memory[a.index])
        a.offset = a.index * ((a.length + 4095) // 4096 * 4096)
        return 0

    def _qbuf(self, a: abi.Buffer, fd: int, now: float) -> int:
        if self.owner != fd:
            return errno.EBUSY
        if self.broken:
            return errno.EIO
        if a.index >= len(self.memory) or a.index in self.queued:
            return errno.EINVAL
        self.queued.append(a.index)
        return 0

    def _dqbuf(self, a: abi.Buffer, fd: int, now: float) -> int:
        if self.owner != fd:
            return errno.EBUSY if self.owner is not None else errno.EINVAL
        if self.broken:
            return errno.EIO
        if not self.streaming:
            return errno.EINVAL
        if not self.done:
            return errno.EAGAIN
        ctypes.memmove(ctypes.byref(a), ctypes.byref(self.done.popleft()), ctypes.sizeof(a))
        return 0

    def _streamon(self, a: abi.Integer, fd: int, now: float) -> int:
        if self.owner != fd:
            return errno.EBUSY if self.owner is not None else errno.EINVAL
        code = self.begin(now)
        self.streaming = not code
        return code

    def _streamoff(self, a: abi.Integer, fd: int, now: float) -> int:
        self.streaming = self.broken = False
        self.queued.clear()
        self.done.clear()
        return 0

    def _queryctrl(self, a: abi.QueryControl, fd: int, now: float) -> int:
        ids = {1000 + k: name for k, name in enumerate(self.controls)}
        wanted = a.id & ~abi.CTRL_FLAG_NEXT
        later = [k for k in ids if k > wanted] if a.id & abi.CTRL_FLAG_NEXT else [wanted]
        if not later or later[0] not in ids:
            return errno.EINVAL
        name = ids[later[0]]
        kind, low, high, default, _, flags = self.controls[name]
        a.id, a.type, a.name, a.flags = later[0], kind, name.encode(), flags
        a.minimum, a.maximum, a.step, a.default_value = low, high, 1, default
        return 0

    def _g_ctrl(self, a: abi.ControlValue, fd: int, now: float) -> int:
        a.value = list(self.controls.values())[a.id - 1000][4]
        return 0

    def _s_ctrl(self, a: abi.ControlValue, fd: int, now: float) -> int:
        name = list(self.controls)[a.id - 1000]
        kind, low, high, _, _, flags = self.controls[name]
        if flags & abi.CTRL_FLAG_READ_ONLY:
            return errno.EACCES
        if kind != 4:  # a value out of range is clamped, as the control framework does
            a.value = min(high, max(low, a.value))
            self.controls[name][4] = a.value
        return self.control(name, a.value)

    def fill(self, data: bytes | np.ndarray, sequence: int, stamp: float, flags: int = 0) -> bool:
        """Put a frame into the next queued buffer; return False where there is none."""
        if not self.queued:
            return False
        index = self.queued.popleft()
        raw = bytes(data)
        self.memory[index][: len(raw)] = raw
        self.done.append(
            abi.Buffer(
                index=index,
                type=abi.CAPTURE,
                bytesused=len(raw),
                flags=flags,
                seconds=int(stamp),
                microseconds=int(stamp % 1 * 1e6),
                sequence=sequence & 0xFFFFFFFF,
                memory=abi.MMAP,
                length=len(self.memory[index]),
            )
        )
        return True


class Loopback(FakeDevice):
    """v4l2loopback: readers get what a writer writes, and no format before its first frame.

    The very first frame that is read from the device is empty, as with the real one.
    """

    driver, card, bus = "v4l2 loopback", "loopback", "platform:v4l2loopback-000"

    def __init__(self) -> None:
        super().__init__()
        self._frames: list[bytes] = []
        self._size, self._rate, self._start, self._k = (0, 0), 30.0, 0.0, 0
        self.fed = self.read_before = False

    def feed(self, frames: Sequence[bytes], size: tuple[int, int], rate: float, now: float) -> None:
        """Begin to write frames."""
        self._frames, self._size, self._rate, self._start, self._k = (
            list(frames),
            size,
            rate,
            now,
            0,
        )
        self.fed = True

    def formats(self) -> tuple[str, ...]:
        """Return the writer's format."""
        return ("MJPG",) if self.fed else ()

    def sizes(self, format: str) -> tuple[tuple[int, int], ...]:
        """Return the writer's size."""
        return (self._size,) if self.fed and format == "MJPG" else ()

    def rates(self, size: tuple[int, int]) -> tuple[float, ...]:
        """Return the rate that the driver names, whatever the writer does."""
        return (30.0,) if self.fed and size == self._size else ()

    def current(self) -> tuple[str, tuple[int, int], float] | None:
        """Return the writer's format and size."""
        return ("MJPG", self._size, 30.0) if self.fed else None

    def set_format(self, format: str, size: tuple[int, int]) -> int:
        """Refuse what the writer does not write; another size is ignored."""
        return errno.EINVAL if format != "MJPG" or not self.fed else 0

    def set_rate(self, rate: float) -> int:
        """Ignore it."""
        return 0

    def begin(self, now: float) -> int:
        """Start; the first frame that comes is the writer's next."""
        self._k = max(self._k, int((now - self._start) * self._rate))
        return 0

    def next_due(self) -> float | None:
        """Return when the writer writes its next frame."""
        return self._start + (self._k + 1) / self._rate if self.fed else None

    def advance(self, now: float) -> None:
        """Hand over what was written."""
        while (due := self.next_due()) is not None and due <= now + 1e-9:
            k, self._k = self._k, self._k + 1
            if self.streaming and not self.read_before:
                self.read_before = self.fill(b"", k, due, abi.TIMESTAMP_MONOTONIC)
            elif self.streaming:
                self.fill(self._frames[k % len(self._frames)], k, due, abi.TIMESTAMP_MONOTONIC)


def _name(code: int) -> str:
    from facelab.camera.pixels._formats import name_of

    return name_of(abi.fourcc(code))
