"""Which lines of facelab the tests run, measured in every worker, and a floor below which a run fails.

Each module of facelab is compiled with a mark before each statement: `__ran__[line] = 1`, a store into a list. The
marked code is kept below .cache, so that a worker loads it as fast as the plain code. `make test` sets
FACELAB_COVERAGE to the least share in percent; without it nothing is measured. A line is one where a statement
begins, docstrings and what only type checkers read left out. Files whose functions numba compiles are left out:
their lines never run in Python. Lines that only run in processes which tests start are not seen.
"""

import ast
import functools
import hashlib
import importlib.machinery
import json
import marshal
import os
import shutil
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "facelab"
FLOOR = "FACELAB_COVERAGE"
MODELS = ("FACELAB_MIRROR", "FACELAB_TEST_ASSETS")
"""Where tests find real models: without them some skip, and the floor is for a run with them."""
FOLDER = "FACELAB_COVERAGE_FOLDER"
"""Where workers leave what they saw, one file each; below .cache where the variable is not set."""
MARKED = ROOT / ".cache" / "marked"
"""Where marked code is kept, one file per module."""
COMPILED = ("numba", "facelab.core.compiled", "synthetic._compiled", "_compile_cache")


def is_compiled(path):
    """Return whether a file holds functions that numba compiles."""
    lines = (line.lstrip() for line in path.read_text().splitlines())
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    return any(word in line for line in imports for word in COMPILED)


def measured():
    """Return the files that are measured."""
    return [p for p in sorted(PACKAGE.rglob("*.py")) if not is_compiled(p)]


class Marks(ast.NodeVisitor):
    """Puts a mark before each statement, and notes the lines where statements begin."""

    def __init__(self):
        self.lines = set()

    def visit(self, node):
        for name, block in ast.iter_fields(node):
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                setattr(node, name, self.marked(block))
            elif name in ("handlers", "cases"):
                for part in block:
                    self.visit(part)

    def marked(self, block):
        """Return the statements of one block with their marks."""
        result = []
        for statement in block:
            if not is_not_run(statement):
                self.lines.add(statement.lineno)
                result.append(mark(statement))
            if not is_for_checkers(statement):
                self.visit(statement)
            result.append(statement)
        return result


def mark(statement):
    """Return `__ran__[line] = 1` as a statement at another one's place."""
    place = {
        name: getattr(statement, name)
        for name in ("lineno", "col_offset", "end_lineno", "end_col_offset")
    }
    ran = ast.Name("__ran__", ast.Load(), **place)
    line = ast.Subscript(ran, ast.Constant(statement.lineno, **place), ast.Store(), **place)
    return ast.Assign([line], ast.Constant(1, **place), **place)


def is_not_run(statement):
    """Return whether a statement is a docstring, a declaration or an import that has to come first."""
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    if is_text and isinstance(statement.value.value, str):
        return True
    if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
        return True
    return isinstance(statement, (ast.Global, ast.Nonlocal))


def is_for_checkers(statement):
    """Return whether a block is read by type checkers only."""
    return isinstance(statement, ast.If) and ast.unparse(statement.test).endswith("TYPE_CHECKING")


def marked(path):
    """Return the lines of a file where statements begin, and its code with marks."""
    source = path.read_bytes()
    key = hashlib.sha256(source + sys.version.encode() + _here()).hexdigest()
    kept = MARKED / ".".join(path.relative_to(ROOT).parts)
    try:
        found, lines, code = marshal.loads(kept.read_bytes())
        if found == key:
            return lines, code
    except (OSError, ValueError, TypeError, EOFError):
        pass
    tree, marks = ast.parse(source), Marks()
    marks.visit(tree)
    code = compile(tree, str(path), "exec", dont_inherit=True)
    MARKED.mkdir(parents=True, exist_ok=True)
    part = kept.with_name(f"{kept.name}.{os.getpid()}")
    part.write_bytes(marshal.dumps((key, marks.lines, code)))
    part.replace(kept)
    return marks.lines, code


@functools.cache
def _here():
    return Path(__file__).read_bytes() + str(ROOT).encode()


def mark_a_share(worker):
    """Mark one worker's part of what is not kept: all import in the same order, and each would mark everything."""
    for path in measured()[worker :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]:
        if not (MARKED / ".".join(path.relative_to(ROOT).parts)).exists():
            marked(path)


def lines_of(path):
    """Return the numbers of the lines where statements begin."""
    return marked(path)[0]


class Loader(importlib.machinery.SourceFileLoader):
    """Runs the marked code of a module; `get_code` still returns the plain one."""

    def __init__(self, name, path, ran):
        super().__init__(name, path)
        self.ran = ran

    def exec_module(self, module):
        lines, code = marked(Path(self.path))
        row = self.ran.setdefault(self.path, [0] * (max(lines, default=0) + 1))
        module.__dict__["__ran__"] = row
        exec(code, module.__dict__)  # noqa: S102


class Measured:
    """The lines of facelab that run in this process from now on."""

    def __init__(self):
        self.ran = {}
        self.files = {str(p) for p in measured()}
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path, target=None):
        """Have a module of facelab run its marked code."""
        if not name.startswith("facelab"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin in self.files:
            spec.loader = Loader(name, spec.origin, self.ran)
        return spec

    def lines(self):
        """Return path below the root → sorted lines that ran."""
        return {
            Path(file).relative_to(ROOT).as_posix(): [n for n, ran in enumerate(row) if ran]
            for file, row in self.ran.items()
        }


def shares(seen):
    """Return room → (lines that ran, lines) for what all workers saw."""
    rooms = defaultdict(lambda: [0, 0])
    for path in measured():
        name = path.relative_to(ROOT).as_posix()
        lines = lines_of(path)
        room = rooms[path.relative_to(PACKAGE).parts[0].removesuffix(".py")]
        room[0] += len(lines & set(seen.get(name, ())))
        room[1] += len(lines)
    return {room: tuple(pair) for room, pair in rooms.items()}


class Plugin:
    """Measures in each process that runs tests; the one that reports adds up and holds the floor."""

    def __init__(self, floor):
        self.models = any(os.environ.get(name) for name in MODELS)
        self.floor, self.measured = floor if self.models else 0.0, Measured()
        self.worker = os.environ.get("PYTEST_XDIST_WORKER")
        self.folder = Path(os.environ.get(FOLDER) or ROOT / ".cache" / "coverage")
        if self.worker is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.report = []
        if self.worker is not None:
            mark_a_share(int(self.worker.removeprefix("gw")))

    @pytest.hookimpl(tryfirst=True)  # before a worker says that it has ended
    def pytest_sessionfinish(self, session):
        """Leave what this process saw; where all are done, hold the floor."""
        name = self.folder / f"{self.worker or 'main'}.json"
        name.write_text(json.dumps(self.measured.lines()))
        if self.worker is None:
            share = self.add_up()
            if share < self.floor and session.exitstatus == 0:
                session.exitstatus = 1

    def add_up(self):
        """Return the share in percent, and keep a table of rooms for the end of the run."""
        seen = defaultdict(set)
        for file in self.folder.glob("*.json"):
            for name, lines in json.loads(file.read_text()).items():
                seen[name] |= set(lines)
        rooms = shares(seen)
        ran, all_of_them = (sum(pair[k] for pair in rooms.values()) for k in (0, 1))
        share = 100 * ran / all_of_them
        self.report = [
            *(f"{room:<14} {100 * a / b:5.1f} % of {b}" for room, (a, b) in sorted(rooms.items())),
            f"{share:.2f} % of {all_of_them} lines ran; "
            + (
                f"at least {self.floor:g} % must"
                if self.models
                else f"no floor without {MODELS[0]}"
            ),
        ]
        return share

    def pytest_terminal_summary(self, terminalreporter):
        """Print a line per room and the share of all."""
        terminalreporter.section("lines of facelab that ran")
        for line in self.report:
            terminalreporter.write_line(line)


def plugin():
    """Return the plugin where the environment asks for it, else None."""
    floor = os.environ.get(FLOOR)
    return Plugin(float(floor)) if floor else None
