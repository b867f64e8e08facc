"""Keep libraries from taking settings out of the working folder.

numba looks there for `.numba_config.yaml`, at every compilation again, and matplotlib for `matplotlibrc`. In a
downloaded folder the first can name a folder from which machine code is loaded, the second a preamble that LaTeX runs.
Environment variables and settings in the user's home count as before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

HIDDEN = {"numba.core.config": ".numba_config.yaml", "matplotlib": "matplotlibrc"}
"""Module → the file that it looks for in the working folder while it is imported."""


class _Loader:
    """Runs a module as its own loader does, while one file is out of its sight."""

    def __init__(self, loader: Any, hidden: str):
        self._loader, self._hidden = loader, hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        exists = os.path.exists

        def elsewhere(path: Any) -> bool:
            return path != self._hidden and exists(path)

        os.path.exists = elsewhere
        try:
            self._loader.exec_module(module)
        finally:
            os.path.exists = exists
        _forget(module)


def _forget(module: ModuleType) -> None:
    """Let numba, which looks again and again, look for a file that is not one."""
    if hasattr(module, "_config_fname"):
        vars(module)["_config_fname"] = os.devnull


class _Finder:
    """Finds the modules that settings are hidden from, and gives them the loader above."""

    def __init__(self) -> None:
        self.modules: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self.modules:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, HIDDEN[name])  # type: ignore[assignment]
        return spec


_FINDER = _Finder()


def ignore_for(module: str) -> None:
    """Let a module of `HIDDEN` find no settings in the working folder from now on, in this process."""
    if module in sys.modules:
        _forget(sys.modules[module])
        return
    _FINDER.modules.add(module)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
