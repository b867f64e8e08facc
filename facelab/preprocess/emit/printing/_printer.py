"""Write specialised kernels in a language with braces; C, Go and JavaScript say how their words differ."""

from __future__ import annotations

import ast
import textwrap

from facelab.preprocess.emit.lowering import ERRORS, Program

_RANK: dict[type, int] = {
    ast.Add: 4,
    ast.Sub: 4,
    ast.Mult: 5,
    ast.FloorDiv: 5,
    ast.Div: 5,
    ast.Mod: 5,
}
_SIGN: dict[type, str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "/",
    ast.Mod: "%",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
BITS = {"shifted": ">>", "masked": "&"}
WIDTH = 98


def camel(name: str) -> str:
    """Return a name in the way of Go and JavaScript.

    >>> camel("pixel_half_up"), camel("stage3_taps")
    ('pixelHalfUp', 'stage3Taps')
    """
    first, *rest = name.split("_")
    return first + "".join(r[:1].upper() + r[1:] for r in rest)


class Printer:
    """Prints functions; a language overrides what it writes otherwise."""

    indent = "    "
    end = ";"
    comment = "/* {} */"

    def __init__(self, program: Program) -> None:
        self.functions = program.functions
        self.fields = program.fields
        self.arrays = {name: kind for name, (kind, _) in program.constants.items()}
        self.mutated = program.functions.mutated()
        self.types: dict[str, str] = {}

    # -- what languages override --------------------------------------------------------------------------------------

    def name(self, name: str) -> str:
        return name

    def status(self, name: str) -> str:
        raise NotImplementedError

    def head(self, node: ast.FunctionDef) -> str:
        raise NotImplementedError

    def declare(self, kind: str, name: str, value: str) -> str:
        raise NotImplementedError

    def loop(self, name: str, start: str, stop: str) -> str:
        raise NotImplementedError

    def test(self, text: str) -> str:
        return f"({text})"

    def call(self, name: str, args: list[ast.expr]) -> str:
        """Return a call of an arithmetic word, such as floor or real."""
        raise NotImplementedError

    def floor_division(self, left: str, right: str) -> str | None:
        return None

    def choose(self, target: str, node: ast.IfExp, pad: str, declared: str | None) -> list[str]:
        """Return an assignment of one of two values."""
        text = f"{self.expr(node.test, 3)} ? {self.expr(node.body)} : {self.expr(node.orelse)}"
        line = self.declare(declared, target, text) if declared else f"{target} = {text}{self.end}"
        return [pad + line]

    def member(self, base: str, name: str) -> str:
        return f"{base}.{name}"

    def store(self, array: str, index: str, value: ast.expr) -> str:
        return f"{array}[{index}] = {self.expr(value)}{self.end}"

    # -- functions ----------------------------------------------------------------------------------------------------

    def all(self) -> str:
        """Return every function, callees first."""
        return "\n".join(self.function(f) for f in self.functions.done.values())

    def function(self, node: ast.FunctionDef) -> str:
        """Return one function with its comment."""
        self.types = {a.arg: getattr(a.annotation, "id", "") for a in node.args.args}
        body = list(node.body)
        lines: list[str] = []
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            lines += self.remark(str(body[0].value.value), "")
            del body[0]
        lines.append(self.head(node))
        for s in body:
            lines += self.statement(s, self.indent)
        return "\n".join([*lines, "}", ""])

    def remark(self, text: str, pad: str) -> list[str]:
        """Return a comment."""
        rows = textwrap.wrap(" ".join(text.split()), WIDTH - len(pad) - 6)
        if "*/" not in self.comment:
            return [pad + self.comment.format(r) for r in rows]
        if len(rows) == 1:
            return [pad + self.comment.format(rows[0])]
        return [
            f"{pad}/* {rows[0]}",
            *(f"{pad}   {r}" for r in rows[1:-1]),
            f"{pad}   {rows[-1]} */",
        ]

    def wrapped(self, start: str, parts: list[str], tail: str) -> str:
        """Return `start part, part, … tail`, in several lines where it is long."""
        text = start + ", ".join(parts) + tail
        pad = len(start) - len(start.lstrip())
        if len(text) + 4 <= WIDTH + 4 and "\n" not in text:
            return text
        inner = " " * (pad + 8)
        rows = [""]
        for i, part in enumerate(parts):
            part += "," if i < len(parts) - 1 else ""
            if rows[-1] and len(inner) + len(rows[-1]) + len(part) + 1 > WIDTH:
                rows.append("")
            rows[-1] += (" " if rows[-1] else "") + part
        return start + "\n" + "\n".join(inner + r for r in rows) + tail

    # -- statements ---------------------------------------------------------------------------------------------------

    def statement(self, s: ast.stmt, pad: str) -> list[str]:
        if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name) and s.value is not None:
            kind = getattr(s.annotation, "id", "")
            self.types[s.target.id] = kind
            target = self.name(s.target.id)
            if isinstance(s.value, ast.IfExp):
                return self.choose(target, s.value, pad, kind)
            return [pad + self.declare(kind, target, self.expr(s.value))]
        if isinstance(s, ast.Assign):
            return self._assign(s.targets[0], s.value, pad)
        if isinstance(s, ast.Return):
            return self._return(s.value, pad)
        if isinstance(s, ast.If):
            return self._if(s, pad)
        if isinstance(s, ast.For) and isinstance(s.target, ast.Name):
            return self._for(s, s.target.id, pad)
        if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant):
            return self.remark(str(s.value.value), pad)
        if isinstance(s, ast.Expr) and isinstance(s.value, ast.Call):
            return [self._call_line(s.value, pad)]
        raise NotImplementedError(ast.dump(s))

    def _call_line(self, node: ast.Call, pad: str) -> str:
        assert isinstance(node.func, ast.Name)
        args = [self.expr(a) for a in node.args]
        return self.wrapped(f"{pad}{self.name(node.func.id)}(", args, ")" + self.end)

    def _assign(self, target: ast.expr, value: ast.expr, pad: str) -> list[str]:
        if isinstance(target, ast.Subscript):
            assert isinstance(target.value, ast.Name)
            return [pad + self.store(self.name(target.value.id), self.expr(target.slice), value)]
        text = self.expr(target)
        if isinstance(value, ast.IfExp):
            return self.choose(text, value, pad, None)
        return [f"{pad}{text} = {self.expr(value)}{self.end}"]

    def _return(self, value: ast.expr | None, pad: str) -> list[str]:
        if isinstance(value, ast.IfExp):
            return [
                f"{pad}if {self.test(self.expr(value.test))} {{",
                f"{pad}{self.indent}return {self.expr(value.body)}{self.end}",
                pad + "}",
                f"{pad}return {self.expr(value.orelse)}{self.end}",
            ]
        return [f"{pad}return {self.expr(value)}{self.end}" if value else f"{pad}return{self.end}"]

    def _if(self, s: ast.If, pad: str) -> list[str]:
        lines = [f"{pad}if {self.test(self.expr(s.test))} {{", *self._block(s.body, pad)]
        if s.orelse:
            lines += [pad + "} else {", *self._block(s.orelse, pad)]
        return [*lines, pad + "}"]

    def _for(self, s: ast.For, name: str, pad: str) -> list[str]:
        assert isinstance(s.iter, ast.Call)
        bounds = [self.expr(a) for a in s.iter.args]
        start, stop = bounds if len(bounds) == 2 else ("0", bounds[0])
        self.types[name] = "Int"
        return [
            f"{pad}{self.loop(self.name(name), start, stop)} {{",
            *self._block(s.body, pad),
            pad + "}",
        ]

    def _block(self, body: list[ast.stmt], pad: str) -> list[str]:
        return [line for s in body for line in self.statement(s, pad + self.indent)]

    # -- expressions --------------------------------------------------------------------------------------------------

    def expr(self, e: ast.expr | None, outer: int = 0) -> str:
        """Return an expression, in brackets where it binds less than `outer`."""
        if isinstance(e, ast.BinOp):
            return self._binary(e, outer)
        if isinstance(e, ast.Constant):
            return self.literal(e.value)
        if isinstance(e, ast.Name):
            return self.status(e.id) if e.id in ERRORS else self.name(e.id)
        if isinstance(e, ast.Attribute):
            return self.member(self.expr(e.value), self.name(e.attr))
        if isinstance(e, ast.Subscript):
            return f"{self.expr(e.value)}[{self.expr(e.slice)}]"
        if isinstance(e, ast.UnaryOp):
            sign = "!" if isinstance(e.op, ast.Not) else "-"
            return f"{sign}{self.expr(e.operand, 6)}"
        if isinstance(e, ast.Compare):
            text = (
                f"{self.expr(e.left, 4)} {_SIGN[type(e.ops[0])]} {self.expr(e.comparators[0], 4)}"
            )
            return f"({text})" if outer >= 3 else text
        if isinstance(e, ast.BoolOp):
            sign = " && " if isinstance(e.op, ast.And) else " || "
            text = sign.join(self.expr(v, 2) for v in e.values)
            return f"({text})" if outer >= 2 else text
        if isinstance(e, ast.Call) and isinstance(e.func, ast.Name):
            if e.func.id in BITS:
                text = f"{self.expr(e.args[0], 6)} {BITS[e.func.id]} {self.expr(e.args[1], 6)}"
                return f"({text})" if outer else text
            if e.func.id in self.functions.done:
                return f"{self.name(e.func.id)}({', '.join(self.expr(a) for a in e.args)})"
            return self.call(e.func.id, e.args)
        raise NotImplementedError(ast.dump(e) if e else "nothing")

    def _binary(self, e: ast.BinOp, outer: int) -> str:
        rank = _RANK[type(e.op)]
        left, right = self.expr(e.left, rank), self.expr(e.right, rank + 1)
        if isinstance(e.op, ast.FloorDiv) and (other := self.floor_division(left, right)):
            return other
        text = f"{left} {_SIGN[type(e.op)]} {right}"
        return f"({text})" if rank < outer else text

    def literal(self, value: object) -> str:
        """Return a number; a float always has a point or an exponent."""
        if isinstance(value, bool):
            return "true" if value else "false"
        text = repr(value)
        return f"({text})" if text.startswith("-") else text

    def is_whole(self, e: ast.expr) -> bool:
        """Return whether an expression is a whole number in every language."""
        if isinstance(e, ast.Constant):
            return isinstance(e.value, int)
        if isinstance(e, ast.Subscript) and isinstance(e.value, ast.Name):
            kind = self.types.get(e.value.id) or self.arrays.get(e.value.id, "")
            return kind in ("Bytes", "Ints")
        if isinstance(e, ast.Name):
            return self.types.get(e.id) in ("Int", "Long", "Byte")
        if isinstance(e, ast.Attribute):
            return self.fields.get(e.attr) in ("Int", "Long")
        if isinstance(e, ast.UnaryOp):
            return self.is_whole(e.operand)
        if isinstance(e, ast.BinOp):
            return (
                not isinstance(e.op, ast.Div) and self.is_whole(e.left) and self.is_whole(e.right)
            )
        if isinstance(e, ast.Call) and isinstance(e.func, ast.Name):
            if (done := self.functions.done.get(e.func.id)) is not None:
                return getattr(done.returns, "id", "") in ("Int", "Long", "Byte")
            return e.func.id in ("whole", "long", "byte", "product", *BITS)
        return False
