"""Verification by the reference protocol: distances of pairs, ten-fold accuracy, naive intervals and honest ones.

The rule is facenet's, insightface's (`verification.py`) and opencv_zoo's (`lfw.py`): squared L2 between L2-normalised
embeddings; thresholds `arange(0, 4, 0.01)`; distance < threshold means "same"; ten consecutive folds; the threshold
with the highest training accuracy (first of equals) is applied to the held-out fold; mean and population standard
deviation over folds. A pair whose face could not be found has distance infinity: it is never "same", and stays in its
fold, since a dropped pair would flatter the figure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.metrics.intervals import (
    Interval,
    identity_weights,
    percentile_interval,
    resample_weights,
    wilson,
)

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Integer, Num, Shaped

__all__ = [
    "TenFold",
    "accuracy_interval",
    "check_same",
    "checked",
    "distances",
    "fold_of",
    "naive_interval",
    "pair_weights",
    "share_interval",
    "ten_fold",
    "threshold_names",
]

THRESHOLDS = np.arange(0, 4, 0.01)
"""The reference's grid of squared-L2 thresholds on normalised embeddings (400 values, 0 … 3.99)."""
FOLDS = 10


@dataclass(frozen=True)
class TenFold:
    """Accuracy over folds, with each fold's accuracy and threshold (squared L2)."""

    accuracy: float
    std: float
    folds: np.ndarray
    thresholds: np.ndarray


def check_same(same: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Return pair labels as bool (n,). Raises BadInputError unless they are 0/1 or bool with both classes present."""
    same = np.asarray(same)
    if same.ndim != 1 or same.size == 0:
        raise BadInputError(
            "`same` must be a list with one entry a pair",
            expected="shape (n,)",
            got=same.shape,
            fix="write one 0 or 1 per pair",
        )
    if same.dtype != bool:
        if same.dtype.kind not in "iuf" or not np.isin(same, (0, 1)).all():
            raise BadInputError(
                "`same` must say yes or no for each pair",
                expected="0 and 1, or booleans",
                got=f"{same.dtype}, values such as {same[:3].tolist()}",
                fix="write 0 or 1 per pair",
            )
        same = same.astype(bool)
    if same.all() or not same.any():
        raise BadInputError(
            "all pairs are of one kind",
            expected="genuine (1) and impostor (0) pairs",
            got=f"only {'genuine' if same[0] else 'impostor'} pairs",
            fix="verification needs both kinds to have a threshold",
        )
    return same


def distances(
    a: Num[np.ndarray, "n d"],
    b: Num[np.ndarray, "n d"],
    *,
    normalise: bool = True,
    failed: Shaped[np.ndarray, " n"] | None = None,
) -> Float64[np.ndarray, " n"]:
    """Return squared L2 distances (n,) float64 of embedding pairs `a` and `b` (n, d).

    With `normalise` (the protocol) each row is divided by its L2 norm first, so distances are in 0 … 4 and
    d² = 2 − 2·cosine. Pairs marked in `failed` (bool, n) get infinity and their rows are not looked at. Raises
    BadInputError for wrong shapes, values that are not finite, and zero vectors, naming the first pair.

    Examples
    --------
    >>> distances(np.array([[2., 0.]]), np.array([[0., 5.]])).tolist()
    [2.0]
    """
    a, b = (np.asarray(x) for x in (a, b))
    for name, x in (("a", a), ("b", b)):
        if x.ndim != 2 or x.shape[1] == 0 or x.dtype.kind not in "fiu":
            raise BadInputError(
                f"`{name}` must hold one embedding a row",
                expected="numbers of shape (n, d)",
                got=f"{x.dtype} {x.shape}",
                fix="stack the embeddings: numpy.stack([…])",
            )
    if a.shape != b.shape:
        raise BadInputError(
            "the two sides of the pairs differ in shape",
            expected=f"a: {a.shape}",
            got=f"b: {b.shape}",
            fix="row i of `a` and row i of `b` are pair i",
        )
    good = np.ones(len(a), dtype=bool) if failed is None else ~np.asarray(failed, dtype=bool)
    if good.shape != (len(a),):
        raise BadInputError(
            "`failed` must have one entry a pair",
            expected=(len(a),),
            got=good.shape,
            fix="pass one True or False per pair",
        )
    rows = np.flatnonzero(good)
    sides = [
        _unit(x[good].astype(np.float64), name, rows, normalise) for name, x in (("a", a), ("b", b))
    ]
    out = np.full(len(a), np.inf)
    out[good] = np.sum(np.square(np.subtract(*sides)), axis=1)
    return out


def _unit(x: np.ndarray, name: str, rows: np.ndarray, normalise: bool) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise BadInputError(
            "an embedding holds a value that is not finite",
            where=f"{name}[{rows[bad[0]]}]",
            expected="finite numbers",
            got=f"{len(bad)} such rows",
            fix="mark pairs whose face was not found in an array `failed`, or correct the embedder",
        )
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    zero = np.flatnonzero(norm[:, 0] == 0)
    if normalise and len(zero):
        raise BadInputError(
            "an embedding is the zero vector, which has no direction",
            where=f"{name}[{rows[zero[0]]}]",
            expected="a length above 0",
            got=f"{len(zero)} such rows",
            fix="mark pairs whose face was not found in an array `failed`, or correct the embedder",
        )
    return x / norm if normalise else x


def fold_of(n: int, folds: int = FOLDS) -> Integer[np.ndarray, " n"]:
    """Return the fold (n,) of each pair: consecutive, the first n mod `folds` one longer (sklearn's unshuffled KFold).

    Examples
    --------
    >>> fold_of(12, 5).tolist()
    [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4]
    """
    if n < folds:
        raise BadInputError(
            "there are fewer pairs than folds",
            expected=f"at least {folds} pairs",
            got=n,
            fix="give more pairs",
        )
    sizes = np.full(folds, n // folds)
    sizes[: n % folds] += 1
    return np.repeat(np.arange(folds), sizes)


def ten_fold(
    distance: Num[np.ndarray, " n"],
    same: Shaped[np.ndarray, " n"],
    *,
    thresholds: Num[np.ndarray, " thresholds"] = THRESHOLDS,
    folds: int = FOLDS,
) -> TenFold:
    """Return the reference's ten-fold accuracy from squared distances (n,) and labels (n,).

    Examples
    --------
    >>> d, s = np.tile([0.5, 3.0], 10), np.tile([1, 0], 10)
    >>> ten_fold(d, s).accuracy, round(float(ten_fold(d, s).thresholds[0]), 2)
    (1.0, 0.51)
    """
    distance, same = checked(distance, same)
    table = _correct(
        distance,
        same,
        fold_of(len(distance), folds),
        np.ones((1, len(distance))),
        thresholds,
        folds,
    )[0]
    sizes = np.bincount(fold_of(len(distance), folds), minlength=folds)
    best = np.argmax((table.sum(axis=0) - table) / (len(distance) - sizes)[:, None], axis=1)
    accuracy: np.ndarray = table[np.arange(folds), best] / sizes
    return TenFold(
        float(accuracy.mean()), float(accuracy.std()), accuracy, np.asarray(thresholds)[best]
    )


def checked(
    distance: Num[np.ndarray, " n"], same: Shaped[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return distances (n,) float64 and labels (n,) bool, or raise BadInputError where they are none."""
    distance, same = np.asarray(distance, dtype=np.float64), check_same(same)
    if distance.shape != same.shape:
        raise BadInputError(
            "there is not one label per pair",
            expected=distance.shape,
            got=same.shape,
            fix="pass one True or False (same person or not) for each distance",
        )
    if np.isnan(distance).any():
        raise BadInputError(
            "a distance is NaN",
            where=f"pair {int(np.flatnonzero(np.isnan(distance))[0])}",
            fix="a pair whose face was not found has distance infinity",
        )
    return distance, same


def _correct(
    distance: np.ndarray,
    same: np.ndarray,
    fold: np.ndarray,
    weights: np.ndarray,
    thresholds: np.ndarray,
    folds: int,
) -> np.ndarray:
    """Return the weight of right answers (replicates, folds, thresholds)."""
    count = len(thresholds)
    # the first threshold that accepts the pair: distance < threshold, strictly
    first: np.ndarray = np.searchsorted(thresholds, distance, side="right")
    out = np.empty((len(weights), folds, count))
    for r, w in enumerate(weights):
        credit = w * (2.0 * same - 1.0)
        signed = np.bincount(
            fold * (count + 1) + first, weights=credit, minlength=folds * (count + 1)
        )
        rejected = np.bincount(fold[~same], weights=w[~same], minlength=folds)
        # below its first threshold an impostor pair is right; from there on a genuine one is
        out[r] = np.cumsum(signed.reshape(folds, -1), axis=1)[:, :count] + rejected[:, None]
    return out


def accuracy_interval(
    distance: Num[np.ndarray, " n"],
    same: Shaped[np.ndarray, " n"],
    *,
    first: np.ndarray | None = None,
    second: np.ndarray | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return ten-fold accuracy with a bootstrap interval, thresholds chosen again in each replicate.

    Resamples identities where `first` and `second` (n,) name them, pairs otherwise. Folds stay as they are.
    """
    distance, same = checked(distance, same)
    fold = fold_of(len(distance))
    weights, units, method = pair_weights(len(distance), first, second, replicates, seed)
    reps = np.full(replicates, np.nan)
    for start in range(0, replicates, 100):
        w = weights[start : start + 100]
        table = _correct(distance, same, fold, w, THRESHOLDS, FOLDS)
        sizes = np.stack([np.bincount(fold, weights=row, minlength=FOLDS) for row in w])
        best = np.argmax(table.sum(axis=1, keepdims=True) - table, axis=2)
        right = np.take_along_axis(table, best[..., None], axis=2)[..., 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            accuracy = np.where(
                sizes > 0, right / sizes, np.nan
            )  # a fold may be empty after resampling
        held = np.isfinite(accuracy)
        reps[start : start + 100] = np.where(
            held.any(1), np.where(held, accuracy, 0).sum(1) / np.maximum(held.sum(1), 1), np.nan
        )
    return percentile_interval(ten_fold(distance, same).accuracy, reps, method=method, units=units)


def pair_weights(
    n: int, first: Any, second: Any, replicates: int, seed: int
) -> tuple[np.ndarray, int, str]:
    """Return bootstrap weights of n pairs, the number of units drawn, and the method's name."""
    if first is None or second is None:
        return resample_weights(n, replicates, seed), n, "bootstrap by pair"
    if len(first) != n or len(second) != n:
        raise BadInputError(
            "there is not one pair of identities per pair",
            expected=n,
            got=(len(first), len(second)),
            fix="pass both identities of every pair",
        )
    weights, units = identity_weights(first, second, replicates=replicates, seed=seed)
    return weights, units, "bootstrap by identity"


def share_interval(hit: np.ndarray, weights: np.ndarray, units: int, method: str) -> Interval:
    """Return the share of `hit` (n, bool) with the bootstrap interval that `weights` (replicates, n) give."""
    total = weights.sum(axis=1)
    reps = np.where(
        total > 0, (weights @ hit.astype(np.float64)) / np.where(total > 0, total, 1), np.nan
    )
    return percentile_interval(float(np.mean(hit)), reps, method=method, units=units)


def naive_interval(share: float, n: int) -> Interval:
    """Return Wilson's interval as if the n pairs were independent, which pairs that share identities are not."""
    lo, hi = wilson(share * n, n)
    return Interval(float(share), lo, hi, "naive binomial (Wilson): pairs taken as independent", n)


def threshold_names(squared: float) -> dict[str, float | None]:
    """Return one threshold in the three customary units: squared L2, plain L2, cosine similarity (unit embeddings).

    A customary 0.6 on plain L2 is 0.36 squared; read as squared it would be 0.775 plain.

    Examples
    --------
    >>> {k: round(v, 3) for k, v in threshold_names(0.36).items()}
    {'squared_l2': 0.36, 'l2': 0.6, 'cosine': 0.82}
    """
    if not math.isfinite(squared):
        return {"squared_l2": None, "l2": None, "cosine": None}
    return {
        "squared_l2": float(squared),
        "l2": math.sqrt(max(0.0, squared)),
        "cosine": 1 - squared / 2,
    }
