"""Compile a loop with Numba when it is first called."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps


def compiled(function: Callable) -> Callable:
    """Compile a function at its first call, cached on disk where some cache folder can be written.

    `fastmath` stays off: the compiler may then neither fuse nor reorder float operations, so that results do not
    depend on the processor.
    """
    machine_code = None

    @wraps(function)
    def call(*args):
        nonlocal machine_code
        if machine_code is None:
            import numba

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", numba.errors.NumbaWarning)
                try:
                    machine_code = numba.njit(cache=True)(function)
                except RuntimeError:  # no folder for the cache can be written
                    machine_code = numba.njit(function)
        return machine_code(*args)

    return call
