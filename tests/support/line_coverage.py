"""Which lines of facelab the tests run, measured in every worker, and a floor below which a run fails.

SlipCover puts a probe at each line of a module when it is imported and takes it out once the line has run, so that
loops cost nothing further. `make test` sets FACELAB_COVERAGE to the least share in percent; without it nothing is
measured. Files whose functions numba compiles are left out: their lines never run in Python. Lines that only run in
processes which tests start are not seen.
"""

import json
import os
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "facelab"
FLOOR = "FACELAB_COVERAGE"
FOLDER = "FACELAB_COVERAGE_FOLDER"
"""Where workers leave what they saw, one file each; below .cache where the variable is not set."""
COMPILED = ("numba", "facelab.core.compiled", "synthetic._compiled", "_compile_cache")


def is_compiled(path):
    """Return whether a file holds functions that numba compiles."""
    lines = (line.lstrip() for line in path.read_text().splitlines())
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    return any(word in line for line in imports for word in COMPILED)


def measured():
    """Return the files that are measured."""
    return [p for p in sorted(PACKAGE.rglob("*.py")) if not is_compiled(p)]


class Measured:
    """The lines of facelab that run in this process from now on."""

    def __init__(self):
        from slipcover import FileMatcher, ImportManager, Slipcover

        files = {str(p) for p in measured()}

        class Matcher(FileMatcher):
            def matches(self, filename):
                return str(filename) in files

        self.probes = Slipcover()
        ImportManager(self.probes, Matcher()).__enter__()

    def lines(self):
        """Return path below the root → sorted lines that ran."""
        seen = defaultdict(set)
        for found in (self.probes.all_seen, self.probes.newly_seen):
            for file, numbers in found.items():
                seen[Path(file).relative_to(ROOT).as_posix()] |= numbers
        return {file: sorted(numbers) for file, numbers in seen.items()}


def lines_of(path):
    """Return the numbers of the lines that hold code."""
    from slipcover import Slipcover

    code = compile(path.read_text(), str(path), "exec", dont_inherit=True)
    return set(Slipcover.lines_from_code(code))


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
        self.floor, self.measured = floor, Measured()
        self.worker = os.environ.get("PYTEST_XDIST_WORKER")
        self.folder = Path(os.environ.get(FOLDER) or ROOT / ".cache" / "coverage")
        if self.worker is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.report = []

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
            f"{share:.2f} % of {all_of_them} lines ran; at least {self.floor:g} % must",
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
