"""Landmark error: NME with a named normaliser, failure rates, and the area under the cumulative error curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from facelab.core.errors import BadInputError

if TYPE_CHECKING:
    from jaxtyping import Float64, Num

__all__ = ["ced", "ced_area", "failure_rate", "normalised_mean_error"]

Normaliser = Literal["inter-ocular", "box"]


def normalised_mean_error(
    predicted: Num[np.ndarray, "n points 2"],
    truth: Num[np.ndarray, "n points 2"],
    *,
    normaliser: Normaliser,
    boxes: Num[np.ndarray, "n 4"] | None = None,
    eyes: tuple[int, int] = (0, 1),
) -> Float64[np.ndarray, " n"]:
    """Return the NME (n,) of each face: mean point distance over the normaliser, as a fraction.

    `predicted`, `truth`: (n, points, 2) in pixels. "inter-ocular" divides by the distance of the true points `eyes`
    (of the 5-point order: left and right eye centre); "box" by √(width·height) of `boxes` (n, 4) xyxy. Raises
    BadInputError for shapes that differ, values that are not finite, and a normaliser of zero.

    Examples
    --------
    >>> t = np.array([[[0., 0.], [10., 0.]]])
    >>> normalised_mean_error(t + [1., 0.], t, normaliser="inter-ocular").tolist()
    [0.1]
    """
    predicted, truth = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if truth.ndim != 3 or truth.shape[2] != 2 or predicted.shape != truth.shape or not len(truth):
        raise BadInputError(
            "landmarks must be points of the same faces",
            expected=f"(n, points, 2) = {truth.shape}",
            got=predicted.shape,
            fix="match the faces first, so that row i is the same face in both",
        )
    if not (np.isfinite(predicted).all() and np.isfinite(truth).all()):
        raise BadInputError(
            "a landmark is not finite", fix="a face without landmarks is a failure: count it apart"
        )
    if normaliser == "inter-ocular":
        unit = np.linalg.norm(truth[:, eyes[0]] - truth[:, eyes[1]], axis=1)
    elif normaliser == "box":
        if boxes is None or np.shape(boxes) != (len(truth), 4):
            raise BadInputError(
                "the box normaliser needs one box a face",
                expected=(len(truth), 4),
                got=None if boxes is None else np.shape(boxes),
                fix="pass the true boxes, or choose the inter-ocular normaliser",
            )
        size = (
            np.asarray(boxes, dtype=np.float64)[:, 2:] - np.asarray(boxes, dtype=np.float64)[:, :2]
        )
        unit = np.sqrt(np.prod(np.maximum(size, 0), axis=1))
    else:
        raise BadInputError(
            "the normaliser is unknown",
            expected="inter-ocular, box",
            got=normaliser,
            fix="choose inter-ocular or box",
        )
    if not (unit > 0).all():
        raise BadInputError(
            f"the {normaliser} normaliser is zero",
            where=f"face {int(np.argmin(unit))}",
            fix="leave out the face, whose points or box coincide",
        )
    return np.linalg.norm(predicted - truth, axis=2).mean(axis=1) / unit


def failure_rate(nme: Num[np.ndarray, " n"], limit: float = 0.08, *, missed: int = 0) -> float:
    """Return the share of faces with NME above `limit` (0.08 and 0.10 are customary); `missed` faces count as failures.

    Examples
    --------
    >>> failure_rate(np.array([.01, .2]), missed=2)
    0.75
    """
    nme = _nme(nme, missed)
    return float((np.sum(nme > limit) + missed) / (len(nme) + missed))


def ced(
    nme: Num[np.ndarray, " n"], limit: float = 0.08, *, missed: int = 0
) -> tuple[Float64[np.ndarray, " inside"], Float64[np.ndarray, " inside"]]:
    """Return the cumulative error curve up to `limit`: errors (k,) and the share of faces at or below each (k,)."""
    nme = np.sort(_nme(nme, missed))
    inside = np.unique(np.concatenate([[0.0], nme[nme <= limit], [limit]]))
    return inside, np.searchsorted(nme, inside, side="right") / (len(nme) + missed)


def ced_area(nme: Num[np.ndarray, " n"], limit: float = 0.08, *, missed: int = 0) -> float:
    """Return the area under the cumulative error curve up to `limit`, divided by `limit` (1 = no error at all).

    Exact for the step function: a face with error e adds (limit − e)/limit.

    Examples
    --------
    >>> round(ced_area(np.array([0., .04, .5])), 6)
    0.5
    """
    nme = _nme(nme, missed)
    return float(np.sum(np.maximum(0.0, limit - nme)) / limit / (len(nme) + missed))


def _nme(nme: np.ndarray, missed: int) -> np.ndarray:
    nme = np.asarray(nme, dtype=np.float64)
    if (
        nme.ndim != 1
        or len(nme) + missed == 0
        or missed < 0
        or not (np.isfinite(nme).all() and (nme >= 0).all())
    ):
        raise BadInputError(
            "errors must be a list of finite numbers ≥ 0",
            got=f"shape {nme.shape}, missed {missed}",
            fix="count what was missed in `missed`, and leave it out of the errors",
        )
    return nme
