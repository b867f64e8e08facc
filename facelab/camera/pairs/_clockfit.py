"""Estimate how a device clock runs against the system's, from time stamps and arrivals."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

WARM_UP = 15
"""Frames that an estimate needs before it is believed."""
LINE = 8
"""Minima that a line with a slope needs; fewer give an offset alone."""


@dataclass(frozen=True)
class ClockFit:
    """What is known of one device clock.

    Parameters
    ----------
    delay_s
        Arrival minus time stamp of the fastest frame, at `at_s`: clock offset plus least latency, which time stamps
        alone cannot distinguish.
    drift
        How much slower the device clock runs than the system's (50e-6: it loses 50 microseconds per second).
    at_s
        The device time for which `delay_s` holds.
    frames
        Frames seen since the start or the last jump.
    jumps
        Jumps of the clock that were found.
    spread_s
        Half the interquartile range of the delays above the fit: how uneven the latency is.
    """

    delay_s: float
    drift: float
    at_s: float
    frames: int
    jumps: int
    spread_s: float

    def to_system(self, time_s: float, latency_s: float = 0.0) -> float:
        """Return the system time of a device time stamp, if frames need at least `latency_s` to arrive."""
        return time_s + self.delay_s + self.drift * (time_s - self.at_s) - latency_s


class ClockEstimator:
    """Follow one device clock: a line under the delays (arrival minus time stamp), fitted to the fastest frames.

    Latency only ever adds to a delay, so the fastest frame of each `bin_s` seconds lies on the clock's line, and a
    least-squares line through these minima gives offset and drift. A step of all delays that is larger than `jump_s`
    and holds for `confirm` frames is a jump of the clock: the estimate starts again.

    Parameters
    ----------
    bin_s, window_s
        Seconds per minimum, and seconds that are remembered.
    jump_s
        The least step that counts as a jump.
    confirm
        Frames that must agree before a step is believed.
    """

    def __init__(
        self,
        *,
        bin_s: float = 1.0,
        window_s: float = 60.0,
        jump_s: float = 0.1,
        confirm: int = 3,
    ) -> None:
        self.bin_s, self.window_s, self.jump_s, self.confirm = bin_s, window_s, jump_s, confirm
        self.jumps = 0
        self._restart()

    def _restart(self) -> None:
        self._minima: deque[tuple[float, float]] = deque()
        self._bin: tuple[float, float] | None = None
        self._bin_start = 0.0
        self._line = (0.0, 0.0, 0.0)  # delay, drift, at
        self._recent: deque[float] = deque(maxlen=64)
        self._suspects: list[tuple[float, float]] = []
        self._last: tuple[float, float] | None = None
        self.frames = 0

    def add(self, time_s: float, arrived_s: float) -> str | None:
        """Take one frame in; return None, `jump` (just confirmed) or `suspect` (may become one)."""
        if self.frames >= WARM_UP and self._steps(time_s, arrived_s):
            self._suspects.append((time_s, arrived_s))
            if len(self._suspects) < self.confirm:
                return "suspect"
            suspects = self._suspects
            self.jumps += 1
            self._restart()
            for seen in suspects:
                self._include(*seen)
            return "jump"
        self._suspects.clear()
        self._include(time_s, arrived_s)
        return None

    def _steps(self, time_s: float, arrived_s: float) -> bool:
        """Return whether a frame's delay is off the line as only a jump can be.

        Below the line is impossible without one. Above it latency can do the same, unless the stamp itself stepped
        back against the frame before.
        """
        over = arrived_s - time_s - self._predict(time_s)
        if over < -self.jump_s:
            return True
        last = self._last if not self._suspects else self._suspects[-1]
        back = last is not None and time_s < last[0] - self.jump_s
        return (over > self.jump_s and bool(self._suspects)) or back

    def _predict(self, time_s: float) -> float:
        delay, drift, at = self._line
        return delay + drift * (time_s - at)

    def _include(self, time_s: float, arrived_s: float) -> None:
        delay = arrived_s - time_s
        self.frames += 1
        self._last = (time_s, arrived_s)
        self._recent.append(delay - self._predict(time_s) if self.frames > 1 else 0.0)
        if self._bin is None or time_s - self._bin_start >= self.bin_s:
            if self._bin is not None:
                self._minima.append(self._bin)
            self._bin, self._bin_start = (time_s, delay), time_s
            while self._minima and time_s - self._minima[0][0] > self.window_s:
                self._minima.popleft()
            self._fit()
        elif delay < self._bin[1]:
            self._bin = (time_s, delay)
            if delay < self._predict(time_s):
                self._fit()

    def _fit(self) -> None:
        # A bin that is not full yet has met few frames, and its minimum is too high: no line may end on it.
        full = len(self._minima) >= LINE
        points = [*self._minima] if full else [*self._minima, *([self._bin] if self._bin else [])]
        t = np.array([p[0] for p in points])
        d = np.array([p[1] for p in points])
        if not full:  # too short to tell drift from uneven latency
            self._line = (float(d.min()), 0.0, float(t[-1]))
            return
        middle = t.mean()
        drift, delay = np.polyfit(t - middle, d, 1)
        if abs(drift) > 0.01:
            drift, delay = 0.0, d.min()
        self._line = (float(delay), float(drift), float(middle))

    def fit(self) -> ClockFit:
        """Return the present estimate."""
        delay, drift, at = self._line
        recent = np.array(self._recent or [math.nan])
        q1, q3 = np.percentile(recent, [25, 75])
        return ClockFit(delay, drift, at, self.frames, self.jumps, float(q3 - q1) / 2)
