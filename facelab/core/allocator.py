"""glibc's allocator: bytes in use, memory that was freed but kept, and the threshold that returns large blocks.

Freed memory that the allocator keeps looks like a leak in RSS and is none. Only glibc offers these functions; on
other C libraries `in_use_bytes` returns None, `trim` and `pin_mmap_threshold` return False.
"""

from __future__ import annotations

import ctypes
import functools

M_MMAP_THRESHOLD = -3
PINNED_THRESHOLD = 128 << 10
"""Bytes from which every block gets its own mapping: glibc's own start value, which it otherwise raises."""


class _MallInfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libc.so.6")
        library.mallinfo2.restype = _MallInfo2
        library.malloc_trim.argtypes = [ctypes.c_size_t]
    except (OSError, AttributeError):
        return None
    return library


def in_use_bytes() -> int | None:
    """Return the bytes that `malloc` has handed out and not got back, or None where glibc does not tell.

    Counts blocks of all arenas and blocks that have their own mapping. Python's small objects are not in it: Python
    maps their memory itself.
    """
    library = _glibc()
    if library is None:
        return None
    found = library.mallinfo2()
    return int(found.uordblks + found.hblkhd)


def trim() -> bool:
    """Return freed memory that the allocator kept to the system; return whether any was.

    Takes milliseconds and holds the allocator's lock: call it after a model was closed, not once per frame.
    """
    library = _glibc()
    return library is not None and bool(library.malloc_trim(0))


def pin_mmap_threshold(threshold: int = PINNED_THRESHOLD) -> bool:
    """Give every block of at least `threshold` bytes its own mapping, for the life of this process.

    glibc raises the threshold to the largest block that was freed (up to 32 MiB). From then on a model's weights come
    from the heap, and a closed model's memory stays there. A pinned threshold returns it at once. The price: a fresh
    array of a camera frame costs page faults each time, so keep frames in a pool.
    Returns False where glibc is not the C library.
    """
    library = _glibc()
    return library is not None and bool(library.mallopt(M_MMAP_THRESHOLD, threshold))
