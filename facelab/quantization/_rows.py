"""Many images as a network's input, without holding them all: a row is made when it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from facelab.core.hashing import sha256_array

HELD = 256 * 2**20
"""Bytes of tensors that are held in memory; larger sets are read again for each pass."""


class Rows:
    """A sequence of arrays of one shape and dtype float32 that reads like an array (n, …) along its first axis.

    `make` returns the array of an image's number; it must give the same values each time. A slice or an index array
    gives other `Rows` of the same images and copies nothing; `numpy.asarray` makes all of them.

    >>> rows = Rows(lambda i: np.full((2,), i, np.float32), range(4), (2,))
    >>> rows.shape, rows[3].tolist(), rows[np.array([2, 0])][0].tolist(), len(rows[1:])
    ((4, 2), [3.0, 3.0], [2.0, 2.0], 3)
    >>> np.asarray(rows[:2]).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        make: Callable[[int], np.ndarray],
        index: Sequence[int] | np.ndarray,
        row_shape: tuple[int, ...],
    ):
        self._make, self._index = make, np.asarray(index, np.int64)
        self.shape = (len(self._index), *row_shape)

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._make(int(i)) for i in self._index)

    def __getitem__(self, which: int | slice | np.ndarray | Sequence[int]) -> np.ndarray | Rows:
        chosen = self._index[which]
        if np.ndim(chosen) == 0:
            return self._make(int(chosen))
        return Rows(self._make, chosen, self.shape[1:])

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        out = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for place, row in zip(out, self):
            place[...] = row
        return out


Tensors = np.ndarray | Rows
"""Float inputs (n, …): an array, or `Rows` where an array would be large."""


def tensors_hash(tensors: Tensors) -> str:
    """Return `sha256_array` of the tensors, row by row where they are `Rows`.

    >>> a = np.arange(6, dtype=np.float32).reshape(3, 2)
    >>> tensors_hash(Rows(lambda i: a[i], range(3), (2,))) == sha256_array(a)
    True
    """
    if not isinstance(tensors, Rows):
        return sha256_array(np.ascontiguousarray(tensors))
    digest = hashlib.sha256(f"{tensors.dtype.newbyteorder('<').str}{tensors.shape}".encode())
    for row in tensors:
        digest.update(np.ascontiguousarray(row, "<f4").tobytes())
    return digest.hexdigest()


def write_rows(path: Path, tensors: Tensors) -> Path:
    """Write tensors (n, …) as a `.npy` of float32, one row in memory at a time.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     file = write_rows(Path(name) / "a.npy", Rows(lambda i: np.full((2,), i), range(3), (2,)))
    ...     np.load(file).tolist(), stored_rows(file)[2].tolist()
    ([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]], [2.0, 2.0])
    """
    with path.open("wb") as f:
        header = {"descr": "<f4", "fortran_order": False, "shape": tuple(tensors.shape)}
        npy.write_array_header_1_0(f, header)
        for row in tensors:
            f.write(np.ascontiguousarray(row, "<f4").tobytes())
    return path


def stored_rows(path: Path) -> Rows:
    """Return the rows of a `.npy` that `write_rows` wrote, each read when it is asked for."""
    with path.open("rb") as f:
        npy.read_magic(f)
        shape, _, dtype = npy.read_array_header_1_0(f)
        begin = f.tell()
    count = int(np.prod(shape[1:]))

    def read(i: int) -> np.ndarray:
        return np.fromfile(path, dtype, count, offset=begin + i * count * dtype.itemsize).reshape(
            shape[1:]
        )

    return Rows(read, range(shape[0]), shape[1:])
