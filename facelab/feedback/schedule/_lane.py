"""One output of a player: its driver, its account, and its own thread where the driver may hang."""

from __future__ import annotations

import threading
import time
from typing import Any

from facelab.feedback.drivers import CHANNELS, Driver
from facelab.feedback.drivers._base import put_to_rest

COUNTS: tuple[str, ...] = ("actions", "played", "skipped", "superseded", "failed")
MOST_LATE = 200_000
LEFT_ON = 3
"""The player's exit code where an output could not be switched off: the parent tries it then."""
HANGS_S = 1.0
"""Seconds after which a driver that has not returned counts as hanging."""


class Lane:
    """Carries out the actions of one channel, in order. While the driver is busy the newest action waits.

    Parameters
    ----------
    channel
        `led`, `motor` or `tone`.
    driver
        Opened.
    """

    def __init__(self, channel: str, driver: Driver) -> None:
        self.channel, self.driver = channel, driver
        self.counts = dict.fromkeys(COUNTS, 0)
        self.state: Any = CHANNELS[channel]
        self.late: list[float] = []
        self.errors: list[str] = []
        self.failing = False
        self._next: tuple[float | None, Any] | None = None
        self._busy_since: float | None = None
        self._there = threading.Condition()
        self._running = True
        self._thread: threading.Thread | None = None
        if not driver.quick:
            self._thread = threading.Thread(target=self._run, name=f"lane {channel}", daemon=True)
            self._thread.start()

    @property
    def hangs(self) -> bool:
        """Whether the driver has not returned for too long."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > HANGS_S

    @property
    def waiting(self) -> int:
        """Actions that were handed over and are not done."""
        with self._there:
            handed = self._next is not None and self._next[0] is not None
            return handed + (self._busy_since is not None)

    def do(self, deadline: float | None, value: Any) -> None:
        """Set the output; without a deadline it is put to rest, and counts as no action."""
        if self._thread is None:
            self._carry_out(deadline, value)
            return
        with self._there:
            if self._next is not None and self._next[0] is not None:
                self.counts["skipped" if deadline is not None else "superseded"] += 1
            self._next = (deadline, value)
            self._there.notify_all()

    def _run(self) -> None:
        while True:
            with self._there:
                while self._next is None and self._running:
                    self._there.wait()
                if self._next is None:
                    return
                (deadline, value), self._next = self._next, None
                self._busy_since = time.monotonic()
            self._carry_out(deadline, value)
            with self._there:
                self._busy_since = None
                self._there.notify_all()

    def _carry_out(self, deadline: float | None, value: Any) -> None:
        if deadline is None:
            self._rest()
            return
        late = time.monotonic() - deadline
        try:
            self.driver.set(value)
        except Exception as e:  # a driver's library may raise anything
            self.counts["failed"] += 1
            self.failing = True
            self._complain(f"{self.channel}: {type(e).__name__}: {e}")
            if value == CHANNELS[self.channel]:
                self._rest()
            return
        self.failing = False
        self.state = value
        self.counts["played"] += 1
        if len(self.late) < MOST_LATE:
            self.late.append(late)

    def _rest(self) -> None:
        problem = put_to_rest(self.channel, self.driver)
        if problem is None:
            self.state = CHANNELS[self.channel]
        else:
            self.failing = True
            self._complain(f"{self.channel} could not be switched off: {problem}")

    def _complain(self, text: str) -> None:
        self.errors = [*self.errors[-99:], text[:500]]

    def end(self) -> bool:
        """Put the output to rest and release the device; return whether that could be done."""
        self.do(None, CHANNELS[self.channel])
        if self._thread is not None:
            with self._there:
                self._running = False
                self._there.notify_all()
            self._thread.join(HANGS_S)
            if self._thread.is_alive():
                self._complain(f"{self.channel} could not be switched off: the driver hangs")
                return False
        try:
            self.driver.close()
        except Exception as e:  # the others are still to be released
            self._complain(f"{self.channel}: {e}")
        return self.state == CHANNELS[self.channel]
