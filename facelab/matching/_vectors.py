"""What comes in from outside: checks with clear errors, layout, and memory maps that must not fill the memory."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facelab.core.arrays import as_array
from facelab.core.errors import BadInputError
from facelab.core.narrow import is_array, is_whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Vectors = NDArray[Any]
"""(rows, dimensions) float32, float16 or int8, once checked."""
DTYPES = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(np.int8))
CACHE_LINE = 64


def aligned_zeros(rows: int, width: int) -> NDArray[np.int8]:
    """Return (rows, width) int8 zeros that begin a cache line: a vector across two lines is loaded twice.

    >>> aligned_zeros(3, 64).ctypes.data % CACHE_LINE
    0
    """
    room = np.zeros(rows * width + CACHE_LINE, np.int8)
    first = -room.ctypes.data % CACHE_LINE
    return room[first : first + rows * width].reshape(rows, width)


def _is_masked(x: object) -> bool:
    return isinstance(x, np.ma.MaskedArray)


def check_vectors(x: ArrayLike, name: str) -> Vectors:
    """Return x as a 2-D native array of float32, float16 or int8, C-contiguous and aligned; copies only if needed.

    Raises BadInputError for anything else: converting silently would change distances or hide a mistake.
    """
    if _is_masked(x):
        raise BadInputError(
            f"masked arrays are not supported ({name} is masked)",
            expected="a plain array",
            fix="drop the masked rows: x.data[~x.mask.any(axis=1)]",
        )
    vectors: Vectors = x if is_array(x) else as_array(x, name)
    if vectors.ndim != 2:
        single = vectors.ndim == 1
        raise BadInputError(
            f"{name} must have two axes",
            expected="shape (rows, dimensions)",
            got=f"shape {vectors.shape}",
            fix="a single vector is v[None, :]" if single else "one row per vector",
        )
    native = vectors.dtype.newbyteorder("=")
    if native not in DTYPES:
        number = vectors.dtype.kind in "fiub"
        raise BadInputError(
            f"the dtype of {name} is not supported",
            expected="float32, float16 or int8",
            got=vectors.dtype,
            fix="convert it: x.astype(np.float32)" if number else "give numbers",
        )
    if vectors.shape[1] == 0:
        raise BadInputError(
            f"{name} has shape {vectors.shape}: vectors must have at least one dimension",
            expected="at least one dimension",
            got=f"shape {vectors.shape}",
            fix="check how the vectors were made",
        )
    if vectors.dtype.isnative and vectors.flags.c_contiguous and vectors.flags.aligned:
        return vectors
    return np.require(vectors, dtype=native, requirements=["C", "A"])


def check_same_width(a: Vectors, b: Vectors, names: tuple[str, str]) -> None:
    """Raise BadInputError unless both arrays have vectors of one length."""
    if a.shape[1] != b.shape[1]:
        raise BadInputError(
            f"{names[0]} and {names[1]} differ in dimension",
            expected=f"{b.shape[1]} as in {names[1]}",
            got=f"{a.shape[1]}",
            fix="they must come from one embedder",
        )


def check_k(k: Any, rows: int, *, where: object = None) -> int:
    """Return k as an integer between 1 and the gallery's rows; raises BadInputError otherwise."""
    if not is_whole(k) or k < 1:
        raise BadInputError(
            "k must be an integer from 1", got=repr(k), fix="k=1 finds the nearest row"
        )
    if rows == 0:
        raise BadInputError(
            "the gallery is empty", where=where, expected="at least one row", fix="add vectors"
        )
    if k > rows:
        raise BadInputError(
            "k is larger than the gallery",
            where=where,
            expected=f"at most {rows}",
            got=k,
            fix="ask for fewer neighbours",
        )
    return int(k)


def check_finite(x: Vectors, name: str, *, first_row: int = 0) -> None:
    """Raise BadInputError naming the first row with a NaN or an infinity."""
    if x.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.add.reduce(x, axis=None, dtype=np.float64)):
            return
    for start in range(0, len(x), 4096):
        bad = ~np.isfinite(x[start : start + 4096]).all(axis=1)
        if bad.any():
            row = start + int(bad.argmax())
            raise BadInputError(
                f"there is a NaN or an infinity in {name}",
                where=f"row {first_row + row}",
                expected="finite numbers",
                fix="drop or repair that vector",
            )


def mapping_of(x: NDArray[Any]) -> mmap.mmap | None:
    """Return the read-only or shared memory map under an array, or None for its own memory.

    Copy-on-write maps count as own memory: their changed pages exist nowhere else.
    """
    base: Any = x
    while is_array(base):
        if isinstance(base, np.memmap) and base.mode == "c":
            return None
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def drop_pages(x: NDArray[Any], mapping: mmap.mmap) -> None:
    """Give the pages under a mapped array back to the system; they are read again when touched."""
    if not hasattr(mapping, "madvise"):
        return
    whole = np.frombuffer(mapping, np.uint8)
    start = x.ctypes.data - whole.ctypes.data
    length = x.nbytes
    del whole
    first = start // mmap.PAGESIZE * mmap.PAGESIZE
    mapping.madvise(mmap.MADV_DONTNEED, first, start + length - first)


def prefetch_pages(x: NDArray[Any], mapping: mmap.mmap) -> None:
    """Ask the system to read the pages under a mapped array ahead of their use."""
    if not hasattr(mapping, "madvise") or x.nbytes == 0:
        return
    whole = np.frombuffer(mapping, np.uint8)
    start = x.ctypes.data - whole.ctypes.data
    del whole
    first = start // mmap.PAGESIZE * mmap.PAGESIZE
    mapping.madvise(mmap.MADV_WILLNEED, first, start + x.nbytes - first)
