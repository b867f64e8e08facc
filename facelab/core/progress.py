"""How far a long call is: loops say it with `track`, the caller decides how it is shown.

Nothing is shown by default. In a notebook that a person runs, `Run.long` shows a bar below the cell.
"""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from typing import Any, TypeVar

from facelab.core.templates import render

Item = TypeVar("Item")
EVERY_S = 0.5


class Sink:
    """Where `track` reports to. Only the outermost loop counts."""

    def __init__(self) -> None:
        self.what, self.done, self.total, self.busy = "", 0, 0, False


_SINK: contextvars.ContextVar[Sink | None] = contextvars.ContextVar(
    "facelab_progress", default=None
)


def track(items: Iterable[Item], what: str = "", total: int | None = None) -> Iterator[Item]:
    """Yield `items` and report how many are done; `total` is needed where they have no length.

    >>> list(track("abc", "letters"))
    ['a', 'b', 'c']
    """
    sink = _SINK.get()
    if sink is None or sink.busy:
        yield from items
        return
    sink.busy, sink.what, sink.done = True, what, 0
    sink.total = total if total is not None else len(items) if isinstance(items, Sized) else 0
    try:
        for item in items:
            yield item
            sink.done += 1
    finally:
        sink.busy = False


def jupyter_display() -> Callable[..., Any] | None:
    """Return IPython's `display` where a Jupyter kernel runs this process, else None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    return sys.modules["IPython.display"].display


@contextlib.contextmanager
def bar(name: str, *, expected_s: float | None = None) -> Generator[None]:
    """Show a bar below the notebook cell while the block runs; nothing outside a Jupyter kernel.

    The bar follows the loops that use `track`; where there is none, the clock against `expected_s`.
    """
    display = jupyter_display()
    if display is None:
        yield
        return
    sink, began, over = Sink(), time.monotonic(), threading.Event()
    token = _SINK.set(sink)
    handle = display(_Html(bar_html(name, sink, 0.0, expected_s)), display_id=True)

    def follow() -> None:
        while not over.wait(EVERY_S):
            handle.update(_Html(bar_html(name, sink, time.monotonic() - began, expected_s)))

    # the thread's messages must carry the cell's header, which is kept in the context
    thread = threading.Thread(target=contextvars.copy_context().run, args=(follow,), daemon=True)
    thread.start()
    ended = "stopped"
    try:
        yield
        ended = "computed"
    finally:
        over.set()
        thread.join()
        _SINK.reset(token)
        text = f"{name}: {ended} in {time.monotonic() - began:.1f} s"
        handle.update(_Html(render("core/templates/small.html.j2", text=text)))


class _Html:
    """Markup, shown as it is."""

    def __init__(self, text: str):
        self.text = text

    def _repr_html_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def bar_html(name: str, sink: Sink, seconds: float, expected_s: float | None) -> str:
    """Return the bar as HTML: what is done of how much, the seconds passed, and those to come where that is known.

    >>> sink = Sink(); sink.what, sink.done, sink.total = "models", 2, 8
    >>> print(bar_html("cost", sink, 5.0, None))
    <progress max="1" value="0.250"></progress> <small>cost: models 2 of 8 · 5 s · about 15 s to go</small>
    """
    said: list[Any] = [f"{seconds:.0f} s"]
    share = sink.done / sink.total if sink.total else None
    if share:
        said.append(f"about {seconds / share - seconds:.0f} s to go")
    elif expected_s:
        share = min(seconds / expected_s, 0.99) if not sink.total else 0.0
        said.append(f"last time it took {expected_s:.0f} s")
    counted = f"{sink.what} {sink.done} of {sink.total} · ".lstrip() if sink.total else ""
    words = counted + " · ".join(said)
    return render("core/templates/progress.html.j2", name=name, share=share, said=words)
