"""The fake vivid: the kernel's virtual video driver, as a webcam."""

from __future__ import annotations

import errno

import numpy as np

from facelab.camera.v4l2 import _abi as abi
from facelab.camera.v4l2._fake_devices import FakeDevice

_RATES = (1, 2, 4, 5, 10, 12.5, 15, 25, 30, 40, 50, 60)
_FASTEST = {
    (320, 180): 60,
    (640, 360): 40,
    (640, 480): 25,
    (1280, 720): 12.5,
    (1920, 1080): 5,
    (3840, 2160): 2,
}
_FORMATS = ("YUYV", "UYVY", "NV12", "YU12", "GRAY", "RGB", "BGR")
EARLY = 0.85
"""vivid stamps the end of a frame, this share of a period after the frame is handed over."""


class Vivid(FakeDevice):
    """The kernel's virtual video driver, as a webcam."""

    driver, card, bus = "vivid", "vivid", "platform:vivid-000"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._set = ("YUYV", (640, 360), 5.0)
        self._rng = np.random.default_rng(seed)
        self._inject: set[str] = set()
        self._start, self._k, self._base = 0.0, 0, 0
        # name → [type, least, most, default, value, flags]
        self.controls = {
            "Brightness": [1, 0, 255, 128, 128, 0],
            "Read-Only Integer 32 Bits": [1, 0, 255, 0, 0, abi.CTRL_FLAG_READ_ONLY],
            "Wrap Sequence Number": [2, 0, 1, 0, 0, 0],
            "Percentage of Dropped Buffers": [1, 0, 100, 0, 0, 0],
            "Disconnect": [4, 0, 0, 0, 0, 0],
            "Inject V4L2_BUF_FLAG_ERROR": [4, 0, 0, 0, 0, 0],
            "Inject VIDIOC_STREAMON Error": [4, 0, 0, 0, 0, 0],
            "Inject Fatal Streaming Error": [4, 0, 0, 0, 0, 0],
        }

    def formats(self) -> tuple[str, ...]:
        """Return the formats that facelab reads; the real one has 83."""
        return _FORMATS

    def sizes(self, format: str) -> tuple[tuple[int, int], ...]:
        """Return the webcam's sizes."""
        return tuple(_FASTEST) if format in _FORMATS else ()

    def rates(self, size: tuple[int, int]) -> tuple[float, ...]:
        """Return the rates of a size: fewer the larger it is."""
        return tuple(r for r in _RATES if r <= _FASTEST.get(size, 0))

    def current(self) -> tuple[str, tuple[int, int], float]:
        """Return what is set."""
        return self._set

    def set_format(self, format: str, size: tuple[int, int]) -> int:
        """Set the format, or YUYV where it is unknown, and the nearest size."""
        best = min(_FASTEST, key=lambda s: abs(s[0] - size[0]) + abs(s[1] - size[1]))
        rate = min(self._set[2], max(self.rates(best)))
        self._set = (format if format in _FORMATS else "YUYV", best, rate)
        return 0

    def set_rate(self, rate: float) -> int:
        """Set the slowest rate that is not below the asked one."""
        if self.streaming:
            return errno.EBUSY
        rates = self.rates(self._set[1])
        self._set = (*self._set[:2], next((r for r in rates if r >= rate * 0.9999), max(rates)))
        return 0

    def begin(self, now: float) -> int:
        """Start the generator; an injected error refuses once and gives the buffers back."""
        if "STREAMON" in self._inject:
            self._inject.discard("STREAMON")
            self.queued.clear()
            return errno.EINVAL
        wraps = self.controls["Wrap Sequence Number"][4]
        self._start, self._k, self._base = now, 0, 0xFFFFFF80 if wraps else 0
        return 0

    def next_due(self) -> float | None:
        """Return when the next frame comes."""
        return self._start + (self._k + 1) / self._set[2] if self.streaming else None

    def advance(self, now: float) -> None:
        """Fill buffers with the frames that are due; a frame without a buffer is lost, its number is used up."""
        while (due := self.next_due()) is not None and due <= now + 1e-9 and not self.broken:
            k, self._k = self._k, self._k + 1
            if self._rng.random() * 100 < self.controls["Percentage of Dropped Buffers"][4]:
                continue
            if not self.queued:
                continue
            flags = abi.TIMESTAMP_MONOTONIC
            if "ERROR" in self._inject:
                self._inject.discard("ERROR")
                flags |= abi.BUF_FLAG_ERROR
            self.fill(self._picture(k), self._base + k, due + EARLY / self._set[2], flags)

    def control(self, name: str, value: int) -> int:
        """Carry out the buttons."""
        if name == "Disconnect":
            self.unplugged = True
        elif name == "Inject Fatal Streaming Error":
            self.broken = True
        elif name.startswith("Inject"):
            self._inject.add("STREAMON" if "STREAMON" in name else "ERROR")
        return 0

    def _picture(self, k: int) -> np.ndarray:
        """Return a frame of moving colour bars in the format that is set."""
        import cv2

        name, (w, h), _ = self._set
        bars = np.repeat(np.arange(0, 256, 8).astype(np.uint8), w // 32 + 1)[:w]
        bgr = np.empty((h, w, 3), np.uint8)
        bgr[:] = np.stack([np.roll(bars, 7 * k), bars[::-1], np.roll(bars, -3 * k)], -1)
        codes = {
            "YUYV": cv2.COLOR_BGR2YUV_YUY2,
            "UYVY": cv2.COLOR_BGR2YUV_UYVY,
            "YU12": cv2.COLOR_BGR2YUV_I420,
            "GRAY": cv2.COLOR_BGR2GRAY,
            "RGB": cv2.COLOR_BGR2RGB,
        }
        if name == "NV12":
            planes = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420).ravel()
            chroma = planes[w * h :].reshape(2, -1).T.ravel()
            return np.concatenate([planes[: w * h], chroma])
        return bgr if name == "BGR" else cv2.cvtColor(bgr, codes[name])
