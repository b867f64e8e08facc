"""Classification: accuracy, confusion, per-class figures, calibration error, agreement, and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from facelab.core.errors import BadInputError
from facelab.metrics.intervals import REPLICATES, Interval, bootstrap_mean, paired_difference

if TYPE_CHECKING:
    from jaxtyping import Int64, Integer, Num

__all__ = [
    "Reliability",
    "accuracy",
    "accuracy_difference",
    "agreement",
    "balanced_accuracy",
    "check_labels",
    "confusion",
    "expected_calibration_error",
    "macro_f1",
    "mcnemar",
    "per_class",
    "reliability",
]

ECE_BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Per bin of confidence: its edges, share of rows, mean confidence and accuracy (NaN where empty); and the ECE."""

    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    ece: float


def check_labels(
    truth: np.ndarray, predicted: np.ndarray, classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return both as int64 (n,). Raises BadInputError unless they are class numbers 0 … classes − 1 of equal length."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.ndim != 1 or truth.shape != predicted.shape or truth.size == 0:
        raise BadInputError(
            "true and predicted classes must be two lists of equal length",
            expected=truth.shape,
            got=predicted.shape,
            fix="pass one prediction for each true class",
        )
    for name, x in (("true", truth), ("predicted", predicted)):
        if x.dtype.kind not in "iub":
            raise BadInputError(
                f"the {name} classes must be whole numbers",
                got=x.dtype,
                fix="pass class numbers, not probabilities: probabilities.argmax(axis=1)",
            )
        if x.min() < 0 or (classes is not None and x.max() >= classes):
            raise BadInputError(
                f"a {name} class is out of range",
                expected=f"0 … {(classes or 0) - 1}" if classes else "0 or more",
                got=f"{x.min()} … {x.max()}",
                fix="count the classes from 0 and pass the right `classes`",
            )
    return truth.astype(np.int64), predicted.astype(np.int64)


def accuracy(
    truth: Integer[np.ndarray, " n"],
    predicted: Integer[np.ndarray, " n"],
    *,
    groups: np.ndarray | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Return the share of right answers with a bootstrap interval, by row or by `groups` (identities, scenes).

    Examples
    --------
    >>> accuracy(np.array([0, 1, 1]), np.array([0, 1, 0])).value.__round__(3)
    0.667
    """
    truth, predicted = check_labels(truth, predicted)
    return bootstrap_mean(truth == predicted, groups=groups, replicates=replicates, seed=seed)


def confusion(
    truth: Integer[np.ndarray, " n"], predicted: Integer[np.ndarray, " n"], classes: int
) -> Int64[np.ndarray, "c c"]:
    """Return counts (classes, classes), int64: row = true class, column = predicted class.

    Examples
    --------
    >>> confusion(np.array([0, 1, 1]), np.array([0, 1, 0]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    truth, predicted = check_labels(truth, predicted, classes)
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(
        classes, classes
    )


def per_class(
    table: Num[np.ndarray, "c c"], names: Sequence[str]
) -> dict[str, dict[str, float | int | None]]:
    """Return precision, recall, F1 and support per class from a confusion table; None where the share is 0/0.

    Examples
    --------
    >>> per_class(np.array([[1, 0], [1, 1]]), ["joy", "neutral"])["joy"]["precision"]
    0.5
    """
    table = np.asarray(table)
    if table.ndim != 2 or table.shape != (len(names), len(names)):
        raise BadInputError(
            "the confusion table does not fit the class names",
            expected=(len(names),) * 2,
            got=table.shape,
            fix="pass one name per row of the table",
        )
    out: dict[str, dict[str, float | int | None]] = {}
    for i, name in enumerate(names):
        hit, support, said = int(table[i, i]), int(table[i].sum()), int(table[:, i].sum())
        out[name] = {
            "precision": hit / said if said else None,
            "recall": hit / support if support else None,
            "f1": 2 * hit / (support + said) if support + said else None,
            "support": support,
        }
    return out


def macro_f1(table: Num[np.ndarray, "c c"]) -> float:
    """Return the unweighted mean F1 over the classes that occur as truth or answer.

    Examples
    --------
    >>> macro_f1(np.array([[2, 0], [0, 2]]))
    1.0
    """
    rows = per_class(table, [str(i) for i in range(len(table))])
    return float(np.mean([r["f1"] for r in rows.values() if r["f1"] is not None]))


def balanced_accuracy(table: Num[np.ndarray, "c c"]) -> float:
    """Return the unweighted mean recall over the classes that occur as truth.

    Examples
    --------
    >>> balanced_accuracy(np.array([[2, 0], [1, 1]]))
    0.75
    """
    rows = per_class(table, [str(i) for i in range(len(table))])
    return float(np.mean([r["recall"] for r in rows.values() if r["recall"] is not None]))


def reliability(
    probabilities: Num[np.ndarray, "n c"], truth: Integer[np.ndarray, " n"], *, bins: int = ECE_BINS
) -> Reliability:
    """Return the reliability table and the expected calibration error of top-1 confidences.

    `probabilities` (n, classes) sum to 1 in each row (within 1e-3, since INT8 outputs are coarse: a tolerance of
    1/256 per class is added). Binning: `bins` equal widths over 0 … 1, upper edge included (Guo et al., "On Calibration
    of Modern Neural Networks", 2017). ECE = Σ share · |accuracy − confidence|.
    """
    p, (truth, _) = (
        _probabilities(probabilities),
        check_labels(truth, truth, np.shape(probabilities)[1]),
    )
    if len(p) != len(truth):
        raise BadInputError(
            "there is not one label per row",
            expected=len(p),
            got=len(truth),
            fix="pass one true class for each row of probabilities",
        )
    top, right = p.max(axis=1), p.argmax(axis=1) == truth
    edges = np.linspace(0, 1, bins + 1)
    place = cast("np.ndarray", np.searchsorted(edges, top, side="left"))
    which: np.ndarray = np.clip(place - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    safe = np.maximum(count, 1)
    confidence, hits = (np.bincount(which, weights=w, minlength=bins) / safe for w in (top, right))
    ece = float(np.sum(count / len(p) * np.abs(hits - confidence)))
    empty = count == 0
    return Reliability(
        edges, count, np.where(empty, np.nan, confidence), np.where(empty, np.nan, hits), ece
    )


def expected_calibration_error(
    probabilities: Num[np.ndarray, "n c"], truth: Integer[np.ndarray, " n"], *, bins: int = ECE_BINS
) -> float:
    """Return the ECE with `bins` equal-width bins (see `reliability`).

    Examples
    --------
    >>> round(expected_calibration_error(np.array([[.8, .2], [.8, .2]]), np.array([0, 1])), 6)
    0.3
    """
    return reliability(probabilities, truth, bins=bins).ece


def _probabilities(values: np.ndarray) -> np.ndarray:
    p = np.asarray(values, dtype=np.float64)
    if p.ndim != 2 or p.shape[0] == 0 or p.shape[1] < 2:
        raise BadInputError(
            "probabilities must have one row per image and one column per class",
            expected="(n, classes), classes ≥ 2",
            got=p.shape,
            fix="reshape them to (images, classes)",
        )
    if not np.isfinite(p).all():
        raise BadInputError(
            "a probability is not finite",
            where=f"row {int(np.argmin(np.isfinite(p).all(axis=1)))}",
            fix="find out where the model gives NaN or infinity; a float16 overflow is usual",
        )
    off = np.abs(p.sum(axis=1) - 1)
    if p.min() < -1e-6 or off.max() > 1e-3 + p.shape[1] / 256:
        raise BadInputError(
            "the rows are not probabilities",
            where=f"row {int(off.argmax())}",
            expected="values ≥ 0 that sum to 1",
            got=f"sum {p.sum(axis=1)[off.argmax()]:.4g}",
            fix="apply the softmax first",
        )
    return p


def agreement(
    a: np.ndarray, b: np.ndarray, *, replicates: int = REPLICATES, seed: int = 0
) -> Interval:
    """Return the share of images on which two pipelines answer alike (top-1), with a bootstrap interval.

    Examples
    --------
    >>> agreement(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0])).value
    0.75
    """
    a, b = check_labels(a, b)
    return bootstrap_mean(a == b, replicates=replicates, seed=seed)


def accuracy_difference(
    truth: np.ndarray, a: np.ndarray, b: np.ndarray, *, replicates: int = REPLICATES, seed: int = 0
) -> Interval:
    """Return accuracy of `a` minus accuracy of `b` on the same images, with a paired bootstrap interval.

    Examples
    --------
    >>> accuracy_difference(np.array([0, 1]), np.array([0, 1]), np.array([0, 0])).value
    0.5
    """
    truth, a = check_labels(truth, a)
    _, b = check_labels(truth, b)
    return paired_difference(a == truth, b == truth, replicates=replicates, seed=seed)


def mcnemar(
    truth: Integer[np.ndarray, " n"], a: Integer[np.ndarray, " n"], b: Integer[np.ndarray, " n"]
) -> dict[str, float | int]:
    """Return McNemar's exact test: images that only `a` or only `b` gets right, and the two-sided p-value.

    Examples
    --------
    >>> mcnemar(np.zeros(6, int), np.zeros(6, int), np.ones(6, int))["p_value"]
    0.03125
    """
    from scipy.stats import binomtest  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] # scipy states no types

    truth, a = check_labels(truth, a)
    _, b = check_labels(truth, b)
    only_a, only_b = (
        int(np.sum((a == truth) & (b != truth))),
        int(np.sum((a != truth) & (b == truth))),
    )
    p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return {"only_a": only_a, "only_b": only_b, "p_value": float(p)}
