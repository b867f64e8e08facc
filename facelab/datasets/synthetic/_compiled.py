"""How this room compiles: `kernel` for functions that Python calls, `part` for those that only kernels call.

`fastmath` stays off: the compiler may then neither fuse nor reorder float operations, so that results do not depend
on the processor. Machine code is kept on disk, one copy per processor type, and runs without the interpreter's lock.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from facelab.core.compiled import makers

Record: TypeAlias = Any
"""A numba record, whose numbers are read by name: a face, a point, a grid."""

# parts become a piece of each kernel: calls with dozens of arguments took a tenth of the time
kernel, part = makers(
    Path(__file__).parent,
    error_model="numpy",
    part_options={"_nrt": False, "stored": False, "forceinline": True},
)
