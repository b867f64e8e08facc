"""Train the drawing network on synthetic strokes, and put the INT8 model and its preprocessing into a folder."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import job, lifetime
from facelab.core.errors import BadInputError, CheckFailedError
from facelab.core.files import check_writable, read_json, write_bytes, write_json
from facelab.core.hashing import sha256_file
from facelab.core.machine import facts
from facelab.core.records import now
from facelab.core.result import Result
from facelab.core.safety.scratch import ScratchFolder
from facelab.datasets.doodles import synthetic
from facelab.doodle._classifier import MODEL, DoodleClassifier
from facelab.doodle._data import Labelled
from facelab.doodle._ink import SIDE, ink
from facelab.zoo.internals import models_folder, trust
from facelab.zoo.runtimes import open_model

FLOAT = "doodle_fp32.tflite"
VALIDATION = 0.1
OWN_SHARE = 0.2
WIDTHS = (16, 24, 32)


@dataclass(frozen=True)
class Settings:
    """How to train.

    Parameters
    ----------
    n : int
        Synthetic drawings in all; a tenth validates.
    epochs, batch : int
        Passes over the drawings, and drawings per step.
    learning_rate : float
        Where Adam starts; it falls by a cosine.
    hearts : float
        Share of hearts among the drawings.
    seed : int
        Of drawings, weights and order.

    Examples
    --------
    >>> Settings(epochs=2).epochs
    2
    """

    n: int = 9000
    epochs: int = 9
    batch: int = 64
    learning_rate: float = 0.003
    hearts: float = 0.45
    seed: int = 7

    def __post_init__(self) -> None:
        good = self.n >= 200 and self.epochs >= 1 and self.batch >= 1
        if not (good and 0 < self.learning_rate <= 1 and 0 < self.hearts < 1 and self.seed >= 0):
            raise BadInputError(
                "the settings cannot be trained with",
                expected="n of at least 200, positive epochs, batch and rate, hearts between 0 and 1",
                got=asdict(self),
                fix="correct them",
            )


@dataclass(frozen=True)
class Trained(Result):
    """What a training left: its folder, curves by name, and the seconds for drawing, training and all."""

    folder: Path
    history: dict[str, list[float]]
    drawing_s: float
    training_s: float
    parameters: int
    bytes: int

    @property
    def model(self) -> Path:
        """The INT8 file."""
        return self.folder / MODEL


def default_folder() -> Path:
    """Return where `facelab doodle train` puts its result: `doodle/` in the folder of models.

    Returns
    -------
    path
        Where `facelab doodle train` puts its result.

    Examples
    --------
    >>> default_folder().name
    'doodle'
    """
    return models_folder() / "doodle"


def inks_of(n: int, *, seed: int, hearts: float, plain: float = 0.85) -> dict[str, np.ndarray]:
    """Return `n` synthetic drawings as ink: images uint8 (n, 28, 28) and labels int64 (n,)."""
    images, labels = np.zeros((n, SIDE, SIDE), np.uint8), np.zeros(n, np.int64)
    for k, (picture, label, _) in enumerate(synthetic(n, seed=seed, hearts=hearts, plain=plain)):
        images[k], labels[k] = ink(_thin(picture)), label
    return {"images": images, "labels": labels}


def _thin(picture: np.ndarray) -> np.ndarray:
    """Return one channel of a gray picture: three equal ones cost three times as much."""
    gray = (picture == picture[..., :1]).all() if picture.shape[0] <= 112 else False
    return np.ascontiguousarray(picture[..., 0]) if gray else picture


def train(
    out: Path | None = None,
    settings: Settings | None = None,
    *,
    own: Labelled | None = None,
    timeout: float = 900,
    on_line: Callable[[str], None] | None = None,
) -> Trained:
    """Draw synthetic strokes, train the network in its own process, and quantise it to INT8.

    Parameters
    ----------
    out : Path or None
        Receives `doodle_int8.tflite`, `doodle_fp32.tflite`, their `.preprocess.json` and `training.json`; None:
        `default_folder()`. A failed training leaves it as it was.
    settings : Settings or None
        None: the defaults.
    own : Labelled or None
        Further drawings to train on, repeated until they are a fifth of all.
    timeout : float
        Seconds that the training process may take.
    on_line : callable or None
        Receives what is going on, as text.

    Returns
    -------
    Trained
        What was trained, and where it is.

    Raises
    ------
    BadInputError
        `out` cannot be written to.
    CheckFailedError
        The training process failed, died or outlasted `timeout`.

    Examples
    --------
    >>> from facelab.doodle import Settings
    >>> made = train(Path("hearts"), Settings(n=400, epochs=1))
    >>> made.folder.name
    'hearts'
    """
    out, settings = out or default_folder(), settings or Settings()
    say = on_line or (lambda _: None)
    check_writable(out, folder=True)
    started = time.perf_counter()
    say(f"drawing {settings.n} pictures")
    held = max(20, round(settings.n * VALIDATION))
    parts = {
        "train": inks_of(settings.n - held, seed=settings.seed, hearts=settings.hearts),
        "validation": inks_of(held, seed=settings.seed + 1, hearts=0.5),
    }
    if own is not None:
        parts["train"] = _with_own(parts["train"], own, settings.seed)
    drawn = time.perf_counter()
    say(f"training {settings.epochs} epochs")
    with ScratchFolder(prefix="facelab-doodle-") as name:
        folder = Path(name)
        for part, arrays in parts.items():
            named: dict[str, Any] = dict(arrays)
            np.savez(folder / f"{part}.npz", **named)
        write_json(folder / "job.json", asdict(settings) | {"widths": WIDTHS})
        result = _run(folder, timeout)
        record = _record(settings, parts, result, drawn - started)
        _collect(folder, out, result["files"], record)
    size = (out / MODEL).stat().st_size
    return Trained(
        out, result["history"], drawn - started, result["seconds"], result["parameters"], size
    )


def _with_own(part: dict[str, np.ndarray], own: Labelled, seed: int) -> dict[str, np.ndarray]:
    drawn = ~own.blank
    if not drawn.any():
        raise BadInputError(
            "nothing is drawn on any of the given pictures", fix="give drawings, or leave them out"
        )
    times = max(1, round(OWN_SHARE * len(part["labels"]) / (1 - OWN_SHARE) / drawn.sum()))
    images = np.concatenate([part["images"], np.tile(own.inks[drawn], (times, 1, 1))])
    labels = np.concatenate([part["labels"], np.tile(own.labels[drawn], times)])
    order = np.random.default_rng(seed).permutation(len(labels))
    return {"images": images[order], "labels": labels[order]}


def _run(folder: Path, timeout: float) -> dict[str, Any]:
    try:
        done = lifetime.run(
            job.command(sys.executable, "facelab.doodle._keras_job", folder),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise CheckFailedError(
            "the training did not end in time",
            expected=f"at most {timeout:g} s",
            fix="train on fewer drawings or for fewer epochs",
        ) from None
    file = folder / "done.json"
    result = read_json(file) if file.is_file() else {"ok": False, "message": "the process died"}
    if not result["ok"]:
        raise CheckFailedError(
            "the training failed",
            got=f"{result['message']}\n{' '.join(done.stderr.splitlines()[-3:])}".strip(),
            fix="`facelab doctor` checks the environment",
        )
    return result


def _record(
    settings: Settings, parts: dict[str, dict[str, np.ndarray]], result: dict, drawing_s: float
) -> dict[str, Any]:
    return {
        "schema": "facelab.doodle-training/1",
        "at": now(),
        "settings": asdict(settings),
        "parts": {
            name: {"n": len(p["labels"]), "hearts": int((p["labels"] == 0).sum())}
            for name, p in parts.items()
        },
        "history": result["history"],
        "parameters": result["parameters"],
        "drawing_s": round(drawing_s, 2),
        "training_s": round(result["seconds"], 2),
        "fit_s": round(result["fit_s"], 2),
        "export_s": round(result["export_s"], 2),
        "versions": result["versions"],
        "machine": facts(),
    }


def _collect(folder: Path, out: Path, files: list[str], record: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in files:
        opened = DoodleClassifier(open_model(folder / name, threads=1, made_here=True))
        write_bytes(out / name, (folder / name).read_bytes())
        trust.vouch(out / name)
        opened.spec.save((out / name).with_suffix(".preprocess.json"))
    record = record | {"model_sha256": {name: sha256_file(out / name) for name in files}}
    write_json(out / "training.json", record)
