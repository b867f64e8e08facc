"""`facelab index history|check`: fault histories of metadata stores and their judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facelab.commands.common import SEED, OutPath, emit, json_option
from facelab.index import internals as index_internals


@click.command(
    epilog="Example: facelab index history --operations 300 --faults 1 --out history.jsonl"
)
@click.option("--store", type=click.Choice(["sqlite", "etcd"]), default="sqlite", show_default=True)
@click.option(
    "--members", type=click.Choice(["1", "3"]), default="1", show_default=True, help="Of etcd."
)
@click.option("--operations", type=click.IntRange(10, 1_000_000), default=5000, show_default=True)
@click.option("--faults", type=click.IntRange(0, 100), default=4, show_default=True)
@click.option(
    "--fault",
    type=click.Choice(["kill", "stop", "cut"]),
    default="kill",
    show_default=True,
    help="SIGKILL and a restart; etcd only: SIGSTOP for 0.8 s, or a cut from the peers.",
)
@click.option(
    "--planted",
    type=click.Choice(["none", "stale", "blind", "retry"]),
    default="none",
    show_default=True,
    help="Plant this mistake in the clients; the check must find it.",
)
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--out", type=OutPath(path_type=Path), help="Write the history as JSON lines.")
@json_option
def history(
    store: str,
    members: str,
    operations: int,
    faults: int,
    fault: str,
    planted: str,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> int:
    """Let clients read and swap while servers or writers are killed, and judge what they saw.

    Exit code 1 where the history is not linearizable or that cannot be determined.
    """
    from facelab.studies import index_histories as study

    options: dict[str, Any] = {"operations": operations, "faults": faults, "planted": planted}
    if store == "etcd":
        found = study.etcd_history(members=int(members), fault=fault, seed=seed, **options)
    elif fault != "kill":
        raise click.UsageError(f"--fault {fault} is for etcd: SQLite has no server")
    else:
        found = study.sqlite_history(seed=seed, **options)
    if out is not None:
        index_internals.save_history(out, found.history)
    emit(found.to_dict(), as_json=as_json, text=found.text())
    return 0 if found.linearizable else 1


@click.command(epilog="Example: facelab index check history.jsonl")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def check(file: Path, as_json: bool) -> int:
    """Say whether the history in FILE (JSON lines) is linearizable. Exit code 1 where it is not."""
    from facelab.index.internals import check_history, read_history

    found = check_history(read_history(file))
    emit(found.to_dict(), as_json=as_json, text=found.text())
    return 0 if found.linearizable else 1
