"""A lease on a pooled resource: who took it, where and when; and what became of it."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from facelab.core.errors import FacelabError
from facelab.core.result import Result

if TYPE_CHECKING:
    from facelab.serving.pools._pool import Pool

T = TypeVar("T")
FRAMES = 16
"""Frames of the taker's stack that a lease remembers: walking more costs more than the rest of a lease."""


class OverloadedError(FacelabError):
    """The queue before a pool is full: the request was shed at once, and nothing was done for it."""


class PoolTimeoutError(FacelabError):
    """No resource became free before the deadline; nothing was done."""


class LeaseError(FacelabError):
    """A lease was used after its release, or the pool is closed."""


@dataclass(frozen=True)
class Taker(Result):
    """Who took a lease.

    Attributes
    ----------
    who : str
        The name that the caller gave, or its thread's.
    stack : tuple of (str, int, str)
        File, line and function of each frame, innermost first.
    at : float
        `time.monotonic()` when the lease was granted, seconds.
    """

    who: str
    stack: tuple[tuple[str, int, str], ...]
    at: float

    @property
    def where(self) -> str:
        """Return the innermost frame as `file:line (function)`."""
        return "{}:{} ({})".format(*self.stack[0]) if self.stack else "unknown"

    def trace(self) -> str:
        """Return the stack as text, one frame per line, innermost first."""
        return "\n".join(f"{file}:{line} in {name}" for file, line, name in self.stack)


@dataclass(frozen=True)
class Alarm(Result):
    """A lease that is too old (`kind` is `age`) or was dropped without release (`lost`)."""

    kind: str
    pool: str
    taker: Taker
    age_s: float

    def __str__(self) -> str:
        what = "was dropped without a release" if self.kind == "lost" else "is still out"
        return f"{self.pool}: a lease of {self.taker.who} {what} after {self.age_s:.3g} s\n{self.taker.trace()}"


def taker(who: str | None) -> Taker:
    """Return who calls: the frames outside this folder, at most `FRAMES`."""
    frame, stack = sys._getframe(1), []
    here = __file__.rsplit("/", 1)[0]
    while frame is not None and len(stack) < FRAMES:
        code = frame.f_code
        if not code.co_filename.startswith(here):
            stack.append((code.co_filename, frame.f_lineno, code.co_name))
        frame = frame.f_back
    return Taker(who or threading.current_thread().name, tuple(stack), time.monotonic())


def describe(oldest: Taker | None) -> str:
    """Return a lease's age and taker in words."""
    if oldest is None:
        return "being made"
    return f"{time.monotonic() - oldest.at:.3g} s old, taken by {oldest.who} at {oldest.where}"


def after_fork(where: object) -> LeaseError:
    """Return the error for a pool or a lease of another process: two processes on one connection mix their answers."""
    return LeaseError(
        "the pool was made before this process was forked",
        where=where,
        expected="a pool of this process",
        got="the parent's resources",
        fix="open a pool in each process, after it was started",
    )


class Lease(Generic[T]):
    """The right to use one resource; a context manager. After the release `value` raises LeaseError.

    A lease that is garbage-collected without a release is recovered by its pool and counted as lost. Keep the lease
    for as long as the resource is used: the resource of a lost lease is closed.
    """

    __slots__ = ("__weakref__", "_pool", "_released", "_value", "key", "taker")

    def __init__(self, pool: Pool[T], key: int, value: T, taken_by: Taker) -> None:
        self._pool, self.key, self._value, self.taker = pool, key, value, taken_by
        self._released = False

    @property
    def value(self) -> T:
        """Return the resource. Raises LeaseError after the release, and in a process that was forked meanwhile."""
        if self._pool.forked:
            raise after_fork(self.taker.where)
        if self._released:
            raise LeaseError(
                "the lease was released, and its resource may serve another caller",
                where=self.taker.where,
                fix="use the resource inside the `with` block only",
            )
        return self._value

    def release(self, *, broken: bool = False) -> None:
        """Give the resource back; with `broken` it is closed and replaced. A second release does nothing."""
        if not self._released:
            self._released = True
            self._pool._take_back(self.key, broken)

    def __enter__(self) -> Lease[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.release()
