"""Rows on their way into a collection: ids, what is known about each, and the vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.arrays import as_array
from facelab.core.errors import BadInputError, at
from facelab.core.files import loads_strict
from facelab.core.hashing import canonical_json
from facelab.index._ids import check_id, vector_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_INFO = 64 << 10
MOST_LENGTH = 9e18
"""Two vectors of this length are at most sqrt(max of float32) apart, so that every squared distance is finite."""
DTYPES = ("float32", "float16", "int8")


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows in order: their ids, their label and payload as JSON bytes (empty where there is none), vectors."""

    ids: list[str]
    infos: list[bytes]
    vectors: NDArray[Any]

    def __len__(self) -> int:
        return len(self.ids)


def make_rows(
    vectors: Any,
    ids: Sequence[str] | None,
    labels: Sequence[str | None] | None,
    payloads: Sequence[Mapping[str, Any] | None] | None,
    *,
    dimension: int,
    dtype: np.dtype[Any],
    namespace: str,
) -> Rows:
    """Return checked rows. Raises BadInputError for anything that is not whole, before anything is written."""
    array = check_matrix(vectors, dimension, dtype, "the vectors")
    count = len(array)
    for name, given in (("ids", ids), ("labels", labels), ("payloads", payloads)):
        if given is not None and (isinstance(given, (str, bytes)) or len(given) != count):
            raise BadInputError(
                f"there must be as many {name} as vectors",
                expected=count,
                got=len(given),
                fix=f"give a list of {name}, one for each vector",
            )
    if ids is None:
        names = vector_ids(array, namespace)
    else:
        names = [_at(i, check_id, name) for i, name in enumerate(ids)]
    check_distinct(names)
    infos = [
        _at(i, _info, labels[i] if labels else None, payloads[i] if payloads else None)
        for i in range(count)
    ]
    return Rows(names, infos, array)


def _at(row: int, make: Any, *values: Any) -> Any:
    try:
        return make(*values)
    except BadInputError:
        with at(f"row {row}"):
            raise


def check_matrix(vectors: Any, dimension: int, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """Return (n, d) finite vectors of the collection's type, C-contiguous. Raises BadInputError."""
    array = vectors if isinstance(vectors, np.ndarray) else np.asarray(vectors, dtype=object)
    if array.dtype == object:
        array = as_array(vectors, name, dtype)
    if array.ndim != 2 or array.shape[1] != dimension:
        raise BadInputError(
            f"{name} do not fit the collection",
            expected=f"shape (n, {dimension})",
            got=f"shape {array.shape}",
            fix="a single vector is v[None, :]" if array.ndim == 1 else "use the same embedder",
        )
    if array.dtype.newbyteorder("=") != dtype:
        raise BadInputError(
            f"{name} have a different number type than the collection",
            expected=dtype,
            got=array.dtype,
            fix=f"convert them: x.astype(np.{dtype.name})",
        )
    array = np.ascontiguousarray(array, dtype)
    if dtype.kind == "f" and array.size:
        _check_numbers(array, name)
    return array


def _check_numbers(array: NDArray[Any], name: str) -> None:
    """Raise BadInputError for a number that is not finite, and for a vector whose distances would not be."""
    largest = float(np.maximum(array.max(), -array.min()))  # NaN where there is one
    if largest * array.shape[1] ** 0.5 <= MOST_LENGTH:
        return
    whole = np.isfinite(array).all(axis=1)
    if not whole.all():
        raise BadInputError(
            f"there is a NaN or an infinity in {name}",
            where=f"row {int((~whole).argmax())}",
            expected="finite numbers",
            fix="drop or repair that vector",
        )
    lengths = np.linalg.norm(array.astype(np.float64), axis=1)
    if lengths.max() > MOST_LENGTH:
        raise BadInputError(
            f"a vector in {name} is too long: its squared distances overflow",
            where=f"row {int(lengths.argmax())}",
            expected=f"a length of at most {MOST_LENGTH:g}",
            got=f"{lengths.max():.3g}",
            fix="normalise the vectors, or look at the embedder",
        )


def check_distinct(names: Sequence[str]) -> None:
    """Raise BadInputError where an id comes twice in one call."""
    if len(set(names)) != len(names):
        twice = [name for name, n in Counter(names).items() if n > 1]
        raise BadInputError(
            "an id comes twice in one call",
            expected="distinct ids",
            got=", ".join(twice[:5])[:200],
            fix="drop the second, or give ids of your own to equal vectors",
        )


def _info(label: str | None, payload: Mapping[str, Any] | None) -> bytes:
    if label is None and payload is None:
        return b""
    if label is not None and (not isinstance(label, str) or len(label) > 1000):
        raise BadInputError(
            "a label is not a text of at most 1000 characters",
            got=repr(label)[:80],
            fix="put other values into the payload",
        )
    if payload is not None and not isinstance(payload, Mapping):
        raise BadInputError(
            "a payload is not a JSON object",
            expected="a dict of plain values",
            got=type(payload).__name__,
            fix='wrap the value: {"value": …}',
        )
    whole = {"label": label} if label is not None else {}
    whole |= {"payload": dict(payload)} if payload is not None else {}
    try:
        _check_keys(payload)
        data = canonical_json(whole).encode("utf-8")
        loads_strict(data)
    except (TypeError, ValueError, RecursionError, BadInputError) as e:
        raise BadInputError(
            "a label or payload has no JSON form",
            expected="texts, finite numbers, lists and objects",
            got=str(e)[:160],
            fix="convert the values first",
        ) from None
    if len(data) > MAX_INFO:
        raise BadInputError(
            "a payload is too large",
            expected=f"at most {MAX_INFO} bytes of JSON",
            got=f"{len(data)} bytes",
            fix="store large things in files and their hash here",
        )
    return data


def _check_keys(value: Any) -> None:
    """Raise TypeError for a key that is not text: 1 and "1" would become one."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not a text")
            _check_keys(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check_keys(inner)


def read_info(data: bytes) -> tuple[str | None, dict[str, Any] | None]:
    """Return (label, payload) of a row's JSON bytes.

    >>> read_info(b'{"label":"a"}'), read_info(b"")
    (('a', None), (None, None))
    """
    if not data:
        return None, None
    whole = loads_strict(data)
    return whole.get("label"), whole.get("payload")
