"""`facelab budget …`: limit a command, and predict what a model needs on a device."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from facelab.budget import internals as budget_internals
from facelab.commands.common import FloatRange, OutPath, echo, emit, json_option, note
from facelab.core.errors import BadInputError


@click.group(epilog="Example: facelab budget predict mtcnn-onet --device example")
def command() -> None:
    """Hold a command to a memory, processor and power budget; predict a model's latency and memory."""


@command.command(
    epilog="Example: facelab budget run budget.toml --out report.json -- python -c pass",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("budget_file", type=click.Path(path_type=Path))
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--by",
    type=click.Choice(["auto", "v2", "v1", "rlimit"]),
    default="auto",
    show_default=True,
    help="What holds the limits: cgroup version 2 or 1, or resource limits.",
)
@click.option("--strict", is_flag=True, help="Do not run where nothing holds a limit.")
@click.option(
    "--timeout", type=FloatRange(0.1, 1e6), help="End the command after this many seconds."
)
@click.option("--out", type=OutPath(path_type=Path), help="Write the report for `facelab gate`.")
@json_option
def run(
    budget_file: Path,
    words: tuple[str, ...],
    by: Literal["auto", "v2", "v1", "rlimit"],
    strict: bool,
    timeout: float | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Run a command (after --) under a budget. Exit code 1 if it breaks the budget or fails."""
    from facelab import budget

    limits = budget.load_budget(budget_file)
    if out is not None and out.suffix.lower() not in (".json", ".csv"):
        raise BadInputError(
            "the report cannot be saved in this format",
            where=out,
            expected="a file name that ends in .json or .csv",
            got=out.suffix or "no suffix",
            fix="choose another file name",
        )
    stdout = sys.stderr.fileno() if as_json else None
    report = budget.run(
        words,
        limits,
        by=by,
        strict=strict,
        timeout_s=timeout,
        stdout=stdout,
    )
    if out is not None:
        report.save(out)
        note(f"wrote {out}")
    if as_json:
        emit(report.to_dict(), as_json=True, text="")
    else:
        note(report.text())
    return 0 if report.passed else 1


@command.command(epilog="Example: facelab budget predict mtcnn-onet --device example")
@click.argument("model")
@click.option(
    "--device",
    default="example",
    show_default=True,
    help='A device model (.toml), or "example": 128 MB, 1.2 TOPS, 1.8 W, none of it measured.',
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=SHAPE",
    help="The shape of an input that the file leaves open, such as input=1,3,480,640.",
)
@click.option("--operators", is_flag=True, help="List the operators too.")
@click.option(
    "--vela",
    metavar="NAME",
    help="Also ask Vela, where installed, about an Ethos-U such as ethos-u65-256 (INT8 .tflite).",
)
@json_option
def predict(
    model: str,
    device: str,
    inputs: tuple[str, ...],
    operators: bool,
    vela: str | None,
    as_json: bool,
) -> int:
    """Model latency, memory and power of MODEL (a file or a catalogue name). Exit code 1 if it does not fit."""
    from facelab import budget
    from facelab.budget.internals import vela_estimate
    from facelab.core.result import plain
    from facelab.studies.budget import model_file

    target = budget.example_device() if device == "example" else budget.load_device(device)
    path = model_file(model)
    cost = budget.cost_of(path, _shapes(inputs), known=str(path) != model)
    found = budget.predict(cost, target)
    peer = None if vela is None else vela_estimate(path, accelerator=vela)
    document = {
        "schema": "facelab.prediction/1",
        **found.to_dict(),
        "cost": {k: v for k, v in cost.to_dict().items() if k != "operators"},
        "by_operator": cost.by_kind(),
        **({"operators": plain(cost.operators)} if operators else {}),
        **({} if peer is None else {"vela": peer.to_dict()}),
    }
    text = budget_internals.describe(cost, found, target, operators=operators)
    if peer is not None:
        text += (
            f"\nVela for {peer.accelerator}, modelled too: {peer.latency_s * 1e3:.3g} ms, "
            f"{peer.macs / 1e6:.4g} million MACs, {peer.sram_bytes / 1e6:.3g} MB on the chip"
        )
    emit(document, as_json=as_json, text=text)
    return 1 if found.fits is False else 0


def _shapes(inputs: tuple[str, ...]) -> dict[str, list[int]]:
    out = {}
    for given in inputs:
        name, equals, sides = given.rpartition("=")
        try:
            out[name] = [int(n) for n in sides.split(",")]
        except ValueError:
            equals = ""
        if not equals or not name:
            raise BadInputError(
                "the shape of an input cannot be read",
                expected="NAME=SHAPE, such as input=1,3,480,640",
                got=given,
                fix="write whole numbers with commas between them",
            )
    return out


@command.command(epilog="Example: facelab budget measure --out this-machine.toml")
@click.option(
    "--out", type=OutPath(path_type=Path), required=True, help="The device model (.toml)."
)
@click.option(
    "--rounds",
    type=click.IntRange(3, 1000),
    default=9,
    show_default=True,
    help="Rounds over all operators; the median counts.",
)
@json_option
def measure(out: Path, rounds: int, as_json: bool) -> int:
    """Measure this machine's MAC/s and bandwidth, one thread, on single operators, for `predict --device`."""
    from facelab.budget.internals import measure_device
    from facelab.core.result import plain

    note("measuring about 130 chains of operators …")
    measured = measure_device(rounds=rounds)
    measured.device.save(out)
    note(f"wrote {out}")
    document = {
        "schema": "facelab.device-measurement/1",
        "device": measured.device.model_dump(by_alias=True, mode="json", exclude_none=True),
        "points": plain(measured.points),
    }
    emit(document, as_json=as_json, text=measured.device.to_toml())
    return 0


@command.command(epilog="Example: facelab budget example --out budget.toml")
@click.option("--device", is_flag=True, help="A device model for `predict` instead.")
@click.option("--out", type=OutPath(path_type=Path), help="Write it instead of printing it.")
def example(device: bool, out: Path | None) -> int:
    """Print a budget file to start from, with every key."""
    from facelab.budget.internals import EXAMPLE_BUDGET, EXAMPLE_DEVICE
    from facelab.core.files import write_text

    text = EXAMPLE_DEVICE if device else EXAMPLE_BUDGET
    if out is None:
        echo(text.rstrip())
    else:
        note(f"wrote {write_text(out, text)}")
    return 0
