"""What mkdocs does before it builds: API pages from the front doors, notebooks from the last run or the sources."""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "facelab"
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import anchors  # noqa: E402
import command_pages  # noqa: E402
from mkdocs.exceptions import PluginError  # noqa: E402


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
    """Return the Markdown of one room's reference page: what the room is, and each name."""
    init = PACKAGE / room / "__init__.py"
    text = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
    lines = [f"# facelab.{room}", "", text.split("\n\n")[0], ""]
    for name, path in names:
        lines += [
            f"::: {path}",
            "    options:",
            f"      heading: {name}",
            f"      toc_label: {name}",
            "",
        ]
    return "\n".join(lines)


def notebook_page(name: str) -> str:
    """Return a notebook as the last run executed it, or else as it is committed; a line says which."""
    executed = ROOT / "reports" / "latest" / Path(name).stem / name
    if executed.is_file():
        run = json.loads((ROOT / "reports" / "latest" / "run.json").read_text(encoding="utf-8"))
        said = f"With the results of the run `{run['run']}`, profile {run['profile']}."
    else:
        said = "Without results: `make reproduce` runs the notebook, and `make docs` then shows what it found."
    source = executed if executed.is_file() else ROOT / "notebooks" / name
    notebook = json.loads(source.read_text(encoding="utf-8"))
    first = notebook["cells"][0]
    first["source"] = ["".join(first["source"]), f"\n\n*{said}*"]
    return json.dumps(notebook)


def on_page_markdown(markdown, page, **_):
    """Take the words for tests off console blocks, which Markdown would not know as code, and list the commands."""
    markdown = re.sub(r"^```console [\w ]+$", "```console", markdown, flags=re.M)
    return re.sub(r"<!-- commands: .*? -->", lambda _: command_pages.overview(), markdown)


def _write(folder: Path, texts: dict[str, str]) -> list[str]:
    """Write generated pages into a folder of their own, and return their addresses below docs/."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [f"{folder.relative_to(ROOT / 'docs').as_posix()}/{name}" for name in texts]


def on_config(config):
    """Write generated pages below docs/ (ignored by git) and put them into the navigation."""
    docs = Path(config.docs_dir)
    api = {f"{room}.md": api_page(room, names) for room, names in rooms().items()}
    api_pages = _write(docs / "reference" / "api", api)
    commands = {f"{name}.md": text for name, text in command_pages.pages().items()}
    written = _write(docs / "reference" / "commands", commands)
    plan = tomllib.loads((ROOT / "notebooks" / "plan.toml").read_text(encoding="utf-8"))
    names = list(dict.fromkeys(step["notebook"] for step in plan["step"]))
    notebooks = _write(docs / "notebooks", {name: notebook_page(name) for name in names})
    for entry in config.nav:
        if "Reference" in entry:
            first = entry["Reference"][0]
            first["Commands"] = [
                first["Commands"],
                *({f"facelab {Path(p).stem}": p} for p in written),
            ]
            entry["Reference"].append(
                {"Python": [{f"facelab.{Path(p).stem}": p} for p in api_pages]}
            )
        if "Notebooks" in entry:
            entry["Notebooks"] = [{Path(p).stem: p} for p in notebooks]
    return config


def on_post_build(config):
    """Refuse a site with a link that leads nowhere."""
    if wrong := anchors.broken(Path(config["site_dir"])):
        raise PluginError("links lead nowhere:\n" + "\n".join(wrong))
