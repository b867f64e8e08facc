"""How long to wait between two beats: the source text's formula as printed, as coded, as meant, and a steady law.

The source text's words slow the heart down on a hot or slow device. Its formula, and its code, speed it up where the
frame rate falls, so that a slow device has to work harder.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from facelab.core.degraded import Fallbacks
from facelab.core.errors import BadInputError, did_you_mean

BASE_MS, LEAST_MS, MOST_MS = 200.0, 50.0, 500.0
HOT_C, SPAN_C, HEAT = 60.0, 20.0, 0.8
FULL_FPS, SPAN_FPS, SLOW = 60.0, 30.0, 0.4


def _clamped(ms: float) -> float:
    return min(MOST_MS, max(LEAST_MS, ms))


def printed(celsius: float, fps: float) -> float:
    """Return milliseconds by the formula as printed: 200 (1 + .8 (T - 60) / 20 - .4 (60 - fps) / 30)."""
    return _clamped(
        BASE_MS * (1 + HEAT * (celsius - HOT_C) / SPAN_C - SLOW * (FULL_FPS - fps) / SPAN_FPS)
    )


def coded(celsius: float, fps: float) -> float:
    """Return milliseconds by the source text's code: negative parts count as 0, and the result is cut to a whole."""
    hot = max(0.0, (celsius - HOT_C) / SPAN_C)
    slow = max(0.0, (FULL_FPS - fps) / SPAN_FPS)
    return float(max(50, min(500, int(BASE_MS * (1 + HEAT * hot - SLOW * slow)))))


def described(celsius: float, fps: float) -> float:
    """Return milliseconds by the source text's words: slower where it is hot, and slower where the device is slow."""
    hot = max(0.0, (celsius - HOT_C) / SPAN_C)
    slow = max(0.0, (FULL_FPS - fps) / SPAN_FPS)
    return _clamped(BASE_MS * (1 + HEAT * hot + SLOW * slow))


def corrected(celsius: float, fps: float) -> float:
    """Return milliseconds by the corrected formula: as described, and faster again on a cool device."""
    return _clamped(
        BASE_MS * (1 + HEAT * (celsius - HOT_C) / SPAN_C + SLOW * (FULL_FPS - fps) / SPAN_FPS)
    )


FORMULAS: dict[str, Callable[[float, float], float]] = {
    "printed": printed,
    "coded": coded,
    "described": described,
    "corrected": corrected,
}
"""Name → formula (°C, frames per second) → milliseconds between two beats."""


def interval_ms(celsius: float, fps: float, formula: str = "corrected") -> float:
    """Return the milliseconds between two beats by a formula.

    Parameters
    ----------
    celsius
        Temperature of the processor.
    fps
        Frames per second of the camera or the pipeline. Never the heart's own rate: that would feed back on itself.
    formula
        A name of `FORMULAS`.

    Examples
    --------
    >>> [round(interval_ms(60, 30, f)) for f in ("printed", "coded", "described", "corrected")]
    [120, 120, 280, 280]
    """
    if formula not in FORMULAS:
        raise BadInputError(
            f"there is no such formula{did_you_mean(formula, FORMULAS)}",
            expected=", ".join(FORMULAS),
            got=formula,
            fix="name one of these",
        )
    if not (math.isfinite(celsius) and math.isfinite(fps) and fps >= 0):
        raise BadInputError(
            "temperature or frame rate is not a number",
            expected="finite °C, and 0 or more frames per second",
            got=f"{celsius} °C, {fps} per second",
            fix="leave a missing sensor out: give None to AdaptiveBeat",
        )
    return FORMULAS[formula](celsius, fps)


class RateMeter:
    """Frames per second from the frames' own times: the independent clock that the law needs.

    Parameters
    ----------
    window_s
        Seconds that are averaged.
    """

    def __init__(self, window_s: float = 2.0) -> None:
        self.window_s = window_s
        self._times: deque[float] = deque()

    def tick(self, time_s: float) -> float | None:
        """Count a frame; return frames per second, or None until two frames are known.

        Examples
        --------
        >>> meter = RateMeter()
        >>> [meter.tick(k / 20) for k in range(3)][-1]
        20.0
        """
        if self._times and time_s < self._times[-1]:
            self._times.clear()  # another clock, or a restarted camera
        self._times.append(time_s)
        while time_s - self._times[0] > self.window_s and len(self._times) > 2:
            self._times.popleft()
        passed = self._times[-1] - self._times[0]
        return (len(self._times) - 1) / passed if passed > 0 else None


class AdaptiveBeat:
    """The corrected formula on smoothed inputs, with a dead band.

    Parameters
    ----------
    tau_s
        Time constant with which temperature and frame rate are smoothed. Sensors step by 1 °C; a step must not be seen.
    dead_ms
        The interval changes only by more than this.
    stale_s
        After this many seconds without a temperature the slowest beat is used: nobody knows how hot it is.
    formula
        A name of `FORMULAS`.

    Examples
    --------
    >>> beat = AdaptiveBeat()
    >>> beat.update(0.0, 60.0, 60.0), beat.update(1.0, 61.0, 60.0)  # one step of a sensor
    (200.0, 200.0)
    """

    def __init__(
        self,
        *,
        tau_s: float = 10.0,
        dead_ms: float = 10.0,
        stale_s: float = 30.0,
        formula: str = "corrected",
    ) -> None:
        interval_ms(HOT_C, FULL_FPS, formula)  # a wrong name is refused here
        for name, value in (("tau_s", tau_s), ("dead_ms", dead_ms), ("stale_s", stale_s)):
            if not (math.isfinite(value) and value >= 0):
                raise BadInputError(
                    f"`{name}` is not a number from 0 on",
                    got=value,
                    fix="choose a number such as 10, or 0 to switch it off",
                )
        self.tau_s, self.dead_ms, self.stale_s = tau_s, dead_ms, stale_s
        self.formula = formula
        self.interval_ms = BASE_MS
        self._celsius: float | None = None
        self._fps = FULL_FPS
        self._time: float | None = None
        self._heard = 0.0
        self._fallbacks = Fallbacks()

    @property
    def degraded(self) -> tuple[str, ...]:
        """`hot` while the smoothed temperature slows the beat, `temperature_unknown` while no sensor answers."""
        return self._fallbacks.names

    def close(self) -> None:
        """Take the fallbacks back."""
        self._fallbacks.end()

    def update(self, time_s: float, celsius: float | None, fps: float | None) -> float:
        """Take measurements and return the milliseconds between two beats.

        Parameters
        ----------
        time_s
            Seconds; steps back count as no time.
        celsius
            Temperature, or None where the sensor gave none.
        fps
            Frames per second of an independent clock (`RateMeter`), or None.
        """
        if self._time is None:
            self._heard = time_s  # the wait for the first temperature starts here
        elif time_s < self._time:
            self._heard += time_s - self._time  # the clock was set back: what was waited stays
        step = 0.0 if self._time is None else max(0.0, time_s - self._time)
        self._time = time_s
        share = 1.0 - math.exp(-step / self.tau_s) if self.tau_s > 0 else 1.0
        first = self._celsius is None
        if celsius is not None and math.isfinite(celsius):
            known = celsius if self._celsius is None else self._celsius
            self._celsius, self._heard = known + share * (celsius - known), time_s
        if fps is not None and math.isfinite(fps):
            self._fps += (1.0 if first else share) * (max(0.0, fps) - self._fps)
        stale = time_s - self._heard > self.stale_s
        self._fallbacks.say("temperature_unknown", "no sensor answers" if stale else "")
        hot = self._celsius is not None and self._celsius > HOT_C and not stale
        self._fallbacks.say("hot", f"{self._celsius:.1f} °C" if hot else "")
        if self._celsius is None or stale:
            wanted = MOST_MS if stale else BASE_MS
        else:
            wanted = interval_ms(self._celsius, self._fps, self.formula)
        if abs(wanted - self.interval_ms) > self.dead_ms or wanted in (LEAST_MS, MOST_MS):
            self.interval_ms = wanted
        return self.interval_ms


def own_rate_settles_at(formula: str, celsius: float = 60.0) -> float:
    """Return the rate (Hz) at which a heart settles that is fed its own rate as `fps`: the loop nobody should close."""
    ms = BASE_MS
    for _ in range(400):
        ms = interval_ms(celsius, min(FULL_FPS, 1000.0 / ms), formula)
    return 1000.0 / ms
