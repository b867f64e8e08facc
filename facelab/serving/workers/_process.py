"""One worker's process as its supervisor sees it: start, ask with a deadline, find out how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from facelab.core import lifetime
from facelab.core.errors import FacelabError
from facelab.core.isolated import module_command
from facelab.serving.workers._channel import ChannelClosedError, receive, send
from facelab.serving.workers._main import OUT_OF_MEMORY


@dataclass(frozen=True)
class Recipe:
    """How a worker is made: `module:function` and its arguments (JSON), and the bytes that requests may add.

    Examples
    --------
    >>> Recipe("facelab.detection:load", {"name_or_path": "yunet-s-320"}).target
    'facelab.detection:load'
    """

    target: str
    arguments: dict[str, Any]
    memory: int | None = None


class WorkerDiedError(Exception):
    """The process ended, or was ended at its deadline. `cause` is one of four words and a signal or code."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class StartError(FacelabError):
    """A worker could not be started: its models cannot be loaded."""


class WorkerProcess:
    """A started worker. Not for several threads at once."""

    def __init__(self, recipe: Recipe) -> None:
        ours, theirs = socket.socketpair()
        self._channel = ours
        self.asked = 0
        try:
            self._process = lifetime.Popen(
                module_command("facelab.serving.workers._main", theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.pid: int | None = None
        send(
            ours, {"target": recipe.target, "arguments": recipe.arguments, "memory": recipe.memory}
        )

    def wait_ready(self, until: float) -> None:
        """Wait until the models are loaded. Raises WorkerDiedError, or StartError with the worker's own words."""
        value, _ = self._receive(until)
        if "ready" not in value:
            error = value.get("error") or {}
            raise StartError(
                error.get("what") or "a worker cannot load its models",
                where=error.get("where"),
                expected=error.get("expected"),
                got=error.get("got") or value.get("failed"),
                fix=error.get("fix") or "start the service with --check",
            )
        self.pid = int(value["pid"])

    def ask(self, task: str, data: bytes, options: dict[str, Any], until: float) -> dict[str, Any]:
        """Return the worker's message: {"value": …} or {"failed": …}. Raises WorkerDiedError."""
        self.asked += 1
        self._channel.settimeout(max(0.01, until - time.monotonic()))
        try:
            send(self._channel, {"task": task, "options": options}, data)
        except TimeoutError:
            self.end()
            raise WorkerDiedError("hung") from None
        except ChannelClosedError:
            raise WorkerDiedError(self._cause()) from None
        return self._receive(until)[0]

    def _receive(self, until: float) -> tuple[dict[str, Any], bytes]:
        try:
            return receive(self._channel, until=until)
        except TimeoutError:
            self.end()
            raise WorkerDiedError("hung") from None
        except ChannelClosedError:
            raise WorkerDiedError(self._cause()) from None

    def _cause(self) -> str:
        """Return how the process ended; one that closed its channel and lives on is ended."""
        try:
            code = self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self.end()
            return "hung"
        self._channel.close()
        if code == OUT_OF_MEMORY:
            return "out of memory"
        if code < 0:
            name = signal.Signals(-code).name
            return "killed" if name == "SIGKILL" else f"crashed ({name})"
        return f"ended (exit code {code})"

    def alive(self) -> bool:
        """Return whether the process has not ended."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the process, at once."""
        self._channel.close()
        if self.pid is not None and self._process.poll() is None:
            with contextlib.suppress(OSError):
                os.kill(
                    self.pid, signal.SIGKILL
                )  # its guard follows; closing its pipe takes longer
        self._process.kill()
