"""The process that plays: it waits for absolute deadlines, sets outputs, and switches all off before it ends.

It ends when its parent is gone, however that happened: it sees the closed channel, or another parent. It is not killed
by a signal then, since a killed process leaves a motor running.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from facelab.core import scheduling
from facelab.core.errors import FacelabError
from facelab.core.files import dumps
from facelab.feedback.drivers import CHANNELS, Driver, open_driver
from facelab.feedback.drivers._base import put_to_rest

LOOK_S = 0.1
MOST_LATE = 200_000
COUNTS: tuple[str, ...] = ("actions", "played", "skipped", "superseded", "failed")


class Worker:
    """Plays the newest program."""

    def __init__(self, channel: Connection, drivers: dict[str, Driver]) -> None:
        self.channel, self.drivers = channel, drivers
        self.todo: list[list[Any]] = []  # [deadline, channel, value], the next one last
        self.counts = {name: dict.fromkeys(COUNTS, 0) for name in drivers}
        self.state = {name: CHANNELS[name] for name in drivers}
        self.late: list[float] = []
        self.errors: list[str] = []
        self.start = time.monotonic()
        self.running = True
        self.parent = os.getppid()

    def loop(self) -> None:
        """Play until told to stop, or until the parent is gone."""
        while self.running and os.getppid() == self.parent:
            left = self.todo[-1][0] - time.monotonic() if self.todo else LOOK_S
            if left > 0:
                ready, _, _ = select.select([self.channel], [], [], min(left, LOOK_S))
            else:
                ready = [self.channel] if self.channel.poll(0) else []
            if ready:
                self._listen()
            self._play(time.monotonic())

    def _listen(self) -> None:
        """Take everything that has arrived; of several programs only the newest is played."""
        newest = None
        while self.running and self.channel.poll(0):
            try:
                message = json.loads(self.channel.recv_bytes(64 << 20))
            except (EOFError, OSError):
                self.running = False
                return
            if message["kind"] == "play":
                if newest is not None:
                    self._count(newest["actions"], "superseded")
                newest = message
            elif message["kind"] == "report":
                if newest is not None:
                    self._begin(newest)
                    newest = None
                self.channel.send_bytes(dumps(self.report()).encode())
            else:
                self.running = False
        if newest is not None:
            self._begin(newest)

    def _count(self, actions: list[list[Any]], what: str) -> None:
        for _, channel, _ in actions:
            self.counts[channel]["actions"] += 1
            self.counts[channel][what] += 1

    def _begin(self, program: dict[str, Any]) -> None:
        for _, channel, _ in self.todo:
            self.counts[channel]["superseded"] += 1
        self.start = max(time.monotonic(), program["start_s"] or 0.0)
        self.todo = [[self.start + t, c, v] for t, c, v in reversed(program["actions"])]
        first = {}
        for _, channel, _ in self.todo:
            self.counts[channel]["actions"] += 1
        for t, channel, _ in reversed(self.todo):
            first.setdefault(channel, t)
        for channel, rest in CHANNELS.items():  # nothing of the old program goes on
            waits = first.get(channel, float("inf")) > time.monotonic()
            if channel in self.state and self.state[channel] != rest and waits:
                self._rest(channel)

    def _play(self, now: float) -> None:
        due: dict[str, list[Any]] = {}
        while self.todo and self.todo[-1][0] <= now:
            action = self.todo.pop()
            if action[1] in due:
                self.counts[action[1]]["skipped"] += 1
            due[action[1]] = action
        for deadline, channel, value in due.values():
            late = time.monotonic() - deadline
            try:
                self.drivers[channel].set(value)
            except Exception as e:  # a driver's library may raise anything
                self.counts[channel]["failed"] += 1
                self._complain(f"{channel}: {type(e).__name__}: {e}")
                if value == CHANNELS[channel]:
                    self._rest(channel)
                continue
            self.state[channel] = value
            self.counts[channel]["played"] += 1
            if len(self.late) < MOST_LATE:
                self.late.append(late)

    def _rest(self, channel: str) -> None:
        problem = put_to_rest(channel, self.drivers[channel])
        if problem is None:
            self.state[channel] = CHANNELS[channel]
        else:
            self._complain(f"{channel} could not be switched off: {problem}")

    def _complain(self, text: str) -> None:
        self.errors = [*self.errors[-99:], text[:500]]

    def report(self) -> dict[str, Any]:
        """Return what has happened so far, as plain JSON."""
        waiting = dict.fromkeys(self.counts, 0)
        for _, channel, _ in self.todo:
            waiting[channel] += 1
        return {
            "counts": {name: {**c, "waiting": waiting[name]} for name, c in self.counts.items()},
            "late_s": self.late,
            "errors": self.errors,
            "recorded": {
                name: [[t - self.start, v] for t, v in d.record()]
                for name, d in self.drivers.items()
            },
        }

    def end(self) -> None:
        """Switch everything off, and release the devices."""
        for channel, driver in self.drivers.items():
            self._rest(channel)
            try:
                driver.close()
            except Exception as e:  # the others are still to be released
                self._complain(f"{channel}: {e}")


def main() -> None:
    """Run as `python -m facelab.feedback.schedule._worker CHANNEL`; the setup is the first message."""
    channel = Connection(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asks
    setup = json.loads(channel.recv_bytes(1 << 20))
    drivers: dict[str, Driver] = {}
    try:
        schedule = scheduling.apply(**setup["schedule"])
        for name, spec in setup["outputs"].items():
            drivers[name] = open_driver(name, spec)
    except FacelabError as e:
        channel.send_bytes(dumps({"error": e.as_dict()}).encode())
        for name, driver in drivers.items():
            put_to_rest(name, driver)
        return
    worker = Worker(channel, drivers)

    def stop(number: int, frame: Any) -> None:
        worker.running = False

    signal.signal(signal.SIGTERM, stop)
    channel.send_bytes(dumps({"schedule": schedule.to_dict()}).encode())
    try:
        worker.loop()
    finally:
        worker.end()


if __name__ == "__main__":
    main()
