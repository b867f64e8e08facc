"""Which installed distributions give which modules, read from file names and lists only.

`importlib.metadata.packages_distributions` says the same, but it parses each distribution's whole description.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".dist-info"


def by_module() -> dict[str, dict[str, str]]:
    """Return top-level module → {distribution: version} for what can be imported here, without the standard library.

    Names are as in the folder's name, with underscores. Of two copies the one that Python would import counts.

    >>> list(by_module()["numpy"])
    ['numpy']
    """
    return _by_module(tuple(sys.path))


@functools.cache
def _by_module(folders: tuple[str, ...]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    seen: set[str] = set()
    for folder in folders:
        for name, version, info in installed(Path(folder)):
            if name in seen:
                continue
            seen.add(name)
            for module in _modules(info):
                if module not in sys.stdlib_module_names:
                    found.setdefault(module, {})[name] = version
    return found


def installed(folder: Path) -> list[tuple[str, str, Path]]:
    """Return (name, version, its `.dist-info`) of each distribution in a folder of packages, by folder names alone."""
    try:
        infos = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIX))
    except OSError:
        return []
    words = [path.name.removesuffix(SUFFIX).partition("-") for path in infos]
    return [(name, version, path) for (name, _, version), path in zip(words, infos, strict=True)]


def _modules(info: Path) -> set[str]:
    """Return the top-level modules that a distribution lists, or that its list of files shows."""
    listed = _lines(info / "top_level.txt")
    named = {word for line in listed for word in line.split()}
    if named:
        return named
    found = {
        line.partition(",")[0].partition("/")[0].strip('"') for line in _lines(info / "RECORD")
    }
    return {
        module
        for name in found
        if name != ".." and (module := inspect.getmodulename(name) or name).isidentifier()
    }


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as f:
            yield from f
    except OSError:
        return
