"""Every import of facelab resolves, and other rooms, notebooks and tools reach a room through its front door."""

import ast
import functools
import importlib
import importlib.util
import json
import re
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "facelab"
ROOMS = sorted(p.parent.name for p in PACKAGE.glob("*/__init__.py"))
OPEN = {"core", "commands", "studies"}
"""Rooms without a front door: a toolbox of modules, click files, and one module per notebook."""
PICTURES = "report"
"""Beside its front door this room has one module of pictures per topic, which promise as little as a study."""
FILES = sorted(
    p
    for pattern in ("facelab/**/*.py", "tests/**/*.py", "docs/tools/*.py", "examples/**/*.py")
    for p in ROOT.glob(pattern)
)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code(path):
    """Return a file's Python: a notebook's cells without the lines for IPython alone."""
    if path.suffix != ".ipynb":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    source = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    return "\n".join(
        line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))
    )


@functools.cache
def tree(path):
    return ast.parse(code(path))


def imported(path):
    """Yield (module, name, line) for each `from facelab… import name`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "facelab":
            yield from ((node.module, alias.name, node.lineno) for alias in node.names)


def bound(body):
    """Yield the names that statements bind at a module's top level."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from ((a.asname or a.name).split(".")[0] for a in node.names)
            case ast.If() | ast.Try() | ast.With() | ast.For():
                for part in ("body", "orelse", "finalbody"):
                    yield from bound(getattr(node, part, []))
                yield from (n for h in getattr(node, "handlers", []) for n in bound(h.body))
            case _:
                yield from (
                    n.id
                    for n in ast.walk(node)
                    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
                )


@functools.cache
def names_of(module):
    """Return what can be imported from a module: its names and its submodules; None where there is no such module."""
    place = ROOT.joinpath(*module.split("."))
    if (place / "__init__.py").is_file():
        own = [place / "__init__.py", *place.glob("__init__.pyi")]
        below = {p.stem for p in place.glob("*.py")} | {
            p.parent.name for p in place.glob("*/__init__.py")
        }
        return below | {n for p in own for n in bound(ast.parse(p.read_text()).body)}
    file = place.with_suffix(".py")
    return set(bound(tree(file).body)) if file.is_file() else None


def rank(name):
    """Return a name's place in a sorted `__all__`: constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@functools.cache
def exported(room):
    """Return the sorted names of a room's front door, from its stub or its `__all__`."""
    for file in (PACKAGE / room / "__init__.pyi", PACKAGE / room / "__init__.py"):
        if file.is_file():
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                    return ast.literal_eval(node.value)
    return None


@functools.cache
def shared(room):
    """Return the names that a room shares with the rest of facelab through `internals`, and promises to nobody."""
    file = PACKAGE / room / "internals.pyi"
    if not file.is_file():
        return []
    lists = (n for n in ast.parse(file.read_text()).body if isinstance(n, ast.Assign))
    return ast.literal_eval(next(lists).value)


def has_door(init):
    """Return whether a folder's `__init__.py` says what it offers."""
    return init.is_file() and "__all__" in init.read_text()


def test_every_import_of_facelab_resolves():
    wrong = []
    for path in FILES + NOTEBOOKS:
        for module, name, line in imported(path):
            names = names_of(module)
            if names is None:
                wrong.append(f"{path}:{line}: there is no module {module}")
            elif name not in names and not hasattr(importlib.import_module(module), name):
                wrong.append(f"{path}:{line}: {module} has no name {name!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", [r for r in ROOMS if r not in OPEN])
def test_a_room_has_a_front_door_with_sorted_names(room):
    names = exported(room)
    assert names, f"facelab/{room}/__init__.py lists no names in __all__"
    assert len(set(names)) == len(names) and names == sorted(names, key=rank)
    assert not [n for n in names if n.startswith("_")]
    assert set(names) <= names_of(f"facelab.{room}")


@pytest.mark.parametrize("room", [r for r in ROOMS if r not in OPEN])
def test_files_that_are_not_private_are_exported(room):
    """A module without an underscore is part of the front door; a folder has one itself, or is private."""
    files = {p.stem for p in (PACKAGE / room).glob("[!_]*.py")} - {"internals"}
    hidden = set() if room == PICTURES else files - set(exported(room)) - set(shared(room))
    assert not hidden, f"facelab/{room}: {sorted(hidden)} need an underscore or a place in __all__"


MOST_PER_ROOM, MOST_IN_ALL, MOST_SHARED = 14, 168, 235


@pytest.mark.parametrize("room", [r for r in ROOMS if r not in OPEN])
def test_a_front_door_has_few_names(room):
    assert len(exported(room)) <= MOST_PER_ROOM, exported(room)


def test_all_front_doors_together_have_few_names():
    rooms = [r for r in ROOMS if r not in OPEN]
    assert sum(len(exported(r)) for r in rooms) <= MOST_IN_ALL
    assert sum(len(shared(r)) for r in rooms) <= MOST_SHARED


@pytest.mark.parametrize("room", [r for r in ROOMS if shared(r)])
def test_what_rooms_share_is_not_at_the_front_door(room):
    names = shared(room)
    assert not set(names) & set(exported(room)) and names == sorted(names, key=rank)
    found = importlib.import_module(f"facelab.{room}.internals")
    assert all(hasattr(found, name) for name in names)


def test_other_rooms_are_reached_through_their_front_doors():
    wrong = []
    for path in [p for p in FILES if not p.is_relative_to(ROOT / "tests")] + NOTEBOOKS:
        mine = path.relative_to(PACKAGE).parts[0] if path.is_relative_to(PACKAGE) else None
        for module, name, line in imported(path):
            room, *below = [*module.split("."), name][1:]
            if room in OPEN or room == mine or room not in ROOMS or not below:
                continue
            ours = mine is not None or path.is_relative_to(ROOT / "docs" / "tools")
            if ours and (below[0] == "internals" or below[0] in shared(room)):
                continue  # facelab itself may use what users should not
            inner = has_door(PACKAGE / room / below[0] / "__init__.py") or room == PICTURES
            if below[0] not in exported(room) and (not inner or below[0].startswith("_")):
                wrong.append(f"{path}:{line}: {below[0]!r} is not in facelab.{room}.__all__")
    assert not wrong, "\n".join(wrong)


FIRST_TEN = [p for p in NOTEBOOKS if p.name < "10"]
MOST_NAMES, MOST_MODULES = 40, 8


def names_in(path):
    """Return (names, modules) of facelab that a notebook imports; `from facelab import x` imports the module x."""
    names = {f"{module}.{name}" for module, name, _ in imported(path)}
    modules = {name if module == "facelab" else module for module, name, _ in imported(path)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            plain = {a.name for a in node.names if a.name.split(".")[0] == "facelab"}
            names |= plain
            modules |= plain
    return names, modules


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_imports_few_modules(path):
    modules = names_in(path)[1]
    assert len(modules) <= MOST_MODULES, sorted(modules)


def test_the_first_ten_notebooks_import_few_names():
    names = set().union(*(names_in(p)[0] for p in FIRST_TEN))
    assert len(FIRST_TEN) == 10 and len(names) <= MOST_NAMES, sorted(names)


IMPORT = re.compile(
    r"^from (facelab(?:\.\w+)*) import ((?:\w+(?: as \w+)?(?:, )?)+)$", re.MULTILINE
)


def test_names_in_programs_within_strings_exist():
    """Renaming finds no imports in the text of a program; it then fails only where that program runs."""
    wrong = []
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        for module, names in IMPORT.findall(path.read_text()):
            here = importlib.import_module(module)
            for name in (n.partition(" as ")[0].strip() for n in names.split(",")):
                found = hasattr(here, name) or importlib.util.find_spec(f"{module}.{name}")
                wrong += [] if found else [f"{path.name}: {module}.{name}"]
    assert not wrong


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_what_a_notebook_takes_from_modules_exists(path):
    """A renamed function is missed only by the cell that calls it, and by nothing before a run gets there."""
    modules = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "facelab":
            for taken in node.names:
                found = getattr(importlib.import_module(node.module), taken.name, None)
                if found is None:
                    found = importlib.import_module(f"{node.module}.{taken.name}")
                if isinstance(found, types.ModuleType):
                    modules[taken.asname or taken.name] = found
    wrong = [
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in modules
        and not hasattr(modules[node.value.id], node.attr)
    ]
    assert not wrong
