"""Locks between processes, so that two runs in one checkout do not disturb each other (POSIX `flock`)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path


class GaveUpError(Exception):
    """The caller was asked to stop while it waited for a lock."""


@contextlib.contextmanager
def lock(
    path: str | os.PathLike,
    *,
    shared: bool = False,
    stop: Callable[[], bool] = lambda: False,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold a lock on `path` for the block; many may hold a `shared` one, an exclusive one is alone.

    The operating system releases it when the process ends, however it ends. While it waits, `waiting` is called
    once, and `stop` is asked; raises GaveUpError when it says yes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as f:
        told = False
        while True:
            try:
                fcntl.flock(f, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except OSError as e:
                if e.errno not in (errno.EAGAIN, errno.EACCES):
                    break  # a file system without locks: better alone than not at all
                if stop():
                    raise GaveUpError from None
                if not told:
                    waiting()
                    told = True
                time.sleep(0.1)
        yield
