"""A module imports only from its own layer and from layers above it (docs/explanation/architecture.md)."""

import ast
import functools
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "facelab"
LAYERS = [
    ("core",),
    ("metrics",),
    ("preprocess",),
    ("fingerprint",),
    ("matching",),
    ("datasets",),
    ("tracing",),
    ("budget",),
    ("camera",),
    ("zoo",),
    ("detection",),
    ("embedding",),
    ("emotion", "liveness", "doodle"),
    ("quantization",),
    ("index",),
    ("deploy",),
    ("serving",),
    ("feedback",),
    ("report",),
    ("session",),
    ("reproduce",),
    ("studies",),
    ("doctor",),
    ("commands", "cli"),
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")
HEAVY = {"tensorflow", "keras", "torch", "matplotlib"}


@functools.cache
def imports(path):
    """Return (module, line, at_top_level) for each import in a file."""
    return tuple(_imports(path))


def _imports(path):
    tree = ast.parse(path.read_text())
    top = set()
    for node in tree.body:
        top.update(ast.walk(node) if isinstance(node, (ast.Import, ast.ImportFrom)) else [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((a.name, node.lineno, node in top) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((f"{node.module}.{a.name}", node.lineno, node in top) for a in node.names)


def layer(path):
    part = path.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards_only(path):
    mine = layer(path)
    assert mine in RANK, (
        f"{mine} has no layer: add it to LAYERS and to docs/explanation/architecture.md"
    )
    for module, line, _ in imports(path):
        if module.startswith("facelab.") and (target := module.split(".")[1]) in RANK:
            assert RANK[target] <= RANK[mine], f"{path}:{line}: {mine} must not import {module}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_matplotlib_lives_in_report_only_and_tensorflow_is_imported_lazily(path):
    for module, line, top in imports(path):
        root = module.split(".")[0]
        if root == "matplotlib":
            assert layer(path) == "report", f"{path}:{line}: matplotlib belongs to facelab.report"
        if root in HEAVY - {"matplotlib"}:
            assert not top, (
                f"{path}:{line}: {root} must be imported inside the function that needs it"
            )


@pytest.mark.parametrize("path", [p for p in MODULES if layer(p) == "core"], ids=lambda p: p.name)
def test_core_needs_the_standard_library_and_numpy_only(path):
    import sys

    for module, line, top in imports(path):
        root = module.split(".")[0]
        # a result's `to_frame`; compiled code; pages
        if root in ("pandas", "numba", "jinja2", "markupsafe") and (
            not top or root == "markupsafe"
        ):
            continue
        assert root in sys.stdlib_module_names or root in {"numpy", "facelab", "__future__"}, (
            f"{path}:{line}: {root}"
        )


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_room_imports_private_names_of_another_room(path):
    mine = layer(path)
    for module, line, _ in imports(path):
        parts = module.split(".")
        if parts[0] != "facelab" or len(parts) < 2 or parts[1] == mine:
            continue
        private = [p for p in parts[2:] if p.startswith("_") and not p.startswith("__")]
        assert not private, f"{path}:{line}: {module} is private to {parts[1]}"


def test_no_modules_import_each_other_in_a_circle():
    names = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in MODULES}
    names = {n.removesuffix(".__init__"): p for n, p in names.items()}
    arrows = {}
    for name, path in names.items():
        reached = {m for m, _, top in imports(path) if top}
        arrows[name] = {
            m if m in names else m.rpartition(".")[0]
            for m in reached
            if m in names or m.rpartition(".")[0] in names
        } - {name}
    circles = [c for c in strongly_connected(arrows) if len(c) > 1]
    assert not circles, "\n".join(" → ".join(sorted(c)) for c in circles)


def strongly_connected(arrows):
    """Yield the strongly connected components of a graph (Tarjan's algorithm)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in arrows.get(node, ()):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            component = set()
            while node not in component:
                component.add(stack.pop())
            found.append(component)

    for node in arrows:
        if node not in index:
            visit(node)
    return found
