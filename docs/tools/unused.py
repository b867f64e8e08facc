"""Find code that nothing reaches: `python docs/tools/unused.py` prints it and exits with 1.

A function, class, method or constant of `facelab/` is reached where its name is written anywhere else in the package,
in a notebook, a document, an example, a tool or a settings file. Tests do not count: code that only a test calls is
tested for nobody. A front door's `__all__` counts, as users are behind it.

Left out is what others call by rules of their own: dunder methods, fields of data classes, methods of a class that
inherits from a library, functions under a library's decorator, and names that a module builds in an f-string.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from checkout import ROOT, files

WORD = re.compile(r"[A-Za-z_]\w*")
TEXTS = (".md", ".ipynb", ".toml", ".js", ".j2", ".pyi")
OWN_DECORATORS = {"property", "staticmethod", "classmethod", "cached_property", "cache"}
OWN_DECORATORS |= {"lru_cache", "dataclass", "contextmanager", "abstractmethod", "setter"}
PLAIN_BASES = {"Protocol", "Generic", "NamedTuple", "Exception", "ValueError"}
CALLED_BY_LIBRARIES = {"get_next", "writelines"}
"""Methods that a library calls on any object: ONNX Runtime's reader of calibration data."""
EMITTED = "facelab/preprocess/emit/kernels/"
"""The source of the code that facelab emits; its functions are named while a language is written."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Uses = dict[str, set[tuple[str, int]]]
"""For each name the places where it is written, as file and line."""


def main() -> int:
    """Print each definition that nothing reaches; return 1 if there is one."""
    paths = {n: ROOT / n for n in files() if not n.startswith("tests/")}
    trees = {n: ast.parse(p.read_text()) for n, p in paths.items() if n.endswith(".py")}
    uses: Uses = defaultdict(set)
    for name, tree in trees.items():
        for word, line in written(tree, door=name.endswith("__init__.py")):
            uses[word].add((name, line))
    for name, path in paths.items():
        if name.endswith(TEXTS):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                for word in WORD.findall(line):
                    uses[word].add((name, number))
    own = {n.name for t in trees.values() for n in ast.walk(t) if isinstance(n, ast.ClassDef)}
    lost = [
        f"{file}:{node.lineno}: {name}"
        for file, tree in trees.items()
        if file.startswith("facelab/") and not file.startswith(EMITTED)
        for name, node in definitions(tree.body, own, built(tree))
        if not {(f, i) for f, i in uses[name] if f != file or not inside(node, i)}
    ]
    print("\n".join(lost) if lost else "everything is reached", file=sys.stderr if lost else None)
    return 1 if lost else 0


def inside(node: Any, line: int) -> bool:
    """Return whether a line belongs to a definition itself."""
    return node.lineno <= line <= node.end_lineno


def written(tree: ast.Module, *, door: bool) -> Iterator[tuple[str, int]]:
    """Yield each name that a module reads, imports, or has in a text other than a docstring."""
    docs = {
        n.body[0].value
        for n in ast.walk(tree)
        if isinstance(n, (*FUNCTIONS, ast.ClassDef, ast.Module)) and ast.get_docstring(n, False)
        if isinstance(n.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name, ctx=ast.Load()):
                yield name, node.lineno
            case ast.keyword(arg=str(name)):
                yield name, node.value.lineno
            case ast.ImportFrom() | ast.Import() if not door:
                for alias in node.names:
                    yield from ((part, node.lineno) for part in alias.name.split("."))
            case ast.Constant(value=str(text)) if node not in docs:
                yield from ((word, node.lineno) for word in WORD.findall(text))


def built(tree: ast.Module) -> list[re.Pattern[str]]:
    """Return the patterns of names that a module builds: `f"visit_{kind}"` reaches every `visit_…` of it."""
    patterns = []
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=values):
                parts = [str(v.value) if isinstance(v, ast.Constant) else "\0" for v in values]
            case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Add()):
                parts = [text, "\0"]
            case _:
                continue
        last = re.split(r"[^\w\0]", "".join(parts))[-1]  # "module:name_{kind}" ends in a name
        if last.strip("\0"):
            patterns.append(re.compile(last.replace("\0", r"\w+")))
    return patterns


def definitions(
    body: list[ast.stmt], own: set[str], dynamic: list[re.Pattern[str]], *, fields: bool = True
) -> Iterator[tuple[str, ast.stmt]]:
    """Yield name and node of what a module or class defines and nobody else calls by rules of their own."""
    for node in body:
        names: list[str] = []
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            decorators = {
                ast.unparse(d).split("(")[0].rsplit(".", 1)[-1] for d in node.decorator_list
            }
            names = [node.name] if decorators <= OWN_DECORATORS else []
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(b).split("[")[0] for b in node.bases}
                if bases <= own | PLAIN_BASES:
                    yield from definitions(node.body, own, dynamic, fields=False)
        elif isinstance(node, ast.Assign) and fields:
            names = [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            yield from definitions(node.body, own, dynamic, fields=fields)
        for name in names:
            hook = (name.startswith("_") and name.endswith("_")) or name in CALLED_BY_LIBRARIES
            if not hook and not any(p.fullmatch(name) for p in dynamic):
                yield name, node


if __name__ == "__main__":
    sys.exit(main())
