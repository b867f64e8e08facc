"""Which of a project's own modules a piece of code can reach, by reading and never by importing."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from facelab.core.hashing import sha256_file
from facelab.core.modules.imports import Package


class OwnModules:
    """The modules in `folders`, in the order in which Python would look there; `package` is facelab itself.

    Names of the standard library and of `package` are never a project's own.
    """

    def __init__(self, package: Package, folders: Sequence[Path], root: Path):
        self.package, self.folders, self.root = package, list(folders), root
        self._read: dict[Path, tuple[set[Path], str]] = {}

    def closure(self, sources: Iterable[str]) -> tuple[dict[str, str], set[str]]:
        """Return ({file: sha256}, third-party top-level names) that sources reach, facelab's modules included.

        Own files are named relative to the project's root. A module in a package brings the package's data files.
        """
        texts = list(sources)
        stack: list[Path] = [path for text in texts for path in self._references(text, None)]
        found: set[Path] = set()
        while stack:
            path = stack.pop()
            if path in found:
                continue
            found.add(path)
            if path not in self._read:
                text = _text(path)
                self._read[path] = self._references(text, path), text
            stack += self._read[path][0]
        modules, foreign = self.package.closure([*texts, *(self._read[p][1] for p in found)])
        files = found | {data for path in found for data in _data(path.parent)}
        own = {self._label(p): sha256_file(p) for p in sorted(files)}
        return {**modules, **own}, foreign

    def find(self, name: str) -> list[Path]:
        """Return the files that importing a dotted name loads: packages' `__init__.py` and the module itself."""
        parts = name.split(".")
        if parts[0] in sys.stdlib_module_names or parts[0] == self.package.name:
            return []
        for folder in self.folders:
            found: list[Path] = []
            for k in range(1, len(parts) + 1):
                base = folder.joinpath(*parts[:k])
                for candidate in (base / "__init__.py", base.with_name(f"{base.name}.py")):
                    if candidate.is_file():
                        found.append(candidate)
                        break
            if found:
                return found
        return []

    def _label(self, path: Path) -> str:
        return (
            path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
        )

    def _references(self, text: str, path: Path | None) -> set[Path]:
        package = path is not None and path.name == "__init__.py"
        read = self.package.reader.read(text.encode())
        names = [*read.imported(self._name(path) if path else None, package), *read.words]
        found: set[Path] = set()
        for called, _ in read.calls:
            if called is not None:
                names.append(called)
            elif path is not None and (path.parent / "__init__.py").is_file():
                found.update(path.parent.rglob("*.py"))
        for name in names:
            found.update(self.find(name))
        return found

    def _name(self, path: Path) -> str | None:
        for folder in self.folders:
            if path.is_relative_to(folder):
                parts = path.relative_to(folder).with_suffix("").parts
                return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _data(folder: Path) -> list[Path]:
    if not (folder / "__init__.py").is_file():
        return []
    return [
        f
        for f in folder.iterdir()
        if f.is_file() and f.suffix not in (".py", ".pyc") and not f.name.startswith(".")
    ]
