"""The lines that a training prints, one per epoch, the same whichever back end prints them."""

from __future__ import annotations

import re

from facelab.commands.common import note

_START = re.compile(r"Epoch (\d+)/(\d+)$")
_FIGURE = re.compile(r"(\w+): (\d\S*)")
_SAID = {
    "loss": "loss",
    "accuracy": "accuracy",
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
}


class EpochLines:
    """Take the lines that a back end prints, and print `epoch 3 of 30: loss …` for each epoch that ended.

    `folds` is how often the training runs; each line then names its fold, which ends where epoch 1 comes again.
    """

    def __init__(self, folds: int | None = None):
        self.folds, self.fold = folds, 0
        self.epoch, self.epochs = 1, 1
        self.begun = False

    def __call__(self, line: str) -> None:
        """Take one line."""
        if start := _START.match(line.strip()):
            self.epoch, self.epochs = map(int, start.groups())
            self.begun = True
            self.fold += self.epoch == 1
            return
        figures = dict(_FIGURE.findall(line))
        if "val_loss" not in figures:
            return
        if not self.begun:  # of a single epoch Keras prints no heading
            self.epoch, self.epochs = 1, 1
            self.fold += 1
        self.begun = False
        fold = f"fold {self.fold} of {self.folds}, " if self.folds else ""
        said = ", ".join(f"{words} {figures[k]}" for k, words in _SAID.items() if k in figures)
        note(f"{fold}epoch {self.epoch} of {self.epochs}: {said}")
