"""SHA-256 of bytes, files, arrays and JSON in canonical form."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelab.core.errors import BadInputError
from facelab.core.narrow import is_dict, is_sequence

if TYPE_CHECKING:
    import numpy as np


LARGEST = 8 << 30
"""Bytes of a model's file, or of its weights beside it: hashing it takes a quarter of a minute.

More than `files.LARGEST_MODEL`: HDF5 files and ONNX weights in separate files may have more than 2 GB.
"""


def sha256_bytes(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of `data`.

    >>> sha256_bytes(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | os.PathLike[str], *, chunk: int = 1 << 20) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces of `chunk` bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as f:
        if stat.S_ISCHR(os.fstat(f.fileno()).st_mode):  # /dev/zero has no end
            raise OSError(errno.EINVAL, "a device is not a file", os.fspath(path))
        while block := f.read(chunk):
            digest.update(block)
    return digest.hexdigest()


def refuse_giant(path: Path) -> None:
    """Raise BadInputError for a file that is too large to be a model: a sparse one of a terabyte is a few bytes."""
    with contextlib.suppress(OSError):
        if (size := path.stat().st_size) > LARGEST:
            raise BadInputError(
                "the file is too large to be a model",
                where=path,
                expected=f"at most {LARGEST} bytes",
                got=f"{size} bytes",
                fix="check that this is the right file",
            )


def sha256_array(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's dtype, shape and little-endian C-order bytes.

    >>> import numpy as np
    >>> a = np.arange(6, dtype=np.int16).reshape(2, 3)
    >>> sha256_array(a) == sha256_array(np.asfortranarray(a)), sha256_array(a) == sha256_array(a.reshape(3, 2))
    (True, False)
    """
    import numpy as np  # here: commands hash files that are not arrays, and numpy is half of their start

    little = np.asarray(array)
    little = little.astype(little.dtype.newbyteorder("<"), order="C", copy=False)
    head = f"{little.dtype.str}{little.shape}".encode()
    return sha256_bytes(head + np.ascontiguousarray(little).tobytes())


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys, no spaces, and whole floats written as integers (1.0 and 1 are one number).

    Raises ValueError for NaN and infinity, TypeError for anything that JSON cannot hold.

    >>> canonical_json({"b": 1.0, "a": [0.5, True, None]})
    '{"a":[0.5,true,null],"b":1}'
    """
    return json.dumps(
        _canonical(value),
        sort_keys=True,
        separators=(",", ":"),
        allow_nan=False,
        ensure_ascii=False,
    )


def _canonical(value: Any) -> Any:
    numpy = sys.modules.get("numpy")  # who has a number of numpy has loaded it
    if numpy is not None and isinstance(value, numpy.generic):
        return _canonical(value.tolist())
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if is_dict(value):
        return {str(k): _canonical(v) for k, v in value.items()}
    if is_sequence(value):
        return [_canonical(v) for v in value]
    raise TypeError(f"{type(value).__name__} has no canonical JSON form")


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of `canonical_json(value)`."""
    return sha256_bytes(canonical_json(value).encode("utf-8"))
