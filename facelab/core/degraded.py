"""Which fallbacks are active in this process: every record and every answer of the service says so."""

from __future__ import annotations

import threading

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
