"""How this room compiles: `kernel` for functions that Python calls, `part` for those that only kernels call.

Both are kept on disk and run without the GIL. What Python never calls needs no wrapper for it: wrappers of functions
with two dozen arguments took a third of the time to compile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facelab.core.compiled import compiled, digest_of


@functools.cache
def _sources() -> str:
    """Return a digest of this room's folders that compiled code comes from."""
    room = Path(__file__).parents[1]
    return digest_of(room / "kernels", room / "search")


def kernel(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile a function that Python calls; `options` are numba's."""
    return compiled(function, _sources, nogil=True, no_cfunc_wrapper=True, **options)


def part(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that only compiled functions call."""
    return kernel(function, no_cpython_wrapper=True)
