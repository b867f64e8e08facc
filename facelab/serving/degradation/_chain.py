"""`Chain`: ways to do one thing, best first. The best one that can be opened is used; the others are tried again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from facelab.core.errors import BadInputError, FacelabError
from facelab.core.machine import memory_bytes
from facelab.serving.degradation._matrix import Degradation

T = TypeVar("T")


class TooLargeError(FacelabError):
    """A model needs more memory than it may have."""


def free_bytes() -> int:
    """Return the memory that this process could still get, in bytes."""
    return memory_bytes()[1]


@dataclass(frozen=True)
class Way(Generic[T]):
    """One way to do something.

    Parameters
    ----------
    name : str
        What `used` and `why` call it.
    make : callable
        Opens it. It raises where its file, library or device is missing.
    needs_bytes : int
        Memory that it will need; 0 is not looked at.
    """

    name: str
    make: Callable[[], T]
    needs_bytes: int = 0


class Chain(Generic[T]):
    """Ways to do one thing, best first.

    `get` opens the best way that can be opened. While that is not the first one, `runtime_missing` is active, or
    `model_too_large` where memory was the reason; the better ways are tried again after the row's `back_s` seconds.

    Parameters
    ----------
    ways : sequence of Way
        At least one.
    degradation : Degradation or None
        Where fallbacks are noted; None makes one.
    free : callable
        Returns the bytes that are free.
    clock : callable
        Seconds; for tests.

    Raises
    ------
    BadInputError
        There is no way, or two have one name.

    Examples
    --------
    >>> def missing():
    ...     raise ImportError("no such library")
    >>> chain = Chain([Way("fast", missing), Way("plain", lambda: max)])
    >>> chain.get()([1, 3, 2]), chain.used, chain.degraded
    (3, 'plain', ('runtime_missing',))
    >>> chain.close(); chain.degraded
    ()
    """

    ROWS = ("runtime_missing", "model_too_large")

    def __init__(
        self,
        ways: Sequence[Way[T]],
        *,
        degradation: Degradation | None = None,
        free: Callable[[], float] = free_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        names = [way.name for way in ways]
        if not names or len(set(names)) != len(names):
            raise BadInputError(
                "a chain needs ways with different names",
                expected="at least one",
                got=", ".join(names) or "none",
                fix="name each way once",
            )
        self.ways, self.degradation = tuple(ways), degradation or Degradation()
        self._free, self._clock, self._lock = free, clock, threading.Lock()
        self._at, self._value, self._looked = len(names), None, float("-inf")
        self.why: dict[str, str] = {}
        """Way → why it could not be opened, of those before the one that is used."""

    @property
    def used(self) -> str | None:
        """The name of the way that is open, or None."""
        return self.ways[self._at].name if self._at < len(self.ways) else None

    @property
    def degraded(self) -> tuple[str, ...]:
        """The rows of this chain that are active."""
        return tuple(row for row in self.degradation.active() if row in self.ROWS)

    def get(self) -> T:
        """Return the best way that can be opened now.

        Raises
        ------
        FacelabError
            No way can be opened: the error of the last one.
        """
        with self._lock:
            patience = min(self.degradation.matrix.named(r).back_s for r in self.ROWS)
            due = self._clock() - self._looked >= patience
            if self._at == len(self.ways) or (self._at > 0 and due):
                self._look()
            return self._value  # type: ignore[return-value] # a way is open: `_look` would have raised

    def _look(self) -> None:
        """Open the first way before the present one that can be opened."""
        self._looked = self._clock()
        last: Exception | None = None
        rows: dict[str, str] = {}
        for k, way in enumerate(self.ways[: self._at]):
            try:
                self._check_memory(way)
                made = way.make()
            except (FacelabError, ImportError, OSError, MemoryError) as e:
                row = self.ROWS[isinstance(e, (TooLargeError, MemoryError))]
                rows[row] = self.why[way.name] = f"{way.name}: {_line(e)}"
                last = e
                continue
            self._take(k, made)
            break
        if self._at == len(self.ways):
            assert last is not None
            raise _named(last)
        for row in self.ROWS:
            if row in rows and self._at > 0:
                self.degradation.trip(row, rows[row])
            else:
                self._over(row)

    def _take(self, k: int, made: Any) -> None:
        self._let_go()
        self._at, self._value = k, made
        for way in self.ways[k:]:
            self.why.pop(way.name, None)

    def _let_go(self) -> None:
        close = getattr(self._value, "close", None)
        if callable(close):
            close()
        self._value = None

    def _check_memory(self, way: Way[T]) -> None:
        if not way.needs_bytes:
            return
        allowed = self.degradation.matrix.named("model_too_large").limit * self._free()
        if way.needs_bytes > allowed:
            raise TooLargeError(
                "the model needs more memory than it may have",
                where=way.name,
                expected=f"at most {allowed / 2**20:.1f} MiB",
                got=f"{way.needs_bytes / 2**20:.1f} MiB",
                fix="free memory, or choose a smaller model",
            )

    def _over(self, row: str) -> None:
        self.degradation.end(row)

    def close(self) -> None:
        """Close what is open, and take the fallbacks back."""
        with self._lock:
            self._let_go()
            self._at = len(self.ways)
            for row in self.ROWS:
                self._over(row)


def _line(e: BaseException) -> str:
    return f"{type(e).__name__}: {(str(e).splitlines() or [''])[0]}"[:200]


def _named(e: Exception) -> FacelabError:
    if isinstance(e, FacelabError):
        return e
    return FacelabError(
        "no way of the chain can be opened",
        got=_line(e),
        fix="install the library that is missing: facelab doctor names it",
    )
