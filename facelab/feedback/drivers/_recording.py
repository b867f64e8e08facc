"""No device: what would have been set, and when."""

from __future__ import annotations

import time
from typing import Any

from facelab.feedback.drivers._base import Driver

MOST = 200_000


class RecordingDriver(Driver):
    """Keeps what was set.

    Parameters
    ----------
    fails
        How many calls fail first; for tests of what happens then.
    hangs_s
        How many seconds the first call takes; for tests of a device that does not answer.
    """

    def __init__(self, fails: int = 0, hangs_s: float = 0.0) -> None:
        self.fails, self.hangs_s = fails, hangs_s
        self.quick = hangs_s == 0
        self.kept: list[tuple[float, Any]] = []

    def set(self, value: Any) -> None:
        """Keep the time and the value."""
        if self.hangs_s > 0:
            wait, self.hangs_s = self.hangs_s, 0.0
            time.sleep(wait)
        if self.fails > 0:
            self.fails -= 1
            raise OSError("the recording driver fails as planned")
        if len(self.kept) < MOST:
            self.kept.append((time.monotonic(), value))

    def record(self) -> list[tuple[float, Any]]:
        """Return what was kept."""
        return self.kept
