"""`facelab emotion …`: train a classifier, evaluate its exported file, run it on pictures."""

import click

from facelab.commands.common import LazyGroup

VERBS = {
    "evaluate": "evaluate a classifier on labelled faces",
    "predict": "name the emotion of each face in pictures, folders and videos",
    "train": "fine-tune a classifier and export it with everything that travels with it",
}


@click.group(
    cls=LazyGroup,
    commands_help=VERBS,
    prefix="emotion.",
    epilog="Example: facelab emotion train --data synthetic --epochs 8",
)
def command() -> None:
    """Train, evaluate and run emotion classifiers."""
