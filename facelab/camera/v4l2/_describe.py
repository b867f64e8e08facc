"""Ask a V4L2 device what it is and what it offers."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from facelab.camera._contract import Mode
from facelab.camera.pixels._formats import name_of
from facelab.camera.v4l2 import _abi as abi
from facelab.camera.v4l2._kernel import Kernel

MOST = 512
"""Entries of one list that are read at most: a driver that never ends its list must not hang us."""


@dataclass(frozen=True)
class Device:
    """What a device says of itself."""

    path: str
    driver: str
    card: str
    bus: str
    captures: bool
    streams: bool
    multiplanar: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Control:
    """One control of a device, such as its exposure; `value` is None where it cannot be read."""

    id: int
    name: str
    kind: str
    minimum: int
    maximum: int
    step: int
    default: int
    value: int | None
    writable: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return dict(self.__dict__)


def describe(kernel: Kernel, fd: int, path: str) -> Device:
    """Return what an open device says of itself. Raises OSError where it is not a video device."""
    cap = abi.Capability()
    kernel.ioctl(fd, abi.QUERYCAP, cap)
    flags = cap.device_caps if cap.capabilities & abi.CAP_DEVICE_CAPS else cap.capabilities

    def text(raw: bytes) -> str:
        return raw.decode("utf-8", "replace")

    return Device(
        path,
        text(cap.driver),
        text(cap.card),
        text(cap.bus_info),
        bool(flags & abi.CAP_VIDEO_CAPTURE),
        bool(flags & abi.CAP_STREAMING),
        bool(flags & abi.CAP_VIDEO_CAPTURE_MPLANE),
    )


def _listed(kernel: Kernel, fd: int, request: int, make: Callable[[int], Any]) -> Iterator[Any]:
    """Yield the entries of one of V4L2's lists, which ends with EINVAL."""
    for index in range(MOST):
        entry = make(index)
        try:
            kernel.ioctl(fd, request, entry)
        except OSError as e:
            if e.errno in (errno.EINVAL, errno.ENOTTY, errno.ENODATA):
                return
            raise
        yield entry


def modes(kernel: Kernel, fd: int) -> tuple[Mode, ...]:
    """Return every format, size and rate that a device offers."""
    out: list[Mode] = []
    for kind in _listed(
        kernel, fd, abi.ENUM_FMT, lambda k: abi.FormatDescription(index=k, type=abi.CAPTURE)
    ):
        pixel = kind.pixelformat
        sizes = _listed(
            kernel,
            fd,
            abi.ENUM_FRAMESIZES,
            lambda k, p=pixel: abi.FrameSize(index=k, pixel_format=p),
        )
        out += [_mode(kernel, fd, pixel, size) for size in sizes]
    return tuple(out)


def _mode(kernel: Kernel, fd: int, pixel: int, size: abi.FrameSize) -> Mode:
    name, v = name_of(abi.fourcc(pixel)), list(size.values)
    if size.type == abi.DISCRETE:
        rates, continuous = _rates(kernel, fd, pixel, v[0], v[1])
        return Mode(name, v[0], v[1], rates, continuous)
    w0, w1, dw, h0, h1, dh = v
    rates, continuous = _rates(kernel, fd, pixel, w1, h1)
    return Mode(name, w1, h1, rates, continuous, (w0, w1, max(1, dw), h0, h1, max(1, dh)))


def _rates(kernel: Kernel, fd: int, pixel: int, w: int, h: int) -> tuple[tuple[float, ...], bool]:
    found: list[float] = []
    entries = _listed(
        kernel,
        fd,
        abi.ENUM_FRAMEINTERVALS,
        lambda k: abi.FrameInterval(index=k, pixel_format=pixel, width=w, height=h),
    )
    for entry in entries:
        v = list(entry.values)
        fractions = [(v[0], v[1])] if entry.type == abi.DISCRETE else [(v[0], v[1]), (v[2], v[3])]
        found += [d / n for n, d in fractions if n]
        if entry.type != abi.DISCRETE:
            return tuple(sorted(found, reverse=True)), True
    return tuple(sorted(set(found), reverse=True)), False


def controls(kernel: Kernel, fd: int) -> tuple[Control, ...]:
    """Return the controls of a device that are in use, by the driver's order."""
    out: list[Control] = []
    last = 0
    for _ in range(MOST):
        entry = abi.QueryControl(id=last | abi.CTRL_FLAG_NEXT)
        try:
            kernel.ioctl(fd, abi.QUERYCTRL, entry)
        except OSError as e:
            if e.errno in (errno.EINVAL, errno.ENOTTY):
                break
            raise
        if entry.id <= last:
            break
        last = entry.id
        kind = abi.CTRL_TYPES.get(entry.type, f"type {entry.type}")
        if kind == "class" or entry.flags & abi.CTRL_FLAG_DISABLED:
            continue
        out.append(_control(kernel, fd, entry, kind))
    return tuple(out)


def _control(kernel: Kernel, fd: int, entry: abi.QueryControl, kind: str) -> Control:
    value: int | None = None
    if kind in ("integer", "boolean", "menu", "bitmask", "integer menu"):
        holder = abi.ControlValue(id=entry.id)
        try:
            kernel.ioctl(fd, abi.G_CTRL, holder)
            value = holder.value
        except OSError:
            value = None
    return Control(
        entry.id,
        entry.name.decode("utf-8", "replace"),
        kind,
        entry.minimum,
        entry.maximum,
        entry.step,
        entry.default_value,
        value,
        not entry.flags & abi.CTRL_FLAG_READ_ONLY,
    )
