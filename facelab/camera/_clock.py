"""Clocks: the system's monotonic one, and a virtual one in which waiting costs nothing."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What a source needs of time: the present, in seconds, and a way to wait."""

    def now(self) -> float:
        """Return the present time in seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; zero or less returns at once."""
        ...


class MonotonicClock:
    """`CLOCK_MONOTONIC`, the clock of V4L2 time stamps."""

    def now(self) -> float:
        """Return the present time in seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for this many seconds."""
        if seconds > 0:
            time.sleep(seconds)


class VirtualClock:
    """A clock that moves only when somebody sleeps: hours of frames pass in a second, the same each time.

    Examples
    --------
    >>> clock = VirtualClock()
    >>> clock.sleep(3600)
    >>> clock.now()
    3600.0
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._now = float(start_s)

    def now(self) -> float:
        """Return the present time in seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += max(0.0, seconds)
