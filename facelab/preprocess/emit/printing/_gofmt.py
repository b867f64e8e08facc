"""Blanks and columns as `gofmt` puts them, so that emitted Go passes a project's format check as it is."""

from __future__ import annotations

import dataclasses
import re

_TOKEN = re.compile(
    r"\s*((?:\d[\d.]*(?:e[+-]?\d+)?)|[A-Za-z_][\w.]*|<<|>>|&&|\|\||[=!<>]=|[-+*/%<>!&(),\[\]])"
)
_RANK = {
    "||": 1,
    "&&": 2,
    "+": 4,
    "-": 4,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), 3),
    **dict.fromkeys(("*", "/", "%", "<<", ">>", "&"), 5),
}
_ATOM = 6


@dataclasses.dataclass(frozen=True)
class _Node:
    """An expression: `kind` is binary, unary, bracket, call, index or atom."""

    kind: str
    text: str
    parts: tuple[_Node, ...] = ()

    @property
    def rank(self) -> int:
        return _RANK[self.text] if self.kind == "binary" else _ATOM


class _Parser:
    """Reads the expressions that the printer writes."""

    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text)
        self.at = 0

    def next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def expression(self, least: int = 1) -> _Node:
        left = self.operand()
        while _RANK.get(self.next(), 0) >= least:
            sign = self.take()
            left = _Node("binary", sign, (left, self.expression(_RANK[sign] + 1)))
        return left

    def operand(self) -> _Node:
        token = self.take()
        if token in ("-", "!", "&"):
            return _Node("unary", token, (self.operand(),))
        if token == "(":
            node = _Node("bracket", "", (self.expression(),))
            self.take()
        else:
            node = _Node("atom", token)
        while self.next() in ("(", "["):
            kind = "call" if self.take() == "(" else "index"
            parts = [node]
            while self.next() not in (")", "]"):
                parts.append(self.expression())
                if self.next() == ",":
                    self.take()
            self.take()
            node = _Node(kind, "", tuple(parts))
        return node


def _ranks(e: _Node) -> tuple[bool, bool, int]:
    """Return whether sums and products are in a binary expression, and the rank of two signs that would touch."""
    left, right = e.parts
    four, five, problem = e.rank == 4, e.rank == 5, 0
    below = [left] if left.kind == "binary" and left.rank >= e.rank else []
    below += [right] if right.kind == "binary" and right.rank > e.rank else []
    for part in below:
        more = _ranks(part)
        four, five, problem = four or more[0], five or more[1], max(problem, more[2])
    if right.kind == "unary" and e.text == right.text == "-":
        problem = max(problem, 4)
    return four, five, problem


def _cutoff(e: _Node, depth: int) -> int:
    """Return the rank from which on signs have no blanks around them."""
    four, five, problem = _ranks(e)
    if problem:
        return problem + 1
    if four and five:
        return 5 if depth == 1 else 4
    return 6 if depth == 1 else 4


def _shown(e: _Node, depth: int) -> str:
    if e.kind == "binary":
        left, right = e.parts
        blank = " " if e.rank < _cutoff(e, depth) else ""
        deeper = 0 if left.kind == "binary" and left.rank == e.rank else 1
        text = f"{_shown(left, depth + deeper)}{blank}{e.text}{blank}"
        return text + _shown(right, depth + 1)
    if e.kind == "unary":
        return e.text + _shown(e.parts[0], depth)
    if e.kind == "bracket":
        if e.parts[0].kind == "bracket":
            return _shown(e.parts[0], depth)
        return f"({_shown(e.parts[0], max(depth - 1, 1))})"
    if e.kind == "index":
        return f"{_shown(e.parts[0], 1)}[{_shown(e.parts[1], depth + 1)}]"
    if e.kind == "call":
        depth += len(e.parts) > 2
        return f"{_shown(e.parts[0], depth)}({', '.join(_shown(a, depth) for a in e.parts[1:])})"
    return e.text


def spaced(text: str) -> str:
    """Return an expression with blanks where gofmt has them.

    >>> spaced("a[y * w + x] * 2"), spaced("a + b * c"), spaced("f(a + 1, b * (c + 1))")
    ('a[y*w+x] * 2', 'a + b*c', 'f(a+1, b*(c+1))')
    """
    node = _Parser(text).expression()
    return _shown(node, 1)


def line(text: str) -> str:
    """Return a statement of a function as gofmt writes it."""
    pad = text[: len(text) - len(text.lstrip("\t"))]
    code = text[len(pad) :]
    if not code or code.startswith(("//", "}", "func ")) or code == "return":
        return text
    if found := re.fullmatch(r"for (\w+) := (.*); (.*); (\w+\+\+) \{", code):
        name, start, test, step = found.groups()
        return f"{pad}for {name} := {spaced(start)}; {spaced(test)}; {step} {{"
    if found := re.fullmatch(r"(if|return) (.*?)( \{)?", code):
        word, value, tail = found.groups()
        return f"{pad}{word} {spaced(value)}{tail or ''}"
    if found := re.fullmatch(r"(var \w+ \w+|[^=!<>]+?) (:?=) (.*)", code):
        target, sign, value = found.groups()
        target = target if target.startswith("var ") else spaced(target)
        return f"{pad}{target} {sign} {spaced(value)}"
    return pad + spaced(code)


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Return the lines of a struct or of constants, their cells one below the other.

    >>> columns([("a", "int"), ("long", "bool")])
    ['\\ta    int', '\\tlong bool']
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    padded = [[c.ljust(w) for c, w in zip(row, widths)] for row in rows]
    return ["\t" + " ".join(row).rstrip() for row in padded]
