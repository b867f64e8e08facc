"""Which fallbacks are active in this process: every record and every answer of the service says so."""

from __future__ import annotations

import threading
import weakref

_lock = threading.Lock()
_active: dict[str, int] = {}


def enter(name: str) -> None:
    """Say that a fallback is active from now on; each call needs its own `leave`."""
    with _lock:
        _active[name] = _active.get(name, 0) + 1


def leave(name: str) -> None:
    """Take back one `enter` of this fallback."""
    with _lock:
        left = _active.get(name, 0) - 1
        if left > 0:
            _active[name] = left
        else:
            _active.pop(name, None)


def active() -> tuple[str, ...]:
    """Return the names of all active fallbacks, sorted.

    >>> enter("an example"); "an example" in active()
    True
    >>> leave("an example"); "an example" in active()
    False
    """
    with _lock:
        return tuple(sorted(_active))


def as_text() -> str | None:
    """Return the active fallbacks as one text, or None where all is as it should be."""
    return ", ".join(active()) or None


class Fallback:
    """One fallback that is active until `end`, or until nobody holds this object any more.

    Parameters
    ----------
    name : str
        A row of the degradation matrix.
    why : str
        What triggered it.

    Examples
    --------
    >>> slow = Fallback("another example", "no delegate"); "another example" in active()
    True
    >>> slow.end(); "another example" in active()
    False
    """

    def __init__(self, name: str, why: str = "") -> None:
        self.name, self.why = name, why
        enter(name)
        self.end = weakref.finalize(self, leave, name)
        self.end.atexit = False


class Fallbacks:
    """The fallbacks of one object: each is active while `say` was last given a reason for it.

    Examples
    --------
    >>> mine = Fallbacks()
    >>> mine.say("a third example", "too hot"); mine.names
    ('a third example',)
    >>> mine.say("a third example", ""); mine.names
    ()
    """

    def __init__(self) -> None:
        self._held: dict[str, Fallback] = {}

    def say(self, name: str, why: str) -> None:
        """Say that a trigger holds, with the reason, or with an empty one that it no longer does."""
        if why and name not in self._held:
            self._held[name] = Fallback(name, why)
        elif not why and name in self._held:
            self._held.pop(name).end()

    @property
    def names(self) -> tuple[str, ...]:
        """The active ones."""
        return tuple(self._held)

    @property
    def why(self) -> dict[str, str]:
        """Each active one's reason."""
        return {name: f.why for name, f in self._held.items()}

    def end(self) -> None:
        """Take all of them back."""
        for name in list(self._held):
            self._held.pop(name).end()
