"""Sine tones through PortAudio (sounddevice)."""

from __future__ import annotations

from typing import Any

import numpy as np

from facelab.feedback._numbers import share
from facelab.feedback.drivers._base import Driver

RAMP_S = 0.005
"""Tones swell and fade over this long: a sine that is cut off clicks."""


class Tones:
    """Samples of the present tone; the phase goes on from block to block, and loudness changes without a click."""

    def __init__(self, rate_hz: float, volume: float) -> None:
        self.rate_hz, self.volume = rate_hz, volume
        self.wanted = 0.0
        self._phase, self._loud, self._hertz = 0.0, 0.0, 440.0

    def block(self, n: int) -> np.ndarray:
        """Return the next n samples, float32 from -1 to 1."""
        wanted = self.wanted
        if wanted > 0:
            self._hertz = wanted
        step = 1.0 / (RAMP_S * self.rate_hz)
        ramp = np.arange(1, n + 1) * step
        loud = (
            np.minimum(self._loud + ramp, 1.0) if wanted > 0 else np.maximum(self._loud - ramp, 0.0)
        )
        phase = self._phase + np.arange(1, n + 1) * (self._hertz / self.rate_hz)
        self._phase, self._loud = float(phase[-1] % 1.0), float(loud[-1])
        return (self.volume * loud * np.sin(2 * np.pi * phase)).astype(np.float32)


class Speaker(Driver):
    """A loudspeaker.

    Parameters
    ----------
    device
        Name or number of PortAudio's device; its default otherwise.
    volume
        0 to 1.
    latency
        `high` or `low`: `low` answers sooner, and has gaps on a busy machine.
    """

    def __init__(
        self, device: str | int | None = None, volume: float = 0.2, latency: str = "high"
    ) -> None:
        share("volume", volume)
        import sounddevice

        try:
            self.stream = sounddevice.OutputStream(
                channels=1, dtype="float32", device=device, latency=latency, callback=self._fill
            )
        except (sounddevice.PortAudioError, ValueError) as e:
            raise OSError(f"no such sound output: {e}") from None
        self.tones = Tones(float(self.stream.samplerate), volume)
        self.stream.start()

    def _fill(self, out: np.ndarray, n: int, time: Any, status: Any) -> None:
        out[:, 0] = self.tones.block(n)

    def set(self, value: Any) -> None:
        """Play a sine of this many hertz; 0 is silence."""
        self.tones.wanted = float(value)

    def close(self) -> None:
        """Play what is queued, and release the output."""
        self.stream.stop()
        self.stream.close()
