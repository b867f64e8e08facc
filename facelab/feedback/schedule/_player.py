"""Plays programs in another process, so that a busy interpreter here delays nothing."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import socket
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from facelab.core import errors as core_errors
from facelab.core.degraded import Fallbacks
from facelab.core.errors import BadInputError, FacelabError
from facelab.core.files import dumps
from facelab.core.isolated import module_command
from facelab.core.lifetime import Closing
from facelab.core.scheduling import Schedule, check_schedule
from facelab.feedback.drivers import CHANNELS, open_driver
from facelab.feedback.drivers._base import put_to_rest
from facelab.feedback.schedule._lane import LEFT_ON
from facelab.feedback.schedule._program import Program
from facelab.feedback.schedule._report import Ledger, PlayerReport

START_S, ANSWER_S, STOP_S, SAFE_S = 60.0, 20.0, 5.0, 2.0
LONGEST_WAIT_S = 3600.0


class PlayerDiedError(FacelabError):
    """The process that plays is gone; what it left running was switched off where that was possible."""


class Player(Closing):
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
    substitute
        Whether a channel whose library or device is not here is recorded instead of refused. `missing` names it, and
        `degraded` says `output_missing`.

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
        substitute: bool = False,
    ) -> None:
        check_schedule(cpu, fifo, nice)
        self._fallbacks = Fallbacks()
        self.missing: dict[str, str] = {}
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
                stderr=subprocess.DEVNULL,
            )
        finally:
            there.close()
        _live.add(self)
        wishes = {"cpu": cpu, "fifo": fifo, "nice": nice}
        self._say({"outputs": self.outputs, "schedule": wishes, "substitute": substitute})
        answer = self._hear(START_S)
        if "error" in answer:
            self.close()
            raise _error_of(answer["error"])
        fields = answer["schedule"]
        self.schedule = Schedule(**{**fields, "cpus": tuple(fields["cpus"])})
        self.missing = answer["missing"]
        self._fallbacks.say("fifo_refused", self.schedule.refused.get("fifo", ""))
        self._fallbacks.say("output_missing", "; ".join(self.missing.values()))

    @property
    def degraded(self) -> tuple[str, ...]:
        """The fallbacks with which it plays, as known since the last report."""
        return self._fallbacks.names

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
        BadInputError
            The start is not a time within the next hour.
        PlayerDiedError
            The process is gone.
        """
        if start_s is not None and not start_s - time.monotonic() <= LONGEST_WAIT_S:
            raise BadInputError(
                "the start is too far away",
                where="start_s",
                expected=f"within {LONGEST_WAIT_S:g} s, in seconds of time.monotonic()",
                got=start_s,
                fix="send the program when it is due",
            )
        actions = [[a.time_s, a.channel, a.value] for a in program.actions()]
        kept = [a for a in actions if a[1] in self.outputs]
        self._say({"kind": "play", "actions": kept, "start_s": start_s})
        self._length_s = (kept[-1][0] if kept else 0.0) + max(
            0.0, (start_s or 0.0) - time.monotonic()
        )
        for row in program.rows():
            if row["output"] in self._asked:
                for name in ("asked", "merged", "dropped"):
                    self._asked[row["output"]][name] += row[name]

    def finish(self) -> None:
        """Wait until the program has been played. A channel whose driver hangs is not waited for."""
        deadline = time.monotonic() + self._length_s + ANSWER_S
        while True:
            state = self._asked_for("state")
            left = {n for n, c in state["counts"].items() if c["waiting"]}
            if left <= set(state["hanging"]):
                return
            if time.monotonic() > deadline:
                raise PlayerDiedError(
                    "the program did not end in time",
                    where=f"process {self.pid}",
                    got=f"actions wait for {', '.join(sorted(left))}",
                    fix="look at the machine's load and at the report's errors",
                )
            time.sleep(0.02)

    def _asked_for(self, kind: str) -> dict[str, Any]:
        self._say({"kind": kind})
        answer = self._hear(ANSWER_S)
        failing = ", ".join(answer["failing"])
        self._fallbacks.say("output_failing", failing and f"{failing} fails or hangs")
        return answer

    def report(self) -> PlayerReport:
        """Return what has happened so far; after `close` what had happened until then."""
        if self._channel is None and self._last is not None:
            return self._last
        answer = self._asked_for("report")
        ledgers = {
            name: Ledger(**self._asked[name], **counts) for name, counts in answer["counts"].items()
        }
        recorded = {
            name: tuple((float(t), v) for t, v in rows) for name, rows in answer["recorded"].items()
        }
        late = np.array(answer["late_s"], float)
        self._last = PlayerReport(
            ledgers, late, self.schedule, tuple(answer["errors"]), recorded, self.degraded
        )
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
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            code = LEFT_ON
        if code == LEFT_ON and channel is not None:
            self._left_on(self._make_safe())
        self._fallbacks.end()
        _live.discard(self)

    def _left_on(self, channels: list[str]) -> None:
        """Keep in the last report which outputs may still be on."""
        if channels and self._last is not None:
            said = tuple(f"{name} may still be on: its driver hangs" for name in channels)
            self._last = dataclasses.replace(self._last, errors=(*self._last.errors, *said))

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
            if spec.partition(":")[0] == "recording" or name in self.missing:
                continue
            done = threading.Event()
            # a driver that hung in the player may hang here too: nobody waits for it without end
            threading.Thread(target=_switch_off, args=(name, spec, done), daemon=True).start()
            if not done.wait(SAFE_S):
                left.append(name)
        return left


def _switch_off(name: str, spec: str, done: threading.Event) -> None:
    try:
        driver = open_driver(name, spec)
    except FacelabError:
        return
    if put_to_rest(name, driver) is None:
        done.set()
    with contextlib.suppress(Exception):
        driver.close()


def _error_of(fields: dict[str, Any]) -> FacelabError:
    kind = getattr(core_errors, fields.pop("error"), FacelabError)
    return kind(fields.pop("what"), **fields)


_live: weakref.WeakSet[Player] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for player in list(_live):
        with contextlib.suppress(Exception):
            player.close()
