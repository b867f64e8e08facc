"""Several runs side by side: the parameters in which they differ, and the figures that they recorded."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facelab.core import compare_records
from facelab.core.records import Record
from facelab.core.result import Result
from facelab.core.wording import number, span
from facelab.reproduce._store import read_json


@dataclass(frozen=True)
class Figure:
    """One figure in each run: values in the order of the runs, None where a run did not record it."""

    step: str
    case: str
    metric: str
    unit: str
    values: tuple[Any, ...]
    intervals: tuple[tuple[float, float] | None, ...]

    @property
    def name(self) -> str:
        """Return `case · metric`, with the unit in brackets."""
        return f"{self.case} · {self.metric}" + (f" [{self.unit}]" if self.unit else "")

    @property
    def differs(self) -> bool:
        """Return whether the runs have different values."""
        return len({repr(v) for v in self.values}) > 1


@dataclass(frozen=True)
class Runs(Result):
    """Runs side by side. `parameters` holds those that differ: {"step.name": one value per run}."""

    names: tuple[str, ...]
    parameters: dict[str, tuple[Any, ...]]
    figures: tuple[Figure, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per run: its name, the parameters that differ, and the figures that differ."""
        return [
            {
                "run": name,
                **{p: values[k] for p, values in self.parameters.items()},
                **{f"{f.step}: {f.name}": f.values[k] for f in self.figures if f.differs},
            }
            for k, name in enumerate(self.names)
        ]

    def text(self) -> str:
        """Return a table for a terminal: one block per figure that differs, one line per run."""
        labels = [self.label(k) for k in range(len(self.names))]
        width = max(map(len, labels))
        lines = [_differing(self.parameters)]
        for figure in self.figures:
            if not figure.differs:
                continue
            lines.append(f"\n{figure.step} · {figure.name}")
            for label, value, interval in zip(labels, figure.values, figure.intervals, strict=True):
                shown = "-" if value is None else number(value)
                lines.append(
                    f"  {label:<{width}}  {shown} {span(*(interval or (None, None)))}".rstrip()
                )
        same = sum(not f.differs for f in self.figures)
        lines.append(f"\n{same} of {len(self.figures)} figures are the same in all runs")
        lines += [f"recorded nothing, see its report: {labels[k]}" for k in self.without_figures()]
        return "\n".join(lines)

    def without_figures(self) -> list[int]:
        """Return which runs recorded no figure at all."""
        return [k for k in range(len(self.names)) if all(f.values[k] is None for f in self.figures)]

    def label(self, k: int) -> str:
        """Return what tells a run from the others: its values of the parameters that differ, else its name."""
        settings = [f"{p.rpartition('.')[2]}={values[k]}" for p, values in self.parameters.items()]
        return ", ".join(settings) or self.names[k]


def _differing(parameters: dict[str, tuple[Any, ...]]) -> str:
    if not parameters:
        return "The runs do not differ in parameters."
    return "Parameters that differ: " + ", ".join(parameters)


def differences(a: Path, b: Path) -> dict[str, tuple[Any, Any]]:
    """Return {"step.name": (value in A, value in B)} of the parameters in which two runs differ.

    Parameters
    ----------
    a : path
        A run's folder.
    b : path
        Another run's folder.

    Returns
    -------
    dict[str, tuple[Any, Any]]
        {"step.name".
    """
    return _parameters([a, b])


def side_by_side(folders: Sequence[Path]) -> Runs:
    """Read runs and put them side by side.

    Parameters
    ----------
    folders : sequence of path
        The folders of the runs.

    Returns
    -------
    Runs
        The figures of all runs, side by side.

    Raises
    ------
    BadInputError
        For a folder that holds no run, and where no run recorded anything.
    """
    found = _records(folders)
    keys = list(dict.fromkeys(key for records in found for key in records))
    figures = [_figure(key, [records.get(key) for records in found]) for key in keys]
    return Runs(tuple(f.name for f in folders), _parameters(folders), tuple(figures))


def _records(folders: Sequence[Path]) -> list[dict[tuple[str, str, str], Record]]:
    """Return the records of each run by their key. One that failed at once has none; the others count."""
    found, nothing = [], None
    for folder in folders:
        try:
            found.append({r.key: r for r in compare_records.load(folder)[0]})
        except compare_records.NothingRecorded as e:
            if not (folder / "run.json").is_file():
                raise
            found.append({})
            nothing = e
    if nothing and not any(found):
        raise nothing
    return found


def _figure(key: tuple[str, str, str], records: Sequence[Record | None]) -> Figure:
    unit = next((r.unit for r in records if r is not None), "")
    intervals = tuple(
        None if r is None or r.lo is None or r.hi is None else (float(r.lo), float(r.hi))
        for r in records
    )
    return Figure(*key, unit, tuple(r and r.value for r in records), intervals)


def _parameters(folders: Sequence[Path]) -> dict[str, tuple[Any, ...]]:
    runs = [_settings(folder) for folder in folders]
    names = sorted({name for run in runs for name in run})
    values = {name: tuple(run.get(name) for run in runs) for name in names}
    return {n: tuple(map(_value, v)) for n, v in values.items() if len(set(v)) > 1}


def _settings(folder: Path) -> dict[str, str]:
    """Return {"step.name": literal} of a run, the defaults of its notebooks included."""
    note = read_json(folder / "run.json") or {}
    found = {}
    for step in note.get("steps", []):
        if step.get("state") != "skipped":  # of a step that was not asked for
            values = {**step.get("defaults", {}), **step.get("parameters", {})}
            found.update({f"{step['step']}.{name}": text for name, text in values.items()})
    return found


def _value(literal: str | None) -> Any:
    try:
        return None if literal is None else ast.literal_eval(literal)
    except (ValueError, SyntaxError):
        return literal
