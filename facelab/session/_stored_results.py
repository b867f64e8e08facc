"""Results on disk: values as JSON with their arrays in one `.npz`; nothing in either can run code.

`<name>.json` names its `<name>.npz` by hash, so that a half-replaced pair is noticed. A file that cannot be read is
as good as none: results can be computed again.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.files import write_bytes, write_json
from facelab.core.hashing import sha256_bytes

SCHEMA = "facelab.result/1"
DEEPEST = 40


@dataclasses.dataclass(frozen=True)
class Kept:
    """A stored result: its value, the call's key and parts, when and in which run it was computed, how long that took,
    and the step's folder in which it was found."""

    value: Any
    key: str
    parts: dict[str, Any]
    at: str
    run: str
    seconds: float
    found: Path


@dataclasses.dataclass
class Held:
    """What is beside the JSON of a result: its arrays, and the folder that its own paths start from."""

    arrays: list[np.ndarray] = dataclasses.field(default_factory=list)
    base: Path | None = None


def pack(value: Any, base: Path | None = None) -> tuple[Any, Held]:
    """Return (plain JSON, arrays) from which `unpack` makes an equal value; paths below `base` are kept as parts of it.

    Taken are None, booleans, numbers, text, paths, arrays (no objects in them but text, numbers and None), lists,
    tuples, sets, mappings, pandas tables with a plain index, and dataclasses of facelab. Raises BadInputError for
    anything else.

    >>> unpack(*pack({"a": (1, float("inf")), 2: np.arange(3)}))
    {'a': (1, inf), 2: array([0, 1, 2])}
    """
    held = Held(base=base)
    return _pack(value, held, DEEPEST), held


def _pack(value: Any, held: Held, left: int) -> Any:
    if left == 0:
        raise BadInputError(
            "the result is nested too deeply to be stored",
            expected=f"at most {DEEPEST} levels",
            fix="return a flatter value, such as a table or a dataclass of arrays",
        )
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, (np.ndarray, np.generic)):
        return _pack_array(value, held, left)
    if isinstance(value, os.PathLike):
        return _pack_path(Path(value), held)
    if isinstance(value, Mapping):
        if all(isinstance(k, str) and not k.startswith("$") for k in value):
            return {k: _pack(v, held, left - 1) for k, v in value.items()}
        return {
            "$dict": [
                [_pack(k, held, left - 1), _pack(v, held, left - 1)] for k, v in value.items()
            ]
        }
    for kind, tag in ((list, None), (tuple, "$tuple"), (set, "$set"), (frozenset, "$frozenset")):
        if type(value) is kind:
            items = [_pack(v, held, left - 1) for v in value]
            return {tag: items} if tag else items
    return _pack_object(value, held, left)


def _pack_path(path: Path, held: Held) -> Any:
    if held.base is not None and path.is_relative_to(held.base):
        return {"$own": path.relative_to(held.base).as_posix()}
    return {"$path": os.fspath(path)}


def _pack_array(value: Any, held: Held, left: int) -> Any:
    array = np.asarray(value)
    if array.dtype.hasobject:
        return {
            "$objects": _pack(array.ravel().tolist(), held, left - 1),
            "shape": list(array.shape),
        }
    held.arrays.append(array)
    return {"$scalar" if isinstance(value, np.generic) else "$array": len(held.arrays) - 1}


def _pack_object(value: Any, held: Held, left: int) -> Any:
    kind = type(value)
    if (
        dataclasses.is_dataclass(kind)
        and kind.__module__.split(".")[0] == "facelab"
        and "<" not in kind.__qualname__
    ):
        fields = {
            f.name: _pack(getattr(value, f.name), held, left - 1)
            for f in dataclasses.fields(value)
            if f.init
        }
        return {"$object": f"{kind.__module__}:{kind.__qualname__}", "fields": fields}
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        if not value.index.equals(pandas.RangeIndex(len(value))):
            raise BadInputError(
                "a table with its own index cannot be stored",
                fix="reset_index() before storing",
            )
        columns = [
            [_pack(name, held, left - 1), _pack(_column(value[name]), held, left - 1)]
            for name in value
        ]
        return {"$table": columns}
    raise BadInputError(
        "a result of this type cannot be stored",
        got=f"{kind.__module__}.{kind.__qualname__}",
        expected="numbers, text, arrays, tables, collections, or dataclasses of facelab",
        fix="return the figures, and draw or build the rest from them in the notebook",
    )


def _column(series: Any) -> Any:
    return series.to_numpy() if series.dtype.kind in "biuf" else series.tolist()


def unpack(tree: Any, held: Held) -> Any:
    """Return the value that `pack` took apart. Raises BadInputError for what `pack` does not write."""
    if isinstance(tree, list):
        return [unpack(v, held) for v in tree]
    if not isinstance(tree, dict):
        return tree
    tag = next((k for k in tree if k.startswith("$")), None)
    if tag is None:
        return {k: unpack(v, held) for k, v in tree.items()}
    if tag not in _READERS:
        raise BadInputError(
            "the stored result holds something unknown",
            got=tag,
            expected=", ".join(_READERS),
            fix="remove the stored result; it is then computed again",
        )
    return _READERS[tag](tree, tree[tag], held)


def _objects(tree: dict, items: Any, held: Held) -> np.ndarray:
    out = np.empty(len(items), object)
    out[:] = unpack(items, held)
    return out.reshape(tree["shape"])


def _dataclass(tree: dict, name: str, held: Held) -> Any:
    module, _, path = name.partition(":")
    if module.split(".")[0] != "facelab":
        raise BadInputError(
            "the stored result names a type that is not facelab's",
            got=name,
            fix="remove the stored result; it is then computed again",
        )
    kind: Any = import_module(module)
    for part in path.split("."):
        kind = getattr(kind, part)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise BadInputError(
            "the stored result names something that is not a dataclass",
            got=name,
            fix="remove the stored result; it is then computed again",
        )
    return kind(**{k: unpack(v, held) for k, v in tree["fields"].items()})


def _table(tree: dict, columns: list, held: Held) -> Any:
    return import_module("pandas").DataFrame({unpack(k, held): unpack(v, held) for k, v in columns})


_READERS = {
    "$float": lambda tree, text, held: float(text),
    "$path": lambda tree, text, held: Path(text),
    "$own": lambda tree, text, held: (held.base or Path()) / text,
    "$array": lambda tree, k, held: held.arrays[k],
    "$scalar": lambda tree, k, held: held.arrays[k][()],
    "$objects": _objects,
    "$tuple": lambda tree, items, held: tuple(unpack(items, held)),
    "$set": lambda tree, items, held: set(unpack(items, held)),
    "$frozenset": lambda tree, items, held: frozenset(unpack(items, held)),
    "$dict": lambda tree, items, held: {unpack(k, held): unpack(v, held) for k, v in items},
    "$object": _dataclass,
    "$table": _table,
}


def keep(
    folder: str | os.PathLike,
    name: str,
    value: Any,
    *,
    parts: dict[str, Any],
    key: str,
    at: str,
    run: str,
    seconds: float,
) -> Any:
    """Store a result as `<folder>/<name>.json` and `.npz`, and return it as `find` would load it.

    Raises BadInputError, and leaves an earlier result alone, for a value that `pack` does not take.
    """
    base = Path(folder).parent
    tree, held = pack(value, base)
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"a{k}": a for k, a in enumerate(held.arrays)}
    np.savez_compressed(buffer, **arrays)
    packed = buffer.getvalue()
    write_bytes(Path(folder) / f"{name}.npz", packed)
    write_json(
        Path(folder) / f"{name}.json",
        {
            "schema": SCHEMA,
            "name": name,
            "key": key,
            "at": at,
            "run": run,
            "seconds": round(seconds, 3),
            "parts": parts,
            "arrays": len(held.arrays),
            "arrays_sha256": sha256_bytes(packed),
            "value": tree,
        },
    )
    return unpack(tree, held)


def find(
    folders: Iterable[Path], name: str, key: str, base: Path | None = None
) -> tuple[Kept | None, dict | None]:
    """Return (the first result with this key in `folders`, what is known of the first one of another key).

    Paths below the step's folder become paths below `base`, or below the folder where the result was found.
    """
    other = None
    for folder in folders:
        head = _read(folder / f"{name}.json")
        if head is None:
            continue
        if head["key"] != key:
            other = other or head
            continue
        try:
            packed = (folder / f"{name}.npz").read_bytes()
            if sha256_bytes(packed) != head["arrays_sha256"]:
                continue
            with np.load(io.BytesIO(packed), allow_pickle=False) as stored:
                arrays = [stored[f"a{k}"] for k in range(head["arrays"])]
            value = unpack(head["value"], Held(arrays, base or folder.parent))
        except (
            OSError,
            ValueError,
            KeyError,
            IndexError,
            TypeError,
            AttributeError,
            ImportError,
            BadInputError,
        ):
            continue
        return Kept(
            value, key, head["parts"], head["at"], head["run"], head["seconds"], folder.parent
        ), other
    return None, other


def _read(path: Path) -> dict | None:
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    wanted = {"key", "at", "run", "seconds", "parts", "arrays", "arrays_sha256", "value"}
    return (
        head
        if isinstance(head, dict) and head.get("schema") == SCHEMA and wanted <= set(head)
        else None
    )
