"""Classifiers of sentences: `facelab emotion train --backend text`, and their evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facelab.commands.common import emit
from facelab.core.errors import BadInputError
from facelab.emotion import internals


def train_text(data: str, o: dict[str, Any], as_json: bool) -> None:
    """Train a classifier of sentences on a CSV with text and label, and print its accuracy."""
    from facelab.emotion.internals import interpreter, text

    if data == "synthetic":
        raise BadInputError(
            "the text back end needs sentences",
            expected="--data FILE.csv with text and label",
            got="--data synthetic",
            fix="facelab emotion train --backend text --data FILE.csv",
        )
    sentences = text.read_csv(data)
    interpreter("modelmaker")  # there is no second text back end: say so before anything is split
    out = Path(o["out"]) if o["out"] else internals.default_folder() / "text"
    record = text.train(
        sentences, out, epochs=o["epochs"] or 80, batch=min(o["batch"], 16), seed=o["seed"]
    )
    emit(
        {"out": str(out), "model": str(out / text.MODEL), "backend": "text", **record},
        as_json=as_json,
        text=f"{out / text.MODEL}\naccuracy {record['test_accuracy']:.4f} on {record['parts']['test']['n']} sentences",
    )


def is_text(path: Path) -> bool:
    """Return whether a model is a classifier of sentences: it has its vocabulary beside it."""
    return (path / "vocab.txt" if path.is_dir() else path.with_name("vocab.txt")).is_file()


def evaluate_text(path: Path, data: str, as_json: bool) -> None:
    """Evaluate a classifier of sentences on a CSV with text and label, and print its accuracy."""
    from facelab.emotion.internals import text

    model = _text_model(path)
    figures = text.evaluate(text.TextClassifier(model), text.read_csv(data))
    a = figures["accuracy"]
    emit(
        {"model": str(model), "data": data, **figures},
        as_json=as_json,
        text=f"accuracy {a['value']:.4f} [{a['lo']:.4f}, {a['hi']:.4f}] on {figures['n']} sentences",
    )


def _text_model(path: Path) -> Path:
    from facelab.emotion.text import MODEL

    return path / MODEL if path.is_dir() else path
