"""One line per stage: a Python pipeline shows its intermediate arrays to a fingerprint. Free while nobody captures."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

_RECORD: contextvars.ContextVar[list[tuple[str, np.ndarray]] | None] = contextvars.ContextVar(
    "facelab_fingerprint_stages", default=None
)


def tap(name: str, array: Any) -> Any:
    """Show `array` as the result of stage `name` and return it unchanged.

    Parameters
    ----------
    name : str
        The name of the intermediate array.
    array : Any
        The intermediate array.

    Returns
    -------
    Any
        The same array.

    Examples
    --------
    >>> int(tap("resize", np.zeros((2, 2))).sum())
    0
    """
    record = _RECORD.get()
    if record is not None:
        record.append((name, np.array(array)))
    return array


class stage:
    """Name a stage, as a decorator of the function that does it or as a context manager.

    Parameters
    ----------
    name : str
        The stage's name in the fingerprint.

    Examples
    --------
    >>> @stage("double")
    ... def double(x):
    ...     return 2 * x
    >>> with recording() as seen:
    ...     _ = double(np.ones(2))
    ...     with stage("minus one") as show:
    ...         _ = show(double(np.ones(2)) - 1)
    >>> [name for name, _ in seen]
    ['double', 'double', 'minus one']
    """

    def __init__(self, name: str):
        self.name = name

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return tap(self.name, function(*args, **kwargs))

        return wrapped

    def __enter__(self) -> Callable[[Any], Any]:
        return functools.partial(tap, self.name)

    def __exit__(self, *exc: Any) -> None:
        return None


class recording:
    """Collect what `stage` and `tap` show inside the block: a list of (name, array)."""

    def __enter__(self) -> list[tuple[str, np.ndarray]]:
        seen: list[tuple[str, np.ndarray]] = []
        self._token = _RECORD.set(seen)
        return seen

    def __exit__(self, *exc: Any) -> None:
        _RECORD.reset(self._token)
