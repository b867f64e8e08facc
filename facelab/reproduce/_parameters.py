"""Typed parameters, read from a notebook's own `parameters` cell without running it.

Every line is `name: type = literal  # help`. Types: int, float, str, bool, Path, None, `Literal[...]`, `list[...]`,
`tuple[...]`, `dict[...]` and unions of these with `|`.
"""

from __future__ import annotations

import ast
import io
import json
import math
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from facelab.core.errors import BadInputError, did_you_mean

_NAMES = {"int": int, "float": float, "str": str, "bool": bool, "None": None}
_CONTAINERS = {"list": list, "tuple": tuple, "dict": dict}
_FORM = "name: type = literal  # help"


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell. `type_text` is the annotation as written, `type` what it means."""

    name: str
    type: Any
    type_text: str
    default: Any
    help: str
    line: int


def parse(source: str, *, where: object = None, strict: bool = False) -> dict[str, Parameter]:
    """Return the parameters that a cell declares, in order.

    With `strict`, each line must be `name: type = literal  # help`; without it a missing type is taken from the
    literal, and help, imports and bare strings are optional.
    Raises BadInputError naming the line for anything that is not a literal assignment, or a default of another type.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as e:
        raise BadInputError(
            "the parameters cell is not Python",
            where=f"{where}, line {e.lineno}",
            expected=_FORM,
            got=e.msg,
            fix="correct the line",
        ) from None
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    for node in tree.body:
        place = f"{where}, line {node.lineno}: {ast.get_source_segment(source, node)}"
        if isinstance(node, (ast.Import, ast.ImportFrom)) and not strict:
            continue
        parameter = _declaration(node, comments.get(node.end_lineno or 0, ""), place, strict)
        if parameter.name in found:
            raise BadInputError(
                f"the parameter {parameter.name!r} is declared twice",
                where=place,
                fix="keep one of the two",
            )
        found[parameter.name] = parameter
    return found


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("#").strip() for t in tokens if t.type == tokenize.COMMENT}


def _declaration(node: ast.stmt, help_text: str, where: str, strict: bool) -> Parameter:
    if (
        isinstance(node, ast.AnnAssign)
        and node.value is not None
        and isinstance(node.target, ast.Name)
    ):
        name, value, annotation = node.target.id, node.value, node.annotation
    elif (
        isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
        and not strict
    ):
        name, value, annotation = node.targets[0].id, node.value, None
    else:
        raise BadInputError(
            "a line of the parameters cell is not a typed literal",
            where=where,
            expected=_FORM,
            fix="move everything else to the next cell",
        )
    if strict and not help_text:
        raise BadInputError(
            f"the parameter {name!r} has no help",
            where=where,
            expected=_FORM,
            fix="say after '# ' what it does, with its unit",
        )
    default = _literal(value, where)
    if annotation is None:
        kind: Any = type(default) if default is not None else Union[int, float, str, bool, None]  # noqa: UP007
        text = getattr(kind, "__name__", "any")
    else:
        kind, text = _type(annotation, where), ast.unparse(annotation).strip("'\"")
    parameter = Parameter(name, kind, text, default, help_text, node.lineno)
    check(parameter, default, where=where)
    return parameter


def to_literal(value: Any) -> str:
    """Return Python source for a parameter's value.

    >>> to_literal([1, 2.5, None, Path("a b")])
    "[1, 2.5, None, Path('a b')]"
    """
    if isinstance(value, Path):
        return f"Path({str(value)!r})"
    if isinstance(value, list):
        return "[" + ", ".join(to_literal(v) for v in value) + "]"
    if isinstance(value, tuple):
        return "(" + "".join(to_literal(v) + ", " for v in value).rstrip() + ")"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_literal(k)}: {to_literal(v)}" for k, v in value.items()) + "}"
    return repr(value)


def of_literal(text: str) -> Any:
    """Return the value that `to_literal` wrote; nothing is executed.

    >>> of_literal(to_literal((1, Path("x"))))
    (1, PosixPath('x'))
    """
    return _literal(ast.parse(text, mode="eval").body, text)


def _literal(node: ast.expr, where: str) -> Any:
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Path"
        and len(node.args) == 1
        and not node.keywords
    ):
        return Path(str(_literal(node.args[0], where)))
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [_literal(n, where) for n in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {
            _literal(k, where): _literal(v, where)
            for k, v in zip(node.keys, node.values, strict=True)
            if k is not None  # None stands for **other, which is refused above
        }
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise BadInputError(
            "a parameter's default is not a literal",
            where=where,
            expected=_FORM,
            got=ast.unparse(node)[:120],
            fix="write the value itself, and compute from it in the next cell",
        ) from None


def _type(node: ast.expr, where: str) -> Any:
    """Turn an annotation into a type that pydantic checks; only the names of this module's docstring are known."""
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _type(ast.parse(node.value, mode="eval").body, where)
    if isinstance(node, ast.Name) and node.id in _NAMES:
        return _NAMES[node.id]
    if isinstance(node, (ast.Name, ast.Attribute)) and ast.unparse(node) in (
        "Path",
        "pathlib.Path",
    ):
        from pydantic import Field

        return Annotated[Path, Field(strict=False)]
    if isinstance(node, ast.Name) and node.id in _CONTAINERS:
        return _CONTAINERS[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_type(node.left, where), _type(node.right, where)]  # noqa: UP007
    if isinstance(node, ast.Subscript):
        return _subscript(node, where)
    raise BadInputError(
        "a parameter's type is not known",
        where=where,
        got=ast.unparse(node),
        expected="int, float, str, bool, Path, Literal[...], list[...], tuple[...], dict[...], a union",
        fix="use one of these types",
    )


def _subscript(node: ast.Subscript, where: str) -> Any:
    outer = ast.unparse(node.value).rpartition(".")[2]
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if outer == "Literal":
        return _choice(tuple(_literal(n, where) for n in inner))
    if outer == "Optional" and len(inner) == 1:
        return Union[_type(inner[0], where), None]  # noqa: UP007
    if outer == "Union":
        return Union[tuple(_type(n, where) for n in inner)]  # noqa: UP007
    if outer in _CONTAINERS:
        dots = [
            Ellipsis if isinstance(n, ast.Constant) and n.value is Ellipsis else _type(n, where)
            for n in inner
        ]
        return _CONTAINERS[outer][tuple(dots)]
    return _type(node.value, where)


def _choice(members: tuple) -> Any:
    """Return a Literal that also minds the type: to Python (and so to pydantic) 1, 1.0 and True are one."""
    from pydantic import BeforeValidator

    def same(value: Any) -> Any:
        if not any(type(value) is type(m) and value == m for m in members):
            raise ValueError("none of the choices")
        return value

    return Annotated[Literal[members], BeforeValidator(same)]


def check(parameter: Parameter, value: Any, *, where: object) -> Any:
    """Return `value` as the parameter's type, strictly: an int serves as float, a str as Path, nothing else bends.

    Raises BadInputError naming the parameter, the type and the value.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    try:
        out = TypeAdapter(
            parameter.type, config=ConfigDict(strict=True, allow_inf_nan=False)
        ).validate_python(value)
    except ValidationError:
        raise _bad(parameter, value, where) from None
    if isinstance(out, float) and not math.isfinite(out):
        raise _bad(parameter, value, where)
    # the notebook works with what its default is: a path written as text stays text
    return str(out) if isinstance(out, Path) and isinstance(parameter.default, str) else out


def from_text(parameter: Parameter, text: str, *, where: object) -> Any:
    """Return the value that `text` from a command line means for this parameter.

    Lists may be written `1,2,3` or `[1, 2, 3]`, None as `none` or `null`. Raises BadInputError as `check` does.
    """
    if text.strip().lower() in ("none", "null"):
        try:
            return check(parameter, None, where=where)
        except BadInputError:
            pass
    for candidate in _readings(text):
        try:
            return check(parameter, candidate, where=where)
        except BadInputError:
            continue
    raise _bad(parameter, text, where)


def _readings(text: str) -> list[Any]:
    readings: list[Any] = [text]
    for reader in (ast.literal_eval, json.loads, lambda t: ast.literal_eval(f"[{t}]")):
        try:
            readings.append(reader(text.strip()))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    readings.append(
        {"true": True, "yes": True, "false": False, "no": False}.get(text.strip().lower(), text)
    )
    readings.append([part.strip() for part in text.split(",") if part.strip()])
    readings += [tuple(r) for r in list(readings) if isinstance(r, list)]
    return readings


def _bad(parameter: Parameter, value: Any, where: object) -> BadInputError:
    helped = f" ({parameter.help})" if parameter.help else ""
    return BadInputError(
        f"the parameter {parameter.name!r} cannot take this value",
        where=where,
        expected=f"{parameter.type_text}{helped}",
        got=repr(value)[:200],
        fix=f"give a value of that type; the notebook's own is {parameter.default!r}",
    )


def resolve(
    declared: Mapping[str, Parameter],
    sources: list[tuple[str, Mapping[str, Any]]],
    texts: Mapping[str, str],
    *,
    step: str,
) -> dict[str, Any]:
    """Return the parameters to inject: those named by `sources` (in order, later wins) and then by `texts`.

    `sources` are (where, values) pairs of typed values; `texts` come from `-p step.name=value`.
    Raises BadInputError for an unknown name, with the nearest known one, and for a value of another type.
    """
    out: dict[str, Any] = {}
    for where, values in sources:
        for name, value in values.items():
            out[name] = check(_known(declared, name, where, step), value, where=f"{where}: {name}")
    for name, text in texts.items():
        where = f"-p {step}.{name}={text}"
        out[name] = from_text(_known(declared, name, where, step), text, where=where)
    return {name: out[name] for name in declared if name in out}


def _known(declared: Mapping[str, Parameter], name: str, where: str, step: str) -> Parameter:
    if name not in declared:
        raise BadInputError(
            f"the notebook of step {step!r} has no parameter {name!r}{did_you_mean(name, declared)}",
            where=where,
            expected=", ".join(declared) or "no parameters at all",
            got=name,
            fix="use one of the names of its parameters cell",
        )
    return declared[name]
