"""How this room compiles: `kernel` for functions that Python calls, `part` for those that only kernels call.

Both are kept on disk and run without the GIL. What Python never calls needs no wrapper for it: wrappers of functions
with two dozen arguments took a third of the time to compile.
"""

from __future__ import annotations

from numba import njit

kernel = njit(cache=True, nogil=True, no_cfunc_wrapper=True)
part = njit(cache=True, nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=True)
