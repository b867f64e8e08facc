"""Start processes that end when this one does, however it ends, together with all that they start.

Between this process and the command stands a small guard (`facelab.core.guard`). It adopts what the command leaves
behind, detached processes included, and ends all of it when the command ends or when this process is gone.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from facelab.core import guard
from facelab.core.guard import FAMILY

if TYPE_CHECKING:
    from typing import Self

_GUARD = str(Path(guard.__file__).resolve())
_CLOSE_S = 10.0
MOST_OUTPUT = 64 << 20
"""Bytes that `run` keeps of what a command writes to one stream."""


class Closing:
    """A context manager that closes itself at the end of its block.

    Examples
    --------
    >>> class Door(Closing):
    ...     def close(self):
    ...         print("closed")
    >>> with Door():
    ...     print("open")
    open
    closed
    """

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Lifeline:
    """The end of a pipe that only the owner holds; closed when it is let go of."""

    def __init__(self, fd: int):
        self._fd: int | None = fd

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    __del__ = close


class Popen(subprocess.Popen[Any]):
    """`subprocess.Popen` for a command that ends with its owner; the command leads its own session.

    `pid` is the guard's; signals are passed on, and the exit code is the command's. `kill` ends the command and all
    that it started. So does losing the last reference to this object. `token` marks the family in its environment.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        token: str | None = None,
        **options: Any,
    ):
        words = [os.fspath(word) for word in command]
        environment = dict(os.environ if env is None else env)
        program = words[0]
        if os.sep in program:  # relative to where it will run
            program = str(Path(options.get("cwd") or ".", program))
        if shutil.which(program, path=environment.get("PATH")) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), words[0])
        self.token = token or new_token()
        environment[FAMILY] = _with_token(environment.get(FAMILY, ""), self.token)
        reading, writing = os.pipe()
        self._lifeline = _Lifeline(writing)
        options["start_new_session"] = True
        try:
            super().__init__(
                [sys.executable, "-I", "-S", _GUARD, "run", str(reading), str(os.getpid()), *words],
                env=environment,
                pass_fds=(*pass_fds, reading),
                **options,
            )
        except BaseException:
            self._lifeline.close()
            raise
        finally:
            os.close(reading)

    def kill(self) -> None:
        """End the command and everything below it."""
        self._lifeline.close()
        try:
            self.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            super().kill()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the streams and wait; after an exception the command is ended first."""
        if exc_type is not None:
            self.kill()
        super().__exit__(exc_type, value, traceback)


class _Tail(threading.Thread):
    """Reads a pipe to its end and keeps the last bytes: what writes may be a stranger's, and write without an end."""

    def __init__(self, pipe: Any):
        super().__init__(daemon=True)
        self._pipe, self._kept = pipe, bytearray()
        self.start()

    def run(self) -> None:
        """Read."""
        with contextlib.suppress(OSError, ValueError):  # closed while it was read
            while piece := os.read(self._pipe.fileno(), 1 << 16):
                self._kept += piece
                if len(self._kept) > 2 * MOST_OUTPUT:
                    del self._kept[:-MOST_OUTPUT]

    def kept(self, patience: float | None = None) -> bytes:
        """Return the last bytes, once the pipe has closed or after `patience` seconds."""
        self.join(patience)
        return bytes(self._kept[-MOST_OUTPUT:])


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    input: str | bytes | None = None,
    timeout: float | None = None,
    capture_output: bool = False,
    text: bool = False,
    errors: str = "strict",
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """Run a command to its end as `subprocess.run` does, `check` left out. Raises subprocess.TimeoutExpired.

    Of each captured stream the last `MOST_OUTPUT` bytes are kept.

    >>> run([sys.executable, "-I", "-c", "print(6 * 7)"], capture_output=True, text=True).stdout
    '42\\n'
    """
    if input is not None:
        options["stdin"] = subprocess.PIPE
    if capture_output:
        options["stdout"] = options["stderr"] = subprocess.PIPE
    with Popen(command, **options) as process:
        out, err = (pipe and _Tail(pipe) for pipe in (process.stdout, process.stderr))
        if process.stdin is not None:
            given = input.encode() if isinstance(input, str) else input
            threading.Thread(target=_feed, args=(process.stdin, given), daemon=True).start()
        try:
            process.wait(timeout)
        except BaseException:
            process.kill()
            for tail in filter(None, (out, err)):
                tail.join(1.0)  # a process that left the family may hold the pipe for ever
            raise
        kept = [tail and tail.kept(timeout) for tail in (out, err)]
    if text:
        kept = [_as_text(data, errors) for data in kept]
    return subprocess.CompletedProcess(list(command), process.returncode, *kept)


def _feed(pipe: Any, given: Any) -> None:
    """Write all of a command's input; one that ends without reading it has had enough."""
    with contextlib.suppress(OSError, ValueError), pipe:
        pipe.write(given)


def _as_text(data: bytes | None, errors: str) -> str | None:
    return None if data is None else io.TextIOWrapper(io.BytesIO(data), "utf-8", errors).read()


def new_token() -> str:
    """Return a word that marks one family of processes; nothing else carries it."""
    return f"fl{os.urandom(16).hex()}"


def end_family(token: str) -> bool:
    """End every process whose environment carries the token, and return whether none is left.

    For what a guard that was killed itself could not end. This process is left alone.
    """
    return guard.end_in_order(lambda: guard.family(token))


def _with_token(known: str, token: str) -> str:
    return f"{known}:{token}" if known else token


_watching: dict[str, Any] = {}
_starting = threading.Lock()


def watch_children() -> None:
    """Let every process that this one starts from now on end with it, whichever library starts it.

    They inherit a token through the environment; a watcher looks for it once this process has ended. Where the
    command line is ours, `Popen` is better: it also finds processes that drop their environment.
    """
    with _starting:
        if _watching.get("pid") == os.getpid() or not Path("/proc/self/environ").exists():
            return
        token = new_token()
        reading, writing = os.pipe()
        try:
            watcher = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    _GUARD,
                    "watch",
                    str(reading),
                    str(os.getpid()),
                    token,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(reading,),
                start_new_session=True,
            )
        finally:
            os.close(reading)
        _watching.update(pid=os.getpid(), pipe=writing, watcher=watcher)
        os.environ[FAMILY] = _with_token(os.environ.get(FAMILY, ""), token)


def end_at_once_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Let the kernel send this process a signal when the thread of `parent` that started it ends (Linux).

    Ends this process now where `parent` is gone already, which the kernel would not say. Elsewhere `end_with` looks.
    """
    guard.ask_for_signal(number)
    if os.getppid() != parent:
        os._exit(1)


@functools.cache
def end_with(owner: int, *, every_s: float = 1.0) -> None:
    """End this process soon after its parent `owner` is gone: for workers whose guard may be killed as well."""

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(every_s)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def process_start(pid: int) -> str | None:
    """Return what tells a process from a later one with the same id: its start time, or None if it has ended."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else fields[19].decode()
    if Path("/proc/self").exists():
        return None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, 0)
        return "running"
    return None
