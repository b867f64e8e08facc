"""A row of the table: what a variant answers on the evaluation images, what it weighs, and how that compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.machine import facts
from facelab.core.timing import ratio, summarise
from facelab.metrics import classification as metrics
from facelab.metrics.plausibility import Suspicion
from facelab.preprocess import PreprocessSpec
from facelab.quantization._bench import Timing
from facelab.quantization._operators import arena_bytes, operators, summary
from facelab.quantization._rows import Tensors
from facelab.quantization.calibration import Samples
from facelab.zoo.runtimes import Model, TensorInfo, open_model

REACHED = 0.5
"""Share of an output's range on the evaluation images that calibration must reach."""


@dataclass(frozen=True)
class Ends:
    """Scale, zero point and dtype of a file's input and an output; None where it is float."""

    input: tuple[float, int, str] | None
    output: tuple[float, int, str] | None


def ends(model: Model, output: int = 0) -> Ends:
    """Read the quantisation of a model's input and of one output."""
    return Ends(_quantization(model, model.inputs[0]), _quantization(model, model.outputs[output]))


def with_quantize(spec: PreprocessSpec, model: Model) -> PreprocessSpec:
    """Return the spec that a variant needs: the float model's, and for an integer input one more quantize stage.

    The stage states rounding (half to even, what LiteRT's own QUANTIZE does) and saturation.
    """
    from facelab.emotion.internals import quantized

    found = ends(model).input
    return (
        spec
        if found is None
        else quantized(spec, scale=found[0], zero_point=found[1], dtype=found[2])
    )


def to_input(tensors: Tensors, spec: PreprocessSpec) -> np.ndarray:
    """Return float tensors as a variant's input, by its spec's quantize stage (as they are without one)."""
    stage = spec.find("quantize")
    if stage is None:
        return np.asarray(tensors)
    from facelab.preprocess.backends import make

    return make("reference").quantize(np.asarray(tensors, np.float32), stage)


def outputs(
    path: Path,
    spec: PreprocessSpec,
    tensors: Tensors,
    *,
    threads: int | None = 1,
    every: bool = False,
    output: int = 0,
) -> np.ndarray:
    """Return one output, or `every` output end to end, for float tensors (n, …), as float32 (n, k).

    Integer outputs are dequantised.
    """
    model = open_model(path, threads=threads, made_here=True)
    full = with_quantize(spec, model)
    wanted = range(len(model.outputs)) if every else (output,)
    found = [(k, _quantization(model, model.outputs[k])) for k in wanted]
    rows = [
        np.concatenate([_real(raw[k].reshape(-1), q) for k, q in found])
        for raw in (model.run(to_input(t, full)[None]) for t in tensors)
    ]
    return np.stack(rows).astype(np.float32)


@dataclass(frozen=True)
class Answers:
    """What of a network's outputs is compared: one output (of several, the classifier's) or all end to end (None).

    `logits`: the rows become probabilities by a softmax, so that the calibration error means something.
    """

    output: int | None
    logits: bool = False

    @classmethod
    def of(
        cls, path: Path, spec: PreprocessSpec, tensors: Tensors, classes: int | None
    ) -> tuple[Answers, np.ndarray]:
        """Decide by the float model and a classifier's number of classes; return that and the float answers."""
        from facelab.emotion.internals import are_logits, output_of_classes

        opened = open_model(path, threads=1, made_here=True)
        found = cls(
            None if classes is None else output_of_classes(opened.outputs, classes, where=path)
        )
        rows = found.rows(path, spec, tensors)
        if classes is None or not are_logits(rows):
            return found, rows
        return cls(found.output, True), _probabilities(rows)

    def rows(self, path: Path, spec: PreprocessSpec, tensors: Tensors) -> np.ndarray:
        """Return a variant's answers (n, k) to float tensors, float32."""
        every = self.output is None
        got = outputs(path, spec, tensors, every=every, output=self.output or 0)
        return _probabilities(got) if self.logits else got


def _probabilities(logits: np.ndarray) -> np.ndarray:
    from scipy.special import (
        softmax,  # here: a quarter of a second for a command that refuses its input
    )

    return softmax(logits, axis=1)


def output_ranges(
    path: Path, spec: PreprocessSpec, tensors: Tensors
) -> dict[str, tuple[float, float]]:
    """Return the least and largest number of each output of a float model over float tensors."""
    model = open_model(path, threads=1, made_here=True)
    found: dict[str, tuple[float, float]] = {}
    for x in tensors:
        for info, raw in zip(model.outputs, float_outputs(model, to_input(x, spec)[None])):
            low, high = found.get(info.name, (np.inf, -np.inf))
            found[info.name] = (min(low, float(raw.min())), max(high, float(raw.max())))
    return found


def unreached(
    calibrated: Mapping[str, tuple[float, float]], needed: Mapping[str, tuple[float, float]]
) -> Suspicion | None:
    """Say which output needs numbers that the calibration images never gave: integers end where calibration did.

    An output is named where calibration reaches less than half of the range that the evaluation images take.

    >>> print(unreached({"obj_8": (0, 0.007)}, {"obj_8": (0, 0.999)}).evidence)
    obj_8: 0 … 0.007 on the calibration images, 0 … 0.999 on the evaluation images
    >>> unreached({"scores": (0, 0.9)}, {"scores": (0, 1)}) is None
    True
    """
    short = []
    for name, (low, high) in needed.items():
        a, b = calibrated[name]
        a, b = min(a, 0.0), max(b, 0.0)  # zero always has a step
        reached = max(0.0, min(b, high) - max(a, low))
        if high > low and reached < REACHED * (high - low):
            short.append(
                f"{name}: {a:.3g} … {b:.3g} on the calibration images, {low:.3g} … {high:.3g} on the evaluation images"
            )
    if not short:
        return None
    return Suspicion(
        "calibration_does_not_reach",
        "the calibration images do not bring out what the network answers on the evaluation images",
        "; ".join(short[:4]),
        "calibrate on images like those of the device: for a detector, photographs with faces of all sizes",
    )


def float_outputs(model: Model, batch: np.ndarray) -> list[np.ndarray]:
    """Run a model and return its outputs as reals, each in its shape, integers dequantised, float32."""
    found = [_quantization(model, info) for info in model.outputs]
    return [np.asarray(_real(raw, q), np.float32) for raw, q in zip(model.run(batch), found)]


def _quantization(model: Model, info: TensorInfo) -> tuple[float, int, str] | None:
    known = getattr(model, "quantization", {}).get(info.name)
    return None if info.dtype.startswith("float") or known is None else (*known, info.dtype)


def _real(raw: np.ndarray, q: tuple[float, int, str] | None) -> np.ndarray:
    return raw if q is None else (raw.astype(np.float32) - np.float32(q[1])) * np.float32(q[0])


def size_of(path: Path) -> int:
    """Return a file's bytes."""
    return path.stat().st_size


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows, float64 (n,); rows without length count as 0."""
    found = np.zeros(len(a))
    for i, (x, y) in enumerate(
        zip(a, b)
    ):  # a detector's outputs are long: one row in float64 at a time
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        lengths = np.linalg.norm(x) * np.linalg.norm(y)
        found[i] = np.sum(x * y) / lengths if lengths > 0 else 0
    return found


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float | None]:
    """Return by how many points each class's recall changed; None where it is not defined."""
    change: dict[str, float | None] = {}
    for k in before:
        a, b = before[k]["recall"], after[k]["recall"]
        change[k] = None if a is None or b is None else 100 * (b - a)
    return change


def quality(
    samples: Samples, base: np.ndarray, got: np.ndarray, *, classifier: bool, seed: int = 0
) -> dict[str, Any]:
    """Compare a variant's outputs (n, k) with the float model's on the same images.

    Returns accuracy with interval, its ratio, agreement, per-class recall and change in points, ECE and its change in
    points, and the cosine to the float output; of images without labels agreement and cosine only.
    """
    c = cosines(base, got)
    row: dict[str, Any] = {
        "n": len(got),
        "cosine": {"mean": float(c.mean()), "worst": float(c.min())},
        "largest_difference": max(float(np.abs(a - b).max()) for a, b in zip(base, got)),
        "accuracy": None,
        "agreement": None,
        "ece": None,
    }
    if not classifier:
        return row
    if samples.labels is None:
        same = metrics.agreement(base.argmax(axis=1), got.argmax(axis=1), seed=seed)
        return row | {"agreement": same.as_dict()}
    truth, classes = samples.labels, samples.classes
    before, after = base.argmax(axis=1), got.argmax(axis=1)
    groups = np.array(samples.groups) if samples.groups and all(samples.groups) else None
    tables = [
        metrics.per_class(metrics.confusion(truth, p, len(classes)), classes)
        for p in (before, after)
    ]
    change = _changes(tables[0], tables[1])
    known = {k: v for k, v in change.items() if v is not None}
    worst = min(known, key=known.__getitem__)
    eces = [metrics.expected_calibration_error(p, truth) for p in (base, got)]
    accuracy, was = (
        metrics.accuracy(truth, after, groups=groups, seed=seed),
        float(np.mean(before == truth)),
    )
    return row | {
        "accuracy": accuracy.as_dict(),
        "accuracy_ratio": accuracy.value / was if was else 1.0,
        "agreement": metrics.agreement(before, after, seed=seed).as_dict(),
        "per_class": {k: {"recall": tables[1][k]["recall"], "change": change[k]} for k in classes},
        "worst_class": {"class": worst, "change": known[worst]},
        "ece": eces[1],
        "ece_change": 100 * (eces[1] - eces[0]),
    }


def file_facts(path: Path, base: Path, output: int = 0) -> dict[str, Any]:
    """Return what a variant's file weighs and computes in, and what one output is stored as."""
    onnx, model = path.suffix.lower() == ".onnx", open_model(path, threads=1, made_here=True)
    found = ends(model, output)

    def told(end):
        return None if end is None else {"scale": end[0], "zero_point": end[1], "dtype": end[2]}

    return {
        "file": path.name,
        "bytes": size_of(path),
        "size_ratio": size_of(path) / size_of(base),
        "arena_bytes": None if onnx else arena_bytes(path),
        "operators": summary(operators(path), onnx=onnx),
        "input": told(found.input),
        "output": told(found.output),
    }


def latency_row(timing: Timing, base: Timing, threads: int) -> dict[str, Any]:
    """Return P50, P90, P99 in milliseconds with machine and threads, the ratio to the float model, and memory."""
    s = summarise(timing.samples.ravel())
    faster, lo, hi = ratio(base.rounds, timing.rounds)
    return {
        "threads": threads,
        "p50_ms": 1e3 * s.p50,
        "p90_ms": 1e3 * s.p90,
        "p99_ms": 1e3 * s.p99,
        "lo_ms": 1e3 * s.lo,
        "hi_ms": 1e3 * s.hi,
        "n": s.n,
        "speedup": faster,
        "speedup_lo": lo,
        "speedup_hi": hi,
        "warning": s.warning,
        "peak_rss": timing.peak_rss,
        "base_rss": timing.base_rss,
    }


def machine(threads: list[int]) -> dict[str, Any]:
    """Return the facts that a timing carries."""
    return facts(
        threads=max(threads, default=1),
        versions=("numpy", "ai-edge-litert", "onnxruntime", "tensorflow", "ai-edge-quantizer"),
    )


def check_samples(samples: Samples, what: str) -> None:
    """Refuse an empty set."""
    if not len(samples):
        raise BadInputError(f"the {what} set is empty", where=samples.source, fix="give images")


def by_name(rows: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return rows by their variant's name."""
    return {r["variant"]: r for r in rows}
