"""Candidates for the gate: inference sides and quantised models, right ones and ones with a planted mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.files import write_json, write_text
from facelab.core.records import Better, Record, write
from facelab.deploy.internals import thresholds
from facelab.emotion import EmotionClassifier, evaluate
from facelab.emotion.internals import Evaluation, FaceSet, quantized, to_tensor
from facelab.emotion.internals import as_trained as as_trained
from facelab.fingerprint import Fingerprint, capture_pipeline
from facelab.preprocess import PreprocessSpec, apply
from facelab.zoo.runtimes import open_model

MISTAKES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda x: x,
    "bgr": lambda x: x[..., ::-1],
    "range": lambda x: (x + 1) / 2,
}
"""What the inference side does to the right tensor (NHWC, -1…1): nothing, blue before red, 0…1."""


def inference_side(spec: PreprocessSpec, mistake: str = "none") -> Fingerprint:
    """Return the fingerprint of a program that preprocesses with Pillow, with a mistake in its last step.

    The gate sees a black box: no spec, no stages, only what comes out for each probe.
    """
    if mistake not in MISTAKES:
        raise BadInputError(
            "no such planted mistake",
            expected=", ".join(MISTAKES),
            got=mistake,
            fix="choose one of the mistakes",
        )

    def program(path, probe):
        tensor = apply(spec, path, face=probe.face, backend="pillow")
        return np.ascontiguousarray(MISTAKES[mistake](tensor))

    return capture_pipeline(
        program, name=f"device program ({mistake})", families=("image",), packages=("pillow",)
    )


def int8(model: Path, calibration: FaceSet, out: Path, *, wrong_range: bool = False) -> Path:
    """Write an INT8 `.tflite` of an emotion classifier with its spec and labels beside it, and return it.

    Activations are calibrated on `calibration` through the model's own preprocessing, or, `wrong_range`, through one
    that scales to 0…1 where training had -1…1: the common mistake of a calibration script with its own normalisation.
    """
    from facelab.quantization.internals import EdgeQuantizer

    classifier = EmotionClassifier(model)
    tensors = to_tensor(classifier.spec, calibration.images)
    if wrong_range:
        tensors = MISTAKES["range"](tensors).astype(np.float32)
    EdgeQuantizer(model).quantize("int8", out, calibration=tensors, key=str(wrong_range))
    opened = open_model(out, made_here=True)
    info = opened.inputs[0]
    scale, zero = opened.quantization[info.name]
    spec = (
        classifier.spec
        if info.dtype == "float32"
        else quantized(classifier.spec, scale=scale, zero_point=zero, dtype=info.dtype)
    )
    spec.save(out.with_suffix(".preprocess.json"))
    write_text(out.with_name("labels.txt"), "\n".join(classifier.classes) + "\n")
    return out


def int8_figures(
    model: Path, reference: Evaluation, faces: FaceSet, out: Path
) -> tuple[Path, dict[str, float]]:
    """Measure a quantised classifier against the float one on the same faces; return the file of records and figures.

    `accuracy_ratio` and `agreement` (top-1) are shares, `worst_class_change` (recall) and `ece_change` points, as in
    `facelab quantize --json`.
    """
    found = evaluate(EmotionClassifier(model), faces)
    recall = [np.diag(e.table) / np.maximum(e.table.sum(axis=1), 1) for e in (reference, found)]
    a, b = reference.accuracy.value, found.accuracy.value
    figures: dict[str, tuple[float, Better]] = {
        "accuracy_ratio": (b / a if a else 0.0, "higher"),
        "agreement": (float(np.mean(found.predicted == reference.predicted)), "higher"),
        "worst_class_change": (100 * float((recall[1] - recall[0]).min()), "higher"),
        "ece_change": (100 * (found.reliability.ece - reference.reliability.ece), "lower"),
    }
    records = [
        Record("candidates", "int8", "int8", k, v, better=better, n=len(faces))
        for k, (v, better) in figures.items()
    ]
    write(out, [*records, accuracy_record(found)])
    return out, {name: value for name, (value, _) in figures.items()}


def accuracy_record(found: Evaluation) -> Record:
    """Return an evaluation's accuracy with its interval as a record."""
    a = found.accuracy
    return Record(
        "candidates",
        "evaluation",
        "test",
        "accuracy",
        a.value,
        better="higher",
        lo=a.lo,
        hi=a.hi,
        n=len(found.faces),
        method=a.method,
    )


def write_accuracy(found: Evaluation, out: Path) -> Path:
    """Write an evaluation's accuracy as a file of records, and return the file."""
    write(out, [accuracy_record(found)])
    return out


def rejection_file(
    classifier: EmotionClassifier,
    chosen_on: FaceSet,
    reported_on: FaceSet,
    out: Path,
    *,
    names: tuple[str, str] = ("calibration", "test"),
    error: float = 0.05,
) -> Path:
    """Choose the confidence below which an answer is rejected on one set, report it on another, and write both."""
    t, sets = None, []
    for faces in (chosen_on, reported_on):
        p = classifier.probabilities(faces.images)
        confidence, right = p.max(axis=1), p.argmax(axis=1) == faces.labels
        t = thresholds.rejection(confidence, right, error=error) if t is None else t
        sets.append(thresholds.accepted(confidence, right, t))
    entry = {
        "name": "reject below",
        "value": t,
        "quantity": "largest probability, accepted at or above",
        "target": f"error at most {error:g} among accepted answers",
        "chosen_on": thresholds.data_set(names[0], chosen_on.hashes(), chosen_on.identities),
        "reported_on": thresholds.data_set(names[1], reported_on.hashes(), reported_on.identities),
        "reported": {"chosen": sets[0], "reported": sets[1]},
    }
    return write_json(out, {"schema": thresholds.SCHEMA, "thresholds": [entry]})


def corrupt(folder: Path, *, path: str | None = None) -> Path:
    """Flip one bit in the middle of a bundle's model (or of the file `path` in it), as a bad copy would."""
    from facelab.deploy import load

    target = folder / (path or load(folder).manifest.model)
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 1
    target.write_bytes(bytes(data))
    return target
