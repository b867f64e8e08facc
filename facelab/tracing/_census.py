"""A census of this process: arrays, sessions, NodeArgs without session, threads, open files; and who holds them."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import compress, repeat
from pathlib import Path
from types import ModuleType
from typing import Any

KEEPS_A_SESSION = ("NodeArg", "ModelMetadata", "SessionIOBinding")
"""Types of onnxruntime's C++ module whose objects keep the whole session alive."""
_META = ("_inputs_meta", "_outputs_meta", "_overridable_initializers", "_model_meta", "_sess")
_FROZEN_BY_PYTHON = 2_000


@dataclass(frozen=True)
class Census:
    """Counts at one moment. `arrays` maps (shape, dtype) to (count, bytes); the last two name what exists."""

    objects: int
    object_bytes: int
    types: dict[str, int]
    arrays: dict[str, tuple[int, int]]
    sessions: int
    orphans: int
    threads: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def array_bytes(self) -> int:
        """Bytes of all arrays that own their memory."""
        return sum(size for _, size in self.arrays.values())


def take() -> Census:
    """Collect garbage and count what is left. Takes a second per few million objects: not for every frame."""
    with thawed():
        gc.collect()
        return _count()


def is_frozen() -> bool:
    """Return whether the program has called `gc.freeze`; Python 3.12 freezes some hundred objects when it starts."""
    return gc.get_freeze_count() > _FROZEN_BY_PYTHON


@contextlib.contextmanager
def thawed() -> Iterator[None]:
    """Let `gc.get_objects` see what the program has frozen, a pipeline when it starts for example."""
    frozen = is_frozen()
    gc.unfreeze()
    try:
        yield
    finally:
        if frozen:
            gc.freeze()


def _count() -> Census:
    tracked = gc.get_objects()
    kinds = Counter(map(type, tracked))
    types: Counter[str] = Counter()
    for kind, n in kinds.items():
        types[kind.__name__] += n
    size = sum(map(sys.getsizeof, tracked, repeat(0)))
    sessions = _sessions(tracked, kinds)
    arrays, seen, keepers = _look_inside(tracked)
    known = _known(sessions)
    orphans = sum(id(k) not in known for k in keepers)
    del tracked
    return Census(
        len(seen) + sum(types.values()),
        size,
        dict(types),
        {k: (v[0], v[1]) for k, v in arrays.items()},
        len(sessions),
        orphans,
        tuple(t.name for t in threading.enumerate()),
        open_files(),
    )


class _Held(dict[type, bool]):
    """Whether a census looks at objects of a type that a container holds, decided once for each type."""

    def __missing__(self, kind: type) -> bool:
        found = kind.__name__ == "ndarray" or kind.__name__ in KEEPS_A_SESSION
        self[kind] = found
        return found


def _sessions(tracked: list[Any], kinds: Iterable[type]) -> list[Any]:
    """Return the sessions of ONNX Runtime, by the name of their type: the package need not be imported."""
    wanted = {k for k in kinds if k.__name__ == "InferenceSession"}
    return (
        [x for x in tracked if type(x) in wanted and hasattr(x, "_inputs_meta")] if wanted else []
    )


def _look_inside(tracked: list[Any]) -> tuple[dict[str, list[int]], set[int], list[Any]]:
    """Count what the garbage collector does not track but a container holds: arrays, and objects made in C++.

    Millions of references are followed, so the loops over them are those of C functions.
    """
    arrays: dict[str, list[int]] = {}
    seen: set[int] = set()
    keepers: list[Any] = []
    wanted = _Held()
    for start in range(0, len(tracked), 1000):
        held = gc.get_referents(*tracked[start : start + 1000])
        for item in compress(held, map(wanted.__getitem__, map(type, held))):
            if id(item) in seen:
                continue
            seen.add(id(item))
            if type(item).__name__ == "ndarray":
                if item.base is None and item.nbytes:
                    entry = arrays.setdefault(f"{item.shape} {item.dtype}", [0, 0])
                    entry[0] += 1
                    entry[1] += int(item.nbytes)
            elif "onnxruntime" in type(item).__module__:
                keepers.append(item)
    return arrays, seen, keepers


def _known(sessions: Iterable[Any]) -> set[int]:
    """Return the ids of the NodeArgs and metadata that living sessions hold themselves."""
    out: set[int] = set()
    for session in sessions:
        for name in _META:
            held = getattr(session, name, None)
            out.update(map(id, held if isinstance(held, (list, tuple)) else [held]))
    return out


def open_files() -> tuple[str, ...]:
    """Return what the open file descriptors of this process lead to, with "path ×n" for several of one file."""
    found: Counter[str] = Counter()
    try:
        for entry in Path("/proc/self/fd").iterdir():
            try:
                target = str(entry.readlink())
            except OSError:
                continue  # the descriptor of this very listing
            found[target.split(":[")[0]] += 1
    except OSError:
        return ()
    return tuple(f"{path} ×{n}" if n > 1 else path for path, n in sorted(found.items()))


def holder(shape: str) -> str:
    """Return who holds most arrays of one "(shape) dtype" key: `module.name`, `Class.attribute`, or a type's name."""
    containers: Counter[int] = Counter()
    by_id: dict[int, Any] = {}
    with thawed():
        tracked = gc.get_objects()
    for item in tracked:
        if issubclass(type(item), (list, dict, tuple, set)):  # isinstance asks a dead proxy
            n = sum(
                type(h).__name__ == "ndarray" and f"{h.shape} {h.dtype}" == shape
                for h in gc.get_referents(item)
            )
            if n:
                containers[id(item)], by_id[id(item)] = n, item
    if not containers:
        return ""
    return _name_of(by_id[containers.most_common(1)[0][0]])


def _name_of(container: Any) -> str:
    for outer in gc.get_referrers(container):
        if issubclass(type(outer), dict):
            name = next((str(k) for k, v in outer.items() if v is container), None)
            owner = next((o for o in gc.get_referrers(outer) if _dict_of(o) is outer), None)
            if name is not None and owner is not None:
                where = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__name__
                return f"{where}.{name}"
    return f"a {type(container).__name__} of {len(container)}"


def _dict_of(item: Any) -> Any:
    return getattr(item, "__dict__", None) if not isinstance(item, type) else None
