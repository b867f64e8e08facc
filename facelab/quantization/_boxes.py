"""A detector's quality: does the quantised network find the same faces in the same places?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import UnsupportedError
from facelab.detection import NeuralDetector, load
from facelab.detection.internals import FAMILIES, Found, model_input, overlap
from facelab.metrics.intervals import bootstrap_mean
from facelab.quantization._subject import Subject

IOU = 0.5
"""Two boxes are one face from this overlap on (intersection over union)."""


class Decoder:
    """A detector's own decoder for the flat outputs (all of them, in order) of a variant of its network."""

    def __init__(self, subject: Subject, base: Path):
        options = FAMILIES.of_entry(subject.entry, None, {})[1] if subject.entry else {}
        detector = load(base, family=subject.family, threads=1, spec=subject.spec, **options)
        if not isinstance(detector, NeuralDetector):
            raise UnsupportedError(
                "only detectors that are one network can be quantised",
                where=base,
                got=detector.family,
                fix="choose a detector of one .onnx or .tflite file",
            )
        self.detector = detector
        self.layout, _ = model_input(self.detector.session, subject.name)
        self._shapes: dict[tuple[int, ...], list[tuple[int, ...]]] = {}

    def faces(self, tensor: np.ndarray, flat: np.ndarray) -> Found:
        """Return the faces in one input's flat outputs; `tensor` is that input without its batch axis."""
        if tensor.shape not in self._shapes:
            self._shapes[tensor.shape] = [o.shape for o in self.detector.session.run(tensor[None])]
        shapes = self._shapes[tensor.shape]
        parts = np.split(flat, np.cumsum([int(np.prod(s)) for s in shapes])[:-1])
        outputs = {
            o.name: part.reshape(s)
            for o, part, s in zip(self.detector.session.outputs, parts, shapes)
        }
        height, width = tensor.shape[:2] if self.layout == "nhwc" else tensor.shape[1:]
        return self.detector.decode(outputs, (width, height))


def agreement(base: Sequence[Found], got: Sequence[Found], *, seed: int = 0) -> dict[str, Any]:
    """Compare two lists of detections, image by image.

    `agreement` is the share of all boxes of both that are in pairs of one face (2·pairs / (boxes + boxes), with an
    interval by bootstrap over images), `recall` the share of `base`'s boxes that `got` has too, `same_count` the share
    of images with as many boxes, `mean_iou` that of the pairs, `score_change` the mean absolute change of a pair's
    score. Pairs are made greedily, best overlap first.

    >>> a = Found(np.array([[0., 0, 10, 10], [20, 0, 30, 10]]), np.array([.9, .8]))
    >>> b = Found(np.array([[0., 0, 10, 9]]), np.array([.7]))
    >>> r = agreement([a], [b])
    >>> r["agreement"]["value"].__round__(3), r["boxes"]["mean_iou"], r["boxes"]["score_change"].__round__(3)
    (0.667, 0.9, 0.2)
    """
    shared, image, overlaps, changes = [], [], [], []
    for k, (a, b) in enumerate(zip(base, got)):
        pairs = _pairs(overlap(a.boxes, b.boxes))
        hits = np.zeros(len(a.boxes) + len(b.boxes))
        for i, j, iou in pairs:
            hits[[i, len(a.boxes) + j]] = 1
            overlaps.append(iou)
            changes.append(abs(float(a.scores[i]) - float(b.scores[j])))
        shared.append(hits)
        image += [k] * len(hits)
    flat = np.concatenate(shared) if shared else np.zeros(0)
    told = {
        "float": sum(len(f.boxes) for f in base),
        "variant": sum(len(f.boxes) for f in got),
        "pairs": len(overlaps),
        "images": len(base),
        "recall": len(overlaps) / max(sum(len(f.boxes) for f in base), 1),
        "same_count": float(np.mean([len(a.boxes) == len(b.boxes) for a, b in zip(base, got)])),
        "mean_iou": float(np.mean(overlaps)) if overlaps else None,
        "score_change": float(np.mean(changes)) if changes else None,
    }
    # no face by either is agreement too, though it says little: the counts tell
    interval = bootstrap_mean(
        flat if len(flat) else np.ones(1), groups=np.array(image or [0]), seed=seed
    )
    return {"agreement": interval.as_dict(), "boxes": told}


def _pairs(table: np.ndarray) -> list[tuple[int, int, float]]:
    found, table = [], table.copy()
    while table.size and (best := table.max()) >= IOU:
        i, j = np.unravel_index(int(table.argmax()), table.shape)
        found.append((int(i), int(j), float(best)))
        table[i, :] = table[:, j] = -1
    return found
