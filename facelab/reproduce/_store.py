"""What runs leave behind: `reports/runs/<run>/<step>/`, found again by key, kept for comparison, thinned out.

A run's folder holds everything its report shows: steps taken over from an earlier run are linked, not referred to,
so that an old run may be removed at any time. `step.json` is written last; a folder without it is unfinished.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facelab.core import lifetime, records, run_names
from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.files import read_input, write_json
from facelab.core.records import Record
from facelab.core.safety import scratch
from facelab.reproduce._failure import Failure
from facelab.reproduce._locks import lock

KEEP_RUNS = 20
MAX_NOTE, MAX_FIGURE = 64 << 20, 64 << 20
"""Bytes of a JSON file in a run's folder that are read, and of a picture that is shown."""
MOST_DEPTH = 64
"""Folders within each other in a step's folder."""


@dataclass(frozen=True)
class Promise:
    """What a step promised in the plan: globs of "case/metric", names of figures, globs of files under `root`."""

    records: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


class Store:
    """The folder of reports of one project."""

    def __init__(self, root: Path, folder: Path | None = None):
        self.root = Path(root)
        self.folder = Path(folder) if folder else self.root / "reports"
        self.runs_folder = self.folder / "runs"

    def new_run(self) -> str:
        """Create a run's folder and return its identifier, which begins with a sequence number."""
        with lock(self.folder / ".lock"):
            return run_names.make(self.runs_folder).name

    def run_folder(self, run: str) -> Path:
        """Return a run's folder."""
        return self.runs_folder / run

    def step_folder(self, run: str, step: str) -> Path:
        """Return the folder of one step in one run."""
        return self.runs_folder / run / step

    def runs(self) -> list[str]:
        """Return the identifiers of all runs, newest first."""
        return run_names.newest_first(self.runs_folder)

    def ended(self, before: str | None = None) -> list[dict]:
        """Return the summaries (`run.json`) of runs that came to an end, newest first; those older than `before`."""
        names = [
            r for r in self.runs() if before is None or run_names.order(r) < run_names.order(before)
        ]
        found = (read_json(self.run_folder(r) / "run.json") for r in names)
        return [f for f in found if f and f.get("finished")]

    def find(self, name: str) -> Path:
        """Return the run folder that `name` means: an identifier, its unique beginning, a folder, latest, previous.

        `latest` and `previous` count runs that came to an end. Raises BadInputError for anything else.
        """
        if name in ("latest", "previous"):
            ended = self.ended()
            place = 0 if name == "latest" else 1
            if len(ended) <= place:
                raise BadInputError(
                    f"there is no {name} run",
                    where=self.runs_folder,
                    expected="a finished run",
                    got=f"{len(ended)} of them",
                    fix="run `facelab reproduce`",
                )
            return self.run_folder(ended[place]["run"])
        as_path = Path(name)
        for folder in (as_path, self.run_folder(name)):
            if folder.is_dir() and any(folder.glob("**/records.jsonl")):
                return folder
        begins = [r for r in self.runs() if r.startswith(name)]
        if len(begins) == 1:
            return self.run_folder(begins[0])
        known = [*self.runs(), "latest", "previous"]
        raise BadInputError(
            f"no run is called {name!r}{did_you_mean(name, known)}",
            where=self.runs_folder,
            expected="a run's identifier, a folder with records, latest or previous",
            got=f"{len(begins)} runs begin so" if begins else name,
            fix="list them: ls reports/runs",
        )

    def history(self, step: str) -> list[dict]:
        """Return what every earlier run noted about a step (`step.json`), newest first."""
        found = (read_json(self.step_folder(run, step) / "step.json") for run in self.runs())
        return [f for f in found if f]

    def find_done(self, step: str, key: str, promise: Promise) -> Path | None:
        """Return the newest folder in which the step was done with this key and keeps today's promises, or None."""
        for run in self.runs():
            folder = self.step_folder(run, step)
            note = read_json(folder / "step.json")
            if (
                note
                and note.get("key") == key
                and note.get("state") == "done"
                and broken_promise(folder, promise, self.root) is None
            ):
                return folder
        return None

    def take_over(self, source: Path, run: str, step: str) -> Path:
        """Link an earlier result into a run's folder and return the new folder; `step.json` comes last."""
        target = self.step_folder(run, step)
        with lock(self.folder / ".lock"):
            scratch.remove_tree(target)
            shutil.copytree(
                source,
                target,
                copy_function=_link,
                symlinks=True,  # a link that leads in a circle stays a link
                ignore=shutil.ignore_patterns("step.json", f".*{scratch.MARK}*"),
            )
            _link(source / "step.json", target / "step.json")
        return target

    def publish(self, run: str) -> None:
        """Point `reports/latest` at a run, and thin out old ones; runs that are going on are left alone."""
        link = self.folder / f".latest-{secrets.token_hex(4)}"
        with lock(self.folder / ".lock"):
            with contextlib.suppress(OSError):
                link.symlink_to(Path("runs") / run, target_is_directory=True)
                link.replace(self.folder / "latest")
            keep = self._referred() | {run}
            for old in [r for r in self.runs() if r not in keep][max(0, KEEP_RUNS - len(keep)) :]:
                note = read_json(self.run_folder(old) / "run.json") or {}
                if note.get("finished") or not _alive(note):
                    scratch.remove_tree(self.run_folder(old))

    def _referred(self) -> set[str]:
        """Return the runs that `latest` points to or that hold a step's newest result, which the next call reuses."""
        found = set()
        with contextlib.suppress(OSError):
            found.add((self.folder / "latest").readlink().name)
        runs = self.runs()
        seen: set[str] = set()
        for run in runs:
            for path in self.run_folder(run).glob("*/step.json"):
                step = path.parent.name
                if step not in seen and (read_json(path) or {}).get("state") == "done":
                    seen.add(step)
                    found.add(run)
        sweep = (read_json(self.run_folder(runs[0]) / "run.json") or {}).get("sweep")
        if sweep:  # all points of the sweep that goes on
            notes = {r: read_json(self.run_folder(r) / "run.json") or {} for r in runs}
            found |= {r for r, note in notes.items() if note.get("sweep") == sweep}
        return found


def _link(source: str | os.PathLike, target: str | os.PathLike) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _alive(note: dict[str, Any]) -> bool:
    pid, started = note.get("pid"), note.get("pid_started")
    if not isinstance(pid, int) or pid <= 0:
        return False
    now = lifetime.process_start(pid)
    return now is not None and started in (None, now)


def read_json(path: Path) -> dict | None:
    """Return a JSON object that facelab wrote, or None if it is not there or unfinished.

    Parameters
    ----------
    path : path
        A file that facelab wrote.

    Returns
    -------
    dict or None
        A JSON object that facelab wrote, or None if it is not there or unfinished.
    """
    try:
        # a notebook can put a named pipe in the place of any file in its folder
        value = json.loads(read_input(path, max_bytes=MAX_NOTE, what="note"))
    except (OSError, ValueError, BadInputError):
        return None
    return value if isinstance(value, dict) else None


def write_step(folder: Path, note: dict) -> None:
    """Write `step.json`, which makes a step's folder complete."""
    write_json(folder / "step.json", {"schema": "facelab.step/1", **note})


def read_records(folder: Path) -> list[Record]:
    """Return a step's records, none if it wrote none. Raises BadInputError for a damaged file."""
    path = folder / "records.jsonl"
    return records.read(path) if path.is_file() else []


def broken_promise(folder: Path, promise: Promise, root: Path) -> Failure | None:
    """Return which promise a step's folder does not keep, or None: the end marker, records, figures, files.

    Nothing that papermill or the notebook's metadata say counts.
    """
    end = read_json(folder / "end.json")
    try:
        found = read_records(folder)
    except BadInputError as e:
        return Failure(
            "bad-records",
            f"the records cannot be read: {e.where}",
            cause="the notebook wrote records.jsonl by other means than run.record()",
        )
    if end is None:
        return Failure(
            "no-end-marker",
            "the notebook ended without its own end marker",
            cause="run.done() was not reached or is missing; it must be the last cell",
        )
    if end.get("records") != len(found):
        return Failure(
            "missing-record",
            f"the end marker counts {end.get('records')} records, the file has {len(found)}",
            cause="facelab.start() was called twice, or a record was written after done()",
        )
    if _nested_too_deeply(folder):
        return Failure(
            "bad-folder",
            f"the notebook left folders more than {MOST_DEPTH} deep",
            cause="a later call could not take such a folder over; write less deep ones",
        )
    return _missing_promise(folder, promise, root, [f"{r.case}/{r.metric}" for r in found])


def _missing_promise(
    folder: Path, promise: Promise, root: Path, names: list[str]
) -> Failure | None:
    """Return the first record (of `names`), figure or file that was promised and is not there, or None."""
    for glob in promise.records:
        if not any(fnmatch.fnmatchcase(name, glob) for name in names):
            return Failure(
                "missing-record",
                f"the promised record {glob!r} was not written",
                cause=f"the notebook wrote {_listed(names)}; correct the notebook or the plan's `records`",
            )
    for name in promise.figures:
        if problem := _figure_problem(folder / "figures" / f"{name}.png"):
            drawn = [p.stem for p in sorted((folder / "figures").glob("*.png")) if p.is_file()]
            return Failure(
                "missing-figure",
                f"the promised figure {name!r} {problem}",
                cause=f"figures drawn: {_listed(drawn)}; draw it with run.figure(fig, {name!r}) or "
                f"correct the plan's `figures`{did_you_mean(name, drawn)}",
            )
    for glob in promise.outputs:
        if not any(root.glob(glob)):
            return Failure(
                "missing-output",
                f"the promised file {glob!r} is not there",
                cause="the notebook did not write it, or it was removed since",
            )
    return None


def _figure_problem(path: Path) -> str | None:
    if not path.is_file():
        return "is not a file" if path.exists() else "was not drawn"
    try:
        with path.open("rb") as f:
            begins = f.read(8) == b"\x89PNG\r\n\x1a\n"
            size = f.seek(0, os.SEEK_END)
            f.seek(max(0, size - 16))
            ends = b"IEND" in f.read(16)
    except OSError:
        return "cannot be read"
    if size > MAX_FIGURE:
        return f"has more than {MAX_FIGURE >> 20} MB"
    return None if begins and ends else "is not a whole PNG file"


def _nested_too_deeply(folder: Path) -> bool:
    """Return whether folders in a step's folder are more than `MOST_DEPTH` deep."""
    level = [os.fspath(folder)]
    depth = 0
    while level and depth <= MOST_DEPTH:
        level = [below for place in level for below in _folders(place)]
        depth += 1
    return bool(level)


def _folders(place: str) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return [e.path for e in entries if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _listed(names: list[str]) -> str:
    return (
        ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        if names
        else "none"
    )
