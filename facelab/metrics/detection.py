"""WIDER FACE average precision by the reference's exact rules, with breakdowns and bootstrap intervals by image.

Rules (wondervictor/WiderFace-Evaluation and its copies in Pytorch_Retinaface, opencv_zoo and insightface): boxes
xywh with the +1 pixel convention; scores min-max normalised once over the whole set; 1000 thresholds; a prediction
looks only at its best-overlapping ground truth; one that lies on an ignored ground truth is dropped; a second match
of a ground truth is a false alarm; counts are summed over images; area under the VOC envelope.

Counting does not depend on the order of predictions: at threshold t a face is found if the best score among the
predictions on it is ≥ t, and every prediction with score ≥ t that is not dropped counts. So one matching pass serves
every subset, threshold, breakdown and bootstrap replicate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.metrics.boxes import best_overlaps
from facelab.metrics.intervals import Interval, percentile_interval, resample_weights

__all__ = [
    "Curve",
    "Matches",
    "average_precision",
    "match",
    "normalise_scores",
    "recall_of",
    "voc_area",
    "wider_ap",
]

THRESHOLDS = 1 - np.arange(1, 1001) / 1000
"""The protocol's score thresholds on normalised scores, falling from 0.999 to 0."""


@dataclass(frozen=True)
class Matches:
    """Every prediction of a data set with its best ground truth. Made by `match`, read by everything else.

    `image`, `score` (normalised), `best` (index into the truths, −1 for none), `overlap` have one entry a prediction;
    `truth_image` one a ground truth; `images` is the number of images. `bin` is the first of the 1000 thresholds that
    lets a prediction in. `constant` says that all scores were equal, so that there is one operating point only.
    """

    image: np.ndarray
    score: np.ndarray
    bin: np.ndarray
    best: np.ndarray
    overlap: np.ndarray
    truth_image: np.ndarray
    images: int
    constant: bool = False


@dataclass(frozen=True)
class Curve:
    """Precision and recall at the 1000 thresholds, with the area under the envelope.

    `ap` is None where the subset holds no face. `proposals` and `found` are counts at each threshold.
    """

    ap: float | None
    precision: np.ndarray
    recall: np.ndarray
    proposals: np.ndarray
    found: np.ndarray
    faces: int
    interval: Interval | None = field(default=None)


def normalise_scores(
    score: np.ndarray, *, over: np.ndarray | None = None
) -> tuple[np.ndarray, bool]:
    """Return scores min-max normalised as the reference does, and whether all of them were equal.

    The reference starts its minimum at 1 and its maximum at 0, so scores outside [0, 1] are stretched against those
    ends; this is kept. `over` (default: `score`) is the set whose ends are taken. Where minimum and maximum coincide
    the reference divides 0 by 0 and scores nothing; here every prediction then gets 1, one operating point.

    Examples
    --------
    >>> normalise_scores(np.array([.2, .6, .4]))[0].round(6).tolist()
    [0.0, 1.0, 0.5]
    """
    score = np.asarray(score, dtype=np.float64)
    over = score if over is None else np.asarray(over, dtype=np.float64)
    if over.size == 0:
        return score, False
    low, high = min(1.0, float(over.min())), max(0.0, float(over.max()))
    if high == low:
        return np.ones_like(score), True
    return (score - low) / (high - low), False


def match(
    predictions: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    *,
    extra_scores: np.ndarray | None = None,
) -> Matches:
    """Match predictions (per image: (n, 5) xywh + score) to ground truth (per image: (m, 4) xywh).

    `extra_scores` are scores of predictions on images outside the ground truth; the reference lets them take part in
    the normalisation. Images and their order are the same in both lists. Raises BadInputError for wrong shapes and
    values that are not finite.
    """
    if len(predictions) != len(truths):
        raise BadInputError(
            "predictions and ground truth differ in their number of images",
            expected=len(truths),
            got=len(predictions),
            fix="pass one array per image for both, empty where no face is",
        )
    boxes, pred_start = _stack(predictions, 5, "predictions")
    truth, truth_start = _stack(truths, 4, "ground truth")
    over = boxes[:, 4] if extra_scores is None else np.concatenate([boxes[:, 4], extra_scores])
    score, constant = normalise_scores(boxes[:, 4], over=over)
    best, overlap = best_overlaps(boxes[:, :4], pred_start, truth, truth_start)
    ends = THRESHOLDS[::-1]
    return Matches(
        image=np.repeat(np.arange(len(predictions)), np.diff(pred_start)),
        score=score,
        bin=len(ends) - np.searchsorted(ends, score, side="right"),
        best=best,
        overlap=overlap,
        truth_image=np.repeat(np.arange(len(truths)), np.diff(truth_start)),
        images=len(truths),
        constant=constant,
    )


def _stack(parts: Sequence[np.ndarray], columns: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return all rows in one float64 array and where each image's rows start."""
    for i, part in enumerate(parts):
        shape = np.shape(part)
        if not (len(shape) == 2 and shape[1] == columns) and np.size(part):
            raise BadInputError(
                f"the {what} of an image have the wrong shape",
                where=f"image {i}",
                expected=f"(n, {columns})",
                got=shape,
                fix="reshape them; an image without a face has shape (0, columns)",
            )
    arrays = [np.asarray(p, dtype=np.float64).reshape(-1, columns) for p in parts]
    start = np.concatenate([[0], np.cumsum([len(a) for a in arrays])]).astype(np.int64)
    rows = np.concatenate(arrays) if arrays else np.zeros((0, columns))
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        image = int(np.searchsorted(start, at, side="right")) - 1
        raise BadInputError(
            f"the {what} hold a value that is not finite",
            where=f"image {image}, row {at - start[image]}",
            expected="finite numbers",
            got=rows[at].tolist(),
            fix="remove the row, or correct its numbers",
        )
    return rows, start


def voc_area(recall: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Return the area under the VOC precision envelope along the last axis (recall rising along it).

    Examples
    --------
    >>> float(voc_area(np.array([.5, 1.]), np.array([1., .5])))
    0.75
    """
    pad = [(0, 0)] * (recall.ndim - 1) + [(1, 1)]
    r = np.pad(recall, pad)
    r[..., -1] = 1.0
    envelope = np.maximum.accumulate(np.pad(precision, pad)[..., ::-1], axis=-1)[..., ::-1]
    return np.sum((r[..., 1:] - r[..., :-1]) * envelope[..., 1:], axis=-1)


def average_precision(
    matches: Matches, keep: np.ndarray, *, iou: float = 0.5, replicates: int = 0, seed: int = 0
) -> Curve:
    """Return the precision-recall curve and AP of the subset `keep` (bool, one a ground truth); the rest is ignored.

    `iou` is the smallest overlap of a match (≥). With `replicates` > 0 images are resampled with replacement for a
    95 % interval; scores keep the normalisation of the whole set.
    """
    keep = np.asarray(keep, dtype=bool)
    if keep.shape != matches.truth_image.shape:
        raise BadInputError(
            "the subset does not fit the ground truth",
            expected=matches.truth_image.shape,
            got=keep.shape,
            fix="pass one True or False for each true box",
        )
    if not 0 <= iou <= 1:
        raise BadInputError(
            "the overlap threshold is out of range",
            expected="0 … 1",
            got=iou,
            fix="choose a share above 0 and up to 1, such as 0.5",
        )
    counted, found_image, found_bin = _events(matches, keep, iou)
    bins = len(THRESHOLDS)
    proposals = np.cumsum(np.bincount(matches.bin[counted], minlength=bins))
    found = np.cumsum(np.bincount(found_bin, minlength=bins))
    faces = int(keep.sum())
    precision = found / np.maximum(proposals, 1)
    if faces == 0:
        return Curve(None, precision, np.zeros(bins), proposals, found, 0)
    recall = found / faces
    ap = float(voc_area(recall, precision))
    interval = None
    if replicates:
        per_image = np.bincount(matches.truth_image[keep], minlength=matches.images)
        reps = _resampled(
            matches.images,
            matches.image[counted],
            matches.bin[counted],
            found_image,
            found_bin,
            per_image,
            replicates,
            seed,
        )
        interval = percentile_interval(ap, reps, method="bootstrap by image", units=matches.images)
    return Curve(ap, precision, recall, proposals, found, faces, interval)


def _events(
    matches: Matches, keep: np.ndarray, iou: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which predictions count, and image and threshold bin of each face of the subset that is found."""
    has_truth = (
        matches.best >= 0
    )  # images without any ground truth are skipped by the reference, false alarms and all
    hit = has_truth & (matches.overlap >= iou)
    on_kept = np.zeros(len(hit), dtype=bool)
    on_kept[hit] = keep[matches.best[hit]]
    counted = has_truth & (~hit | on_kept)
    first = np.full(len(keep), len(THRESHOLDS), dtype=np.int64)
    np.minimum.at(first, matches.best[on_kept], matches.bin[on_kept])
    found = np.flatnonzero(first < len(THRESHOLDS))
    return counted, matches.truth_image[found], first[found]


def _resampled(
    images: int,
    counted_image: np.ndarray,
    counted_bin: np.ndarray,
    found_image: np.ndarray,
    found_bin: np.ndarray,
    faces: np.ndarray,
    replicates: int,
    seed: int,
) -> np.ndarray:
    """Return AP (replicates,) with images resampled; a replicate without faces is NaN."""
    from scipy.sparse import csr_array  # pyright: ignore[reportMissingTypeStubs] # scipy states no types

    weights = resample_weights(images, replicates, seed)
    counts: list[np.ndarray] = []
    for image, bin_ in ((counted_image, counted_bin), (found_image, found_bin)):
        # one entry in a hundred is not zero; duplicates are summed when the table is built
        table: Any = csr_array((np.ones(len(bin_)), (bin_, image)), shape=(len(THRESHOLDS), images))
        counts.append(np.cumsum((table @ weights.T).T, axis=1))
    total = weights @ faces
    proposals, found = counts
    recall = found / np.maximum(total, 1)[:, None]
    return np.where(total > 0, voc_area(recall, found / np.maximum(proposals, 1)), np.nan)


def recall_of(
    matches: Matches, keep: np.ndarray, *, iou: float = 0.5, replicates: int = 0, seed: int = 0
) -> Interval | None:
    """Return the share of the faces in `keep` that any prediction finds, or None where there are none.

    With `replicates` > 0 the interval resamples images; without, its bounds are the value.
    """
    keep = np.asarray(keep, dtype=bool)
    if not keep.any():
        return None
    _, image, _ = _events(matches, keep, iou)
    found = np.bincount(image, minlength=matches.images)
    faces = np.bincount(matches.truth_image[keep], minlength=matches.images)
    value = float(found.sum() / faces.sum())
    if not replicates:
        return Interval(value, value, value, "none", matches.images)
    w = resample_weights(matches.images, replicates, seed)
    totals = w @ faces
    reps = np.where(totals > 0, (w @ found) / np.maximum(totals, 1), np.nan)
    return percentile_interval(value, reps, method="bootstrap by image", units=matches.images)


def wider_ap(
    predictions: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    subsets: Mapping[str, np.ndarray],
    *,
    iou: float = 0.5,
    score_threshold: float | None = None,
) -> dict[str, float | None]:
    """Return AP per subset name: the whole protocol in one call.

    `predictions` and `truths` are lists of (n, 5) xywh + score and (m, 4) xywh per image; each subset is a bool per
    ground truth, all images concatenated. `score_threshold` keeps predictions with raw scores ≥ it, before scores are
    normalised.

    Examples
    --------
    >>> box = np.array([[10., 10., 20., 20.]])
    >>> wider_ap([np.array([[10., 10., 20., 20., .9], [80., 80., 9., 9., .1]])], [box], {"all": np.array([True])})
    {'all': 1.0}
    """
    if score_threshold is not None:
        predictions = [np.reshape(p, (-1, 5)) for p in predictions]
        predictions = [p[p[:, 4] >= score_threshold] for p in predictions]
    matches = match(predictions, truths)
    return {name: average_precision(matches, keep, iou=iou).ap for name, keep in subsets.items()}
