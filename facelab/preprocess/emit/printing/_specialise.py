"""Put a stage's numbers into a kernel, drop what they rule out, and collect the functions that are left."""

from __future__ import annotations

import ast
import copy
import functools
import importlib
import inspect
import operator
from collections.abc import Callable
from typing import Any, TypeGuard

from facelab.core.narrow import is_list

MODULES = ("common", "pixels", "resizing", "bilinear", "aligning", "warping", "tensors")
_OPS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Gt: operator.gt,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


@functools.cache
def sources() -> dict[str, tuple[ast.FunctionDef, bool]]:
    """Return every kernel by name, and whether it is the same for every spec."""
    found: dict[str, tuple[ast.FunctionDef, bool]] = {}
    for name in MODULES:
        module = importlib.import_module(f"facelab.preprocess.emit.kernels.{name}")
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = (node, name == "common")
    return found


class Fold(ast.NodeTransformer):
    """Replaces names by constants and removes branches that cannot be taken."""

    def __init__(self, constants: dict[str, Any]) -> None:
        self.constants = constants

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self.constants.get(node.id, node)
        if isinstance(value, ast.AST):
            return node
        return ast.Name(value[1:]) if _is_name(value) else ast.Constant(value)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        found = self.constants.get(node.attr)
        return ast.Attribute(node.value, found[1:]) if _is_name(found) else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id in self.constants:
            value = self.constants[node.value.id]
            if not _is_name(value):
                return ast.Constant(value)
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name) and node.func.id in self.constants:
            target = self.constants[node.func.id]
            if target == "@":  # nothing to do: the argument itself
                return self.visit(node.args[0])
            node.func = ast.Name(target[1:])
        elif not isinstance(node.func, ast.Name):
            node.func = self.visit(node.func)
        node.keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        node.args = [self.visit(a) for a in node.args]
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        left, right = node.left, node.comparators[0]
        if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
            return ast.Constant(_OPS[type(node.ops[0])](left.value, right.value))
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        left, right, op = node.left, node.right, type(node.op)
        if isinstance(left, ast.Constant) and isinstance(right, ast.Constant) and op in _OPS:
            return ast.Constant(_OPS[op](left.value, right.value))
        return _without_one(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        stop = isinstance(node.op, ast.Or)
        left: list[ast.expr] = []
        for value in map(self.visit, node.values):
            if isinstance(value, ast.Constant):
                if bool(value.value) is stop:
                    return ast.Constant(stop) if not left else ast.BoolOp(node.op, [*left, value])
                continue
            left.append(value)
        return (
            ast.Constant(not stop)
            if not left
            else left[0]
            if len(left) == 1
            else (ast.BoolOp(node.op, left))
        )

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        test = self.visit(node.test)
        if isinstance(test, ast.Constant):
            return self.visit(node.body if test.value else node.orelse)
        return ast.IfExp(test, self.visit(node.body), self.visit(node.orelse))

    def visit_If(self, node: ast.If) -> Any:
        test = self.visit(node.test)
        if isinstance(test, ast.Constant):
            return _flat(self.visit(s) for s in (node.body if test.value else node.orelse))
        body = _flat(self.visit(s) for s in node.body)
        return ast.If(test, body, _flat(self.visit(s) for s in node.orelse))


def _is_name(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value.startswith("@")


def _without_one(node: ast.BinOp) -> ast.expr:
    """Return x for x * 1, 1 * x, x + 0 and x - 0 in whole numbers."""
    right = node.right.value if isinstance(node.right, ast.Constant) else None
    if isinstance(node.op, ast.Sub) and type(right) is int and right == 0:
        return node.left
    for one, other in ((node.left, node.right), (node.right, node.left)):
        if isinstance(one, ast.Constant) and type(one.value) is int:
            if isinstance(node.op, ast.Mult) and one.value == 1:
                return other
            if isinstance(node.op, ast.Mult) and one.value == 0:
                return ast.Constant(0)
            if isinstance(node.op, ast.Add) and one.value == 0:
                return other
    return node


def _flat(parts: Any) -> list[ast.stmt]:
    out: list[ast.stmt] = []
    for part in parts:
        out.extend(part if is_list(part) else [part])
    return out


class Functions:
    """The functions of one program, callees first; unused parameters and arguments are dropped."""

    def __init__(self) -> None:
        self.done: dict[str, ast.FunctionDef] = {}
        self.kept: dict[str, list[int]] = {}

    def add(
        self, kernel: str, prefix: str, constants: dict[str, Any], types: dict[str, str]
    ) -> str:
        """Specialise a kernel for a stage, with the kernels it calls; return the new function's name."""
        node, shared = sources()[kernel]
        name = kernel if shared else f"{prefix}_{kernel}"
        if name not in self.done:
            copied = Fold({} if shared else constants).visit(copy.deepcopy(node))
            copied.name = name
            drop_dead(copied)
            declare_late(copied)
            _annotate(copied, types)
            for call in ast.walk(copied):
                called = call.func if isinstance(call, ast.Call) else None
                if isinstance(called, ast.Name) and called.id in sources():
                    called.id = self.add(called.id, prefix, constants, types)
            self.define(copied)
        return name

    def parse(self, text: str) -> str:
        """Add a function written out as text (a driver), with the shared kernels that it calls."""
        node = ast.parse(text).body[0]
        assert isinstance(node, ast.FunctionDef)
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                found = sources().get(call.func.id)
                if found and found[1] and call.func.id not in self.done:
                    self.add(call.func.id, "", {}, {})
        self.define(node)
        return node.name

    def parameters(self, name: str) -> list[str]:
        """Return the names of the parameters that a function has kept."""
        return [a.arg for a in self.done[name].args.args]

    def define(self, node: ast.FunctionDef) -> None:
        """Keep a function whose callees are known."""
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                kept = self.kept.get(call.func.id)
                call.args = call.args if kept is None else [call.args[i] for i in kept]
        used = {n.id for s in node.body for n in ast.walk(s) if isinstance(n, ast.Name)}
        parameters = node.args.args
        left = [i for i, a in enumerate(parameters) if a.arg in used]
        node.args.args = [parameters[i] for i in left]
        self.kept[node.name] = left
        self.done[node.name] = node

    def used(self, *roots: str) -> set[str]:
        """Drop the functions that no root leads to; return every name that is left in use."""
        names: set[str] = set()
        todo = [r for r in roots if r in self.done]
        reached = set(todo)
        while todo:
            found = {n.id for n in ast.walk(self.done[todo.pop()]) if isinstance(n, ast.Name)}
            names |= found
            todo += [n for n in found if n in self.done and n not in reached]
            reached |= found & set(self.done)
        self.done = {n: f for n, f in self.done.items() if n in reached}
        return names

    def mutated(self) -> dict[str, set[int]]:
        """Return for each function the positions of the array parameters that it writes to."""
        found: dict[str, set[int]] = {}
        for name, node in self.done.items():
            places = {a.arg: i for i, a in enumerate(node.args.args)}
            hit: set[int] = set()
            for n in ast.walk(node):
                if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store):
                    hit |= {places[n.value.id]} if _known(n.value, places) else set()
                if isinstance(n, ast.Call) and isinstance(n.func, ast.Name):
                    for i in found.get(n.func.id, ()):
                        if _known(given := n.args[i], places):
                            hit.add(places[given.id])
            found[name] = hit
        return found


def drop_dead(node: ast.FunctionDef) -> None:
    """Drop what follows a return in a block."""
    for part in ast.walk(node):
        body: Any = getattr(part, "body", None)
        if is_list(body):
            for i, s in enumerate(body):
                if isinstance(s, ast.Return):
                    del body[i + 1 :]
                    break


def declare_late(node: ast.FunctionDef) -> None:
    """Declare a variable where it is first set, where folding has left a first value that nothing reads."""
    for part in ast.walk(node):
        for block in (getattr(part, "body", None), getattr(part, "orelse", None)):
            if is_list(block):
                for s in [s for s in block if isinstance(s, ast.AnnAssign)]:
                    _merge_first_value(block, s)


def _merge_first_value(block: list[ast.stmt], declared: ast.AnnAssign) -> None:
    if not (isinstance(declared.value, ast.Constant) and isinstance(declared.target, ast.Name)):
        return
    name, place = declared.target.id, block.index(declared)
    uses = [(i, s) for i, s in enumerate(block[place + 1 :], place + 1) if _mentions(s, name)]
    if not uses:
        return
    i, first = uses[0]
    if not (isinstance(first, ast.Assign) and isinstance(first.targets[0], ast.Name)):
        return
    if not _mentions(first.value, name):
        block[i] = ast.AnnAssign(declared.target, declared.annotation, first.value, 1)
        del block[place]


def _mentions(node: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))


def _known(node: ast.expr, places: dict[str, int]) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and node.id in places


def _annotate(node: ast.FunctionDef, types: dict[str, str]) -> None:
    for a in node.args.args:
        if isinstance(a.annotation, ast.Name):
            a.annotation.id = types.get(a.annotation.id, a.annotation.id)
