"""What a V4L2 source needs of a kernel: the real one, and the interface that a fake one implements."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import re
import select
from pathlib import Path
from typing import Protocol

from facelab.camera._clock import MonotonicClock


class Kernel(Protocol):
    """The six system calls below a camera, its devices, and its clock."""

    def now(self) -> float:
        """Return CLOCK_MONOTONIC in seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def devices(self) -> list[str]:
        """Return the paths of all video devices."""
        ...

    def open(self, path: str) -> int:
        """Open a device without blocking. Raises OSError."""
        ...

    def close(self, fd: int) -> None:
        """Close it."""
        ...

    def ioctl(self, fd: int, request: int, argument: ctypes.Structure) -> None:
        """Call an ioctl, which may change `argument`. Raises OSError."""
        ...

    def mmap(self, fd: int, length: int, offset: int) -> memoryview:
        """Map a buffer for reading. Raises OSError."""
        ...

    def munmap(self, mapped: memoryview) -> None:
        """Unmap it."""
        ...

    def poll(self, fd: int, timeout_s: float) -> str:
        """Wait for a frame; return `ready`, `timeout`, or `gone` for an error or a hang-up."""
        ...


class LinuxKernel(MonotonicClock):
    """The kernel that this process runs on."""

    def __init__(self, root: str = "/dev") -> None:
        self.root = root
        self._maps: dict[int, mmap.mmap] = {}

    def devices(self) -> list[str]:
        """Return /dev/video0, /dev/video1, … in order of their numbers."""
        found = [p for p in Path(self.root).glob("video*") if re.fullmatch(r"video\d+", p.name)]
        return [str(p) for p in sorted(found, key=lambda p: int(p.name[5:]))]

    def open(self, path: str) -> int:
        """Open a device without blocking."""
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        """Close a device."""
        os.close(fd)

    def ioctl(self, fd: int, request: int, argument: ctypes.Structure) -> None:
        """Call an ioctl; an interrupted one is called again."""
        while True:
            try:
                fcntl.ioctl(fd, request, argument, True)  # type: ignore[arg-type]
                return
            except OSError as e:
                if e.errno != errno.EINTR:
                    raise

    def mmap(self, fd: int, length: int, offset: int) -> memoryview:
        """Map a buffer."""
        made = mmap.mmap(
            fd, length, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE, offset=offset
        )
        view = memoryview(made)
        self._maps[id(view)] = made
        return view

    def munmap(self, mapped: memoryview) -> None:
        """Unmap a buffer."""
        made = self._maps.pop(id(mapped))
        mapped.release()
        made.close()

    def poll(self, fd: int, timeout_s: float) -> str:
        """Wait for a frame."""
        poller = select.poll()
        poller.register(fd, select.POLLIN | select.POLLPRI)
        events = poller.poll(max(0, timeout_s) * 1e3)
        if not events:
            return "timeout"
        return "ready" if events[0][1] & select.POLLIN else "gone"
