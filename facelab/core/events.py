"""What happens in this process beside the frames: lower rooms mark it, a tracer listens.

A room marks a span of time, such as the load of a model. Without a listener that costs half a microsecond.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NamedTuple


class Event(NamedTuple):
    """One marked span of time: `kind`, what it concerned, `perf_counter_ns` at both ends, and the thread's ident."""

    kind: str
    what: str
    start_ns: int
    end_ns: int
    thread: int


_LISTENERS: list[Callable[[Event], None]] = []


def listen(listener: Callable[[Event], None]) -> Callable[[], None]:
    """Call `listener` with each event from now on; return the function that ends this.

    >>> seen = []
    >>> stop = listen(seen.append)
    >>> with marked("model_load", "a.onnx"):
    ...     pass
    >>> stop()
    >>> [(e.kind, e.what) for e in seen]
    [('model_load', 'a.onnx')]
    """
    _LISTENERS.append(listener)

    def stop() -> None:
        if listener in _LISTENERS:
            _LISTENERS.remove(listener)

    return stop


@contextmanager
def marked(kind: str, what: str) -> Generator[None]:
    """Mark what the block does, also where it raises."""
    start = time.perf_counter_ns()
    try:
        yield
    finally:
        if _LISTENERS:
            event = Event(kind, what, start, time.perf_counter_ns(), threading.get_ident())
            for listener in tuple(_LISTENERS):
                listener(event)
