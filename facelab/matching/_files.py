"""Vectors from files, and searches of galleries larger than memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.array_files import map_npy, read_npz
from facelab.core.errors import BadInputError, at, did_you_mean
from facelab.core.machine import memory_bytes
from facelab.matching import _vectors as arrays
from facelab.matching._results import Matches
from facelab.matching._types import DEFAULT_POLICY, SearchPolicy

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIX = "write one 2-D float32, float16 or int8 array with np.save or np.savez"


def open_vectors(path: str | Path, name: str = "the file") -> NDArray[Any]:
    """Return the vectors of a `.npy` or `.npz` file; of the former memory-mapped.

    Parameters
    ----------
    path : str or Path
        `F.npy`, `F.npz` where it holds one array, or `F.npz:NAME`. No pickles are read.
    name : str
        What errors call the vectors.

    Returns
    -------
    (m, d) array of float32, float16 or int8

    Raises
    ------
    BadInputError
        The file cannot be read, or holds something else.

    Examples
    --------
    >>> open_vectors("nothing.npy", "the gallery")
    Traceback (most recent call last):
        ...
    facelab.core.errors.BadInputError: the gallery cannot be read
      where:    nothing.npy
      got:      No such file or directory
      fix:      check the path
    """
    file, array = _split(path)
    what = name.removeprefix("the ")
    if file.suffix.lower() == ".npz":
        x = _from_archive(file, array, what)
    else:
        x = map_npy(file, what, fix=_FIX)
    _check_layout(x, name, file)
    with at(str(path)):
        return arrays.check_vectors(x, name)


def _split(path: str | Path) -> tuple[Path, str | None]:
    """Return a path and the array named after it: `F.npz:NAME`.

    >>> _split("a/F.npz:left"), _split("F.npy")
    ((PosixPath('a/F.npz'), 'left'), (PosixPath('F.npy'), None))
    """
    file, found, array = str(path).rpartition(":")
    if found and file.lower().endswith(".npz") and not Path(path).exists():
        return Path(file), array
    return Path(path), None


def file_of(path: str | Path) -> Path:
    """Return the file that `F.npz:NAME` or `F.npy` names."""
    return _split(path)[0]


def _from_archive(file: Path, array: str | None, what: str) -> NDArray[Any]:
    """Return the array of an archive that is named, or its only one."""
    found = read_npz(file, what, max_bytes=memory_bytes()[1] // 2, fix=_FIX)
    names = sorted(found)
    name_one = f"name one: {file}:{names[0] if names else 'NAME'}"
    if array is None and len(names) != 1:
        raise BadInputError(
            f"the {what} is an archive of {len(names)} arrays",
            where=file,
            got=", ".join(names)[:200],
            fix=name_one,
        )
    wanted = names[0] if array is None else array
    if wanted not in found:
        raise BadInputError(
            f"there is no array {wanted!r} in this archive{did_you_mean(wanted, names)}",
            where=file,
            expected=", ".join(names)[:200],
            fix=name_one,
        )
    return found[wanted]


def with_faces(path: str | Path, x: NDArray[Any]) -> NDArray[np.int64] | None:
    """Return the rows that hold an embedding, where the archive's `failed` explains all others; None otherwise.

    `facelab eval embedder --out` writes NaN for a picture in which it found no face, and marks its pair.
    """
    file = file_of(path)
    if file.suffix.lower() != ".npz" or x.dtype.kind != "f" or (good := _finite(x)).all():
        return None
    found = read_npz(file, "vectors", max_bytes=memory_bytes()[1] // 2, fix=_FIX)
    failed = found.get("failed")
    if failed is None or failed.dtype != bool or failed.shape != good.shape:
        return None
    return np.flatnonzero(good) if (good | failed).all() else None


def _finite(x: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(x).all(axis=1))


def _check_layout(x: NDArray[Any], name: str, file: Path) -> None:
    known = x.dtype.newbyteorder("=") in arrays.DTYPES and x.ndim == 2
    if known and isinstance(x, np.memmap) and not (x.flags.c_contiguous and x.dtype.isnative):
        raise BadInputError(
            f"{name} is not stored row by row in this machine's byte order",
            where=file,
            expected="C order, native bytes",
            got=f"{x.dtype.str}, Fortran order: {x.flags.fnc}",
            fix="np.save(path, np.ascontiguousarray(x, x.dtype.newbyteorder('=')))",
        )


def search_file(
    gallery: str | Path,
    queries: NDArray[Any],
    k: int,
    *,
    metric: str = "sqeuclidean",
    method: str = "auto",
    threads: int | None = None,
    rows: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
    policy: SearchPolicy = DEFAULT_POLICY,
) -> Matches:
    """Search rows of a gallery file, streaming.

    Parameters
    ----------
    gallery : str or Path
        A file that `open_vectors` reads.
    queries : (n, d) array of float32, float16 or int8
    k : int
        May exceed the rows of a range: then all its rows are returned.
    metric, method, threads, policy
        As for `Matcher`.
    rows : (int, int), optional
        First row, and the row after the last; all rows if left out.
    progress : callable, optional
        Called with (rows done, rows in all).

    Returns
    -------
    Matches
        `ids` are row numbers of the file.

    Raises
    ------
    BadInputError
        The file or the queries cannot be searched.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(folder + "/g.npy", np.eye(4, dtype=np.float32))
    ...     found = search_file(folder + "/g.npy", np.eye(4, dtype=np.float32)[2:3], 1)
    >>> found.ids.tolist()
    [[2]]
    """
    x = open_vectors(gallery, "the gallery")
    first, last = rows or (0, len(x))
    with at(f"{gallery}, rows from {first}" if first else gallery):
        from facelab.matching._matcher import (
            Matcher,  # here: a file that is not there needs no compiler
        )

        matcher = Matcher(x[first:last], metric, method, threads, policy=policy)
    found = matcher.search(queries, min(k, last - first), progress=progress)
    found.ids[...] += first
    return found
