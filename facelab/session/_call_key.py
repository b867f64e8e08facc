"""The key of one call: the hash of everything its result depends on, kept in parts that say what differs.

Two calls of a function have the same key when their arguments, the function's code (with every module of
facelab and of the project that it reaches), the packages, the mirror and the processor are the same.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import platform
import sysconfig
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import machine
from facelab.core.errors import BadInputError
from facelab.core.hashing import sha256_array, sha256_file, sha256_json
from facelab.core.modules.imports import Package
from facelab.core.modules.own_modules import OwnModules
from facelab.core.project import own_folders, package_file, project_root

LOADED = time.time()
"""About when this process imported facelab: modules that changed later are not the ones that run here."""

MOST_BYTES = 1 << 30


def describe(value: Any, *, where: str = "the argument") -> Any:
    """Return plain JSON that tells a value from others: arrays, files and long texts by their hash.

    Taken are None, booleans, numbers, text, arrays, paths (a file by its content), lists, tuples, sets, mappings,
    dataclasses (fields that take part in comparisons), functions and classes of facelab, objects with a `hash` (a
    preprocessing spec), and objects with a `name` (by type and plain attributes). Raises BadInputError for anything
    else, such as a lambda.

    >>> describe({"seed": 7, "factors": ("yaw", "size")})
    {'items': [['seed', 7], ['factors', ['yaw', 'size']]]}
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (str, float, np.generic)):
        return _scalar(value)
    if isinstance(value, np.ndarray):
        return (
            describe(value.tolist(), where=where)
            if value.dtype.hasobject
            else {"array": sha256_array(value)}
        )
    if isinstance(value, os.PathLike):
        return _file(Path(value))
    if isinstance(value, Mapping):
        return {
            "items": [
                [describe(k, where=where), describe(v, where=where)] for k, v in value.items()
            ]
        }
    if isinstance(value, (list, tuple, range)):
        return [describe(v, where=where) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((describe(v, where=where) for v in value), key=str)
    return _object(value, where)


def _scalar(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str) and len(value) > 200:
        return {"text": sha256_json(value)}
    # NaN and infinity have no JSON form
    return repr(value) if isinstance(value, float) else value


def _file(path: Path) -> Any:
    if path.is_file():
        return {"file": sha256_file(path)}
    if path.is_dir():
        return {"folder": {p.relative_to(path).as_posix(): sha256_file(p) for p in _files(path)}}
    return {"path": path.as_posix()}


def _files(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    if sum(p.stat().st_size for p in found) > MOST_BYTES:
        raise BadInputError(
            "a folder is too large to be distinguished from another by its content",
            where=folder,
            expected=f"at most {MOST_BYTES >> 20} MiB",
            fix="pass the files that are read",
        )
    return found


def _object(value: Any, where: str) -> Any:
    if inspect.isfunction(value) or inspect.isclass(value):
        return function_name(value)
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.compare}
        return {"type": kind, **{k: describe(v, where=f"{where}, {k}") for k, v in fields.items()}}
    if isinstance(getattr(value, "hash", None), str):
        return {"type": kind, "hash": value.hash}
    if isinstance(getattr(value, "name", None), str):
        plain = {
            k: _scalar(v)
            for k, v in vars(value).items()
            if isinstance(v, (str, bool, int, float, np.generic))
        }
        specs = {
            k: v.hash for k, v in vars(value).items() if isinstance(getattr(v, "hash", None), str)
        }
        return {"type": kind, "name": value.name, **plain, **specs}
    raise BadInputError(
        f"{where} cannot be distinguished from another one",
        got=kind,
        expected="numbers, text, arrays, files, collections or dataclasses of these, or a named object",
        fix="pass what it was made from, and make it inside the function",
    )


def function_name(function: Callable) -> str:
    """Return `module:name` of a function of facelab or of a module of the project's own.

    Raises BadInputError for lambdas, for code of a notebook and for other libraries.
    """
    module, name = getattr(function, "__module__", "") or "", getattr(function, "__qualname__", "")
    known = module.split(".")[0] == "facelab" or bool(_modules().find(module))
    if not known or "<" in name or "." in name:
        raise BadInputError(
            "only a function of a module can be loaded from an earlier run",
            got=f"{module}:{name}",
            expected="a function at the top level of a module of facelab, or of a module beside the notebooks",
            fix="move the code into a module, or call it directly",
        )
    return f"{module}:{name}"


@functools.cache
def _modules_of(root: Path) -> OwnModules:
    return OwnModules(Package(Path(__file__).resolve().parents[1]), own_folders(root), root)


def _modules() -> OwnModules:
    return _modules_of(project_root())


@functools.cache
def _closure(root: Path, module: str) -> dict[str, str]:
    return _modules_of(root).closure([f"import {module}"])[0]


def code(module: str) -> str:
    """Return the hash of a module and of all that it reaches of facelab and of the project's own, as files are now."""
    return sha256_json(_closure(project_root(), module))


def changed_since_loaded(module: str) -> bool:
    """Return whether a file that `module` reaches is newer than this process, so that other code runs than is there."""
    modules = _modules()
    for name in _closure(modules.root, module):
        path = modules.root / name
        path = path if path.is_file() else modules.package.folder.parent / name
        if path.stat().st_mtime > LOADED:
            return True
    return False


def _catalogue() -> str:
    path = package_file("zoo/data/catalogue.toml")
    return sha256_file(path) if path.is_file() else ""


@functools.cache
def _packages() -> str:
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return sha256_json(sorted({p.name for f in folders for p in Path(f).glob("*.dist-info")}))


def parts(function: Callable, args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a call depends on: function, arguments by name, code, catalogue, packages, mirror, processor.

    Raises BadInputError for a function or an argument that `describe` does not take, TypeError for arguments that the
    function does not take.
    """
    name = function_name(function)
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    given = {
        k: describe(v, where=f"the argument {k!r} of {name}") for k, v in bound.arguments.items()
    }
    mirror = os.environ.get("FACELAB_MIRROR", "")
    if mirror and Path(mirror).is_dir():
        mirror = str(Path(mirror).resolve())
    return {
        "function": name,
        "arguments": given,
        "code": code(function.__module__),
        "catalogue": _catalogue(),
        "packages": _packages(),
        "python": platform.python_version(),
        "mirror": mirror,
        "processor": machine.cpu_model(),
        "blas": os.environ.get("OPENBLAS_CORETYPE", ""),
    }


def key_of(parts: dict[str, Any]) -> str:
    """Return the key of its parts."""
    return sha256_json(parts)


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return in words what differs between two calls' parts, most telling first.

    >>> a = {"function": "f", "arguments": {"seed": 7, "faces": 2}, "code": "x"}
    >>> differences(a, {"function": "f", "arguments": {"seed": 7, "faces": 10}, "code": "y"})
    'faces: 2 → 10; the code changed'
    """
    old, new = before.get("arguments", {}), now.get("arguments", {})
    said = [
        f"{k}: {_shown(old.get(k))} → {_shown(new.get(k))}"
        if not isinstance(new.get(k), (dict, list)) and not isinstance(old.get(k), (dict, list))
        else f"{k} differs"
        for k in sorted({*old, *new})
        if old.get(k) != new.get(k)
    ]
    words = {
        "code": "the code changed",
        "catalogue": "the catalogue changed",
        "packages": "other packages are installed",
        "python": "another Python",
        "mirror": "another FACELAB_MIRROR",
        "processor": "another processor",
        "blas": "another OPENBLAS_CORETYPE",
    }
    said += [text for part, text in words.items() if before.get(part) != now.get(part)]
    return "; ".join(said)


def _shown(value: Any) -> str:
    return str(value)[:40]
