"""Best-overlapping ground truth of every prediction, for a whole data set at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Integer, Num

__all__ = ["best_overlaps"]

CHUNK_PAIRS = 1 << 17
"""Prediction-times-truth pairs handled at a time: about six arrays of 1 MiB, which stay in the cache."""


def best_overlaps(
    pred: Num[np.ndarray, "p 4"],
    pred_start: Integer[np.ndarray, " images1"],
    truth: Num[np.ndarray, "t 4"],
    truth_start: Integer[np.ndarray, " images1"],
) -> tuple[Int64[np.ndarray, " p"], Float64[np.ndarray, " p"]]:
    """Return each prediction's best-overlapping ground truth in its image and their overlap.

    Boxes are float64 xywh with the +1 pixel convention: a box covers x … x+w inclusive. Image i owns predictions
    `pred_start[i]:pred_start[i+1]` and truths `truth_start[i]:truth_start[i+1]`. Returns (index into `truth`, or −1
    where the image has none; overlap, 0 there). Of equal overlaps the first truth is taken. The order of operations
    is that of the WIDER FACE reference (box_overlaps.pyx), so that overlaps at the threshold fall on the same side.
    """
    n_pred, n_truth = np.diff(pred_start), np.diff(truth_start)
    best = np.full(len(pred), -1, dtype=np.int64)
    overlap = np.zeros(len(pred))
    image = np.repeat(np.arange(len(n_pred)), n_pred)
    rows = np.flatnonzero(n_truth[image] > 0)
    pairs_before = np.concatenate([[0], np.cumsum(n_truth[image[rows]])])
    p, t = _corners(pred), _corners(truth)
    at = 0
    while at < len(rows):
        end = max(
            at + 1,
            int(np.searchsorted(pairs_before, pairs_before[at] + CHUNK_PAIRS, side="right")) - 1,
        )
        part = rows[at:end]
        best[part], overlap[part] = _chunk(
            p, t, part, truth_start[image[part]], n_truth[image[part]]
        )
        at = end
    return best, overlap


def _corners(xywh: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return x1, y1, x2, y2 and the area, one contiguous array each."""
    x1, y1, w, h = np.ascontiguousarray(np.asarray(xywh, dtype=np.float64).reshape(-1, 4).T)
    x2, y2 = w + x1, h + y1
    return x1, y1, x2, y2, (x2 - x1 + 1) * (y2 - y1 + 1)


def _chunk(
    p: tuple[np.ndarray, ...],
    t: tuple[np.ndarray, ...],
    rows: np.ndarray,
    first: np.ndarray,
    count: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return best truth and overlap for predictions `rows`, whose truths are `first … first+count`."""
    starts = np.concatenate([[0], np.cumsum(count)[:-1]])
    owner = np.repeat(np.arange(len(rows)), count)
    truth = np.arange(len(owner)) + (first - starts)[owner]
    who = rows[owner]
    width = np.minimum(p[2][who], t[2][truth]) - np.maximum(p[0][who], t[0][truth]) + 1
    height = np.minimum(p[3][who], t[3][truth]) - np.maximum(p[1][who], t[1][truth]) + 1
    touching = np.flatnonzero((width > 0) & (height > 0))
    overlap = np.zeros(len(owner))
    shared = width[touching] * height[touching]
    overlap[touching] = shared / (p[4][who[touching]] + t[4][truth[touching]] - shared)
    top = np.maximum.reduceat(overlap, starts)
    hits = np.flatnonzero(overlap == top[owner])
    mine = owner[hits]
    is_first = np.concatenate([[True], mine[1:] != mine[:-1]])
    return truth[hits[is_first]], top
