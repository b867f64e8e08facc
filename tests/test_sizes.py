"""Rooms are small: what is larger than CONTRIBUTING allows is listed here, and may only shrink."""

import ast
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "facelab"
FILES = sorted(PACKAGE.rglob("*.py"))
LINES, IN_A_FOLDER, STATEMENTS = 410, 12, 40
LONG_FILES = {
    "fingerprint/search/candidates/_geometry.py": 525,
    "preprocess/ops.py": 432,
    "quantization/_session.py": 464,
    "reproduce/_runner.py": 578,
    "studies/synthetic_evidence.py": 450,
}
"""Files of more than about 400 lines, without the sections of docstrings.

Lower a number when its file shrinks, and take it out at the limit.
"""
FULL_FOLDERS = {
    "commands": 35,
    "core": 37,
    "deploy": 23,
    "emotion": 24,
    "index": 16,
    "matching": 13,
    "metrics": 13,
    "preprocess": 16,
    "quantization": 25,
    "report": 22,
    "reproduce": 19,
    "studies": 37,
    "tracing": 17,
    "zoo": 17,
}
"""Folders of more than 12 files."""
LONG_FUNCTIONS, LONGEST = 46, 86
"""How many functions have more than 40 lines below their docstring, and the lines of the longest."""


def name(path):
    return path.relative_to(PACKAGE).as_posix()


def sections(node):
    """Return how many lines the NumPy sections of a docstring take: documenting a name adds no second thing."""
    text = (ast.get_docstring(node, False) or "").splitlines()
    lines = [line.strip() for line in text]
    rules = [k for k, line in enumerate(lines) if len(line) > 3 and set(line) == {"-"}]
    return len(lines) - rules[0] + 1 if rules else 0


def length(path):
    """Return the lines of a file without the sections of its docstrings."""
    text = path.read_text()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    named = (node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds))
    return len(text.splitlines()) - sum(map(sections, named))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_holds_one_thing(path):
    lines = length(path)
    assert lines <= LONG_FILES.get(name(path), LINES), f"{path}: {lines} lines; split it"


def test_a_folder_holds_few_files():
    count = Counter(name(p.parent) for p in FILES if p.name != "__init__.py")
    full = {k: n for k, n in count.items() if n > FULL_FOLDERS.get(k, IN_A_FOLDER)}
    assert not full, f"{full}: make a folder of what belongs together"


def test_what_is_listed_is_still_too_large():
    count = Counter(name(p.parent) for p in FILES if p.name != "__init__.py")
    gone = [k for k in LONG_FILES if length(PACKAGE / k) <= LINES]
    gone += [k for k in FULL_FOLDERS if count[k] <= IN_A_FOLDER]
    assert not gone, f"take these out of the lists: {gone}"


def test_functions_are_short():
    long = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node, False) is not None else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                if lines > STATEMENTS:
                    long.append((lines, f"{name(path)}:{node.lineno} {node.name}"))
    assert len(long) <= LONG_FUNCTIONS and max(long)[0] <= LONGEST, sorted(long, reverse=True)
