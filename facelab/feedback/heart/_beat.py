"""The heart as an oscillator: a phase that never jumps; frequency, hue and amplitude ease to new values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facelab.core.errors import BadInputError
from facelab.feedback.heart._settings import HeartSettings, HeartStyle, load_settings

TURN = 2.0 * math.pi
LONGEST_STEP_S = 1.0
"""A pause of a hidden tab or a stalled loop is not replayed: the heart goes on as if this much time had passed."""
FINEST_STEP_S = 1.0 / 240.0
HOLD_S, BREATHE_S = 0.03, 0.3
"""Time constants with which the beat stops for a change of hue, and comes back after it."""


@dataclass(frozen=True)
class Pose:
    """The heart at one moment.

    Parameters
    ----------
    scale
        Size against the resting heart.
    hue_deg
        Hue, 0 up to 360.
    phase
        Share of the present beat, 0 up to 1.
    frequency_hz, amplitude
        Their present values; the frequency is 0 while the heart holds its breath.
    """

    scale: float
    hue_deg: float
    phase: float
    frequency_hz: float
    amplitude: float


class Heart:
    """A heart that beats; `show` asks for an emotion, `step` lets time pass.

    The phase is the integral of the frequency, so that it never jumps. A change of emotion cannot make the heart flash,
    however fast labels flicker: it holds its breath while the hue moves, the hue moves at most `hue_rate_deg_s`, and
    the next change is taken after `dwell_s` at the earliest. What is asked for meanwhile is not queued: the newest
    emotion wins.

    Parameters
    ----------
    settings
        The styles; facelab's own by default.
    emotion
        What to show at first; by default the settings' fallback.

    Examples
    --------
    >>> heart = Heart(emotion="anger")
    >>> round(heart.step(0.125).scale, 3)  # a quarter of a beat at 2 Hz
    1.3
    """

    def __init__(self, settings: HeartSettings | None = None, emotion: str | None = None) -> None:
        self.settings = settings or load_settings()
        self.emotion = self.wanted = emotion
        style = self.settings.style(emotion)
        self._frequency, self._amplitude = style.frequency_hz, style.amplitude
        self._hue, self._phase, self._breath = style.hue_deg, 0.0, 1.0
        self._since_change = self.settings.dwell_s

    def show(self, emotion: str | None) -> HeartStyle:
        """Ask for an emotion; None shows the fallback. Returns its style."""
        self.wanted = emotion
        return self.settings.style(emotion)

    def step(self, dt_s: float) -> Pose:
        """Let time pass and return the pose.

        Parameters
        ----------
        dt_s
            Seconds since the last step; more than `LONGEST_STEP_S` counts as that.

        Raises
        ------
        BadInputError
            The time is negative or not finite.
        """
        if not (math.isfinite(dt_s) and dt_s >= 0):
            raise BadInputError(
                "a step in time is negative or not finite", got=dt_s, fix="give 0 or more seconds"
            )
        dt_s = min(dt_s, LONGEST_STEP_S)
        parts = max(1, math.ceil(dt_s / FINEST_STEP_S - 1e-9))
        for _ in range(parts):
            self._advance(dt_s / parts)
        return self.pose

    def _advance(self, dt: float) -> None:
        s = self.settings
        self._since_change += dt
        if self.wanted != self.emotion and self._since_change >= s.dwell_s:
            same = s.style(self.wanted) == s.style(self.emotion)
            self.emotion, self._since_change = self.wanted, s.dwell_s if same else 0.0
        target, eased = s.style(self.emotion), 1.0 - math.exp(-dt / s.ease_s)
        self._frequency += eased * (target.frequency_hz - self._frequency)
        way = (target.hue_deg - self._hue + 180.0) % 360.0 - 180.0
        most = s.hue_rate_deg_s * dt
        self._hue = (self._hue + max(-most, min(most, way))) % 360.0
        if abs(way) > most:  # the hue is on its way: hold the breath
            self._breath *= math.exp(-dt / HOLD_S)
        else:
            self._breath += (1.0 - math.exp(-dt / BREATHE_S)) * (1.0 - self._breath)
            self._amplitude += eased * (target.amplitude - self._amplitude)
        self._phase = (self._phase + self._frequency * self._breath * dt) % 1.0

    @property
    def pose(self) -> Pose:
        """The present pose."""
        scale = 1.0 + self._amplitude * math.sin(TURN * self._phase)
        return Pose(scale, self._hue, self._phase, self._frequency * self._breath, self._amplitude)


def curve(points: int = 128) -> np.ndarray:
    """Return the heart curve x = 16 sin³ t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t.

    Parameters
    ----------
    points
        Samples of t, from 0 up to 2π.

    Returns
    -------
    numpy.ndarray
        (points, 2) float64; x to the right, y upwards, about -17 to 16.

    Examples
    --------
    >>> curve(4).round(6).tolist()
    [[0.0, 5.0], [16.0, 4.0], [0.0, -17.0], [-16.0, 4.0]]
    """
    t = TURN * np.arange(points) / points
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, y], axis=1)


def beat_poses(
    settings: HeartSettings, emotions: Sequence[str | None], rate_hz: float
) -> list[Pose]:
    """Return one pose per frame while the frames show these emotions; the first starts from rest."""
    heart = Heart(settings, emotions[0] if emotions else None)
    poses = []
    for k, emotion in enumerate(emotions):
        heart.show(emotion)
        poses.append(heart.step(1.0 / rate_hz) if k else heart.pose)
    return poses


def literal_poses(
    settings: HeartSettings, emotions: Sequence[str | None], rate_hz: float
) -> list[Pose]:
    """Return the poses of the source text's formula 1 + a sin²(2π f t), values of the present emotion at once.

    It beats at 2 f, swings from 0 to +a, and jumps where the emotion changes: shown for comparison only.
    """
    poses = []
    for k, emotion in enumerate(emotions):
        style, t = settings.style(emotion), k / rate_hz
        scale = 1.0 + style.amplitude * math.sin(TURN * style.frequency_hz * t) ** 2
        phase = 2.0 * style.frequency_hz * t % 1.0
        poses.append(Pose(scale, style.hue_deg, phase, style.frequency_hz, style.amplitude))
    return poses
