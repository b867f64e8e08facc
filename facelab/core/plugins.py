"""Parts that other packages bring: families of models, emitters, cameras and stores, found by entry points.

A package names them in its `pyproject.toml`, and they are there once it is installed:

    [project.entry-points."facelab.detectors"]
    my-family = "my_package.detector:MyDetector"
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from facelab.core.errors import BadInputError, FacelabError
from facelab.core.hashing import sha256_file
from facelab.core.process import garbage

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUPS = {
    "facelab.detectors": "a subclass of facelab.detection.NeuralDetector or Detector",
    "facelab.embedders": "a subclass of facelab.embedding.NeuralEmbedder or Embedder",
    "facelab.liveness": "a liveness model's class",
    "facelab.emitters": "a module with a function emit(spec, name, ...)",
    "facelab.sources": "a function (rest, **options) that returns a camera Source",
    "facelab.stores": "a function (rest) that returns a metadata store",
}
"""The groups that facelab looks at, with what each entry must be."""


class PluginError(FacelabError):
    """A part that another package brings cannot be loaded."""

    exit_code = 2


@functools.cache
def installed(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, as installed packages declare them; nothing is imported.

    >>> installed("facelab.nothing")
    {}
    """
    from importlib import metadata  # here: it costs what facelab's own part of a command does

    return {e.name: e for e in metadata.entry_points(group=group)}


def load(group: str, name: str) -> Any:
    """Import one part. Raises PluginError with the package's name where its code fails."""
    point = installed(group)[name]
    garbage.end_as_usual()
    try:
        return point.load()
    except Exception as e:  # another package's code may fail in any way while it is imported
        package = point.dist.name if point.dist else point.value
        raise PluginError(
            f"the part {name!r} cannot be loaded",
            where=f"{package}: {point.value}",
            expected=GROUPS.get(group, "an importable object"),
            got=f"{type(e).__name__}: {e}"[:200],
            fix=f"correct or uninstall the package {package}",
        ) from e


def refuse_twins(group: str, built_in: list[str]) -> None:
    """Raise PluginError where another package names a part like one of facelab's own: which is meant is unclear."""
    twins = sorted(set(installed(group)) & set(built_in))
    if twins:
        point = installed(group)[twins[0]]
        raise PluginError(
            f"another package brings a part with the name of facelab's own {twins[0]!r}",
            where=point.dist.name if point.dist else point.value,
            expected=f"a name that is none of {', '.join(sorted(built_in))}",
            got=twins[0],
            fix="rename it in that package's entry points",
        )


def from_file(text: str) -> Any:
    """Import `path/to/file.py:Name` and return the object. Raises BadInputError, PluginError.

    The file runs as Python code: it is for your own files only.
    """
    path, colon, name = text.rpartition(":")
    file = Path(path)
    if not colon or file.suffix != ".py" or not name.isidentifier():
        raise BadInputError(
            "a part in a file is written file.py:Name",
            expected="path/to/file.py:Name",
            got=text,
            fix="name the file and the class",
        )
    if not file.is_file():
        raise BadInputError("the file is not there", where=file, fix="check the path")
    module = _module(file)
    if not hasattr(module, name):
        raise BadInputError(
            f"the file has no {name!r}",
            where=file,
            expected=", ".join(n for n in vars(module) if n[:1].isupper())[:200] or "a class",
            got=name,
            fix="name a class of the file",
        )
    return getattr(module, name)


def _module(file: Path) -> ModuleType:
    """Import a file once for each content of it."""
    key = f"facelab_part_{file.stem}_{sha256_file(file)[:12]}"
    if key in sys.modules:
        return sys.modules[key]
    found = importlib.util.spec_from_file_location(key, file)
    assert found is not None and found.loader is not None  # it is a .py file that exists
    module = importlib.util.module_from_spec(found)
    sys.modules[key] = module
    garbage.end_as_usual()
    try:
        found.loader.exec_module(module)
    except Exception as e:  # a user's file may fail in any way
        del sys.modules[key]
        raise PluginError(
            "the file cannot be imported",
            where=file,
            got=f"{type(e).__name__}: {e}"[:200],
            fix="correct the file",
        ) from e
    return module
