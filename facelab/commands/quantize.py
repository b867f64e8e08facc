"""`facelab quantize`: quantise a model and say what that saves, what it costs, and which layer is to blame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facelab.commands.common import (
    SEED_31,
    Float,
    FloatRange,
    OutPath,
    emit,
    json_option,
    note,
    strict_option,
    together,
    trust_model_option,
)
from facelab.commands.emotion._options import data_map_option

BUDGETS = (
    ("min-accuracy", 0.99, "Budget: share of the float accuracy."),
    ("min-agreement", 0.98, "Budget: equal top-1 answers."),
    ("worst-class", -2.0, "Budget: change of a class, points."),
    ("max-ece", 1.0, "Budget: rise of the ECE, points."),
    ("max-size", 0.30, "Budget: share of the float file."),
    ("min-cosine", 0.98, "Budget for a network without classes: mean cosine to the float output."),
    ("min-recall", 0.98, "Budget for a detector: share of the float boxes found."),
    ("min-ap", 0.98, "Budget for a detector with labelled boxes: share of the float AP."),
    (
        "min-tar",
        0.98,
        "Budget for an embedder with pairs: share of the float TAR at the same FAR.",
    ),
)
"""Option, default, help. Without `min-` and `max-` the names are those of `Budgets`."""
budget_options = together(
    *(
        click.option(f"--{name}", type=Float(), default=default, show_default=True, help=text)
        for name, default, text in BUDGETS
    )
)


@click.command(
    epilog="Example: facelab quantize models/emotion/emotion_fp32.tflite --recipe int8 --calibration "
    "data/calibration --evaluate data/test --out models/emotion-int8"
)
@click.argument("model")
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    required=True,
    metavar="NAME",
    help="float16, dynamic-range, weight-only, int8, uint8 (LiteRT; with the prefix edge- or tf- for one "
    "quantiser), modelmaker-int8, qat-int8 (a Keras model fine-tuned under simulated rounding); u8s8 "
    "or s8s8 with -per-channel or -per-tensor and -minmax, -entropy or -percentile, dynamic (ONNX); "
    "all. May be given several times.",
)
@click.option(
    "--calibration",
    required=True,
    metavar="DIR",
    help="Images for the ranges: what `facelab emotion train --data` takes for a classifier (one sub-folder per "
    "label, a CSV), a folder of images for another network.",
)
@click.option(
    "--evaluate", required=True, metavar="DIR", help="Other images of the same kind, to measure on."
)
@click.option(
    "--keep-float",
    default=None,
    metavar="auto|OPS",
    help="Operators that stay in float, by number, type or output tensor, separated by commas; auto finds "
    "those without an integer kernel (PReLU) and the smallest set that meets the budgets.",
)
@click.option(
    "--time",
    type=FloatRange(1),
    default=180.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest search of --keep-float auto; the best set in that time, or the nearest miss, is reported.",
)
@click.option(
    "--out",
    type=OutPath(folder=True),
    default=None,
    metavar="DIR",
    help="Folder for the model, its preprocess.json with the quantize stage, calibration.json and "
    "quantization.json.  [default: <model>-<recipe> beside the model]",
)
@click.option(
    "--spec",
    default=None,
    metavar="FILE",
    help="The float model's preprocessing.  [default: "
    "<model>.preprocess.json beside it, or the catalogue's]",
)
@click.option(
    "--calibration-n",
    type=click.IntRange(1, 1_000_000),
    default=200,
    show_default=True,
    help="Calibrate on this many images, stratified by class.",
)
@click.option(
    "--least",
    type=click.IntRange(1, 1_000_000),
    default=20,
    show_default=True,
    help="Refuse fewer calibration images than this.",
)
@click.option(
    "--evaluate-n",
    type=click.IntRange(1, 1_000_000),
    default=None,
    metavar="N",
    help="Read at most N images for a network that is not a classifier.  [default: all]",
)
@click.option(
    "--seed",
    type=SEED_31,
    default=7,
    show_default=True,
    help="Of the choice of images.",
)
@click.option(
    "--crop",
    default="detect",
    show_default=True,
    metavar="detect|whole|NAME",
    help="Which detector finds faces where the spec needs them.",
)
@budget_options
@click.option(
    "--labels",
    default=None,
    metavar="FILE",
    help="For a detector: labels of the images in --evaluate, as `facelab eval detector` takes them.",
)
@click.option(
    "--pairs",
    default=None,
    metavar="CSV",
    help="For an embedder: pairs of photographs, as `facelab eval embedder` takes them.",
)
@click.option(
    "--pair-images",
    default=None,
    metavar="DIR",
    help="Where the pairs' paths start.  [default: beside --pairs]",
)
@click.option(
    "--unlabelled",
    is_flag=True,
    help="Take a classifier's images without their labels: it is judged by agreement alone.",
)
@data_map_option
@click.option(
    "--count-trained",
    is_flag=True,
    help="Evaluate also on images and people that the model was trained on (left out by default, by its split.json).",
)
@click.option(
    "--accept-cosine",
    is_flag=True,
    help="A network of unknown kind counts as good by its cosine alone.",
)
@click.option(
    "--runs",
    type=click.IntRange(50, 1_000_000),
    default=50,
    show_default=True,
    help="Timed runs a variant.",
)
@click.option(
    "--latency/--no-latency",
    default=True,
    show_default=True,
    help="Time the variants (fresh processes).",
)
@click.option("--layers", is_flag=True, help="Rank the layers too, by the end metric (slower).")
@trust_model_option
@strict_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    model: str,
    recipes: Any,
    calibration: Any,
    evaluate: Any,
    keep_float: Any,
    out: Path | None,
    accept_cosine: bool,
    strict: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Quantise MODEL (.tflite, .keras, SavedModel, .onnx, a training's folder or a catalogue name).

    Prints one table, one row per variant, and a verdict against the budgets. A .tflite alone goes through
    ai-edge-quantizer; the TensorFlow converter needs a .keras file or SavedModel, which is also found beside it. A
    classifier is judged by its labels (without them by agreement), a detector by boxes, an embedder by cosine and by
    --pairs; of a network of unknown kind only the cosine is known, so that it is not called good. Exit
    code 1 where a variant misses a budget, 2 where the recipe promises integers and an operator would stay in float.
    """
    from facelab.quantization import Budgets, quantize
    from facelab.quantization.internals import Request

    limits = {
        name.removeprefix("min_").removeprefix("max_"): options.pop(name)
        for name in (name.replace("-", "_") for name, _, _ in BUDGETS)
    }
    budgets = Budgets(**limits, cosine_suffices=accept_cosine)
    value, told = quantize(
        Request(
            model=model,
            recipes=recipes,
            calibration=calibration,
            evaluate=evaluate,
            keep_float=keep_float,
            out=Path(out) if out else None,
            budgets=budgets,
            **options,
        ),
        say=note,
    )
    emit(value, as_json=as_json, text=told)
    doubted = strict and value["suspicion"] is not None
    ctx.exit(0 if value["passed"] and not doubted else 1)
