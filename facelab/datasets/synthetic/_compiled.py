"""How this room compiles: `kernel` for functions that Python calls, `part` for those that only kernels call.

`fastmath` stays off: the compiler may then neither fuse nor reorder float operations, so that results do not depend
on the processor. Machine code is kept on disk, one copy per processor type, and runs without the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from facelab.core.compiled import compiled, digest_of

Record: TypeAlias = Any
"""A numba record, whose numbers are read by name: a face, a point, a grid."""


@cache
def _sources() -> str:
    """Return a digest of this room's sources."""
    return digest_of(Path(__file__).parent)


def kernel(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function that Python calls; `options` are numba's."""
    return compiled(
        function, _sources, nogil=True, no_cfunc_wrapper=True, error_model="numpy", **options
    )


def part(function: Callable[..., Any]) -> Any:
    """Compile a function that only compiled functions call."""
    return kernel(function, no_cpython_wrapper=True, _nrt=False)
