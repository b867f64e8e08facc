"""A fake kernel below V4L2: the drivers vivid and v4l2loopback as they behave, without a device.

Its behaviour is not invented: one conformance suite runs on it and, in a virtual machine, on the real drivers
(docs/camera). What it does not have, it refuses with the error that the real one gives.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Sequence

from facelab.camera._clock import Clock, VirtualClock
from facelab.camera.v4l2 import _abi as abi
from facelab.camera.v4l2._fake_devices import FakeDevice, Loopback
from facelab.camera.v4l2._fake_vivid import Vivid


class FakeKernel:
    """Open, ioctl, mmap, poll and close over devices that exist only here.

    Parameters
    ----------
    clock
        By default a virtual one: waiting takes no time.
    devices
        Path → device; by default vivid at /dev/video0 and an unfed loopback at /dev/video10.

    Examples
    --------
    >>> kernel = FakeKernel()
    >>> kernel.devices()
    ['/dev/video0', '/dev/video10']
    """

    def __init__(
        self, *, clock: Clock | None = None, devices: dict[str, FakeDevice] | None = None
    ) -> None:
        self.clock = clock or VirtualClock()
        self.nodes = {"/dev/video0": Vivid(), "/dev/video10": Loopback()}
        if devices is not None:
            self.nodes = dict(devices)
        self._files: dict[int, FakeDevice] = {}
        self._next = 1000
        self._maps: dict[int, FakeDevice] = {}

    # ------------------------------------------------------------ the interface of a kernel
    def now(self) -> float:
        """Return the time of the fake system."""
        return self.clock.now()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.sleep(seconds)

    def devices(self) -> list[str]:
        """Return the paths of all devices."""
        return sorted(self.nodes, key=lambda p: int(re.sub(r"\D", "", p) or 0))

    def open(self, path: str) -> int:
        """Open a device."""
        device = self.nodes.get(path)
        if device is None:
            raise _error(errno.ENOENT, path)
        if device.unplugged:
            raise _error(errno.ENODEV, path)
        self._next += 1
        self._files[self._next] = device
        device.users.append(self._next)
        return self._next

    def close(self, fd: int) -> None:
        """Close a device; the last user of an unplugged vivid plugs it in again, as the real one does."""
        device = self._files.pop(fd)
        device.users.remove(fd)
        if device.owner == fd:
            device.release()
        if not device.users:
            device.unplugged = False

    def ioctl(self, fd: int, request: int, argument: ctypes.Structure) -> None:
        """Answer an ioctl as the device's driver would."""
        device = self._files[fd]
        if device.unplugged:
            raise _error(errno.ENODEV)
        device.advance(self.now())
        code = device.answer(fd, abi.NAMES.get(request, ""), argument, self.now())
        if code:
            raise _error(code)

    def mmap(self, fd: int, length: int, offset: int) -> memoryview:
        """Return the memory of a buffer."""
        device = self._files[fd]
        view = memoryview(device.memory[offset // abi_page(length)])[:length]
        self._maps[id(view)] = device
        return view

    def munmap(self, mapped: memoryview) -> None:
        """Forget a buffer."""
        self._maps.pop(id(mapped), None)
        mapped.release()

    def poll(self, fd: int, timeout_s: float) -> str:
        """Let time pass until a frame is there, the device is gone, or the wait is over."""
        device, end = self._files[fd], self.now() + timeout_s
        while True:
            if device.unplugged or device.broken or not device.streaming:
                return "gone"
            device.advance(self.now())
            if device.done:
                return "ready"
            due = device.next_due()
            if due is None or due > end:
                self.sleep(end - self.now())
                device.advance(self.now())
                return "ready" if device.done else "timeout"
            self.sleep(max(1e-6, due - self.now()))

    # ------------------------------------------------------------ what only a fake can do
    def feed(self, path: str, frames: Sequence[bytes], size: tuple[int, int], rate: float) -> None:
        """Let a writer feed a loopback with JPEGs, again and again, from now on."""
        device = self.nodes[path]
        assert isinstance(device, Loopback)
        device.feed(frames, size, rate, self.now())

    def open_files(self) -> int:
        """Return how many devices are open."""
        return len(self._files)

    def move(self, old: str, new: str) -> None:
        """Give a device another number, as happens when it is plugged in again."""
        self.nodes[new] = self.nodes.pop(old)


def abi_page(length: int) -> int:
    """Return the distance of two buffers' offsets."""
    return (length + 4095) // 4096 * 4096


def _error(code: int, path: str | None = None) -> OSError:
    return OSError(code, os.strerror(code), path)
