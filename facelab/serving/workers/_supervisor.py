"""`SupervisedWorker`: one worker at a time, a spare beside it, and a count of everything that goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from facelab.core import errors as core_errors
from facelab.core.errors import FacelabError
from facelab.core.hashing import sha256_bytes
from facelab.core.lifetime import Closing
from facelab.serving.workers._ledger import Fault, Ledger, WorkerReport
from facelab.serving.workers._process import Recipe, StartError, WorkerDiedError, WorkerProcess
from facelab.serving.workers._restarts import Quarantine, RestartGate, Restarts


class WorkersDownError(FacelabError):
    """No worker can be started: the budget of restarts is used up."""


class InputLostError(FacelabError):
    """The input ended every worker that tried it; it is in quarantine now."""


class SupervisedWorker(Closing):
    """Calls go to a worker in its own process; a worker that dies or hangs is replaced.

    Parameters
    ----------
    recipe : Recipe
        What the worker runs.
    deadline_s : float
        Longest time for one answer; a worker that needs longer is ended.
    start_s : float
        Longest time for loading its models.
    spare : bool
        Whether a second worker with its models loaded waits for the first one's end.
    tries : int
        Workers that an input may end before it is lost and kept in quarantine.
    restarts : Restarts
        Back-off and budget.
    quarantine, ledger, gate : optional
        Shared by several workers of one service; by default its own.
    on_state : callable or None
        Called with "restarting", "down" and "up".

    Raises
    ------
    StartError
        The first worker cannot load its models.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        deadline_s: float = 10.0,
        start_s: float = 60.0,
        spare: bool = True,
        tries: int = 2,
        restarts: Restarts | None = None,
        quarantine: Quarantine | None = None,
        ledger: Ledger | None = None,
        gate: RestartGate | None = None,
        on_state: Callable[[str], None] | None = None,
    ) -> None:
        self.recipe, self.deadline_s, self.start_s, self.tries = recipe, deadline_s, start_s, tries
        self.gate = gate or RestartGate(restarts or Restarts())
        self.quarantine = quarantine if quarantine is not None else Quarantine()
        self.ledger = ledger or Ledger()
        self._say = on_state or (lambda _: None)
        self._calls, self._lock = threading.Lock(), threading.Lock()
        self._closed, self._with_spare = False, spare
        self._spare: WorkerProcess | None = None
        self._maker: threading.Thread | None = None
        self._worker: WorkerProcess | None = self._start()
        self._prepare_spare(0.0)

    def _start(self) -> WorkerProcess:
        made = WorkerProcess(self.recipe)
        try:
            made.wait_ready(time.monotonic() + self.start_s)
        except BaseException:
            made.end()
            raise
        return made

    # -- calls ---------------------------------------------------------------------------------------------------------

    def call(self, task: str, data: bytes = b"", **options: Any) -> Any:
        """Return what the worker's function returns for a task, bytes and options.

        Raises
        ------
        FacelabError
            What the worker's function raised, of the same class.
        InputLostError
            The input ended `tries` workers, now or before.
        WorkersDownError
            No worker can be started.
        """
        self.ledger.count("asked")
        key = sha256_bytes(task.encode() + b"\0" + data)
        if (why := self.quarantine.why(key)) is not None:
            self.ledger.count("refused")
            raise _lost(why, "this very input ended workers before")
        with self._calls:
            return self._tried(task, data, options, key)

    def _tried(self, task: str, data: bytes, options: dict[str, Any], key: str) -> Any:
        cause = ""
        for attempt in range(self.tries):
            worker = self._current()
            started = time.monotonic()
            try:
                message = worker.ask(task, data, options, started + self.deadline_s)
            except WorkerDiedError as e:
                cause = e.cause
                self._replace(cause, time.monotonic() - started)
                continue
            self.gate.good()
            return self._value(message, attempt)
        self.ledger.count("lost")
        self.ledger.count("quarantined")
        self.quarantine.add(key, cause)
        raise _lost(cause, f"{self.tries} workers ended on it")

    def _value(self, message: dict[str, Any], attempt: int) -> Any:
        if attempt:
            self.ledger.count("recovered")
        if "value" in message:
            self.ledger.count("answered")
            return message["value"]
        self.ledger.count("failed")
        raise error_of(message)

    def _current(self) -> WorkerProcess:
        if self._closed:
            self.ledger.count("refused")
            raise WorkersDownError("the worker was closed", fix="open another one")
        if self._worker is not None and self._worker.alive():
            return self._worker
        if self._worker is not None:  # it died between two calls
            self._replace("died while idle", 0.0)
        if self._worker is None:
            self._worker = self._restarted()
        if self._worker is None:
            self.ledger.count("refused")
            raise WorkersDownError(
                "no worker can be started",
                expected=f"at most {self.gate.rule.budget} restarts in {self.gate.rule.window_s:g} s",
                got=f"more; the next try is in {self.gate.opens_in():.0f} s",
                fix="try again later; the report of faults says what ends the workers",
            )
        return self._worker

    # -- faults --------------------------------------------------------------------------------------------------------

    def _replace(self, cause: str, noticed: float) -> None:
        """End the worker and put the spare, or a new one, in its place."""
        began = time.monotonic()
        if self._worker is not None:
            self._worker.end()
        self._worker = self._taken_spare()
        if self._worker is None:
            self._say("restarting")
            self._worker = self._restarted()
        elif (pause := self.gate.pause()) is not None:
            self._prepare_spare(pause)
        ready = None if self._worker is None else time.monotonic() - began
        self.ledger.fault(Fault(cause, noticed, ready))
        self._say("down" if self._worker is None else "up")

    def _restarted(self) -> WorkerProcess | None:
        """Return a new worker after the pause that the gate wants, or None where it is closed or loading fails."""
        pause = self.gate.pause()
        if pause is None:
            return None
        time.sleep(pause)
        try:
            made = self._start()
        except (StartError, WorkerDiedError):
            return None
        self._prepare_spare(0.0)
        return made

    def _taken_spare(self) -> WorkerProcess | None:
        if self._maker is not None:  # it is being made: waiting is shorter than starting another
            self._maker.join(self.start_s)
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None and not spare.alive():
            spare.end()
            return None
        return spare

    def _prepare_spare(self, pause: float) -> None:
        if not self._with_spare or self._closed:
            return

        def make() -> None:
            time.sleep(pause)
            try:
                made = self._start()
            except (StartError, WorkerDiedError, OSError):
                return  # the next fault starts one, and says why it cannot
            with self._lock:
                if self._closed or self._spare is not None:
                    made.end()
                else:
                    self._spare = made

        self._maker = threading.Thread(target=make, name="facelab-spare", daemon=True)
        self._maker.start()

    # -- the rest ------------------------------------------------------------------------------------------------------

    def report(self) -> WorkerReport:
        """Return what happened to every input so far."""
        return self.ledger.report()

    @property
    def pid(self) -> int:
        """The process number of the present worker; 0 without one."""
        return (self._worker.pid or 0) if self._worker is not None else 0

    @property
    def up(self) -> bool:
        """Whether a worker is there, or may be started now."""
        return self._worker is not None or self.gate.opens_in() == 0

    def close(self) -> None:
        """End the worker and its spare. A call that is under way ends first."""
        with self._calls:
            self._closed = True
            if self._maker is not None:
                self._maker.join(self.start_s)
            with self._lock:
                spare, self._spare = self._spare, None
            for process in (self._worker, spare):
                if process is not None:
                    process.end()
            self._worker = None


def _lost(cause: str, got: str) -> InputLostError:
    return InputLostError(
        "this input cannot be processed: it ends the process that tries",
        got=f"{got} ({cause})",
        fix="send another image; a report of this one helps to correct the library that fails",
    )


def error_of(message: dict[str, Any]) -> FacelabError:
    """Return the error that a worker's function raised: facelab's own classes by name, anything else as a failure."""
    fields = message.get("error")
    if not isinstance(fields, dict):
        return FacelabError(
            "the worker failed on this input",
            got=str(message.get("failed"))[:300],
            fix="the input may be damaged; a report of it helps",
        )
    said = {k: fields.get(k) for k in ("where", "expected", "got", "fix")}
    if isinstance(status := fields.get("status"), int):
        from facelab.serving.service._gate import RequestError

        return RequestError(status, str(fields.get("what")), **said)
    kind = getattr(core_errors, str(fields.get("error")), None)
    if not (isinstance(kind, type) and issubclass(kind, FacelabError)):
        kind = FacelabError
    return kind(str(fields.get("what")), **said)
