"""Evaluate a detector on a folder of images: counts, recall, precision, average precision, speed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.detection._base import Detections, Detector
from facelab.detection._evaluate import (
    detect_images,
    precision_recall_threshold,
    score_detections,
)
from facelab.detection._images import find_images
from facelab.detection._labels import Labels, read_labels


@dataclasses.dataclass(frozen=True)
class DetectionEvaluation(Result):
    """What a detector found on a set of images, and how that compares with labels.

    Attributes
    ----------
    model : dict
        Name, family, file and options of the detector.
    operating_threshold : float
        The score from which a detection counts, except for average precision.
    found : dict[str, Detections]
        Detections per image, for a network with scores down to 0.02 if boxes are labelled.
    sizes : dict[str, tuple[int, int]]
        Width and height of each image, pixels.
    errors : dict[str, str]
        Images that could not be used, with the reason.
    labels : dict or None
        Exact counts and, where boxes are labelled, `recall`, `precision`, `ap`, `ap_lo`, `ap_hi`.
    files : dict[str, Path]
        Where each image lies.
    truth : Labels or None
        The labels that were compared with, by the images' names.
    """

    model: dict[str, Any]
    operating_threshold: float
    found: dict[str, Detections]
    sizes: dict[str, tuple[int, int]]
    errors: dict[str, str]
    labels: dict[str, Any] | None
    files: dict[str, Path] = dataclasses.field(default_factory=dict, repr=False)
    truth: Labels | None = dataclasses.field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the document `facelab.eval.detector/1`."""
        at = {name: d.above(self.operating_threshold) for name, d in self.found.items()}
        value: dict[str, Any] = {
            "schema": "facelab.eval.detector/1",
            "model": self.model,
            "operating_threshold": self.operating_threshold,
            "images": len(self.found),
            "faces": sum(map(len, at.values())),
            "errors": self.errors,
            "milliseconds": speed(self.found.values()),
        }
        if self.labels:
            value["labels"] = self.labels
            shared = ("exact_count", "recall", "precision", "ap")
            value |= {k: self.labels[k] for k in shared if k in self.labels}
        value["detections"] = [
            {"path": name, "size": self.sizes[name], **d.to_dict()} for name, d in at.items()
        ]
        return value

    def __str__(self) -> str:
        return _text(self.to_dict())


def evaluate(
    detector: Detector,
    images: str | os.PathLike[str] | Mapping[str, Path],
    labels: str | os.PathLike[str] | Labels | None = None,
    *,
    iou: float = 0.5,
    min_height: float = 0.0,
    replicates: int = 1000,
    seed: int = 0,
    low_scores: bool = False,
    only_labelled: bool = False,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = lambda items: items,
) -> DetectionEvaluation:
    """Run a detector over images and compare what it finds with labels.

    Parameters
    ----------
    detector : Detector
        From `load`.
    images : path or mapping of name to path
        A folder (searched recursively), one image, or named files.
    labels : path, Labels or None
        Counts or boxes in any form that `read_labels` recognises.
    iou : float
        Overlap from which a detection matches a labelled box, 0 to 1.
    min_height : float
        Labelled faces lower than this many pixels are ignored.
    replicates, seed : int
        Of the bootstrap over images that gives the interval of AP.
    low_scores : bool
        Keep detections with scores down to 0.02 even without labelled boxes.
    only_labelled : bool
        With labels, leave out images that have none.
    progress : callable
        Wraps the iterable of images, to show progress.

    Returns
    -------
    DetectionEvaluation
        Detections, errors, speed and, with labels, the figures.

    Raises
    ------
    BadInputError
        No image could be used, or no image has a label.

    Examples
    --------
    >>> from facelab import detection
    >>> found = evaluate(detection.load("haar"), "photos", "faces.csv")
    >>> found.to_dict()["recall"]
    1.0
    """
    root = None if isinstance(images, Mapping) else Path(images)
    files = dict(images) if isinstance(images, Mapping) else named_files(Path(images))
    truth = (
        labels if labels is None or isinstance(labels, Labels) else read_labels(labels, images=root)
    )
    if truth is not None:
        truth = _matched(truth, files, root)
        if only_labelled:
            files = {n: p for n, p in files.items() if n in truth.counts}
    described = detector.describe()
    with precision_recall_threshold(detector) as operating:
        if not (low_scores or (truth and truth.boxes)):
            detector.score_threshold = operating
        run = detect_images(detector, files, progress=progress)
    if not run.found:
        raise BadInputError(
            "none of the images could be used",
            where=root,
            got="; ".join(f"{n}: {e}" for n, e in list(run.errors.items())[:3]),
            fix="check the folder and the files",
        )
    figures = None
    if truth is not None:
        figures = score_detections(
            run.found,
            truth,
            operating=operating,
            iou=iou,
            min_height=min_height,
            replicates=replicates,
            seed=seed,
        )
        figures["labels_without_image"] = len(truth.unmatched)
        figures["notes"] = [*truth.notes, *_outside(truth, run.sizes)]
    return DetectionEvaluation(
        described, operating, run.found, run.sizes, run.errors, figures, dict(files), truth
    )


def _matched(truth: Labels, files: Mapping[str, Path], root: Path | None) -> Labels:
    """Return the labels by the names of `files`. Raises BadInputError where no image has one."""
    truth = truth.matched(files)
    if not truth.counts:
        raise BadInputError(
            "no image has a label",
            where=root,
            expected="paths of the labels relative to the folder of images or to the labels, or ends of them",
            got=f"labels of {', '.join(truth.unmatched[:3])}; images {', '.join(list(files)[:3])}",
            fix="check the paths in the labels",
        )
    return truth


def named_files(root: Path) -> dict[str, Path]:
    """Return the images of a folder by their path relative to it, or one image by its name."""
    paths = find_images(root)
    return {(p.relative_to(root).as_posix() if root.is_dir() else p.name): p for p in paths}


def _outside(truth: Labels, sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Say how many boxes lie half or more outside their picture: labels of another size, or of a turned picture."""
    n, boxes = 0, truth.boxes or {}
    for name in boxes.keys() & sizes.keys():
        x1, y1, x2, y2 = boxes[name].T
        width, height = sizes[name]
        inside = np.clip(np.minimum(x2, width) - np.maximum(x1, 0), 0, None) * np.clip(
            np.minimum(y2, height) - np.maximum(y1, 0), 0, None
        )
        n += int((inside < 0.5 * (x2 - x1) * (y2 - y1)).sum())
    return [f"{n} labelled boxes lie mostly outside their picture"] if n else []


def speed(found: Iterable[Detections]) -> dict[str, dict[str, float]]:
    """Return P50, P90 and P99 of the parts of a call, milliseconds."""
    timings = [d.timings for d in found if d.timings]
    if not timings:  # a family from another package may not time itself
        return {}
    parts = {
        "pre": [t.pre for t in timings],
        "run": [t.run for t in timings],
        "post": [t.post for t in timings],
        "total": [t.total for t in timings],
    }
    return {
        k: {f"p{q}": round(float(np.percentile(v, q)) * 1e3, 3) for q in (50, 90, 99)}
        for k, v in parts.items()
    }


def _text(value: dict[str, Any]) -> str:
    model, speed, labels = value["model"], value["milliseconds"], value.get("labels")
    lines = [
        f"{model['name']} ({model['family']}), score threshold {value['operating_threshold']:g}, "
        f"faces: {value['faces']}, images: {value['images']}"
    ]
    if labels:
        lines.append(
            f"exact count on {labels['exact_count']} of {labels['images']} labelled images"
        )
        lines += [
            f"  {n}: found {c['found']}, labelled {c['labelled']}"
            for n, c in labels["wrong_counts"].items()
        ]
        if labels["labels_without_image"]:
            lines.append(
                f"{labels['labels_without_image']} labelled pictures are not among the images"
            )
        lines += labels["notes"]
    if labels and "recall" in labels:
        shown = {
            k: "–" if labels[k] is None else f"{labels[k]:.3f}"
            for k in ("recall", "precision", "ap")
        }
        span = "" if labels["ap_lo"] is None else f" [{labels['ap_lo']:.3f}, {labels['ap_hi']:.3f}]"
        lines.append(
            f"at IoU {labels['iou']:g}, {labels['counted_faces']} faces: recall {shown['recall']}, "
            f"precision {shown['precision']}, AP {shown['ap']}{span}"
        )
    times = (f"{k} {v['p50']:.1f} / {v['p90']:.1f} / {v['p99']:.1f}" for k, v in speed.items())
    lines.append("milliseconds (P50 / P90 / P99): " + (", ".join(times) or "not timed"))
    return "\n".join(lines)
