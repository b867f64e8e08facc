"""Names of vectors: a hash of the whole canonical vector, or of the image, the model and the spec that made it."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.index._source import Source

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MAX_ID = 200
_NAMESPACE = re.compile(r"[A-Za-z0-9._-]{0,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def vector_id(vector: ArrayLike, namespace: str = "") -> str:
    """Return the id of a vector: 128 bits of a hash of all its numbers.

    Vectors that are equal number by number have one id, whatever their dtype, layout and byte order are, and -0 is 0.
    A change in the last bit of one number gives another id: where a model's output may differ between machines, use
    `image_id`.

    Parameters
    ----------
    vector : (d,) array
        Finite numbers; compared as float32.
    namespace : str
        Up to 64 letters, digits, '.', '_' and '-'; ids of different namespaces differ.

    Returns
    -------
    str
        32 hexadecimal digits, after `namespace:` where there is one.

    Raises
    ------
    BadInputError
        The vector has a different shape, or holds a NaN, an infinity or a number beyond float32.

    Examples
    --------
    >>> vector_id([1.0, -0.0]) == vector_id(np.array([1, 0], np.int8))
    True
    >>> vector_id([1.0, 0.0], "faces")[:6]
    'faces:'
    """
    x = np.asarray(vector)
    if x.ndim != 1 or not x.size or x.dtype.kind not in "fiu":
        raise BadInputError(
            "a vector id needs one vector of numbers",
            expected="shape (d,)",
            got=f"shape {x.shape} {x.dtype}",
            fix="give one row: vectors[i]",
        )
    return _named(namespace, vector_digest(x))


def vector_ids(vectors: np.ndarray, namespace: str = "") -> list[str]:
    """Return the ids of the rows of (n, d) vectors; see `vector_id`."""
    check_namespace(namespace)
    return [_named(namespace, vector_digest(row)) for row in vectors]


def image_id(image_sha256: str, source: Source, namespace: str = "") -> str:
    """Return the id of what a model makes of an image: it stays the same where the model's numbers jitter.

    Parameters
    ----------
    image_sha256 : str
        Hexadecimal SHA-256 of the image file (`facelab.core.hashing.sha256_file`), or of its pixels.
    source : Source
        Hashes of the model and of its preprocessing.
    namespace : str
        As for `vector_id`.

    Returns
    -------
    str
        32 hexadecimal digits, after `namespace:` where there is one.

    Raises
    ------
    BadInputError
        The hash or the namespace has the wrong form.

    Examples
    --------
    >>> made_by = Source("a" * 64, "b" * 64)
    >>> image_id("0" * 64, made_by) == image_id("0" * 64, Source("a" * 64, "c" * 64))
    False
    """
    if not isinstance(image_sha256, str) or not _SHA256.fullmatch(image_sha256):
        raise BadInputError(
            "an image hash has the wrong form",
            expected="64 lower-case hexadecimal digits",
            got=repr(image_sha256)[:80],
            fix="facelab.core.hashing.sha256_file(path) makes it",
        )
    text = f"{image_sha256}\n{source.model}\n{source.spec}".encode()
    return _named(
        namespace, hashlib.blake2b(text, digest_size=16, person=b"facelab.image").digest()
    )


def vector_digest(row: np.ndarray) -> bytes:
    """Return the 16 bytes of a vector's hash; raises BadInputError where a number is not finite in float32."""
    raw = canonical(row)
    return hashlib.blake2b(raw, digest_size=16, person=b"facelab.vector").digest()


def canonical(row: np.ndarray) -> bytes:
    """Return a vector as its canonical bytes: float32, little-endian, -0 as 0.

    >>> canonical(np.array([-0.0])) == canonical(np.array([0], np.int8))
    True
    """
    with np.errstate(over="ignore"):
        plain = row.astype("<f4") + np.float32(0)
    if not np.isfinite(plain).all():
        raise BadInputError(
            "a vector with a NaN or an infinity has no id",
            expected="finite numbers",
            fix="drop or repair that vector",
        )
    return plain.astype("<f4", copy=False).tobytes()


def check_id(name: Any) -> str:
    """Return an id: text of 1 to 200 bytes without control characters. Raises BadInputError for another.

    >>> check_id("person 7/photo 3")
    'person 7/photo 3'
    """
    good = isinstance(name, str) and 0 < len(name) <= MAX_ID and name.isprintable()
    if not good or len(name.encode("utf-8", "surrogatepass")) > MAX_ID or _lone(name):
        raise BadInputError(
            "an id has the wrong form",
            expected=f"printable text of 1 to {MAX_ID} bytes",
            got=repr(name)[:80],
            fix="use vector_id, image_id or a short name of your own",
        )
    return name


def _lone(name: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in name)


def check_namespace(namespace: str) -> str:
    """Return a namespace. Raises BadInputError for another form.

    >>> check_namespace("faces-2")
    'faces-2'
    """
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        raise BadInputError(
            "a namespace has the wrong form",
            expected="up to 64 letters, digits, '.', '_' and '-'",
            got=repr(namespace)[:80],
            fix="rename it",
        )
    return namespace


def _named(namespace: str, digest: bytes) -> str:
    return f"{check_namespace(namespace)}:{digest.hex()}" if namespace else digest.hex()
