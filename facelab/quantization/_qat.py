"""Quantisation-aware training as a recipe: a Keras model fine-tuned under simulated rounding by `qat_job.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facelab.core.errors import UnsupportedError
from facelab.quantization._converter import run_job
from facelab.quantization._subject import KERAS, Subject
from facelab.zoo.runtimes import open_model

if TYPE_CHECKING:
    from facelab.quantization._rows import Tensors


EPOCHS, BATCH, LEARNING_RATE = 16, 16, 5e-5


def source_of(subject: Subject) -> Path:
    """Return the Keras file to fine-tune: the subject's own, or the one beside its `.tflite`.

    Raises UnsupportedError where there is none: a SavedModel and a `.tflite` have no layers to train.

    Parameters
    ----------
    subject : Subject
        The model, as `load` returns it.

    Returns
    -------
    path
        The Keras file to fine-tune.

    Raises
    ------
    UnsupportedError
        There is no Keras file, neither the subject's own nor one beside it.
    """
    beside = (
        []
        if subject.path is None
        else [subject.path.with_suffix(".keras"), subject.path.with_name("emotion.keras")]
    )
    for path in (subject.source, *beside):
        if path is not None and path.suffix.lower() in KERAS and path.is_file():
            return path
    raise UnsupportedError(
        "quantisation-aware training needs the model's layers",
        where=subject.file,
        expected="a .keras file, or one beside the .tflite",
        got=subject.file.name,
        fix="train with --backend keras, which leaves one, or use another recipe",
    )


def check_outputs(source: Path, base: Path) -> None:
    """Refuse a network of several outputs: the fine-tuning has one target."""
    outputs = open_model(base, threads=1, made_here=True).outputs
    if len(outputs) != 1:
        raise UnsupportedError(
            "quantisation-aware training takes networks of one output",
            where=source,
            expected="one output",
            got=", ".join(map(str, outputs)),
            fix="use another recipe, or save the network with the output that is needed",
        )


def tune(
    source: Path,
    folder: Path,
    tensors: Tensors,
    *,
    classifier: bool,
    seed: int,
    epochs: int = EPOCHS,
) -> tuple[Path, np.ndarray]:
    """Return the fine-tuned Keras file in `folder` and what the model answered to `tensors` before, float32 (n, k).

    Raises QuantizationError with the last words of the process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    task = {
        "source": str(source),
        "classifier": classifier,
        "seed": seed,
        "epochs": epochs,
        "batch": BATCH,
        "learning_rate": LEARNING_RATE,
    }
    run_job(
        "facelab.quantization._qat_job",
        folder,
        task,
        tensors=tensors,
        what="fine-tuning under simulated rounding",
        fix="use int8 with --keep-float auto",
    )
    return folder / "tuned.keras", np.load(folder / "float.npy")
