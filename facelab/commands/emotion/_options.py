"""Options that the commands on emotions share: what the faces are, and what the labels mean."""

from __future__ import annotations

import click

from facelab.commands.common import SEED_31, THREADS, Decorator, together

DATA_HELP = (
    "synthetic, an image folder (a sub-folder per label), a CSV (file and emotion; optionally identity, "
    "x1, y1, x2, y2, split), or fer2013.csv."
)
classes_option = click.option(
    "--classes",
    default=None,
    metavar="3|7|labels|NAMES",
    help="3: anger, joy, neutral. 7: also disgust, fear, sadness, surprise. labels: those of --data (emotions by these "
    "names). Or names separated by commas, of emotions or your own (alert,drowsy).  [default of train: 3]",
)
crop_option = click.option(
    "--crop",
    default="detect",
    show_default=True,
    metavar="detect|whole|NAME",
    help="Where a picture has no box: the largest face that a detector finds, or all of it.",
)
spec_option = click.option(
    "--spec",
    metavar="JSON",
    help="Preprocessing spec instead of the one beside the model.",
)


def _label_map(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict:
    for value in values:
        if value.count("=") != 1:
            raise click.BadParameter(f"{value!r} is not LABEL=EMOTION", ctx, param)
    return dict(value.split("=") for value in values)


def _map_option(meaning: str, text: str) -> Decorator:
    return click.option(
        "--label-map", multiple=True, callback=_label_map, metavar=f"LABEL={meaning}", help=text
    )


label_map_option = _map_option(
    "EMOTION",
    "The emotion that a label of the model means, or the class that a label of --data means (repeat).",
)
model_map_option = _map_option(
    "EMOTION", "The emotion that a label of the model means (repeat); common spellings are known."
)
data_map_option = _map_option(
    "CLASS", "The class that a label of the data means (repeat); an empty CLASS drops it."
)
votes_option = click.option(
    "--ferplus",
    metavar="FILE",
    help="FER+'s fer2013new.csv: its votes replace the labels of fer2013.csv.",
)


def face_options(*, n: int, least: int, seed: int, seed_help: str) -> Decorator:
    """Return the options of a set of faces: how many are drawn, from which seed, by how many processes."""
    return together(
        click.option(
            "--n",
            type=click.IntRange(least, 10_000_000),
            default=n,
            show_default=True,
            help="Number of synthetic faces.",
        ),
        click.option("--seed", type=SEED_31, default=seed, show_default=True, help=seed_help),
        click.option(
            "--workers",
            type=THREADS,
            default=2,
            show_default=True,
            help="Processes that draw faces.",
        ),
        classes_option,
        crop_option,
        votes_option,
    )
