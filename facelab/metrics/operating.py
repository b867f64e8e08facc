"""Operating points: FMR and FNMR curves, EER, TAR at FAR with its support, thresholds chosen here and reported there.

Distances are squared L2; "same" is distance < threshold, strictly. FMR and FNMR are over comparisons that took place;
FAR and FRR over all attempts, failures to acquire included (ISO/IEC 19795-1: FAR = FMR·(1 − FTA),
FRR = FTA + FNMR·(1 − FTA)). A failed attempt has distance infinity and is always rejected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.metrics.intervals import percentile_interval
from facelab.metrics.verification import (
    checked,
    fold_of,
    naive_interval,
    pair_weights,
    share_interval,
)

if TYPE_CHECKING:
    from jaxtyping import Num, Shaped

__all__ = [
    "ErrorCurve",
    "OperatingPoint",
    "acquisition_rates",
    "check_supported",
    "equal_error_rate",
    "error_curve",
    "rates",
    "recommend",
    "tar_at_far",
    "tar_interval",
    "threshold_at",
]


@dataclass(frozen=True)
class ErrorCurve:
    """FMR and FNMR (k,) at falling strictness; `threshold` (k,) rises from the smallest distance to infinity."""

    threshold: np.ndarray
    fmr: np.ndarray
    fnmr: np.ndarray


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold gives: TAR, and the FAR it really has beside the target."""

    target: float
    threshold: float
    far: float
    tar: float
    false_accepts: int
    impostors: int


def error_curve(distance: Num[np.ndarray, " n"], same: Shaped[np.ndarray, " n"]) -> ErrorCurve:
    """Return FMR and FNMR at every threshold where either changes (failed attempts, distance infinity, left out).

    Examples
    --------
    >>> c = error_curve(np.array([.1, .4, .3, .9]), np.array([1, 1, 0, 0]))
    >>> c.fmr.tolist(), c.fnmr.tolist()
    ([0.0, 0.0, 0.5, 0.5, 1.0], [1.0, 0.5, 0.5, 0.0, 0.0])
    """
    distance, same = checked(distance, same)
    took_place = np.isfinite(distance)
    genuine, impostor = np.sort(distance[took_place & same]), np.sort(distance[took_place & ~same])
    if not len(genuine) or not len(impostor):
        raise BadInputError(
            "no comparison of one kind took place",
            expected="genuine and impostor pairs with embeddings",
            got=f"{len(genuine)} genuine, {len(impostor)} impostor",
            fix="add pairs of that kind, or check which embeddings failed",
        )
    threshold = np.concatenate([np.unique(distance[took_place]), [np.inf]])
    return ErrorCurve(
        threshold,
        np.searchsorted(impostor, threshold, side="left") / len(impostor),
        1 - np.searchsorted(genuine, threshold, side="left") / len(genuine),
    )


def equal_error_rate(
    distance: Num[np.ndarray, " n"], same: Shaped[np.ndarray, " n"]
) -> tuple[float, float]:
    """Return (EER, threshold): where FMR meets FNMR, on the straight line between the two neighbouring points.

    Examples
    --------
    >>> equal_error_rate(np.array([.1, .4, .3, .9]), np.array([1, 1, 0, 0]))
    (0.5, 0.4)
    """
    c = error_curve(distance, same)
    gap = c.fmr - c.fnmr  # rises from −1 to 1
    k = int(np.searchsorted(gap, 0, side="left"))
    if gap[k] == 0:
        return float(c.fmr[k]), float(c.threshold[k])
    t = -gap[k - 1] / (gap[k] - gap[k - 1])
    threshold = c.threshold[k] if math.isfinite(c.threshold[k]) else c.threshold[k - 1]
    return float(c.fmr[k - 1] + t * (c.fmr[k] - c.fmr[k - 1])), float(threshold)


def check_supported(
    target: float,
    impostors: int,
    *,
    fix: str = "choose a larger target or more impostor pairs",
) -> None:
    """Raise BadInputError unless `impostors` pairs can support the FAR `target` (rule of three).

    With no false accept among n pairs the 95 % upper bound of the FAR is about 3/n, so a target below 3/n can be
    neither met nor missed by evidence.
    """
    if not 0 < target <= 1:
        raise BadInputError(
            "a FAR target must be a share",
            expected="above 0, at most 1",
            got=target,
            fix="for 1 false match in 1000, write 0.001",
        )
    # a relative hair, so that 3/3000 supports 1e-3 in binary too
    if target * impostors < 3 * (1 - 1e-9):
        raise BadInputError(
            f"{impostors} impostor pairs cannot support FAR {target:g} (rule of three)",
            expected=f"at least {math.ceil(3 / target - 1e-6)} impostor pairs, or a target of at least "
            f"{3 / max(impostors, 1):.3g}",
            got=f"{impostors} impostor pairs",
            fix=fix,
        )


def threshold_at(
    distance: Num[np.ndarray, " n"], same: Shaped[np.ndarray, " n"], target: float
) -> float:
    """Return the largest threshold whose FAR does not exceed `target`; infinity where every pair may be accepted.

    Raises BadInputError for a target that the impostor pairs cannot support.

    Examples
    --------
    >>> d = np.concatenate([np.full(5, .1), np.arange(1, 31) / 10])
    >>> threshold_at(d, np.arange(35) < 5, 0.1)
    0.4
    """
    distance, same = checked(distance, same)
    impostor = np.sort(distance[~same])
    check_supported(target, len(impostor))
    allowed = math.floor(target * len(impostor) * (1 + 1e-12))
    # accepting is strict, so the (allowed+1)-th smallest distance itself lets at most `allowed` impostors in
    return float(impostor[allowed]) if allowed < len(impostor) else math.inf


def rates(
    distance: np.ndarray, same: np.ndarray, threshold: float, *, target: float = math.nan
) -> OperatingPoint:
    """Return FAR and TAR over all attempts at a threshold (squared L2)."""
    distance, same = checked(distance, same)
    accepted = distance < threshold
    wrong, impostors = int(np.sum(accepted & ~same)), int(np.sum(~same))
    return OperatingPoint(
        float(target),
        float(threshold),
        wrong / impostors,
        float(np.mean(accepted[same])),
        wrong,
        impostors,
    )


def tar_at_far(
    distance: Num[np.ndarray, " n"], same: Shaped[np.ndarray, " n"], target: float
) -> OperatingPoint:
    """Return the true accept rate at the largest threshold whose FAR does not exceed `target`, with the achieved FAR.

    Raises BadInputError for a target that the number of impostor pairs cannot support (rule of three).
    """
    return rates(distance, same, threshold_at(distance, same, target), target=target)


def tar_interval(
    distance: Num[np.ndarray, " n"],
    same: Shaped[np.ndarray, " n"],
    target: float,
    *,
    first: Any = None,
    second: Any = None,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return TAR at FAR as plain JSON with two intervals: by identity (or pair), and the naive one.

    The bootstrap moves the threshold with the impostor pairs of each replicate.
    """
    point = tar_at_far(distance, same, target)
    distance, same = checked(distance, same)
    weights, units, method = pair_weights(len(distance), first, second, replicates, seed)
    reps = _tar_replicates(distance, same, target, weights)
    honest = percentile_interval(point.tar, reps, method=method, units=units)
    naive = naive_interval(point.tar, int(same.sum()))
    return {
        "target": target,
        "tar": point.tar,
        "far": point.far,
        "threshold": _finite(point.threshold),
        "false_accepts": point.false_accepts,
        "impostors": point.impostors,
        "lo": honest.lo,
        "hi": honest.hi,
        "method": honest.method,
        "units": honest.units,
        "naive_lo": naive.lo,
        "naive_hi": naive.hi,
    }


def _tar_replicates(
    distance: np.ndarray, same: np.ndarray, target: float, weights: np.ndarray
) -> np.ndarray:
    order = np.argsort(distance[~same], kind="stable")
    impostor, genuine = distance[~same][order], distance[same]
    reps = np.full(len(weights), np.nan)
    for r, w in enumerate(weights):
        wi, wg = w[~same][order], w[same]
        if wi.sum() == 0 or wg.sum() == 0:
            continue
        # the first impostor whose acceptance would exceed the target
        most: float = target * wi.sum() * (1 + 1e-12)
        at = int(np.searchsorted(np.cumsum(wi), most, side="right"))
        threshold = impostor[at] if at < len(impostor) else math.inf
        reps[r] = wg[genuine < threshold].sum() / wg.sum()
    return reps


def recommend(
    distance: Num[np.ndarray, " n"],
    same: Shaped[np.ndarray, " n"],
    target: float,
    *,
    first: Any = None,
    second: Any = None,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Choose a threshold at FAR `target` on the first five folds and report it on the last five, as plain JSON.

    The threshold has an interval from the choosing half, FAR and TAR from the reporting half; identities that are in
    both halves are counted, since they make the report too kind. Raises BadInputError where the choosing half cannot
    support the target.
    """
    distance, same = checked(distance, same)
    choosing = fold_of(len(distance)) < 5
    for half, what in ((choosing, "first"), (~choosing, "second")):
        if same[half].all() or not same[half].any():
            raise BadInputError(
                f"the {what} half of the pairs is of one kind",
                expected="genuine and impostor pairs",
                fix="order the pairs so that both halves hold both kinds, as LFW's folds do",
            )
    threshold = threshold_at(distance[choosing], same[choosing], target)
    draw = [
        pair_weights(int(h.sum()), _part(first, h), _part(second, h), replicates, seed)
        for h in (choosing, ~choosing)
    ]
    chosen = _threshold_replicates(
        distance[choosing & ~same], draw[0][0][:, ~same[choosing]], target
    )
    d, s = distance[~choosing], same[~choosing]
    weights, units, method = draw[1]
    far = share_interval(d[~s] < threshold, weights[:, ~s], units, method)
    tar = share_interval(d[s] < threshold, weights[:, s], units, method)
    interval = percentile_interval(threshold, chosen, method=draw[0][2], units=draw[0][1])
    shared = len(_people(first, second, choosing) & _people(first, second, ~choosing))
    return {
        "target_far": target,
        "threshold": _finite(threshold),
        "threshold_lo": interval.lo,
        "threshold_hi": interval.hi,
        "chosen_on": "folds 1-5",
        "reported_on": "folds 6-10",
        "far": far.value,
        "far_lo": far.lo,
        "far_hi": far.hi,
        "tar": tar.value,
        "tar_lo": tar.lo,
        "tar_hi": tar.hi,
        "method": method,
        "shared_identities": shared,
    }


def _part(who: np.ndarray | None, mask: np.ndarray) -> np.ndarray | None:
    return None if who is None else np.asarray(who)[mask]


def _people(first: np.ndarray | None, second: np.ndarray | None, mask: np.ndarray) -> set[Any]:
    sides = [part.tolist() for who in (first, second) if (part := _part(who, mask)) is not None]
    return {person for side in sides for person in side}


def _threshold_replicates(impostor: np.ndarray, weights: np.ndarray, target: float) -> np.ndarray:
    order = np.argsort(impostor, kind="stable")
    impostor, weights = impostor[order], weights[:, order]
    total = weights.sum(axis=1)
    reps = np.full(len(weights), np.nan)
    for r, w in enumerate(weights):
        most: float = target * total[r] * (1 + 1e-12)
        at = int(np.searchsorted(np.cumsum(w), most, side="right"))
        if total[r] > 0 and at < len(impostor):
            reps[r] = impostor[at]
    return reps


def acquisition_rates(
    distance: np.ndarray, same: np.ndarray, threshold: float
) -> dict[str, float | None]:
    """Return FTA, FMR, FNMR (comparisons that took place), FAR and FRR (all attempts) at a threshold, named.

    FTA is the share of pairs in which a face was not found, given for genuine pairs too since FRR rests on it.
    """
    distance, same = checked(distance, same)
    there, accepted = np.isfinite(distance), distance < threshold
    out: dict[str, float | None] = {
        "failure_to_acquire": float(np.mean(~there)),
        "failure_to_acquire_genuine": float(np.mean(~there[same])),
        "far": float(np.mean(accepted[~same])),
        "frr": float(np.mean(~accepted[same])),
    }
    for name, mask, event in (("fmr", ~same & there, accepted), ("fnmr", same & there, ~accepted)):
        out[name] = float(np.mean(event[mask])) if mask.any() else None
    return out


def _finite(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None
