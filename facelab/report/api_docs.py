"""The API reference from the docstrings: `python -m facelab.report.api_docs` writes docs/api.md, `--check` compares.

Nothing is imported: signatures and docstrings are read from the source, so that the reference needs no TensorFlow.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from facelab.core.files import write_text
from facelab.core.run import project_root

ROOMS = (
    "core",
    "preprocess",
    "fingerprint",
    "matching",
    "metrics",
    "datasets",
    "zoo",
    "detection",
    "embedding",
    "emotion",
    "quantization",
    "deploy",
    "report",
    "reproduce",
)
HEAD = """# API reference

Made from the docstrings by `python -m facelab.report.api_docs`; a test says when it is stale. Rooms are in the order in
which they may import each other (each from those above). One line a name; `help(name)` in a notebook tells the rest.
"""


def reference(package: Path) -> str:
    """Return the reference of every room of `package` (the folder `facelab`) as Markdown."""
    parts = [HEAD]
    for room in ROOMS:
        folder = package / room
        modules = [
            (p, ast.parse(p.read_text(encoding="utf-8"))) for p in sorted(folder.rglob("*.py"))
        ]
        if not modules:
            continue
        about = next(
            (
                ast.get_docstring(t)
                for p, t in modules
                if p.name == "__init__.py" and p.parent == folder
            ),
            None,
        )
        parts += [f"## facelab.{room}", "", _first(about or "") or "", ""]
        for path, tree in modules:
            rows = _rows(tree)
            if rows:
                name = ".".join(
                    path.relative_to(package.parent).with_suffix("").parts
                ).removesuffix(".__init__")
                parts += [f"### {name}", "", _first(ast.get_docstring(tree) or ""), "", *rows, ""]
    return "\n".join(parts).rstrip() + "\n"


def _first(docstring: str) -> str:
    """The first sentence or paragraph in one line."""
    return " ".join(docstring.split("\n\n")[0].split())


def _rows(tree: ast.Module) -> list[str]:
    rows = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            rows.append(_row(node, ""))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            rows += [
                _row(m, "  ")
                for m in node.body
                if isinstance(m, ast.FunctionDef)
                and not m.name.startswith("_")
                and ast.get_docstring(m)
            ]
    return rows


def _row(node: ast.FunctionDef | ast.ClassDef, indent: str) -> str:
    words = _first(ast.get_docstring(node) or "")
    kind = "class " if isinstance(node, ast.ClassDef) else ""
    signature = (
        "" if isinstance(node, ast.ClassDef) or _is_property(node) else f"({_arguments(node)})"
    )
    returns = (
        ""
        if isinstance(node, ast.ClassDef) or node.returns is None
        else f" → {ast.unparse(node.returns)}"
    )
    return f"{indent}- `{kind}{node.name}{signature}{returns}`" + (f" {words}" if words else "")


def _is_property(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(d).endswith("property") for d in node.decorator_list)


def _arguments(node: ast.FunctionDef) -> str:
    text = ast.unparse(node.args)
    for own in ("self, ", "cls, ", "self", "cls"):
        if text.startswith(own) and (own.endswith(" ") or text == own):
            return text.removeprefix(own)
    return text


def main(arguments: list[str]) -> int:
    """Write docs/api.md, or with `--check` say whether it is stale (exit 1)."""
    root = project_root()
    target, text = root / "docs" / "api.md", reference(root / "facelab")
    if "--check" in arguments:
        fresh = target.is_file() and target.read_text(encoding="utf-8") == text
        print(
            f"{target}: {'up to date' if fresh else 'stale; run python -m facelab.report.api_docs'}"
        )
        return 0 if fresh else 1
    write_text(target, text)
    print(f"{target}: {len(text.splitlines())} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
