"""The process between an owner and what it starts: when either ends, nothing that was started goes on.

Run by path with `python -I -S`; standard library only. Two forms:

    guard.py run FD OWNER COMMAND…     start COMMAND, pass signals on to it, end as it ended
    guard.py watch FD OWNER TOKEN      start nothing; end what carries TOKEN in its environment

FD is the reading end of a pipe whose other end the owner alone holds: it closes however the owner ends. OWNER is the
owner's process id, passed so that an owner that is gone before this process looks is noticed too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from typing import Any, NoReturn

FAMILY = "FACELAB_FAMILY"
"""The environment variable that holds the tokens of all owners of a process, parted by colons."""
_SUBREAPER, _DEATH_SIGNAL = 36, 1
_POLL_S = 1.0
_END_S = 4.0
_TIDY_S = 4.0
_SHARED = r"(?:sem\.loky-|joblib_memmapping_folder_)(\d+)[-_]"
"""Names in shared memory that joblib's workers give, with the process that asked for them."""


def _prctl(option: Any, value: Any) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def ask_for_signal(number: int) -> None:
    """Let the kernel send this process a signal when the thread that started it ends (Linux)."""
    _prctl(_DEATH_SIGNAL, number)


def _parents() -> dict[Any, Any]:
    """Return {process: its parent} of all processes that have not ended."""
    found: dict[Any, Any] = {}
    if not os.path.isdir("/proc/self"):  # noqa: PTH112
        return found
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/stat", "rb") as f:  # noqa: PTH123
                    fields = f.read().rpartition(b")")[2].split()
                if fields[0] not in (b"Z", b"X"):
                    found[int(name)] = int(fields[1])
    return found


def descendants(root: int) -> list[int]:
    """Return the process ids of everything below a process."""
    children: dict[int, list[int]] = {}
    for process, parent in _parents().items():
        children.setdefault(parent, []).append(process)
    found: list[int] = []
    stack = [root]
    while stack:
        below = children.get(stack.pop(), [])
        found += below
        stack += below
    return found


def family(token: str) -> list[int]:
    """Return the ids of the processes that carry a token in their environment, this one left out."""
    found: list[int] = []
    word = token.encode()
    for process in _parents():
        if process == os.getpid():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{process}/environ", "rb") as f:  # noqa: PTH123
            if word in f.read():
                found.append(process)
    return found


def _kill(processes: Any) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end_all(find: Any, seconds: Any = _END_S) -> bool:
    """Kill what `find` finds until it finds nothing; return whether nothing is left."""
    until = time.monotonic() + seconds
    while found := find():
        if time.monotonic() > until:
            return False
        _kill(found)
        _reap()
        time.sleep(0.02)
    return True


def _start(command: list[str]) -> int:
    """Fork and execute the command in its own session; it ends with this process."""
    me = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        ask_for_signal(signal.SIGKILL)
        if os.getppid() == me:
            os.execvp(command[0], command)
    finally:
        os._exit(127)


def _silence() -> None:
    """Leave the command's standard streams to the command: a reader must see them close when it ends."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def _owner_gone(fd: int, owner: int, wake: Any = None) -> bool:
    """Wait a moment and return whether the owner is gone."""
    readable = select.select([fd] if wake is None else [fd, wake], [], [], _POLL_S)[0]
    if wake is not None and wake in readable:
        os.read(wake, 512)
    return fd in readable or os.getppid() != owner


def _exit_like(status: Any) -> NoReturn:
    """End this process as the command ended: with its exit code, or by its signal."""
    if os.WIFEXITED(status):
        os._exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def _noticed(number: int, frame: object) -> None:
    """Wake the loop up: a child ended."""


def run(fd: int, owner: int, command: list[str]) -> None:
    """Run a command until it or the owner ends, then end all that is below this process."""
    _prctl(_SUBREAPER, 1)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _noticed)
    child: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child[0], number)

    os.set_inheritable(fd, False)
    child.append(_start(command))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    _silence()
    status = None
    while status is None and not _owner_gone(fd, owner, reading):
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child[0]:
                    status = ended[1]
    me = os.getpid()
    end_in_order(lambda: descendants(me))
    _exit_like(signal.SIGKILL if status is None else status)


def watch(fd: int, owner: int, token: str) -> None:
    """Wait for the owner to end, give helpers a moment to tidy up after it, then end what carries the token."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _silence()
    while not _owner_gone(fd, owner):
        pass
    end_in_order(lambda: family(token), owner)


def end_in_order(find: Any, *owners: int) -> bool:
    """End what `find` finds; return whether nothing is left.

    Last come the resource trackers of joblib and multiprocessing, which get a moment to do their work: they remove
    shared memory and semaphores once all others are gone. What they do not get done is removed here, for `owners` too.
    """
    known = set(owners)

    def others() -> list[int]:
        found = find()
        known.update(found)
        return [p for p in found if not tidies_up(p)]

    end_all(others)
    until = time.monotonic() + _TIDY_S
    while find() and time.monotonic() < until:
        _reap()
        time.sleep(0.02)
    ended = end_all(find)
    _remove_shared(known)
    return ended


def _remove_shared(owners: Any) -> None:
    """Remove what dead processes shared through /dev/shm."""
    # imported here: this process must start at once
    import re
    import shutil

    alive = _parents()
    with contextlib.suppress(OSError):
        for name in os.listdir("/dev/shm"):  # noqa: PTH208
            match = re.match(_SHARED, name)
            if match and int(match[1]) in owners and int(match[1]) not in alive:
                path = f"/dev/shm/{name}"
                if os.path.isdir(path):  # noqa: PTH112
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        os.unlink(path)  # noqa: PTH108


def tidies_up(process: Any) -> bool:
    """Return whether a process is a resource tracker."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/cmdline", "rb") as f:  # noqa: PTH123
        return b"resource_tracker" in f.read()
    return False


if __name__ == "__main__":
    _form, _fd, _owner, *_rest = sys.argv[1:]
    if _form == "run":
        run(int(_fd), int(_owner), _rest)
    else:
        watch(int(_fd), int(_owner), _rest[0])
