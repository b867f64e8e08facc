"""How this room compiles: `kernel` for functions that Python calls, `part` for those that only kernels call.

Both are kept on disk and run without the GIL. What Python never calls needs no wrapper for it: wrappers of functions
with two dozen arguments took a third of the time to compile.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

_SOURCES = ("kernels", "search")
"""Folders of this room whose files compiled code may come from."""


@functools.cache
def _room() -> str:
    """Return a digest of every source that compiled code may come from: numba itself looks at one file only."""
    room, digest = Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(file for name in _SOURCES for file in (room / name).glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _constants(function: Callable[..., Any]) -> tuple[Any, ...]:
    """Return what a function was closed over, other compiled functions by what they were closed over themselves."""
    cells = (cell.cell_contents for cell in function.__closure__ or ())
    return tuple(
        _constants(c.py_func) if hasattr(c, "py_func") else (type(c).__name__, repr(c))
        for c in cells
    )


def _steady(compiled: Any) -> Callable[..., Any]:
    """Name a function in numba's cache on disk by its sources and constants, and return it.

    Numba would pickle what the function is closed over, and another compiled function pickles differently in every
    process: such code was compiled anew each time, for ten seconds.
    """

    def key(signature: Any, codegen: Any) -> tuple[Any, ...]:
        return signature, codegen.magic_tuple(), (_room(), repr(_constants(compiled.py_func)))

    if hasattr(getattr(compiled, "_cache", None), "_index_key"):
        compiled._cache._index_key = key
    return compiled


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that Python calls."""
    return _steady(njit(cache=True, nogil=True, no_cfunc_wrapper=True)(function))


def part(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that only compiled functions call."""
    return _steady(
        njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True)(function)
    )
