"""Run a detector over a folder and score it against labels: counts, recall, precision, average precision."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from facelab.core.errors import BadInputError, FacelabError
from facelab.core.files import read_csv
from facelab.detection._base import Detections, Detector
from facelab.detection._boxes import overlap
from facelab.detection._neural import NeuralDetector
from facelab.metrics.detection import average_precision, match
from facelab.preprocess.image import read_image

AP_SCORE = 0.02
"""The score down to which detections count for average precision (WIDER FACE's rule)."""


@dataclasses.dataclass(frozen=True)
class Labels:
    """What a label file says of each image: `counts` (faces), and `boxes` (n, 4) `xyxy` where it has them."""

    counts: dict[str, int]
    boxes: dict[str, np.ndarray] | None


@dataclasses.dataclass(frozen=True)
class DetectorRun:
    """Detections by image (path relative to the folder), image sizes (width, height), and errors by image."""

    found: dict[str, Detections]
    sizes: dict[str, tuple[int, int]]
    errors: dict[str, str]


def read_labels(path: str | os.PathLike) -> Labels:
    """Read a CSV with columns `path, n_faces`, or `path, x1, y1, x2, y2` with one row per face.

    A row with a path and four empty coordinates is an image without a face. `path` may
    be called `file`, as in what `facelab data synth` writes; other columns are not looked at.
    Raises BadInputError with file and line for anything else.
    """
    rows = read_csv(path, "labels", fix="check --labels")
    if rows and "path" not in rows[0] and "file" in rows[0]:
        rows = [{**row, "path": row["file"]} for row in rows]
    columns = set(rows[0]) if rows else set()
    if {"path", "x1", "y1", "x2", "y2"} <= columns:
        return _box_labels(rows, path)
    if {"path", "n_faces"} <= columns:
        counts: dict[str, int] = {}
        for i, row in enumerate(rows, 2):
            count = _whole(row["n_faces"], f"{path}:{i}")
            if counts.setdefault(row["path"], count) != count:
                raise BadInputError(
                    "the labels count one image twice, differently",
                    where=f"{path}:{i}",
                    expected=f"{counts[row['path']]}, as said before",
                    got=count,
                    fix="keep one of the rows",
                )
        return Labels(counts, None)
    raise BadInputError(
        "the labels have other columns",
        where=path,
        expected="path,n_faces or path,x1,y1,x2,y2",
        got=",".join(sorted(map(str, columns))) or "no rows",
        fix="write one of these forms",
    )


def _whole(text: str, where: str) -> int:
    try:
        value = int(text)
    except (TypeError, ValueError):
        value = -1
    if value < 0:
        raise BadInputError(
            "a number of faces is no whole number",
            where=where,
            expected="0 or more",
            got=repr(text),
            fix="correct the row",
        )
    return value


def _box_labels(rows: list[dict], path: str | os.PathLike) -> Labels:
    boxes: dict[str, list] = {}
    for i, row in enumerate(rows, 2):
        if not any(row[k] for k in ("x1", "y1", "x2", "y2")):
            boxes.setdefault(row["path"], [])  # an image without a face
            continue
        try:
            box = [float(row[k]) for k in ("x1", "y1", "x2", "y2")]
        except (TypeError, ValueError):
            box = [np.nan] * 4
        if not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
            raise BadInputError(
                "a box is empty or no number",
                where=f"{path}:{i}",
                expected="x2 > x1 and y2 > y1",
                got=str(box),
                fix="correct the row or drop it",
            )
        boxes.setdefault(row["path"], []).append(box)
    arrays = {k: np.array(v, np.float64).reshape(-1, 4) for k, v in boxes.items()}
    return Labels({k: len(v) for k, v in arrays.items()}, arrays)


def detect_images(
    detector: Detector,
    images: Mapping[str, Path],
    *,
    progress: Callable[[Iterable], Iterable] = lambda items: items,
) -> DetectorRun:
    """Detect on every image; one that cannot be read or detected on is listed in `errors`, the others go on."""
    found, sizes, errors = {}, {}, {}
    for name, path in progress(images.items()):
        try:
            image = read_image(path)
            found[name] = detector.detect(image)
            sizes[name] = (image.shape[1], image.shape[0])
        except FacelabError as e:
            errors[name] = "; ".join(" ".join(line.split()) for line in str(e).splitlines())
    return DetectorRun(found, sizes, errors)


@contextlib.contextmanager
def precision_recall_threshold(detector: Detector) -> Iterator[float]:
    """Lower a network's score threshold to `AP_SCORE` inside the block; yield the operating threshold.

    Baselines whose scores are margins (Haar, dlib) keep theirs.
    """
    operating = detector.score_threshold
    if isinstance(detector, NeuralDetector):
        detector.score_threshold = min(AP_SCORE, operating)
    try:
        yield operating
    finally:
        detector.score_threshold = operating


def score_detections(
    found: Mapping[str, Detections],
    labels: Labels,
    *,
    operating: float,
    iou: float = 0.5,
    min_height: float = 0.0,
    replicates: int = 1000,
    seed: int = 0,
) -> dict:
    """Return figures against labels as plain JSON.

    `exact_count`: images whose number of detections at or above `operating` is the labelled one. With boxes also
    `recall`, `precision`, `ap` at `iou` with intervals over images; labelled faces lower than `min_height` pixels
    are ignored (neither missed nor false alarms). Raises BadInputError where no labelled image was detected on.
    """
    names = [n for n in found if n in labels.counts]
    if not names:
        raise BadInputError(
            "no image has a label",
            expected="paths relative to the folder of images",
            got=", ".join(list(found)[:3]),
            fix="check the path column of the labels",
        )
    counts = {n: int((found[n].scores >= operating).sum()) for n in names}
    exact = [n for n in names if counts[n] == labels.counts[n]]
    value = {
        "images": len(names),
        "faces": sum(labels.counts[n] for n in names),
        "exact_count": len(exact),
        "wrong_counts": {
            n: {"found": counts[n], "labelled": labels.counts[n]} for n in names if n not in exact
        },
    }
    if labels.boxes is not None:
        value |= _score_boxes(
            {n: found[n] for n in names}, labels.boxes, operating, iou, min_height, replicates, seed
        )
    return value


def _score_boxes(
    found: dict[str, Detections],
    boxes: dict[str, np.ndarray],
    operating: float,
    iou: float,
    min_height: float,
    replicates: int,
    seed: int,
) -> dict:
    truths = [to_xywh(boxes[n]) for n in found]
    keep = np.concatenate([t[:, 3] >= min_height for t in truths])
    curve = average_precision(
        match([predictions(d) for d in found.values()], truths),
        keep,
        iou=iou,
        replicates=replicates,
        seed=seed,
    )
    at = {n: d.above(operating) for n, d in found.items()}
    hit, faces, right, raised = _operating(at, boxes, iou, min_height)
    return {
        "iou": iou,
        "min_height": min_height,
        "counted_faces": faces,
        "recall": hit / faces if faces else None,
        "precision": right / raised if raised else None,
        "false_alarms": raised - right,
        "ap": curve.ap,
        "ap_lo": curve.interval.lo if curve.interval else None,
        "ap_hi": curve.interval.hi if curve.interval else None,
    }


def _operating(
    found: Mapping[str, Detections], boxes: Mapping[str, np.ndarray], iou: float, min_height: float
) -> tuple[int, int, int, int]:
    """Return faces hit, faces counted, detections that are right, detections that count."""
    hit = faces = right = raised = 0
    for name, detections in found.items():
        truth = boxes[name]
        large = truth[:, 3] - truth[:, 1] >= min_height
        table = overlap(truth, detections.boxes)
        hit += int((table[large].max(axis=1, initial=0) >= iou).sum())
        faces += int(large.sum())
        good = table.max(axis=0, initial=0) >= iou
        ignored = good & ~(table[large].max(axis=0, initial=0) >= iou)
        right += int((good & ~ignored).sum())
        raised += int((~ignored).sum())
    return hit, faces, right, raised


def to_xywh(boxes: np.ndarray) -> np.ndarray:
    """Return `xyxy` boxes (n, 4) as `xywh`."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def predictions(found: Detections) -> np.ndarray:
    """Return detections as rows (n, 5) of x, y, width, height, score: the standard WIDER FACE form."""
    return np.concatenate([to_xywh(found.boxes), found.scores[:, None].astype(np.float64)], axis=1)
