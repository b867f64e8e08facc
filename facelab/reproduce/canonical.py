"""Canonical notebooks: one byte form for one content, so that a diff shows what a person changed.

`python -m facelab.reproduce.canonical FILES` rewrites, `--check` only says what is wrong.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, FacelabError
from facelab.core.files import read_input, write_text

KERNELS = {"facelab": "facelab", "facelab-modelmaker": "facelab · Model Maker"}
"""Kernel name → the name that JupyterLab displays."""

_WORD_ID = re.compile(r"^(?=.{1,64}$)[a-z]+(-[a-z0-9]+)*$")
LONGEST_DEFINITION, LONGEST_CELL, WIDEST_LINE = 5, 12, 100
MAX_NOTEBOOK = 256 << 20


def read(path: str | os.PathLike) -> dict:
    """Read a notebook as plain JSON. Raises BadInputError if it is missing, no notebook, or older than nbformat 4."""
    path = Path(path)
    try:
        notebook = json.loads(read_input(path, max_bytes=MAX_NOTEBOOK, what="notebook"))
    except OSError as e:
        raise BadInputError(
            "the notebook cannot be read", where=path, got=e.strerror, fix="check the path"
        ) from None
    except (ValueError, RecursionError) as e:
        raise BadInputError(
            "the notebook is not JSON",
            where=path,
            got="it is nested too deeply" if isinstance(e, RecursionError) else str(e)[:200],
            fix="restore it from git, or save it again from JupyterLab",
        ) from None
    _check_form(notebook, path)
    return notebook


def _check_form(notebook: Any, path: Path) -> None:
    """Raise BadInputError for what is not a notebook of nbformat 4."""
    if (
        not isinstance(notebook, dict)
        or not isinstance(notebook.get("cells"), list)
        or notebook.get("nbformat") != 4
    ):
        raise BadInputError(
            "the file is not a notebook of nbformat 4",
            where=path,
            got=f"nbformat {notebook.get('nbformat')}"
            if isinstance(notebook, dict)
            else "no object",
            fix="convert it: jupyter nbconvert --to notebook --nbformat 4 FILE",
        )
    for number, cell in enumerate(notebook["cells"], 1):
        if (why := _malformed(cell)) is not None:
            raise BadInputError(
                "a cell of the notebook is malformed",
                where=f"{path}: cell {number}",
                expected="a cell of nbformat 4",
                got=why,
                fix="restore it from git, or save it again from JupyterLab",
            )
    if not isinstance(notebook.get("metadata", {}), dict):
        raise BadInputError(
            "the notebook's metadata is malformed",
            where=path,
            expected="an object",
            fix="restore it from git, or save it again from JupyterLab",
        )


def _malformed(cell: Any) -> str | None:
    """Return what is wrong with a cell's form, or None."""
    if not isinstance(cell, dict):
        return "no object"
    if cell.get("cell_type") not in ("code", "markdown", "raw"):
        return f"cell_type {cell.get('cell_type')!r}"[:80]
    text = cell.get("source")
    parts = [text] if isinstance(text, str) else text
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        return "a source that is not text"
    if not isinstance(cell.get("id", ""), str):
        return "an id that is not text"
    metadata = cell.get("metadata", {})
    if not isinstance(metadata, dict):
        return "metadata that are not an object"
    tags = metadata.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        return "tags that are not a list of text"
    try:
        "".join([*parts, *tags, cell.get("id", "")]).encode()
    except UnicodeEncodeError:
        return "half a character (a lone surrogate)"
    return None


def source(cell: dict) -> str:
    """Return a cell's source as one string, whichever of nbformat's two forms it is stored in.

    >>> source({"source": ["a = 1\\n", "b = 2"]})
    'a = 1\\nb = 2'
    """
    text = cell.get("source", "")
    return text if isinstance(text, str) else "".join(text)


def is_parameters(cell: dict) -> bool:
    """Return whether this is a code cell tagged `parameters`."""
    return cell.get("cell_type") == "code" and "parameters" in cell.get("metadata", {}).get(
        "tags", []
    )


def canonical(notebook: dict, *, where: object = None) -> str:
    """Return a notebook's canonical text: nbformat 4.5, no outputs or counts, no metadata but tags and the kernel.

    Cell ids are kept. Keys are sorted, the indent is 1, the text ends with one newline.
    Raises BadInputError where a cell's id is missing, no word, or used twice: an id is a name that only a person
    can give.
    """
    seen: set[str] = set()
    cells = []
    for number, cell in enumerate(notebook["cells"], 1):
        name = cell.get("id")
        if not isinstance(name, str) or not _WORD_ID.match(name):
            first = next(iter(source(cell).splitlines()), "")[:60]
            raise BadInputError(
                "a cell's id is not a word",
                where=f"{where}: cell {number} ({first!r})",
                expected="lower-case words joined by '-', such as recall-by-size",
                got=repr(name),
                fix='set the cell\'s "id" in the .ipynb file',
            )
        if name in seen:
            raise BadInputError(
                "two cells have one id",
                where=f"{where}: cell {number}",
                got=name,
                fix="rename one of the two",
            )
        seen.add(name)
        cells.append(_canonical_cell(cell))
    kernel = notebook.get("metadata", {}).get("kernelspec", {}).get("name", "facelab")
    if kernel not in KERNELS:
        kernel = "facelab"
    metadata = {
        "kernelspec": {"display_name": KERNELS[kernel], "language": "python", "name": kernel},
        "language_info": {"name": "python"},
    }
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def _canonical_cell(cell: dict) -> dict:
    tags = cell.get("metadata", {}).get("tags")
    lines = [line.rstrip() for line in source(cell).strip("\n").split("\n")]
    out = {
        "cell_type": cell["cell_type"],
        "id": cell["id"],
        "metadata": {"tags": sorted(tags)} if tags else {},
        "source": "\n".join(lines).rstrip().splitlines(keepends=True),
    }
    if cell["cell_type"] == "code":
        out |= {"execution_count": None, "outputs": []}
    elif cell.get("attachments"):
        out["attachments"] = cell["attachments"]
    return out


def complaints(notebook: dict) -> list[str]:
    """Return what breaks the house form of a notebook (CONTRIBUTING), one sentence each; empty when nothing does.

    A question and the cost first; one `parameters` cell; imports only in the next code cell (or before the parameters);
    cells of at most 12 lines of at most 100 columns; no lambda, no definition longer than five lines, and at most one
    comprehension per statement; `run.done()` last.
    """
    from facelab.reproduce import _parameters as parameters

    cells = notebook["cells"]
    if not cells:
        return ["the notebook is empty"]
    found = []
    if cells[0].get("cell_type") != "markdown" or "?" not in source(cells[0]):
        found.append("the first cell is not markdown that asks a question")
    tagged = [n for n, cell in enumerate(cells) if is_parameters(cell)]
    if len(tagged) != 1:
        found.append(f"exactly one code cell must be tagged `parameters`; {len(tagged)} are")
    else:
        try:
            parameters.parse(
                source(cells[tagged[0]]), where=f"cell {cells[tagged[0]].get('id')}", strict=True
            )
        except FacelabError as e:
            found.append(" · ".join(str(e).split("\n  ")))
        intro = " ".join(source(c) for c in cells[: tagged[0]] if c.get("cell_type") == "markdown")
        if not re.search(r"\b(second|minute|sec|min|s)s?\b", intro):
            found.append(
                "nothing before the parameters says what the run costs (seconds or minutes)"
            )
    code = [cell for cell in cells if cell.get("cell_type") == "code"]
    start = next((n for n, cell in enumerate(code) if is_parameters(cell)), -1) + 1
    for n, cell in enumerate(code):
        found += _code_complaints(cell, may_import=n <= start)
    last = cells[-1]
    if last.get("cell_type") != "code" or "run.done(" not in source(last):
        found.append("the last cell is not a code cell that calls run.done()")
    return found


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def _code_complaints(cell: dict, may_import: bool) -> list[str]:
    name = cell.get("id", "?")
    try:
        tree = ast.parse(source(cell))
    except SyntaxError as e:
        return [
            f"cell {name}, line {e.lineno}: no plain Python ({e.msg}); magics are not used here"
        ]
    found = _size_complaints(cell, name)
    for node in ast.walk(tree):
        breach = _breach(node, may_import)
        if breach:
            found.append(f"cell {name}, line {getattr(node, 'lineno', 0)}: {breach}")
    return found


def _breach(node: ast.AST, may_import: bool) -> str | None:
    """Return what is wrong with one statement or expression of a cell, or None."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_DEFINITION:
                return f"a definition of {lines} lines belongs in facelab/"
        case ast.Lambda():
            return "a lambda; write a function in the notebook's study"
        case ast.Import() | ast.ImportFrom() if not may_import:
            return "an import; imports are in the first code cell after the parameters"
        case ast.stmt() if not hasattr(node, "body"):
            if sum(isinstance(part, COMPREHENSIONS) for part in ast.walk(node)) > 1:
                return "a statement with several comprehensions; name the parts"
        case _:
            pass
    return None


def _size_complaints(cell: dict, name: str) -> list[str]:
    lines = source(cell).splitlines()
    found = [
        f"cell {name}, line {n}: {len(line)} columns; at most {WIDEST_LINE}"
        for n, line in enumerate(lines, 1)
        if len(line) > WIDEST_LINE
    ]
    if len(lines) > LONGEST_CELL and not is_parameters(cell):
        found.append(f"cell {name}: {len(lines)} lines; at most {LONGEST_CELL}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite notebooks canonically, or with `--check` only say what differs. Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    check = "--check" in arguments
    paths = [Path(a) for a in arguments if a != "--check"]
    if not paths or any(a.startswith("-") for a in arguments if a != "--check"):
        print("usage: python -m facelab.reproduce.canonical [--check] NOTEBOOK...", file=sys.stderr)
        return 2
    bad = 0
    for path in paths:
        try:
            notebook = read(path)
            text = canonical(notebook, where=path)
            found = complaints(notebook)
        except FacelabError as e:
            print(f"error: {e}", file=sys.stderr)
            bad += 1
            continue
        if text != path.read_text(encoding="utf-8"):
            if check:
                found.insert(0, f"not canonical: run python -m facelab.reproduce.canonical {path}")
            else:
                write_text(path, text)
                print(f"rewrote {path}")
        for complaint in found:
            print(f"{path}: {complaint}", file=sys.stderr)
        bad += bool(found)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
