"""Writes that survive a power cut: the bytes of a file, and the folder entry that names it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from facelab.core.errors import BadInputError

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


@contextlib.contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the lock of the one writer. Raises BadInputError where another process holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInputError(
                "another process writes to this collection",
                where=path.parent,
                expected="one writer",
                fix="close it there, or open the collection with write=False",
            ) from None
        yield
    finally:
        os.close(fd)
