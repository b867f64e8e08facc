"""Which modules of the package a piece of code can reach, by reading and never by importing.

Imports inside functions count. So do module names in strings ("facelab.emotion._modelmaker_job" for `python -m`),
and where a module imports by a computed name, every module of the package that the name begins with.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

from facelab.core.hashing import sha256_file
from facelab.core.modules.references import ReferenceReader


class Package:
    """One Python package on disk (here: `facelab`), whose modules are read at most once.

    `folder` is the package's own folder; its name is the import's first word. `reader` reads what a text refers to.
    """

    def __init__(self, folder: Path, reader: ReferenceReader | None = None):
        self.folder, self.name = folder, folder.name
        self.reader = reader or ReferenceReader()
        self._dotted = re.compile(rf"^{self.name}(\.[A-Za-z_][A-Za-z0-9_]*)*\.?$")
        self._read: dict[str, tuple[set[str], set[str]]] = {}
        self._hashes: dict[Path, str] = {}
        self._paths: dict[str, Path | None] = {}

    def path(self, module: str) -> Path | None:
        """Return the file of a dotted module name, or None if the package has no such module."""
        if module not in self._paths:
            self._paths[module] = self._find(module)
        return self._paths[module]

    def _find(self, module: str) -> Path | None:
        relative = Path(*module.split(".")[1:])
        for candidate in (
            self.folder / relative / "__init__.py",
            self.folder / relative.with_suffix(".py")
            if relative.parts
            else self.folder / "__init__.py",
        ):
            if candidate.is_file():
                return candidate
        return None

    def closure(self, sources: Iterable[str]) -> tuple[dict[str, str], set[str]]:
        """Return ({file relative to the package's parent: sha256}, third-party top-level names) that sources reach.

        A module brings its package's `__init__.py` files and the data files that are beside it.
        """
        modules: set[str] = set()
        foreign: set[str] = set()
        stack: list[str] = []
        for text in sources:
            mine, others = self._references(text.encode(), None)
            stack += mine
            foreign |= others
        while stack:
            module = stack.pop()
            if module in modules:
                continue
            modules.add(module)
            path = self.path(module)
            if path is None:
                continue
            if module not in self._read:
                self._read[module] = self._references(path.read_bytes(), module)
            stack += self._read[module][0]
            foreign |= self._read[module][1]
        self.reader.keep()
        files = {p for m in modules if (p := self.path(m))}
        files |= {f for folder in {p.parent for p in files} for f in self._data(folder)}
        return {
            p.relative_to(self.folder.parent).as_posix(): self._hash(p) for p in sorted(files)
        }, foreign

    @functools.cache  # noqa: B019
    def _data(self, folder: Path) -> tuple[Path, ...]:
        return tuple(
            f
            for f in folder.iterdir()
            if f.is_file() and f.suffix not in (".py", ".pyc") and not f.name.startswith(".")
        )

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = sha256_file(path)
        return self._hashes[path]

    def _references(self, text: bytes, module: str | None) -> tuple[set[str], set[str]]:
        found = self.reader.read(text)
        package = module is not None and self._is_package(module)
        mine: set[str] = set()
        foreign: set[str] = set()
        for name in found.imported(module, package):
            (mine if name.split(".")[0] == self.name else foreign).add(name)
        mine |= {word for word in found.words if self._dotted.match(word)}
        for stem in found.stems:
            if self._dotted.match(stem):
                mine |= self._below(stem.rpartition(".")[0])
        if module and any(not begins for _, begins in found.calls):
            mine |= self._below(module if package else module.rpartition(".")[0])
        known: set[str] = set()
        for name in mine:
            known |= self._known(name)
        return known, {f.split(".")[0] for f in foreign}

    def _is_package(self, module: str) -> bool:
        path = self.path(module)
        return path is not None and path.name == "__init__.py"

    def _known(self, dotted: str) -> set[str]:
        """Return the modules that a dotted name loads: each prefix that is one."""
        parts = dotted.split(".")
        return {name for k in range(1, len(parts) + 1) if self.path(name := ".".join(parts[:k]))}

    def _below(self, package: str) -> set[str]:
        root = self.path(package)
        if root is None or root.name != "__init__.py":
            return {package}
        found = {package}
        for file in root.parent.rglob("*.py"):
            parts = file.relative_to(self.folder).with_suffix("").parts
            found.add(".".join((self.name, *(parts[:-1] if parts[-1] == "__init__" else parts))))
        return found
