"""What mkdocs does before it builds: API pages from the front doors, notebooks from the last run or the sources."""

from __future__ import annotations

import ast
import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "facelab"
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]


def exported(init: Path) -> list[str]:
    """Return the names in `__all__` of a room's front door, without importing it."""
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and "__all__" in [ast.unparse(t) for t in node.targets]:
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def homes(init: Path) -> dict[str, str]:
    """Return where the lazily imported names of a front door are defined: name → module, relative to the room."""
    for node in ast.walk(ast.parse(init.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attach"):
            given = {k.arg: k.value for k in node.keywords}
            table = ast.literal_eval(given["submod_attrs"]) if "submod_attrs" in given else {}
            return {name: module for module, names in table.items() for name in names}
    return {}


def stub_homes(stub: Path) -> dict[str, str]:
    """Return where the names of a front door's stub are defined: name → module, relative to the room."""
    nodes = [
        n for n in ast.parse(stub.read_text(encoding="utf-8")).body if isinstance(n, ast.ImportFrom)
    ]
    return {a.name: n.module for n in nodes if n.module for a in n.names}


def is_module(room: Path, name: str) -> bool:
    """Return whether a name of a front door is a module or folder of its room."""
    return (room / name).is_dir() or (room / f"{name}.py").is_file()


def offered(folder: Path, prefix: str) -> list[tuple[str, str]]:
    """Return what a front door offers: each name as it is written after the import, and where it is defined.

    A module that is offered gives one entry for the whole module, or one per name where it is a folder.
    """
    init, stub = folder / "__init__.py", folder / "__init__.pyi"
    where = stub_homes(stub) if stub.is_file() else homes(init)
    found = []
    for name in exported(stub if stub.is_file() else init):
        if name in where or not is_module(folder, name):
            found.append(
                (name, f"{prefix}.{where[name]}.{name}" if name in where else f"{prefix}.{name}")
            )
        elif (folder / name).is_dir():
            found += [
                (f"{name}.{n}", path) for n, path in offered(folder / name, f"{prefix}.{name}")
            ]
        else:
            found.append((name, f"{prefix}.{name}"))
    return found


def rooms() -> dict[str, list[tuple[str, str]]]:
    """Return each room with a front door, and what it offers."""
    found = {
        init.parent.name: offered(init.parent, f"facelab.{init.parent.name}")
        for init in sorted(PACKAGE.glob("*/__init__.py"))
    }
    return {room: names for room, names in found.items() if names}


def api_page(room: str, names: list[tuple[str, str]]) -> str:
    """Return the Markdown of one room's reference page: its docstring's first line, a list, and each name."""
    text = (
        ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8")))
        or ""
    )
    lines = [f"# facelab.{room}", "", text.split("\n\n")[0], ""]
    lines += ["```python", f"from facelab import {room}", "```", ""]
    for name, path in names:
        lines += [
            f"## {name}",
            "",
            f"::: {path}",
            "    options:",
            "      show_root_heading: false",
            "      heading_level: 3",
            "",
        ]
    return "\n".join(lines)


def notebook_source(name: str) -> Path:
    """Return the notebook as the last run executed it, or else as it is committed."""
    executed = ROOT / "reports" / "latest" / Path(name).stem / name
    return executed if executed.is_file() else ROOT / "notebooks" / name


def on_config(config):
    """Write generated pages below docs/ (ignored by git) and put them into the navigation."""
    docs = Path(config.docs_dir)
    api, notebooks = docs / "reference" / "api", docs / "notebooks"
    for folder in (api, notebooks):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for room, names in rooms().items():
        (api / f"{room}.md").write_text(api_page(room, names), encoding="utf-8")
    plan = tomllib.loads((ROOT / "notebooks" / "plan.toml").read_text(encoding="utf-8"))
    names = list(dict.fromkeys(step["notebook"] for step in plan["step"]))
    for name in names:
        shutil.copy(notebook_source(name), notebooks / name)
    for entry in config.nav:
        if "Reference" in entry:
            pages = [{f"facelab.{room}": f"reference/api/{room}.md"} for room in rooms()]
            entry["Reference"].append({"Python": pages})
        if "Notebooks" in entry:
            entry["Notebooks"] = [{Path(n).stem: f"notebooks/{n}"} for n in names]
    return config
