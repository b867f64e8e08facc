"""Run a detector over a folder and score it against labels: counts, recall, precision, average precision."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError, FacelabError
from facelab.detection._base import Detections, Detector
from facelab.detection._boxes import overlap
from facelab.detection._labels import Labels
from facelab.detection._neural import NeuralDetector
from facelab.metrics.detection import average_precision, match
from facelab.preprocess.image import read_image

if TYPE_CHECKING:
    from jaxtyping import Num

AP_SCORE = 0.02
"""The score down to which detections count for average precision (WIDER FACE's rule)."""


@dataclasses.dataclass(frozen=True)
class DetectorRun:
    """Detections by image (path relative to the folder), image sizes (width, height), and errors by image."""

    found: dict[str, Detections]
    sizes: dict[str, tuple[int, int]]
    errors: dict[str, str]


def detect_images(
    detector: Detector,
    images: Mapping[str, Path],
    *,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = lambda items: items,
) -> DetectorRun:
    """Detect on every image; one that cannot be read or detected on is listed in `errors`, the others go on."""
    found: dict[str, Detections] = {}
    sizes: dict[str, tuple[int, int]] = {}
    errors: dict[str, str] = {}
    for name, path in progress(images.items()):
        try:
            image = read_image(path)
            found[name] = detector.detect(image)
            sizes[name] = (image.shape[1], image.shape[0])
        except FacelabError as e:
            errors[name] = "; ".join(" ".join(line.split()) for line in str(e).splitlines())
    return DetectorRun(found, sizes, errors)


@contextlib.contextmanager
def precision_recall_threshold(detector: Detector) -> Generator[float]:
    """Lower a network's score threshold to `AP_SCORE` inside the block; yield the operating threshold.

    Baselines whose scores are margins (Haar, dlib) keep theirs.

    Parameters
    ----------
    detector : Detector
        A detector of `detection.load`.

    Returns
    -------
    Iterator[float]
        The detector inside the block.
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
) -> dict[str, Any]:
    """Return figures against labels as plain JSON.

    `exact_count`: images whose number of detections at or above `operating` is the labelled one. With boxes also
    `recall`, `precision`, `ap` at `iou` with intervals over images; labelled faces lower than `min_height` pixels, and
    those that the labels say to ignore, are neither missed nor false alarms. Raises BadInputError where no labelled
    image was detected on.
    """
    names = [n for n in found if n in labels.counts]
    if not names:
        raise BadInputError(
            "no image has a label",
            expected="paths relative to the folder of images",
            got=", ".join(list(found)[:3]),
            fix="check the path column of the labels",
        )
    counts = {n: _counted(found[n].above(operating), labels, n, iou) for n in names}
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
            {n: found[n] for n in names}, labels, operating, iou, min_height, replicates, seed
        )
    return value


def _counted(found: Detections, labels: Labels, name: str, iou: float) -> int:
    """Return how many detections count: not those on a face that the labels say to ignore."""
    if labels.boxes is None or not labels.ignored(name).any():
        return len(found)
    table, ignored = overlap(labels.boxes[name], found.boxes), labels.ignored(name)
    on_ignored = table[ignored].max(axis=0, initial=0) >= iou
    on_counted = table[~ignored].max(axis=0, initial=0) >= iou
    return int((~(on_ignored & ~on_counted)).sum())


def _score_boxes(
    found: dict[str, Detections],
    labels: Labels,
    operating: float,
    iou: float,
    min_height: float,
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    boxes = labels.boxes or {}
    truths = [to_xywh(boxes[n]) for n in found]
    counted = {n: (t[:, 3] >= min_height) & ~labels.ignored(n) for n, t in zip(found, truths)}
    keep = np.concatenate(list(counted.values()))
    curve = average_precision(
        match([predictions(d) for d in found.values()], truths),
        keep,
        iou=iou,
        replicates=replicates,
        seed=seed,
    )
    at = {n: d.above(operating) for n, d in found.items()}
    hit, faces, right, raised = _operating(at, boxes, iou, counted)
    return {
        "iou": iou,
        "min_height": min_height,
        "counted_faces": faces,
        "ignored_faces": int((~keep).sum()),
        "recall": hit / faces if faces else None,
        "precision": right / raised if raised else None,
        "false_alarms": raised - right,
        "ap": curve.ap,
        "ap_lo": curve.interval.lo if curve.interval else None,
        "ap_hi": curve.interval.hi if curve.interval else None,
    }


def _operating(
    found: Mapping[str, Detections],
    boxes: Mapping[str, np.ndarray],
    iou: float,
    counted: Mapping[str, np.ndarray],
) -> tuple[int, int, int, int]:
    """Return faces hit, faces counted, detections that are right, detections that count."""
    hit = faces = right = raised = 0
    for name, detections in found.items():
        truth, large = boxes[name], counted[name]
        table = overlap(truth, detections.boxes)
        hit += int((table[large].max(axis=1, initial=0) >= iou).sum())
        faces += int(large.sum())
        good = table.max(axis=0, initial=0) >= iou
        ignored = good & ~(table[large].max(axis=0, initial=0) >= iou)
        right += int((good & ~ignored).sum())
        raised += int((~ignored).sum())
    return hit, faces, right, raised


def to_xywh(boxes: Num[np.ndarray, "n 4"]) -> Num[np.ndarray, "n 4"]:
    """Return `xyxy` boxes (n, 4) as `xywh`.

    Parameters
    ----------
    boxes : ndarray
        Boxes (n, 4), x1 y1 x2 y2 in pixels.

    Returns
    -------
    ndarray
        `xyxy` boxes (n, 4) as `xywh`.

    Examples
    --------
    >>> import numpy as np
    >>> to_xywh(np.array([[2, 3, 12, 15]])).tolist()
    [[2.0, 3.0, 10.0, 12.0]]
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def predictions(found: Detections) -> Num[np.ndarray, "n 5"]:
    """Return detections as rows (n, 5) of x, y, width, height, score: the standard WIDER FACE form.

    Parameters
    ----------
    found : Detections
        What a detector found.

    Returns
    -------
    ndarray
        Detections as rows (n, 5) of x, y, width, height, score.

    Examples
    --------
    >>> from facelab.detection import Detections
    >>> predictions(Detections([[2, 3, 12, 15]], [0.5])).tolist()
    [[2.0, 3.0, 10.0, 12.0, 0.5]]
    """
    return np.concatenate([to_xywh(found.boxes), found.scores[:, None].astype(np.float64)], axis=1)
