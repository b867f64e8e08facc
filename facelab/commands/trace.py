"""`facelab trace …`: record the face pipeline, say why calls were slow, export for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from facelab.commands.common import (
    SEED,
    FloatRange,
    OutPath,
    emit,
    json_option,
    note,
)

FORMATS = ["chrome", "flamegraph", "flamegraph-lines", "folded", "speedscope"]
TRACE = click.Path(path_type=Path)


@click.group(epilog="Example: facelab trace run --frames 60 --out trace.npz")
def command() -> None:
    """Record where the time of each frame goes, and why single calls are slow."""


@command.command(epilog="Example: facelab trace run --frames 60 --out trace.npz")
@click.option(
    "--frames",
    type=click.IntRange(20, 10_000_000),
    default=300,
    show_default=True,
    help="Rendered frames to run.",
)
@click.option("--fps", type=FloatRange(min=0.1), help="Pace in frames per second; else full speed.")
@click.option("--detector", default="yunet-n", show_default=True, help="A detector with landmarks.")
@click.option("--embedder", default="mobilefacenet", show_default=True, help="An embedder.")
@click.option("--seed", type=SEED, default=7, show_default=True, help="Of the rendered scenes.")
@click.option("--out", type=OutPath(path_type=Path), help="Write the trace (.npz).")
@json_option
def run(
    frames: int,
    fps: float | None,
    detector: str,
    embedder: str,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Trace the face pipeline on rendered frames: capture, preprocess, detect, align, embed, match, decide."""
    from facelab.studies import slow_calls

    note(f"{frames} frames through {detector} and {embedder}, one thread …")
    line = slow_calls.pipeline(detector, embedder, seed=seed)
    found = slow_calls.quiet_run(line, slow_calls.pictures(seed=seed), frames=frames, fps=fps)
    if out is not None:
        found.trace.save(out)
        note(f"wrote {out}")
    stages, causes = found.trace.stages(), found.causes()
    document = {**stages.to_dict(), "causes": causes.to_dict()}
    emit(document, as_json=as_json, text=f"{stages.text()}\n\n{causes.text()}")


@command.command(epilog="Example: facelab trace show trace.npz")
@click.argument("trace", type=TRACE)
@click.option(
    "--period",
    type=FloatRange(min=1e-6),
    help="Seconds between calls that were due: corrects a trace that does not say so.",
)
@click.option(
    "--floor",
    type=FloatRange(min=0),
    default=0.002,
    show_default=True,
    help="Excess in seconds below which no call is slow.",
)
@json_option
def show(trace: Path, period: float | None, floor: float, as_json: bool) -> None:
    """Show percentiles of each stage, and the cause of each slow call."""
    from facelab.tracing import explain, load

    held = load(trace)
    stages = held.stages(period_s=period)
    if not held.counters:
        note("the trace has no counters, so causes cannot be named")
        emit(stages.to_dict(), as_json=as_json, text=stages.text())
        return
    causes = explain(held, floor_s=floor)
    document = {**stages.to_dict(), "causes": causes.to_dict()}
    emit(document, as_json=as_json, text=f"{stages.text()}\n\n{causes.text()}")


@command.command(
    epilog="Example: facelab trace export trace.npz --format speedscope --out trace.speedscope.json"
)
@click.argument("trace", type=TRACE)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="chrome",
    show_default=True,
    help="chrome is also for ui.perfetto.dev; the flame graphs are SVG and need no network.",
)
@click.option("--out", required=True, type=OutPath(path_type=Path), help="The file to write.")
def export(trace: Path, format_: str, out: Path) -> None:
    """Write a trace in another tool's format."""
    from facelab.core.errors import BadInputError
    from facelab.tracing import export as write
    from facelab.tracing import load

    if out.resolve() == trace.resolve():
        raise BadInputError("--out would overwrite the trace", where=out, fix="give another name")
    note(f"wrote {write(load(trace), out, format_)}")


@command.command(
    epilog="Example: facelab trace send trace.npz --endpoint http://127.0.0.1:4318/v1/traces"
)
@click.argument("trace", type=TRACE)
@click.option(
    "--endpoint",
    default="http://127.0.0.1:4318/v1/traces",
    show_default=True,
    help="The receiver's address for traces (OTLP over HTTP).",
)
@click.option(
    "--timeout",
    type=FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds per batch.",
)
def send(trace: Path, endpoint: str, timeout: float) -> None:
    """Send a trace to an OpenTelemetry receiver (extra `observe`). Exit code 1 if it does not take all spans."""
    from facelab.tracing import load
    from facelab.tracing.internals import send_otlp

    sent = send_otlp(load(trace), endpoint, timeout_s=timeout)
    note(f"{sent.spans} spans in {sent.batches} batches → {sent.endpoint}")


@command.command(epilog="Example: facelab trace prove --trials 1")
@click.option(
    "--trials",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help="Planted delays of each of the nine kinds.",
)
@click.option("--seed", type=SEED, default=7, show_default=True, help="Of order and stages.")
@click.option("--out", type=OutPath(path_type=Path), help="Write the trace (.npz).")
@json_option
def prove(trials: int, seed: int, out: Path | None, as_json: bool) -> int:
    """Plant delays of nine kinds into the pipeline and compare with the causes that are named.

    Exit code 1 if fewer than 90 % are right, or an undisturbed call is named a fault of a stage.
    """
    from facelab.studies import slow_calls

    note(f"{9 * trials} delays, about {10 + 7 * trials} s …")
    found = slow_calls.injection_matrix(
        slow_calls.pipeline(seed=seed), slow_calls.pictures(seed=seed), trials=trials, seed=seed
    )
    if out is not None:
        found.run.trace.save(out)
    emit(found.to_dict(), as_json=as_json, text=found.text())
    return 0 if found.share >= 0.9 and not found.false else 1
