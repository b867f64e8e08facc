"""`facelab doodle …`: draw, train, predict and evaluate hearts drawn by people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facelab.commands.common import SEED_31, FloatRange, OutPath, emit, json_option, note

model_option = click.option(
    "--model",
    type=click.Path(),
    metavar="FILE|DIR",
    help="A .tflite file, or the folder of a training.  [default: the last training]",
)
runtime_option = click.option(
    "--runtime",
    type=click.Choice(("tflite_c", "litert")),
    default="tflite_c",
    show_default=True,
    help="tflite_c is the C library that devices link (extra capi).",
)
threshold_option = click.option(
    "--threshold",
    type=FloatRange(0, 1, min_open=True, max_open=True),
    default=0.5,
    show_default=True,
    help="Least probability of a heart.",
)
seed_option = click.option("--seed", type=SEED_31, default=7, show_default=True)


@click.group(epilog="Example: facelab doodle train --n 1500 --epochs 6")
def command() -> None:
    """Tell hearts from other drawings, with a small INT8 network that runs through the TFLite C API."""


@command.command(epilog="Example: facelab doodle draw drawings --n 20")
@click.argument("folder", type=OutPath(folder=True))
@click.option("--n", type=click.IntRange(1, 100_000), default=100, show_default=True)
@seed_option
def draw(folder: str, n: int, seed: int) -> None:
    """Write synthetic drawings into FOLDER/heart and FOLDER/other: any sheet, pen and polarity."""
    from facelab.datasets import doodles

    doodles.write_drawings(folder, doodles.synthetic(n, seed=seed))
    note(f"{n} drawings are in {folder}")


@command.command(epilog="Example: facelab doodle train --n 1500 --epochs 6")
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path())
@click.option(
    "--out",
    type=OutPath(folder=True),
    metavar="DIR",
    help="Folder for the model.  [default: models/doodle]",
)
@click.option(
    "--n",
    type=click.IntRange(200, 1_000_000),
    default=9000,
    show_default=True,
    help="Number of synthetic drawings.",
)
@click.option("--epochs", type=click.IntRange(1, 1000), default=9, show_default=True)
@seed_option
@json_option
def train(
    folder: str | None, out: str | None, n: int, epochs: int, seed: int, as_json: bool
) -> None:
    """Train on synthetic strokes, and on your own drawings where DIR has heart/ and other/.

    The folder receives doodle_int8.tflite, doodle_fp32.tflite, their preprocessing and training.json.
    """
    from facelab import doodle

    own = doodle.read_folder(folder) if folder else None
    settings = doodle.Settings(n=n, epochs=epochs, seed=seed)
    done = doodle.train(Path(out) if out else None, settings, own=own, on_line=note)
    accuracy = done.history["val_accuracy"][-1]
    text = (
        f"{done.model}\n{done.parameters} parameters, {done.bytes} bytes; right on {accuracy:.1%} of "
        f"held-out synthetic drawings; drawn in {done.drawing_s:.0f} s, trained in {done.training_s:.0f} s"
    )
    emit({**done.to_dict(), "model": str(done.model)}, as_json=as_json, text=text)


@command.command(epilog="Example: facelab doodle predict drawing.png --json")
@click.argument("source", metavar="FILE_OR_DIR", type=click.Path())
@model_option
@runtime_option
@threshold_option
@json_option
def predict(source: str, model: str | None, runtime: str, threshold: float, as_json: bool) -> None:
    """Say of each drawing whether it is a heart. A picture may have any size, colours and polarity."""
    from facelab import doodle
    from facelab.doodle.internals import read_drawings

    if not Path(source).exists():
        raise click.BadParameter(f"{source} does not exist", param_hint="FILE_OR_DIR")
    classifier = doodle.load(model, runtime=runtime)
    rows: list[dict[str, Any]] = []
    for name, ink in read_drawings(source):
        heart = float(classifier.probabilities(ink[None])[0, 0]) if ink.any() else None
        answer = "nothing" if heart is None else "heart" if heart >= threshold else "other"
        rows.append({"drawing": name, "answer": answer, "heart": heart})
    value = {"model": str(classifier.model.path), "runtime": runtime, "drawings": rows}
    shown = [
        f"{r['answer']:<8} {'–' if r['heart'] is None else format(r['heart'], '.3f'):>6}  {r['drawing']}"
        for r in rows
    ]
    emit(value, as_json=as_json, text="\n".join(shown))


@command.command(epilog="Example: facelab doodle evaluate drawings --min-heart 0.95")
@click.argument("folder", metavar="DIR", type=click.Path())
@model_option
@runtime_option
@threshold_option
@click.option(
    "--min-heart", type=FloatRange(0, 1), default=0.0, help="Least share of hearts that is right."
)
@click.option(
    "--min-other", type=FloatRange(0, 1), default=0.0, help="Least share of others that is right."
)
@json_option
def evaluate(
    folder: str,
    model: str | None,
    runtime: str,
    threshold: float,
    min_heart: float,
    min_other: float,
    as_json: bool,
) -> int:
    """Classify the drawings in DIR/heart and DIR/other and report each class with its interval.

    Exit code 1 where a class is below its minimum.
    """
    from facelab import doodle

    data = doodle.read_folder(folder)
    found = doodle.evaluate(doodle.load(model, runtime=runtime), data, threshold=threshold)
    lines = [
        f"{r['class']:<6} {r['share']:7.1%} right ({r['right']} of {r['n']}; "
        f"95 % interval {r['lo']:.1%} to {r['hi']:.1%})"
        for r in found.rows()
    ]
    lines += [f"wrong: {name} is {label}, heart {p:.2f}" for name, label, p in found.wrong()[:10]]
    emit(found.to_dict(), as_json=as_json, text="\n".join(lines))
    least = {"heart": min_heart, "other": min_other}
    return int(any(r["share"] < least[r["class"]] for r in found.rows()))
