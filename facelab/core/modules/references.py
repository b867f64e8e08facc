"""What a piece of Python code refers to: its imports and the module names in its strings.

This is read from the text alone, whatever modules exist, so that it can be kept by the text's hash.
"""

from __future__ import annotations

import ast
import functools
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facelab.core.caches import cache_folder
from facelab.core.errors import FacelabError
from facelab.core.files import write_bytes
from facelab.core.hashing import sha256_bytes
from facelab.core.narrow import is_dict

DYNAMIC = {"import_module", "__import__", "iter_modules", "walk_packages", "find_spec"}
"""Functions that import a module by name."""

MOST_KEPT = 5000
"""Texts whose references are kept; with more, those that the last process did not use are left out."""


@dataclass(frozen=True)
class References:
    """The references of one text.

    Parameters
    ----------
    imports : list of (int, str, list of str)
        Per import: leading dots (0 for none), the module after `from`, and the names; the module is empty for
        `import a.b`.
    words : list of str
        Strings that could be a module's dotted name, up to a colon.
    stems : list of str
        Beginnings of f-strings that contain a dot.
    calls : list of (str or None, bool)
        Per call of a function in `DYNAMIC`: its first argument where that is a string, and whether the name's
        beginning is written out.
    """

    imports: list[tuple[int, str, list[str]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    stems: list[str] = field(default_factory=list)
    calls: list[tuple[str | None, bool]] = field(default_factory=list)

    def imported(self, module: str | None, package: bool) -> list[str]:
        """Return the dotted names that the imports load.

        Relative ones are seen from `module`, which is a package's `__init__.py` where `package` is true; without a
        module they are left out.
        """
        found: list[str] = []
        for level, base, names in self.imports:
            if level:
                if module is None:
                    continue
                parts = module.split(".") if package else module.split(".")[:-1]
                parts = parts[: len(parts) - level + 1]
                base = ".".join([*parts, base] if base else parts)
            found += [f"{base}.{name}" if base or level else name for name in names]
        return found


def references(text: str) -> References:
    """Return what a module's or a notebook cell's text refers to; of text that cannot be parsed, nothing.

    >>> references("from . import a\\nimport b.c").imports
    [(1, '', ['a']), (0, '', ['b.c'])]
    """
    found = References()
    for node in ast.walk(_parse(text)):
        if isinstance(node, ast.Import):
            found.imports.append((0, "", [alias.name for alias in node.names]))
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            found.imports.append((node.level, node.module or "", names))
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and _is_dotted(word := node.value.partition(":")[0]):
                found.words.append(word)
        elif isinstance(node, ast.JoinedStr):
            first = _text(node.values[0]) if len(node.values) > 1 else None
            if first and "." in first:
                found.stems.append(first)
        elif isinstance(node, ast.Call) and _called(node) in DYNAMIC:
            first_argument = node.args[0] if node.args else None
            found.calls.append((_text(first_argument), _begins_with_text(first_argument)))
    return found


class ReferenceReader:
    """Reads references, each text at most once ever: they are kept in the user's cache folder by the text's hash."""

    def __init__(self, path: Path | None = None):
        self._path = path or _cache_path()
        self._kept: dict[str, Any] | None = None
        self._used: set[str] = set()
        self._new = False

    def read(self, data: bytes) -> References:
        """Return the references of a text in UTF-8; bytes that are no such text have none."""
        if self._kept is None:
            self._kept = _load(self._path)
        name = sha256_bytes(data)
        self._used.add(name)
        try:
            return _from_json(self._kept[name])
        except (KeyError, ValueError, TypeError):
            found = references(data.decode("utf-8", errors="ignore"))
        self._kept[name] = [found.imports, found.words, found.stems, found.calls]
        self._new = True
        return found

    def keep(self) -> None:
        """Write what was read into the cache, if anything was new; a folder that takes no file is left alone."""
        if not self._new or self._path is None or self._kept is None:
            return
        self._new = False
        if len(self._kept) > MOST_KEPT:
            self._kept = {name: self._kept[name] for name in self._used}
        try:
            write_bytes(self._path, json.dumps(self._kept, separators=(",", ":")).encode())
        except (OSError, FacelabError):
            return


def _load(path: Path | None) -> dict[str, Any]:
    try:
        found: object = json.loads(path.read_bytes()) if path is not None else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if is_dict(found) else {}


def _from_json(kept: Any) -> References:
    imports, words, stems, calls = kept
    return References(
        [(int(level), str(base), [str(n) for n in names]) for level, base, names in imports],
        [str(word) for word in words],
        [str(stem) for stem in stems],
        [(None if name is None else str(name), bool(begins)) for name, begins in calls],
    )


@functools.cache
def _cache_path() -> Path | None:
    """The file is named by this module's own bytes and Python's version, so that it is never stale."""
    folder = cache_folder()
    if folder is None:
        return None
    code = Path(__file__).read_bytes() + platform.python_version().encode()
    return folder / f"module-references-{sha256_bytes(code)[:16]}.json"


def _parse(text: str) -> ast.AST:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        # IPython's magics and shell lines are not Python: leave them out and read the rest
        kept = "\n".join(
            "pass" if line.lstrip().startswith(("%", "!", "?")) else line
            for line in text.split("\n")
        )
        try:
            return ast.parse(kept)
        except (SyntaxError, ValueError):
            return ast.Module(body=[], type_ignores=[])


def _is_dotted(word: str) -> bool:
    return "." in word and all(part.isidentifier() for part in word.split("."))


def _called(node: ast.Call) -> str:
    """Return the name of the function that is called, without what stands before its last dot."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _text(node: ast.expr | None) -> str | None:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else None


def _begins_with_text(node: ast.expr | None) -> bool:
    """Return whether a name is written out, or begins with written text."""
    if isinstance(node, ast.JoinedStr):
        return bool(node.values) and isinstance(node.values[0], ast.Constant)
    return isinstance(node, ast.Constant)
