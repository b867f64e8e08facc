"""Writes that survive a power cut: the bytes of a file, and the folder entry that names it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from facelab.core.errors import BadInputError

FACTS = "collection.json"
"""The file that says what a collection is: written once, and the lock of its writer."""
OnStep = Callable[[str], object]
"""Called with the name of each step of a write, before it is taken."""


def no_step(name: str) -> None:
    """Do nothing: what happens between the steps of a write unless a test or a trace wants to know."""


def write_durably(path: Path, data: bytes | list[memoryview | bytes]) -> None:
    """Write a new file and wait until it is on the disk; the folder entry needs `sync_folder`."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        for piece in [data] if isinstance(data, bytes) else data:
            write_all(fd, piece)
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all bytes; a disk that fills up raises OSError after a part of them."""
    view = memoryview(data).cast("B") if len(data) else memoryview(b"")
    while len(view):
        view = view[os.write(fd, view[: 64 << 20]) :]


def sync_folder(path: Path) -> None:
    """Wait until a folder's entries are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _Held:
    """A lock file that is held; a process that was forked meanwhile lets go of its copy at once."""

    def __init__(self, fd: int):
        self._fd = fd
        _HELD.add(self)

    def close(self) -> None:
        _HELD.discard(self)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


_HELD: set[_Held] = set()


def _let_go() -> None:
    for held in list(_HELD):
        held.close()


os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of the one writer of a collection. Raises BadInputError where another process holds it.

    The file of its facts is locked, which nobody takes for a lock that a crash left behind.
    """
    fd = os.open(folder / FACTS, os.O_RDWR | os.O_CLOEXEC)
    held = _Held(fd)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInputError(
                "another process writes to this collection",
                where=folder,
                expected="one writer",
                fix="close it there, or open the collection with write=False",
            ) from None
        yield
    finally:
        held.close()
