"""One after the other: what a native runtime keeps between calls is used by one thread at a time."""

from __future__ import annotations

import threading

from facelab.core.errors import FacelabError


class Turn:
    """A lock for threads that refuses the thread which holds it, where an ordinary lock would wait for ever.

    A thread comes back while it computes where a signal's handler or a finalizer uses the same model.

    Examples
    --------
    >>> turn = Turn()
    >>> with turn:
    ...     pass
    >>> with turn, turn:
    ...     pass
    Traceback (most recent call last):
    facelab.core.errors.FacelabError: the model computes already, for the same thread
      expected: one call at a time in each thread
      fix:      let the signal's handler note what is to be done, and do it afterwards
    """

    def __init__(self) -> None:
        self._lock, self._taken = threading.RLock(), False

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._taken:
            self._lock.release()
            raise FacelabError(
                "the model computes already, for the same thread",
                expected="one call at a time in each thread",
                fix="let the signal's handler note what is to be done, and do it afterwards",
            )
        self._taken = True

    def __exit__(self, *_: object) -> None:
        self._taken = False
        self._lock.release()
