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
from facelab.core.errors import FacelabError, UnsupportedError
from facelab.core.files import dumps
from facelab.feedback.drivers import CHANNELS, RecordingDriver, open_driver
from facelab.feedback.schedule._lane import LEFT_ON, Lane

LOOK_S = 0.1


class Worker:
    """Plays the newest program."""

    def __init__(self, channel: Connection, lanes: dict[str, Lane]) -> None:
        self.channel, self.lanes = channel, lanes
        self.todo: list[list[Any]] = []  # [deadline, channel, value], the next one last
        self.start = time.monotonic()
        self.running = True
        self.parent = os.getppid()

    def loop(self) -> None:
        """Play until a message says stop, or until the parent is gone."""
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
            elif message["kind"] in ("report", "state"):
                if newest is not None:
                    self._begin(newest)
                    newest = None
                found = self.report() if message["kind"] == "report" else self.state()
                self.channel.send_bytes(dumps(found).encode())
            else:
                self.running = False
        if newest is not None:
            self._begin(newest)

    def _count(self, actions: list[list[Any]], what: str) -> None:
        for _, channel, _ in actions:
            self.lanes[channel].counts["actions"] += 1
            self.lanes[channel].counts[what] += 1

    def _begin(self, program: dict[str, Any]) -> None:
        for _, channel, _ in self.todo:
            self.lanes[channel].counts["superseded"] += 1
        self.start = max(time.monotonic(), program["start_s"] or 0.0)
        self.todo = [[self.start + t, c, v] for t, c, v in reversed(program["actions"])]
        first: dict[str, float] = {}
        for t, channel, _ in reversed(self.todo):
            self.lanes[channel].counts["actions"] += 1
            first.setdefault(channel, t)
        for channel, lane in self.lanes.items():  # nothing of the old program goes on
            waits = first.get(channel, float("inf")) > time.monotonic()
            if (lane.state != CHANNELS[channel] or lane.waiting) and waits:
                lane.do(None, CHANNELS[channel])

    def _play(self, now: float) -> None:
        due: dict[str, list[Any]] = {}
        while self.todo and self.todo[-1][0] <= now:
            action = self.todo.pop()
            if action[1] in due:
                self.lanes[action[1]].counts["skipped"] += 1
            due[action[1]] = action
        for deadline, channel, value in due.values():
            self.lanes[channel].do(deadline, value)

    def state(self) -> dict[str, Any]:
        """Return the counts alone: they cost microseconds, however long the player has played."""
        waiting = dict.fromkeys(self.lanes, 0)
        for _, channel, _ in self.todo:
            waiting[channel] += 1
        lanes = self.lanes.items()
        return {
            "counts": {n: {**e.counts, "waiting": waiting[n] + e.waiting} for n, e in lanes},
            "hanging": [n for n, e in lanes if e.hangs],
            "failing": [n for n, e in lanes if e.failing or e.hangs],
        }

    def report(self) -> dict[str, Any]:
        """Return what has happened so far, as plain JSON."""
        state, lanes = self.state(), self.lanes.items()
        hanging = [f"{n}: the driver has not returned" for n in state["hanging"]]
        return {
            **state,
            "late_s": [late for _, e in lanes for late in e.late],
            "errors": [text for _, e in lanes for text in e.errors] + hanging,
            "recorded": {n: [[t - self.start, v] for t, v in e.driver.record()] for n, e in lanes},
        }

    def end(self) -> bool:
        """Switch everything off, and release the devices; return whether all are off."""
        ended = [lane.end() for lane in self.lanes.values()]  # every one, whatever the others say
        return all(ended)


def _open(setup: dict[str, Any]) -> tuple[dict[str, Lane], dict[str, str]]:
    """Open the drivers; with `substitute` one that is not here is recorded, and named with the reason."""
    lanes: dict[str, Lane] = {}
    missing: dict[str, str] = {}
    try:
        for name, spec in setup["outputs"].items():
            try:
                driver = open_driver(name, spec)
            except UnsupportedError as e:
                if not setup["substitute"]:
                    raise
                missing[name] = f"{e.what}: {e.got}"
                driver = RecordingDriver()
            lanes[name] = Lane(name, driver)
    except BaseException:
        for lane in lanes.values():
            lane.end()
        raise
    return lanes, missing


def main() -> None:
    """Run as `python -m facelab.feedback.schedule._worker CHANNEL`; the setup is the first message."""
    channel = Connection(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asks
    setup = json.loads(channel.recv_bytes(1 << 20))
    try:
        schedule = scheduling.apply(**setup["schedule"])
        lanes, missing = _open(setup)
    except FacelabError as e:
        channel.send_bytes(dumps({"error": e.as_dict()}).encode())
        return
    worker = Worker(channel, lanes)

    def stop(number: int, frame: Any) -> None:
        worker.running = False

    signal.signal(signal.SIGTERM, stop)
    channel.send_bytes(dumps({"schedule": schedule.to_dict(), "missing": missing}).encode())
    off = False
    try:
        worker.loop()
    finally:
        off = worker.end()
    if not off:
        os._exit(LEFT_ON)  # a thread may hang in its driver


if __name__ == "__main__":
    main()
