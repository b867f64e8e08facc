"""`facelab memory …`: watch the pipeline's memory and say whether, and why, it grows."""

from __future__ import annotations

from pathlib import Path

import click

from facelab.commands.common import SEED, OutPath, emit, json_option, note


@click.group(epilog="Example: facelab memory run --frames 600 --out memory.json")
def command() -> None:
    """Tell a leak from memory that warms up or is kept by the allocator."""


@command.command(epilog="Example: facelab memory run --frames 600 --out memory.json")
@click.option(
    "--frames",
    type=click.IntRange(200, 100_000_000),
    default=1000,
    show_default=True,
    help="Rendered frames to run; more frames see smaller leaks.",
)
@click.option("--detector", default="yunet-n", show_default=True, help="A detector with landmarks.")
@click.option("--embedder", default="mobilefacenet", show_default=True, help="An embedder.")
@click.option("--seed", type=SEED, default=7, show_default=True, help="Of the rendered scenes.")
@click.option("--out", type=OutPath(path_type=Path), help="Write the verdict for `facelab gate`.")
@json_option
def run(
    frames: int, detector: str, embedder: str, seed: int, out: Path | None, as_json: bool
) -> int:
    """Run the face pipeline on rendered frames under a memory watch. Exit code 1 if it leaks."""
    from facelab.studies import pipeline_memory, slow_calls

    note(f"{frames} frames through {detector} and {embedder}, one thread …")
    line = slow_calls.pipeline(detector, embedder, seed=seed)
    report = pipeline_memory.watched_run(line, slow_calls.pictures(seed=seed), frames=frames)
    if out is not None:
        report.save(out)
        note(f"wrote {out}")
    visible = f"a leak of {report.verdict.visible:,.0f} bytes per frame would have been seen"
    emit(report.to_dict(), as_json=as_json, text=f"{report.text()}\n{visible}")
    return 1 if report.leaks else 0


@command.command(epilog="Example: facelab memory prove --frames 300")
@click.option(
    "--frames",
    type=click.IntRange(200, 1_000_000),
    default=600,
    show_default=True,
    help="Frames of each planted case.",
)
@json_option
def prove(frames: int, as_json: bool) -> int:
    """Plant eleven kinds of growth and compare with the verdicts; exit code 1 if one is wrong."""
    from facelab.studies.planted_leaks import EXPECTED, leak_table

    note(f"{len(EXPECTED)} cases of {frames} frames …")
    found = leak_table(frames=frames)
    emit(found.to_dict(), as_json=as_json, text=found.text())
    return 0 if found.right == len(found.rows) else 1
