"""The other half of a detector's contract: how its outputs become boxes, and the boxes of the golden outputs."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from facelab.core.errors import FacelabError
from facelab.deploy._source import Source
from facelab.detection import NeuralDetector
from facelab.zoo.runtimes import Model

LOW = 0.05
"""The score down to which golden boxes are listed: the probes show few faces, and a decoder is checked by any box."""
MOST = 20


def detector_of(source: Source) -> NeuralDetector | None:
    """Return the detector that a source is, or None where it is a different network or no family takes its outputs."""
    from facelab import detection

    if source.task not in ("detection", "unknown") or any(
        s.op in ("align", "quantize") for s in source.spec.stages
    ):
        return None
    try:
        found = detection.load(
            source.name if source.entry else source.path, spec=source.spec, threads=1
        )
    except FacelabError:
        return None
    return found if isinstance(found, NeuralDetector) else None


def golden_boxes(
    detector: NeuralDetector, model: Model, tensor: np.ndarray, answers: list[np.ndarray]
) -> list[dict[str, Any]]:
    """Return the best boxes of one golden output, in pixels of the tensor, with scores from 0.05 on."""
    from facelab.detection.internals import model_input

    layout, _ = model_input(detector.session, detector.name)
    shape = tensor.shape[1:3] if layout == "nhwc" else tensor.shape[2:4]
    outputs = dict(zip((o.name for o in model.outputs), answers, strict=True))
    usual, detector.score_threshold = detector.score_threshold, LOW
    try:
        found = detector.decode(outputs, (shape[1], shape[0]))
    finally:
        detector.score_threshold = usual
    order = np.argsort(-found.scores, kind="stable")[:MOST]
    rows = []
    for k in order:
        row = {"box": _numbers(found.boxes[k]), "score": round(float(found.scores[k]), 5)}
        if found.landmarks is not None:
            row["landmarks"] = [_numbers(p) for p in found.landmarks[k]]
        rows.append(row)
    return rows


def _numbers(values: np.ndarray) -> list[float]:
    return [round(float(v), 3) for v in values]


def page(rules: dict[str, Any]) -> str:
    """Return the README's section about decoding."""
    lines = []
    for key, value in rules.items():
        if key in ("schema", "family"):
            continue
        text = value if isinstance(value, str) else str(value)
        lines.append(f"- **{key.replace('_', ' ')}**: {text}")
    check = (
        f"The same is in `decoding.json`. `golden/boxes.json` lists, for each golden output, the {MOST} best boxes "
        f"after suppression, in pixels of the tensor, with scores from {LOW} on: decode the golden outputs with that "
        "threshold and compare, by a hundredth of a pixel."
    )
    head = f"\n## From outputs to boxes (family {rules['family']})\n"
    return head + "\n".join(lines) + "\n\n" + "\n".join(textwrap.wrap(check, 120)) + "\n"
