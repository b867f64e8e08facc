"""Boxes as arrays: overlap, non-maximum suppression, SSD priors and the three ways detectors encode a box.

Boxes are `xyxy` float pixels, shape (n, 4), unless a name says otherwise. Everything is vectorised numpy.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Num

Overlap = Literal["union", "min"]
GREEDY = "greedy, best score first: a box goes when its overlap (IoU) with a kept one exceeds nms_threshold"
"""The rule of `nms`, in words."""
CELLS = "cells row by row, x fastest; cell (x, y) counts from 0; ceil(size / stride) cells per side"
"""The order of `grid`, in words."""


def area(boxes: Num[np.ndarray, "n 4"]) -> Num[np.ndarray, " n"]:
    """Return the areas of (n, 4) boxes, 0 for a box whose sides are not positive."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def overlap(
    a: Num[np.ndarray, "n 4"], b: Num[np.ndarray, "m 4"], *, over: Overlap = "union"
) -> Num[np.ndarray, "n m"]:
    """Return the (n, m) matrix of intersection areas over the union, or over the smaller box (`over="min"`).

    Pairs of which both boxes are empty have overlap 0.

    Parameters
    ----------
    a : ndarray
        Boxes (n, 4).
    b : ndarray
        Boxes (m, 4).
    over : Overlap
        What the intersection is divided by: the union or the first box.

    Returns
    -------
    ndarray
        The (n, m) matrix of intersection areas over the union, or over the smaller box
        (`over="min"`).

    Examples
    --------
    >>> overlap(np.array([[0., 0, 2, 2]]), np.array([[1., 1, 3, 3], [0, 0, 2, 1]])).round(3).tolist()
    [[0.143, 0.5]]
    """
    a, b = (
        np.asarray(a, dtype=np.float64).reshape(-1, 4),
        np.asarray(b, dtype=np.float64).reshape(-1, 4),
    )
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    area_a, area_b = area(a)[:, None], area(b)[None, :]
    whole = np.minimum(area_a, area_b) if over == "min" else area_a + area_b - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    *,
    over: Overlap = "union",
    top_k: int | None = None,
) -> np.ndarray:
    """Return the indices kept by greedy non-maximum suppression, best score first (ties in input order).

    A box goes when its overlap with a kept one exceeds `threshold`. `top_k` bounds the candidates, not the result.
    Each round compares one kept box with all that remain, so memory grows with n, not n².

    >>> nms(np.array([[0., 0, 9, 9], [0, 0, 10, 10], [20, 0, 30, 10]]), np.array([.8, .9, .3]), .5).tolist()
    [1, 2]
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")[:top_k]
    x1, y1, x2, y2 = boxes.T
    areas = area(boxes)
    keep: list[int] = []
    while order.size:
        best, order = order[0], order[1:]
        keep.append(int(best))
        shared = np.maximum(
            np.minimum(x2[best], x2[order]) - np.maximum(x1[best], x1[order]), 0
        ) * np.maximum(np.minimum(y2[best], y2[order]) - np.maximum(y1[best], y1[order]), 0)
        whole = (
            np.minimum(areas[best], areas[order])
            if over == "min"
            else areas[best] + areas[order] - shared
        )
        # multiplied out: an empty union never suppresses, and nothing is divided by zero
        order = order[shared <= threshold * whole]
    return np.array(keep, dtype=np.intp)


def blend(
    boxes: np.ndarray,
    scores: np.ndarray,
    extra: np.ndarray,
    threshold: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merge overlapping candidates into score-weighted means (MediaPipe's "weighted" suppression).

    `extra` is (n, k): further coordinates that are averaged with the same weights. Each group is the best remaining
    box and all that overlap it by more than `threshold`; its score stays the best one. Returns (boxes, scores, extra).
    """
    order = np.argsort(-scores, kind="stable")
    out_boxes: list[np.ndarray] = []
    out_scores: list[float] = []
    out_extra: list[np.ndarray] = []
    while order.size:
        best = order[0]
        near = overlap(boxes[best : best + 1], boxes[order])[0] > threshold
        near[0] = True
        group, order = order[near], order[~near]
        weight = scores[group] / scores[group].sum()
        out_boxes.append(weight @ boxes[group])
        out_extra.append(weight @ extra[group])
        out_scores.append(float(scores[best]))
    n = len(out_boxes)
    return (
        np.array(out_boxes, dtype=np.float64).reshape(n, 4),
        np.array(out_scores, dtype=np.float64),
        np.array(out_extra, dtype=np.float64).reshape(n, extra.shape[1]),
    )


@functools.lru_cache(maxsize=64)
def grid(rows: int, columns: int, repeat: int = 1) -> np.ndarray:
    """Return the (rows·columns·repeat, 2) cell indices (x, y) in row-major order, each `repeat` times.

    The array is read-only: pictures of one size share it.

    >>> grid(1, 2).tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """
    y, x = np.mgrid[:rows, :columns]
    cells = np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), repeat, axis=0).astype(np.float32)
    cells.flags.writeable = False
    return cells


def priors(
    size: tuple[int, int], strides: Sequence[int], min_sizes: Sequence[Sequence[float]]
) -> np.ndarray:
    """Return SSD prior boxes as (n, 4) `cx cy w h`, relative to the tensor's `size` (width, height).

    Level by level, cell by cell, size by size: the order of RetinaFace and UltraFace. The array is read-only: pictures
    of one size share it.
    """
    return _priors(tuple(size), tuple(strides), tuple(tuple(sizes) for sizes in min_sizes))


@functools.lru_cache(maxsize=16)
def _priors(
    size: tuple[int, int], strides: tuple[int, ...], min_sizes: tuple[tuple[float, ...], ...]
) -> np.ndarray:
    width, height = size
    levels: list[np.ndarray] = []
    for stride, sizes in zip(strides, min_sizes, strict=True):
        columns, rows = -(-width // stride), -(-height // stride)
        centres = (grid(rows, columns, len(sizes)) + 0.5) * stride / np.array([width, height])
        extents = np.tile(np.array([[s / width, s / height] for s in sizes]), (rows * columns, 1))
        levels.append(np.concatenate([centres, extents], axis=1))
    boxes = np.concatenate(levels).astype(np.float64)
    boxes.flags.writeable = False
    return boxes


def from_offsets(
    offsets: np.ndarray, prior: np.ndarray, variances: tuple[float, float] = (0.1, 0.2)
) -> np.ndarray:
    """Decode SSD offsets (n, 4) against priors `cx cy w h`: centre + d·v0·size, size·exp(d·v1). Returns `xyxy`."""
    centre = prior[:, :2] + offsets[:, :2] * variances[0] * prior[:, 2:]
    half = prior[:, 2:] * np.exp(offsets[:, 2:] * variances[1]) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def points_from_offsets(
    offsets: np.ndarray, prior: np.ndarray, variance: float = 0.1
) -> np.ndarray:
    """Decode SSD landmark offsets (n, 2k) against priors `cx cy w h`. Returns (n, k, 2)."""
    d = offsets.reshape(len(offsets), offsets.shape[1] // 2, 2)
    return prior[:, None, :2] + d * variance * prior[:, None, 2:]


def from_distances(centres: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Decode left, top, right, bottom distances (n, 4) from centres (n, 2), as SCRFD and FCOS do. Returns `xyxy`."""
    return np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return the logistic function; inputs are clipped to ±100, as the reference decoders do, so exp never overflows.

    >>> sigmoid(np.array([-1000., 0., 1000.])).round(3).tolist()
    [0.0, 0.5, 1.0]
    """
    return 1 / (1 + np.exp(-np.clip(x, -100, 100)))
