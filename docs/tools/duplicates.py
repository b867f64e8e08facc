"""Count the places that share six or more lines: `python docs/tools/duplicates.py [--most N]` prints each pair.

Two places are a pair where

- six or more lines in a row are equal, white space aside, or
- two functions have the same statements, six lines or more, and differ in names, numbers and texts alone.

What Python, a library or the formatter makes everybody write is boilerplate and does not count: blank lines and lone
punctuation, comments and docstrings, imports, `__all__` and tables of lazy names, decorators (click's stacks of
options among them), the line of a class and the signature of a function, fields without a default, `raise
NotImplementedError`, and a function that builds one error. Stubs (`.pyi`) repeat names on purpose. Three kinds of
program must not share code: `tests/datasets/plain_renderer`, an oracle that would otherwise agree with each mistake of
the code it checks, `tests/fingerprint/field`, where each function is another person's program, and
`facelab/preprocess/emit/kernels`, the source of the code that facelab emits.

`--most N` prints, and exits with 1, only where there are more than N pairs.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from checkout import ROOT, files

LINES = 6
FOLDERS = ("facelab/", "tests/", "docs/tools/", "examples/", "requirements/")
APART = (
    "tests/datasets/plain_renderer/",
    "tests/fingerprint/field/",
    "facelab/preprocess/emit/kernels/",
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Place = tuple[str, int]
"""A file, and the position of a line among those that count."""


def main(arguments: list[str]) -> int:
    """Print each pair as `lines first ~ second`; return 1 if there are more than allowed."""
    most = int(arguments[1]) if arguments[:1] == ["--most"] else 0
    trees = {name: ast.parse((ROOT / name).read_text(encoding="utf-8")) for name in tracked()}
    pairs = [*equal_lines(trees), *equal_functions(trees)]
    if len(pairs) <= most:
        return 0
    print("\n".join(pairs))
    print(f"{len(pairs)} pairs of places share {LINES} lines, {most} are accepted", file=sys.stderr)
    return 1


def tracked() -> list[str]:
    """Return the Python files of the checkout that may share code."""
    names = (n for n in files() if n.endswith(".py") and n.startswith(FOLDERS))
    return [n for n in names if not n.startswith(APART)]


# -- equal lines --------------------------------------------------------------------------------------------------


def equal_lines(trees: dict[str, ast.Module]) -> Iterator[str]:
    """Yield the pairs of runs of equal lines, longest first."""
    files = {name: list(counted(name, tree)) for name, tree in trees.items()}
    windows: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for name, lines in files.items():
        for i in range(len(lines) - LINES + 1):
            windows[tuple(text for _, text in lines[i : i + LINES])].append((name, i))
    equal = {pair for places in windows.values() for pair in combinations(places, 2)}
    runs = []
    for (f, i), (g, j) in equal:
        if ((f, i - 1), (g, j - 1)) in equal:
            continue
        length = LINES
        while ((f, i + length - LINES + 1), (g, j + length - LINES + 1)) in equal:
            length += 1
        runs.append((length, (f, i), (g, j)))

    def shown(place: Place, length: int) -> str:
        name, i = place
        return f"{name}:{files[name][i][0]}-{files[name][i + length - 1][0]}"

    for length, first, second in sorted(runs, reverse=True):
        yield f"{length} {shown(first, length)} ~ {shown(second, length)}"


def counted(name: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line of a file that is not boilerplate."""
    thin = {line for node in ast.walk(tree) for line in boilerplate(node)}
    for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1):
        text = re.sub(r"\s+#.*$", "", line).strip()
        if number not in thin and re.search(r"\w", text) and not text.startswith("#"):
            yield number, " ".join(text.split())


def boilerplate(node: ast.AST) -> Iterator[int]:
    """Yield the lines of a node that everybody has to write."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        for decorator in node.decorator_list:
            yield from range(decorator.lineno, (decorator.end_lineno or 0) + 1)
        yield from range(node.lineno, node.body[0].lineno)
    whole = (
        isinstance(node, (ast.Import, ast.ImportFrom))
        or (isinstance(node, ast.AnnAssign) and node.value is None)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Raise) and ast.unparse(node) == "raise NotImplementedError")
        or (isinstance(node, ast.Assign) and "__all__" in ast.unparse(node.targets[0]))
        or (isinstance(node, ast.Call) and "lazy_loader" in ast.unparse(node.func))
    )
    if whole:
        yield from range(node.lineno, (node.end_lineno or 0) + 1)  # type: ignore[attr-defined]


# -- equal functions ----------------------------------------------------------------------------------------------


def equal_functions(trees: dict[str, ast.Module]) -> Iterator[str]:
    """Yield the pairs of functions that differ in names, numbers and texts alone."""
    by_shape: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS) and (body := statements(node)):
                by_shape[shape(body)].append((f"{name}:{node.lineno} {node.name}", len(body)))
    for places in by_shape.values():
        for (first, _), (second, _) in combinations(places, 2):
            yield f"same statements: {first} ~ {second}"


def statements(node: Any) -> list[ast.stmt]:
    """Return what a function does where that is six lines or more and not one error alone."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if not body or body[-1].end_lineno - body[0].lineno + 1 < LINES:
        return []
    one_error = len(body) == 1 and isinstance(body[0], (ast.Return, ast.Raise))
    return [] if one_error else body


def shape(body: list[ast.stmt]) -> str:
    """Return statements with every name, number and text replaced."""
    text = ast.dump(ast.Module(body=body, type_ignores=[]))
    text = re.sub(r"(id|arg|attr|name)='\w*'", r"\1", text)
    return re.sub(
        r"Constant\(value=(?:'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[^(),]+)", "Constant(", text
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
