"""`facelab compare`: say what got better or worse between two runs, or put several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facelab.commands.common import OutPath, emit, json_option, note

if TYPE_CHECKING:
    from facelab.report.runs import RunsSideBySide
    from facelab.reproduce.internals import Store


@click.command("compare", epilog="Example: facelab compare previous latest")
@click.argument("runs", nargs=-1)
@click.option(
    "--reports", type=click.Path(path_type=Path), help="Where the runs are.  [default: reports]"
)
@click.option(
    "--plot",
    type=OutPath(path_type=Path),
    metavar="FILE.png",
    help="Draw the figures that differ against the parameters that differ.",
)
@json_option
def command(runs: tuple[str, ...], reports: Path | None, plot: Path | None, as_json: bool) -> int:
    """Compare RUNS (default: previous latest) by their records, and name the parameters in which they differ.

    A run is an identifier (or its beginning) from reports/runs, a folder or .jsonl file with records, `latest` or
    `previous`. Two runs are joined by step, case and metric, and each change is judged against its noise: intervals
    decide where there are any, and timings count only when the machine is the same. Exit code 1 when something got
    worse. More than two runs, or `sweep` for the runs of the newest sweep, are put side by side.
    """
    from facelab.reproduce import plan as plans
    from facelab.reproduce import sweep
    from facelab.reproduce.internals import Store, side_by_side

    store = Store(plans.find().parents[1], reports)
    if runs == ("sweep",):
        folders = sweep.members(store)
    else:
        folders = [_find(store, name) for name in _names(runs)]
    if plot:
        _draw(side_by_side(folders), plot)
    if runs != ("sweep",) and len(folders) == 2:
        return _two(folders[0], folders[1], as_json=as_json)
    found = side_by_side(folders)
    document = {"schema": "facelab.side-by-side/1", **found.to_dict()}
    emit(document, as_json=as_json, text=found.text())
    return 0


def _names(runs: tuple[str, ...]) -> tuple[str, ...]:
    """Return two names at least: what is left out is `previous` and `latest`."""
    return (*runs, *("previous", "latest")[len(runs) :])


def _find(store: Store, name: str) -> Path:
    return Path(name) if Path(name).is_file() else store.find(name)


def _draw(found: RunsSideBySide, path: Path) -> None:
    from facelab.core.files import atomic_path
    from facelab.report import runs

    fig = runs.plot(found)
    with atomic_path(path) as tmp:
        fig.savefig(tmp, dpi=110, format="png")
    note(f"wrote {path}")


def _two(first: Path, second: Path, *, as_json: bool) -> int:
    from facelab.core import compare_records as compare
    from facelab.reproduce.internals import differences

    (a, machine_a), (b, machine_b) = compare.load(first), compare.load(second)
    rows = compare.compare(a, b, machine_a=machine_a, machine_b=machine_b)
    counts = compare.summary(rows)
    parameters = differences(first, second)
    lines = [f"parameter {name}: {old} → {new}" for name, (old, new) in parameters.items()]
    emit(
        {
            "schema": "facelab.comparison/1",
            "a": str(first),
            "b": str(second),
            "parameters": {name: list(values) for name, values in parameters.items()},
            "summary": counts,
            "rows": [r.as_dict() for r in rows],
        },
        as_json=as_json,
        text="\n".join([*lines, compare.text(rows, str(first), str(second))]),
    )
    return 1 if counts["worse"] else 0
