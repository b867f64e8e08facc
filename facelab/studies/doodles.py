"""Notebook 21: a drawn heart on a device, and three mistakes in C code that spoil it without a word."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab import doodle
from facelab.core import fresh
from facelab.core.errors import BadInputError
from facelab.core.files import write_bytes, write_npy
from facelab.core.result import Result
from facelab.core.safety.scratch import ScratchFolder
from facelab.datasets import doodles
from facelab.doodle import internals as doodle_internals
from facelab.doodle.internals import DoodleClassifier, Evaluation, Labelled
from facelab.fingerprint import Comparison, capture_spec, compare
from facelab.preprocess import PreprocessSpec
from facelab.preprocess.ops import RESIZE_ANTIALIASED
from facelab.zoo.internals import mirror
from facelab.zoo.runtimes import open_model, open_tflite_c

TEXT_SCALE, TEXT_ZERO = 1 / 255, 0
"""What the source text quantises an input in [-1, 1] with."""


@dataclass(frozen=True)
class Files(Result):
    """A training as bytes, so that a run can keep it: both models, curves, and what it took."""

    int8: np.ndarray
    float32: np.ndarray
    history: dict[str, list[float]]
    drawing_s: float
    training_s: float
    parameters: int

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per epoch."""
        return [
            {"epoch": k + 1, **{name: round(v[k], 4) for name, v in self.history.items()}}
            for k in range(len(self.history["loss"]))
        ]


def train(n: int, epochs: int, seed: int) -> Files:
    """Train on `n` synthetic drawings and return the files' bytes."""
    settings = doodle.Settings(n=n, epochs=epochs, seed=seed)
    with ScratchFolder(prefix="facelab-doodle-") as name:
        done = doodle.train(Path(name), settings)
        files = [Path(name, f"doodle_{kind}.tflite").read_bytes() for kind in KINDS]
    int8, float32 = (np.frombuffer(data, np.uint8) for data in files)
    return Files(int8, float32, done.history, done.drawing_s, done.training_s, done.parameters)


KINDS = ("int8", "fp32")


def unpacked(files: Files, folder: Path) -> DoodleClassifier:
    """Write both models into a folder, and return the INT8 one on the TFLite C library."""
    for kind, data in zip(KINDS, (files.int8, files.float32)):
        write_bytes(folder / f"doodle_{kind}.tflite", data.tobytes())
    path = folder / "doodle_int8.tflite"
    return DoodleClassifier(open_model(path, threads=1, runtime="tflite_c", made_here=True))


def synthetic(n: int, seed: int) -> Labelled:
    """Return `n` drawings on any sheet that no training has seen."""
    rows = [(doodle.ink(p), label, kind) for p, label, kind in doodles.synthetic(n, seed=seed)]
    inks, labels, kinds = zip(*rows)
    return Labelled(np.stack(inks), np.array(labels, np.int64), tuple(kinds))


def by_people() -> Labelled | None:
    """Return hearts and spades that people drew, where the mirror has them."""
    inks, labels, names = [], [], []
    for label, name in enumerate(("hearts", "spades")):
        path = mirror.labelled(f"doodles/{name}.jsonl")
        if path is None:
            return None
        for k, (strokes, _) in enumerate(doodles.read_strokes(path)):
            inks.append(doodle.ink(doodles.draw(strokes)))
            labels.append(label)
            names.append(f"{name}:{k + 1}")
    return Labelled(np.stack(inks), np.array(labels, np.int64), tuple(names))


@dataclass(frozen=True)
class Table(Result):
    """Evaluations by name, one row per set and class."""

    evaluations: dict[str, Evaluation]

    def rows(self) -> list[dict[str, Any]]:
        """Return set, class, n, right, share and interval."""
        return [{"drawings": k, **row} for k, e in self.evaluations.items() for row in e.rows()]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {k: e.to_dict() for k, e in self.evaluations.items()}


def evaluated(classifier: DoodleClassifier, sets: dict[str, Labelled | None]) -> Table:
    """Evaluate on each set that is here."""
    return Table({k: doodle.evaluate(classifier, d) for k, d in sets.items() if d is not None})


ALONE = "C, invoke alone"


@dataclass(frozen=True)
class Speed(Result):
    """Seconds per call, in turn, by runtime; and whether their answers agree to the bit."""

    seconds: dict[str, np.ndarray]
    identical: bool

    def rows(self) -> list[dict[str, Any]]:
        """Return median and 99th percentile per runtime, in microseconds."""
        return [
            {"runtime": k, "median_us": 1e6 * np.median(x), "p99_us": 1e6 * np.quantile(x, 0.99)}
            for k, x in self.seconds.items()
        ]


def speed(classifier: DoodleClassifier, data: Labelled, *, calls: int) -> Speed:
    """Time one call of each runtime in turn on the same drawings: C with and without XNNPACK, and LiteRT.

    `ALONE` is the C library's invoke without the array's way in and out: what a C program pays.
    """
    path = classifier.model.path
    models = {
        "C, XNNPACK": classifier.model,
        "C, own kernels": open_tflite_c(path, threads=1, delegate="none"),
        "LiteRT": open_model(path, threads=1, made_here=True),
    }
    tensors = classifier.tensors(data.inks)[:, None]
    answers = {k: np.concatenate([m.run(t)[0] for t in tensors]) for k, m in models.items()}
    seconds = {k: np.zeros(calls) for k in (*models, ALONE)}
    session = classifier.model.handle
    for call in range(calls):
        tensor = tensors[call % len(tensors)]
        for name, model in models.items():
            started = time.perf_counter()
            model.run(tensor)
            seconds[name][call] = time.perf_counter() - started
        started = time.perf_counter()
        session.invoke()
        seconds[ALONE][call] = time.perf_counter() - started
    return Speed(seconds, bool(np.array_equal(answers["C, XNNPACK"], answers["LiteRT"])))


# -- mistakes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WrongScale(Result):
    """The source text's scale: what accuracy says, what is saturated, and what the fingerprint says."""

    right: Table
    saturated: float
    comparison: Comparison

    def rows(self) -> list[dict[str, Any]]:
        """Return the classes' rows by scale."""
        return self.right.rows()

    @property
    def named(self) -> bool:
        """Whether the fingerprint names the quantisation as a cause."""
        return any(f.kind == "quantization" for f in self.comparison.findings)


def wrong_scale(classifier: DoodleClassifier, data: Labelled) -> WrongScale:
    """Quantise with scale 1/255 and zero point 0, and compare accuracy and fingerprints with the model's own."""
    wrong = DoodleClassifier(classifier.model, doodle_internals.doodle_spec(TEXT_SCALE, TEXT_ZERO))
    tensors = wrong.tensors(data.inks)
    table = Table(
        {
            "the model's own scale": doodle.evaluate(classifier, data),
            "1/255, zero point 0": doodle.evaluate(wrong, data),
        }
    )
    # -1 is -255 steps of 1/255: what lies below -128 is cut off
    cut = float(((tensors == -128) | (tensors == 127)).mean())
    sides = (capture_spec(sheet_spec(c.spec)) for c in (classifier, wrong))
    return WrongScale(table, cut, compare(*sides))


def sheet_spec(spec: PreprocessSpec) -> PreprocessSpec:
    """Return the spec behind a sheet of 56×56 gray pixels, which the fingerprint's probes can be drawn on."""
    sheet = [
        {"op": "decode", "format": "gray8", "order": "gray", "size": [56, 56]},
        {**RESIZE_ANTIALIASED, "size": [28, 28]},
    ]
    return PreprocessSpec(spec.name, [*sheet, *(s.to_dict() for s in spec.stages[1:])])


@dataclass(frozen=True)
class Mistake(Result):
    """What a mistake in C did to `n` drawings, and what facelab's runtime says instead."""

    name: str
    n: int
    outcome: str
    different_answers: int
    changed: int
    facelab: str

    @property
    def caught(self) -> bool:
        """Whether facelab's runtime refuses it or is untouched by it."""
        return bool(self.facelab)


def float_bytes(classifier: DoodleClassifier, data: Labelled, folder: Path) -> Mistake:
    """Copy float32 bytes into the INT8 tensor, in C by its own process and through facelab."""
    floats = DoodleClassifier(
        open_model(folder / "doodle_fp32.tflite", threads=1, made_here=True)
    ).tensors(data.inks)
    path = write_npy(folder / "floats.npy", floats.astype(np.float32))
    found = fresh.call(
        "facelab.studies.capi_mistakes:float_bytes", str(classifier.model.path), str(path)
    ).value
    try:
        classifier.model.run(floats[:1].astype(np.float32))
        said = ""
    except BadInputError as e:
        said = e.what
    outcome = f"the copy returned {found['statuses']} each time, and nobody read it"
    answers = found["answers"]
    return Mistake("float bytes", len(data), outcome, len(set(answers)), 0, said)


def buffer_reused(classifier: DoodleClassifier, data: Labelled, folder: Path) -> Mistake:
    """Overwrite the model's buffer under the interpreter, in C, and the file under facelab's runtime."""
    tensors = classifier.tensors(data.inks)
    path = write_npy(folder / "tensors.npy", tensors)
    model = str(classifier.model.path)
    try:
        call = fresh.call("facelab.studies.capi_mistakes:buffer_reused", model, str(path))
        before, after = (np.array(call.value[k]) for k in ("before", "after"))
        changed = int((before != after).sum())
        outcome = f"{changed} of {len(data)} answers changed, without an error"
        different = len(set(after.tolist()))
    except fresh.FreshProcessError as e:
        outcome, changed, different = f"the process was {e.where}", len(data), 0
    said = _owned(classifier, tensors, folder)
    return Mistake("buffer reused", len(data), outcome, different, changed, said)


def _owned(classifier: DoodleClassifier, tensors: np.ndarray, folder: Path) -> str:
    copy = folder / "overwritten.tflite"
    data = classifier.model.path.read_bytes()
    write_bytes(copy, data)
    model = open_tflite_c(copy, threads=1)
    before = [model.run(t[None])[0] for t in tensors]
    with copy.open("r+b") as f:  # in place: the same inode
        f.write(b"Z" * len(data))
    after = [model.run(t[None])[0] for t in tensors]
    same = all(np.array_equal(a, b) for a, b in zip(before, after))
    return "the runtime owns a copy: every answer is the same" if same else ""


def inverted(classifier: DoodleClassifier, data: Labelled) -> Table:
    """Feed ink and paper the other way round, past `ink`, and evaluate per class."""
    turned = Labelled(255 - data.inks, data.labels, data.names)
    return Table(
        {
            "ink is light": doodle.evaluate(classifier, data),
            "ink is dark": doodle.evaluate(classifier, turned),
        }
    )
