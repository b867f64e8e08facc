"""`facelab compare`: say what got better or worse between two runs."""

from __future__ import annotations

from pathlib import Path

import click

from facelab.commands.common import emit, json_option


@click.command("compare", epilog="Example: facelab compare previous latest")
@click.argument("run_a", default="previous")
@click.argument("run_b", default="latest")
@click.option(
    "--reports", type=click.Path(path_type=Path), help="Where the runs are.  [default: reports]"
)
@json_option
def command(run_a: str, run_b: str, reports: Path | None, as_json: bool) -> int:
    """Join the records of RUN_A and RUN_B by step, case and metric, and judge each change against its noise.

    A run is an identifier (or its beginning) from reports/runs, a folder or .jsonl file with records, `latest` or
    `previous`. Intervals decide where there are any; timings count only when the machine is the same.
    Exit code 1 when something got worse.
    """
    from facelab.core import compare_records as compare
    from facelab.reproduce import plan as plans
    from facelab.reproduce.store import Store

    store = Store(plans.find().parents[1], reports)
    folders = [Path(name) if Path(name).is_file() else store.find(name) for name in (run_a, run_b)]
    (a, machine_a), (b, machine_b) = (compare.load(folder) for folder in folders)
    rows = compare.compare(a, b, machine_a=machine_a, machine_b=machine_b)
    counts = compare.summary(rows)
    emit(
        {
            "schema": "facelab.comparison/1",
            "a": str(folders[0]),
            "b": str(folders[1]),
            "summary": counts,
            "rows": [r.as_dict() for r in rows],
        },
        as_json=as_json,
        text=compare.text(rows, str(folders[0]), str(folders[1])),
    )
    return 1 if counts["worse"] else 0
