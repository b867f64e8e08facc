"""Read `.npy` and `.npz` files that come from outside: the one reader, with limits, no pickles and no surprises.

Shape and number type of a header are compared with the file's size before anything is allocated.
"""

from __future__ import annotations

import ast
import io
import math
import os
import re
import struct
import warnings
import zipfile
import zlib
from typing import IO, Any, BinaryIO, NoReturn, cast

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.files import open_input
from facelab.core.narrow import is_dict, is_tuple

MAX_BYTES = 2 << 30
MAX_HEADER = 10_000
MAX_MEMBERS = 10_000
MAX_AXES = 16
MAGIC = b"\x93NUMPY"
GZIP = b"\x1f\x8b"
INFLATES = 1032
"""How much longer deflate can make a file at most: no header of a packed file can promise more."""
_DESCR = re.compile(r"[<>|=]?(?:b1|\?|[iu][1248]|f(?:2|4|8|16)|c(?:8|16)|[SU]\d{1,6})")
_KINDS = "biuf"


class _DamagedError(Exception):
    pass


def read_npy(
    source: str | os.PathLike[str] | bytes,
    what: str = "array",
    *,
    where: object = None,
    max_bytes: int = MAX_BYTES,
    kinds: str = _KINDS,
    fix: str = "write it with numpy.save",
) -> np.ndarray:
    """Return the array of a `.npy` file (or of its bytes), called `what` in errors. The file may be packed by gzip.

    Parameters
    ----------
    source : path or bytes
        The file, or its content.
    what : str
        What the array is to the user.
    where : object
        The place that errors name where `source` is bytes.
    max_bytes : int
        The largest array, in bytes, that is read.
    kinds : str
        The kinds of number (numpy's letters) that are taken; text is `U` and `S`.
    fix : str
        What errors say is to be done.

    Returns
    -------
    numpy.ndarray
        The array as stored: byte order and memory order are the file's.

    Raises
    ------
    BadInputError
        For a missing, damaged or cut-off file, one that holds Python objects, another kind of number, more than
        `max_bytes`, or a shape that does not go with the file's size.

    Examples
    --------
    >>> import io
    >>> f = io.BytesIO(); np.save(f, np.arange(3)); read_npy(f.getvalue()).tolist()
    [0, 1, 2]
    """
    place = where if isinstance(source, bytes) else source
    with _opened(source, what, place, fix) as f:
        try:
            size, packed = _size(f), f.read(2) == GZIP
            f.seek(0)
            return (_unpacked if packed else _array)(f, size, max_bytes, kinds)
        except (_DamagedError, OSError, zlib.error) as e:
            _refuse(what, place, ".npy file of numbers", e, fix)


def read_npz(
    source: str | os.PathLike[str] | bytes,
    what: str = "arrays",
    *,
    where: object = None,
    max_bytes: int = MAX_BYTES,
    kinds: str = _KINDS + "U",
    fix: str = "write it with numpy.savez",
) -> dict[str, np.ndarray]:
    """Return all arrays of a `.npz` file by name; see `read_npy`. `max_bytes` bounds them all together.

    Raises BadInputError, also for an archive that unpacks to more than it says.

    >>> import io
    >>> f = io.BytesIO(); np.savez(f, a=np.arange(2)); read_npz(f.getvalue())["a"].tolist()
    [0, 1]
    """
    place = where if isinstance(source, bytes) else source
    with _opened(source, what, place, fix) as f:
        try:
            return _members(f, max_bytes, kinds)
        except (_DamagedError, OSError) as e:
            _refuse(what, place, ".npz file of plain arrays", e, fix)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as e:
            # encrypted, damaged or packed in a way that zipfile does not know
            _refuse(what, place, ".npz file of plain arrays", e, fix)
        except (ValueError, struct.error, KeyError, UnicodeError) as e:
            _refuse(what, place, ".npz file of plain arrays", e, fix)


def map_npy(
    path: str | os.PathLike[str],
    what: str = "array",
    *,
    kinds: str = _KINDS,
    fix: str = "write it with numpy.save",
) -> np.ndarray:
    """Return the array of a `.npy` file, memory-mapped and read-only; see `read_npy`. It may be larger than memory."""
    with _opened(path, what, path, fix) as f:
        try:
            size = _size(f)
            shape, fortran, dtype = _header(f, kinds)
            _fits(shape, dtype, size - f.tell(), size)
            offset = f.tell()
        except (_DamagedError, OSError) as e:
            _refuse(what, path, ".npy file that can be mapped", e, fix)
    if not math.prod(shape):
        return np.empty(shape, dtype, "F" if fortran else "C")
    try:
        return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
    except (OSError, ValueError) as e:
        _refuse(what, path, ".npy file that can be mapped", e, fix)


def _refuse(what: str, where: object, expected: str, error: Exception, fix: str) -> NoReturn:
    got = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise BadInputError(
        f"the {what} cannot be read", where=where, expected=f"a {expected}", got=got[:160], fix=fix
    ) from None


def _opened(source: str | os.PathLike[str] | bytes, what: str, where: object, fix: str) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return open_input(source)
    except (OSError, ValueError) as e:
        got = getattr(e, "strerror", None) or str(e)[:120]
        raise BadInputError(
            f"the {what} cannot be read", where=where, got=got, fix="check the path"
        ) from None


def _size(f: BinaryIO) -> int:
    size = f.seek(0, os.SEEK_END)
    f.seek(0)
    return size


def _header(f: IO[bytes], kinds: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return (shape, Fortran order, number type) and leave the file at the first number."""
    head = f.read(8)
    if head[:6] != MAGIC:
        raise _DamagedError("an empty file" if not head else "no .npy file by its first bytes")
    version = tuple(head[6:8])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise _DamagedError(f"format version {version}")
    wide = version != (1, 0)
    raw = f.read(4 if wide else 2)
    if len(raw) < (4 if wide else 2):
        raise _DamagedError("a file that is cut off in its header")
    (length,) = struct.unpack("<I" if wide else "<H", raw)
    if length > MAX_HEADER:
        raise _DamagedError(f"a header of {length} bytes")
    text = f.read(length)
    if len(text) < length:
        raise _DamagedError("a file that is cut off in its header")
    return _fields(text.decode("utf-8" if version == (3, 0) else "latin-1", "replace"), kinds)


def _fields(text: str, kinds: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in text
            fields = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise _DamagedError("a damaged header") from None
    if not is_dict(fields) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise _DamagedError("a damaged header")
    descr, shape, fortran = fields["descr"], fields["shape"], fields["fortran_order"]
    if not isinstance(fortran, bool) or not is_tuple(shape) or len(shape) > MAX_AXES:
        raise _DamagedError("an impossible shape")
    if not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise _DamagedError("an impossible shape")
    if not isinstance(descr, str) or not _DESCR.fullmatch(descr):
        held = "Python objects (a pickle)" if "O" in str(descr) else "structured or unknown values"
        raise _DamagedError(held)
    dtype = np.dtype(descr)
    if dtype.kind not in kinds:
        raise _DamagedError(f"values of type {dtype}")
    return shape, fortran, dtype


def _fits(shape: tuple[int, ...], dtype: np.dtype[Any], left: int, most: int) -> int:
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > left:
        raise _DamagedError(
            f"{left} bytes of numbers, where shape {shape} of {dtype} takes {wanted}"
        )
    if wanted > most:
        raise _DamagedError(f"{wanted} bytes, at most {most} are read")
    return wanted


def _readinto(f: IO[bytes], view: memoryview) -> int | None:
    """Fill a view from a file. Files and archive members both can; `IO` does not say so."""
    return cast(io.BufferedIOBase, f).readinto(view)


def _array(f: IO[bytes], size: int, most: int, kinds: str) -> np.ndarray:
    shape, fortran, dtype = _header(f, kinds)
    data = bytearray(_fits(shape, dtype, size - f.tell(), most))
    view, filled = memoryview(data), 0
    while filled < len(data):
        got = _readinto(f, view[filled:])
        if not got:
            raise _DamagedError(f"only {filled} of {len(data)} bytes of numbers")
        filled += got
    if dtype.kind == "b":  # any other byte than 0 and 1 would be neither true nor false
        flat = np.frombuffer(data, np.uint8) != 0
    else:
        flat = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


class _Inflated(io.RawIOBase):
    """What gzip packed, read forwards. `gzip.GzipFile` would read names and empty parts of any length in Python."""

    def __init__(self, packed: BinaryIO):
        self._packed, self._at = packed, 0
        self._inflate = zlib.decompressobj(wbits=31)

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def readinto(self, view: Any) -> int:
        while len(view) and not self._inflate.eof:
            block = self._inflate.unconsumed_tail or self._packed.read(1 << 16)
            if not block:
                raise _DamagedError("a packed file that is cut off")
            if data := self._inflate.decompress(block, len(view)):
                view[: len(data)] = data
                self._at += len(data)
                return len(data)
        return 0

    def ended(self) -> bool:
        """Whether nothing follows; zlib compares the checksum when it comes to the end."""
        return (
            not self.readinto(bytearray(1))
            and not self._inflate.unused_data
            and not self._packed.read(1)
        )


def _unpacked(f: BinaryIO, size: int, most: int, kinds: str) -> np.ndarray:
    """Return the array of a `.npy` file that gzip packed; what it unpacks to is bounded before it is unpacked."""
    raw = _Inflated(f)
    plain = io.BufferedReader(raw)
    found = _array(plain, size * INFLATES, most, kinds)
    if plain.read(1) or not raw.ended():
        raise _DamagedError("more bytes than its numbers")
    return found


def _members(f: BinaryIO, most: int, kinds: str) -> dict[str, np.ndarray]:
    if f.read(6) == MAGIC:
        raise _DamagedError("one array (.npy), not several by name")
    f.seek(0)
    with zipfile.ZipFile(f) as z:
        infos = z.infolist()
        if len(infos) > MAX_MEMBERS:
            raise _DamagedError(f"{len(infos)} members")
        names = [i.filename for i in infos]
        if len(set(names)) != len(names):
            raise _DamagedError("a name twice")
        if other := [n for n in names if not n.endswith(".npy")]:
            raise _DamagedError(f"{other[0][:80]!r}, which is not an array")
        total = sum(i.file_size for i in infos)
        if total > most:
            raise _DamagedError(f"{total} bytes unpacked, at most {most} are read")
        arrays: dict[str, np.ndarray] = {}
        for info in infos:
            with z.open(info) as member:
                arrays[info.filename[:-4]] = _array(member, info.file_size, most, kinds)
        return arrays
