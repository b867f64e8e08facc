"""The rooms of fingerprint/ build on each other in one order, and no file imports in a circle."""

import ast
from pathlib import Path

import pytest

import facelab.fingerprint

ROOM = Path(facelab.fingerprint.__file__).parent
ORDER = ("document", "probes", "capture", "model", "search", "diagnosis", "export")
FILES = sorted(p for p in ROOM.rglob("*.py") if p.parent != ROOM)


def imported(path):
    """Yield the files of the room that `path` imports when it is itself imported."""
    for node in ast.parse(path.read_text()).body:
        if not (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("facelab.fingerprint.")
        ):
            continue
        for base in (node.module, *(f"{node.module}.{a.name}" for a in node.names)):
            file = ROOM.parents[1] / (base.replace(".", "/") + ".py")
            if file.is_file():
                yield file


def place(path):
    return ORDER.index(path.relative_to(ROOM).parts[0])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOM)))
def test_a_room_imports_rooms_before_it_only(path):
    late = [str(f.relative_to(ROOM)) for f in imported(path) if place(f) > place(path)]
    assert not late


def test_no_file_imports_itself_through_others():
    done, stack = set(), []

    def visit(path):
        assert path not in stack, " -> ".join(str(p.relative_to(ROOM)) for p in [*stack, path])
        if path in done:
            return
        stack.append(path)
        for other in imported(path):
            visit(other)
        stack.pop()
        done.add(path)

    for path in FILES:
        visit(path)


def test_folders_and_files_stay_small_enough_to_read():
    for folder in [ROOM, *(p for p in ROOM.rglob("*") if p.is_dir() and p.name != "__pycache__")]:
        assert len(list(folder.glob("*.py"))) <= 12, folder
