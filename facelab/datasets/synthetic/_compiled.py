"""How this room compiles: `kernel` for functions that Python calls, `part` for those that only kernels call.

`fastmath` stays off: the compiler may then neither fuse nor reorder float operations, so that results do not depend
on the processor. Machine code is kept on disk, one copy per processor type, and runs without the interpreter's lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

_OPTIONS = {"nogil": True, "no_cfunc_wrapper": True, "error_model": "numpy"}


@cache
def _sources() -> str:
    """Return a digest of every source that compiled code may come from: numba looks at one file only."""
    folder, digest = Path(__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _compile(function: Callable, **options: Any) -> Any:
    try:
        compiled: Any = njit(cache=True, **_OPTIONS, **options)(function)
    except RuntimeError:  # no folder for the cache can be written
        return njit(**_OPTIONS, **options)(function)

    def key(signature: Any, codegen: Any) -> tuple:
        return signature, codegen.magic_tuple(), _sources()

    if hasattr(getattr(compiled, "_cache", None), "_index_key"):
        compiled._cache._index_key = key
    return compiled


def kernel(function: Callable) -> Any:
    """Compile a function that Python calls."""
    return _compile(function)


def part(function: Callable) -> Any:
    """Compile a function that only compiled functions call."""
    return _compile(function, no_cpython_wrapper=True, _nrt=False)
