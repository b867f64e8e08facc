"""Every public function of the package states the types of its parameters and of what it returns."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "facelab"
PRINTED = {"preprocess/emit/kernels/arrays.py"}
"""Printed into programs as they stand: what a generated program says is not changed for a type checker."""


def functions(body, *, in_class=False):
    """Yield (function, whether it is a method) for what a module or class offers without an underscore."""
    for node in body:
        hidden = getattr(node, "name", "").startswith("_")
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not hidden or node.name.startswith("__"):
                yield node, in_class
        elif isinstance(node, ast.ClassDef) and not hidden:
            yield from functions(node.body, in_class=True)


def unannotated(node, is_method):
    """Return the names of parameters without a type, and `return` where that is missing."""
    a = node.args
    first = [*a.posonlyargs, *a.args]
    static = any(getattr(d, "id", "") == "staticmethod" for d in node.decorator_list)
    parameters = first[1:] if is_method and not static else first
    parameters = parameters + a.kwonlyargs + [p for p in (a.vararg, a.kwarg) if p]
    missing = [p.arg for p in parameters if p.annotation is None]
    return missing + ["return"] * (node.returns is None and node.name != "__init__")


def test_public_functions_are_annotated():
    seen, wrong = 0, []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name in PRINTED:
            continue
        for node, is_method in functions(ast.parse(path.read_text()).body):
            seen += 1
            if missing := unannotated(node, is_method):
                wrong.append(f"{name}:{node.lineno}: {node.name} {missing}")
    assert seen > 2000
    assert not wrong, "\n".join(wrong)


def test_a_function_without_types_is_found():
    found = {n.name: unannotated(n, m) for n, m in functions(ast.parse(SAMPLE).body)}
    assert found == {"f": ["x", "return"], "m": ["y"], "g": []}


SAMPLE = """
def f(x, *, k: int = 0): ...
def g(x: int) -> int: ...
def _h(x): ...
class C:
    def m(self, y) -> None: ...
"""
