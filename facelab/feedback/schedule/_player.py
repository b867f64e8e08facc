"""Plays programs in another process, so that a busy interpreter here delays nothing."""

from __future__ import annotations

import atexit
import contextlib
import json
import socket
import subprocess
import time
import weakref
from collections.abc import Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np

from facelab.core import errors as core_errors
from facelab.core.errors import BadInputError, FacelabError
from facelab.core.files import dumps
from facelab.core.isolated import module_command
from facelab.core.scheduling import Schedule, check_schedule
from facelab.feedback.drivers import CHANNELS, open_driver
from facelab.feedback.drivers._base import put_to_rest
from facelab.feedback.schedule._program import Program
from facelab.feedback.schedule._report import Ledger, PlayerReport

START_S, ANSWER_S, STOP_S = 60.0, 20.0, 5.0


class PlayerDiedError(FacelabError):
    """The process that plays is gone; what it left running was switched off where that was possible."""


class Player:
    """Plays programs on outputs.

    It runs in its own process, with absolute deadlines. That process ends with this one, however this one ends, and
    switches everything off first.

    Parameters
    ----------
    outputs
        Channel (`led`, `motor`, `tone`) → driver, such as `gpiozero:pin=17`. Default: all of them `recording`.
    fifo
        Priority in the real-time class SCHED_FIFO, 1 to 99; `schedule` says whether it was granted.
    cpu, nice
        A core to stay on, and a nice value.

    Raises
    ------
    BadInputError, UnsupportedError
        A driver or an option is not known, or its library or device is not here.

    Examples
    --------
    >>> from facelab.feedback import schedule
    >>> with schedule.Player() as player:
    ...     player.send(schedule.heart_program("joy", seconds=0.2))
    ...     player.finish()
    ...     player.report().ledgers["led"].played
    7
    """

    def __init__(
        self,
        outputs: Mapping[str, str] | None = None,
        *,
        fifo: int | None = None,
        cpu: int | None = None,
        nice: int | None = None,
    ) -> None:
        check_schedule(cpu, fifo, nice)
        self.outputs = dict(outputs) if outputs else dict.fromkeys(CHANNELS, "recording")
        self._asked = {name: {"asked": 0, "merged": 0, "dropped": 0} for name in self.outputs}
        self._length_s = 0.0
        self._channel: Connection | None = None
        self._last: PlayerReport | None = None
        here, there = socket.socketpair()
        self._channel = Connection(here.detach())
        command = module_command("facelab.feedback.schedule._worker", there.fileno())
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=(there.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        finally:
            there.close()
        _live.add(self)
        wishes = {"cpu": cpu, "fifo": fifo, "nice": nice}
        self._say({"outputs": self.outputs, "schedule": wishes})
        answer = self._hear(START_S)
        if "error" in answer:
            self.close()
            raise _error_of(answer["error"])
        fields = answer["schedule"]
        self.schedule = Schedule(**{**fields, "cpus": tuple(fields["cpus"])})

    @property
    def pid(self) -> int:
        """The number of the process that plays."""
        return self._process.pid

    def send(self, program: Program, *, start_s: float | None = None) -> None:
        """Play a program now, in place of the present one; nothing of that one goes on.

        Parameters
        ----------
        program
            What to play. Actions for channels without an output are left out.
        start_s
            When to start, in seconds of `time.monotonic()`; by default at once.

        Raises
        ------
        PlayerDiedError
            The process is gone.
        """
        actions = [[a.time_s, a.channel, a.value] for a in program.actions()]
        kept = [a for a in actions if a[1] in self.outputs]
        self._say({"kind": "play", "actions": kept, "start_s": start_s})
        self._length_s = kept[-1][0] if kept else 0.0
        for row in program.rows():
            if row["output"] in self._asked:
                for name in ("asked", "merged", "dropped"):
                    self._asked[row["output"]][name] += row[name]

    def finish(self) -> None:
        """Wait until the program has been played."""
        deadline = time.monotonic() + self._length_s + ANSWER_S
        while any(led.waiting for led in self.report().ledgers.values()):
            if time.monotonic() > deadline:
                raise PlayerDiedError(
                    "the program did not end in time",
                    where=f"process {self.pid}",
                    fix="look at the machine's load and at the report's errors",
                )
            time.sleep(0.02)

    def report(self) -> PlayerReport:
        """Return what has happened so far; after `close` what had happened until then."""
        if self._channel is None and self._last is not None:
            return self._last
        self._say({"kind": "report"})
        answer = self._hear(ANSWER_S)
        ledgers = {
            name: Ledger(**self._asked[name], **counts) for name, counts in answer["counts"].items()
        }
        recorded = {
            name: tuple((float(t), v) for t, v in rows) for name, rows in answer["recorded"].items()
        }
        late = np.array(answer["late_s"], float)
        self._last = PlayerReport(ledgers, late, self.schedule, tuple(answer["errors"]), recorded)
        return self._last

    def close(self) -> None:
        """Switch everything off and end the process. May be called twice."""
        channel = self._channel
        if channel is not None and self._process.poll() is None and hasattr(self, "schedule"):
            with contextlib.suppress(FacelabError):
                self.report()
        self._channel = None
        if channel is not None:
            with contextlib.suppress(OSError):
                channel.send_bytes(dumps({"kind": "stop"}).encode())
            channel.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._make_safe()
        _live.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # a player that was never opened
            self.close()

    # ------------------------------------------------------------ the channel
    def _say(self, message: dict[str, Any]) -> None:
        if self._channel is None:
            raise BadInputError("the player is closed", fix="open a new one")
        try:
            self._channel.send_bytes(dumps(message).encode())
        except OSError:
            raise self._died() from None

    def _hear(self, timeout_s: float) -> dict[str, Any]:
        assert self._channel is not None
        try:
            if self._channel.poll(timeout_s):
                return json.loads(self._channel.recv_bytes())
        except (EOFError, OSError):
            raise self._died() from None
        raise PlayerDiedError(
            "the player does not answer",
            where=f"process {self.pid}",
            expected=f"an answer within {timeout_s:g} s",
            fix="close it; a driver may hang",
        )

    def _died(self) -> PlayerDiedError:
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(STOP_S)
        left = self._make_safe()
        got = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return PlayerDiedError(
            "the process that plays is gone",
            where=f"process {self.pid}",
            got=got if not left else f"{got}; still running: {', '.join(left)}",
            fix="open a new player" if not left else "cut the power of these outputs",
        )

    def _make_safe(self) -> list[str]:
        """Switch off what a killed process left running; return the channels where that failed."""
        left = []
        for name, spec in self.outputs.items():
            if spec.partition(":")[0] == "recording":
                continue
            try:
                driver = open_driver(name, spec)
            except FacelabError:
                left.append(name)
                continue
            if put_to_rest(name, driver) is not None:
                left.append(name)
            with contextlib.suppress(Exception):
                driver.close()
        return left


def _error_of(fields: dict[str, Any]) -> FacelabError:
    kind = getattr(core_errors, fields.pop("error"), FacelabError)
    return kind(fields.pop("what"), **fields)


_live: weakref.WeakSet[Player] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for player in list(_live):
        with contextlib.suppress(Exception):
            player.close()
