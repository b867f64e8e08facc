"""The room's own order: types, kernels, gallery, search, matcher; no file reads another's private parts."""

import ast
from pathlib import Path

import pytest

ROOM = Path(__file__).resolve().parents[2] / "facelab" / "matching"
ORDER = [
    ("_types", "_vectors", "threads"),
    ("_results", "oracle"),
    ("kernels",),
    ("_gallery",),
    ("_search", "_pairwise"),
    ("_matcher",),
    ("_prepared", "_files", "_cluster", "_file_search"),
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
FILES = sorted(p for p in ROOM.rglob("*.py") if p != ROOM / "__init__.py")


def part(path):
    return path.relative_to(ROOM).parts[0].removesuffix(".py")


def imported(tree):
    """Yield the parts of this room that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("facelab.matching"):
            rest = node.module.split(".")[2:]
            yield from [rest[0]] if rest else [a.name for a in node.names]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOM)))
def test_imports_follow_the_order(path):
    for name in imported(ast.parse(path.read_text())):
        assert RANK[name] <= RANK[part(path)], f"{path.name} must not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOM)))
def test_private_attributes_are_read_by_their_own_class_only(path):
    """`x._name` is written on `self` or on a name of the same file; dunders and `_replace` are not secrets."""
    tree = ast.parse(path.read_text())
    own = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and is_self(n.value)}
    own |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    known = {"_replace", "_fields", "_cache", "_index_key"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            private = not node.attr.startswith("__") and node.attr not in known
            assert not private or is_self(node.value) or node.attr in own, ast.unparse(node)


def is_self(node):
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def test_the_front_door_offers_what_it_lists():
    from facelab import matching

    assert matching.__all__ == sorted(matching.__all__)
    assert len(matching.__all__) <= 15
    for name in matching.__all__:
        assert getattr(matching, name) is not None
    assert set(matching.__all__) <= set(dir(matching))
