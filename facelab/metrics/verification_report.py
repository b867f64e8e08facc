"""Every verification figure of a set of pairs in one report: folds, intervals, TAR at FAR, a threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.metrics import operating, verification

__all__ = ["as_text", "evaluate"]

DEFAULT_FARS = (1e-1, 1e-2, 1e-3, 1e-4)


def _counts(
    distance: np.ndarray, same: np.ndarray, first: np.ndarray | None, second: np.ndarray | None
) -> dict[str, int | None]:
    """Return how many pairs of each kind there are, and of how many people."""
    people = None
    if first is not None and second is not None:
        people = len(np.unique(np.concatenate([first, second])))
    return {
        "pairs": len(same),
        "genuine": int(same.sum()),
        "impostor": int((~same).sum()),
        "failed": int(np.isinf(distance).sum()),
        "identities": people,
    }


def evaluate(
    distance: np.ndarray,
    same: np.ndarray,
    first: np.ndarray | None,
    second: np.ndarray | None,
    *,
    fars: Sequence[float] = (),
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return every verification figure of squared distances (n,) as plain JSON.

    `first`, `second` are identities (n,) or None; an explicit FAR in `fars` that is not supported raises, the default
    ones are listed as refused.
    """
    options: dict[str, Any] = {
        "first": first,
        "second": second,
        "replicates": replicates,
        "seed": seed,
    }
    folds = verification.ten_fold(distance, same)
    honest = verification.accuracy_interval(distance, same, **options)
    naive = verification.naive_interval(folds.accuracy, len(same))
    eer, eer_threshold = operating.equal_error_rate(distance, same)
    threshold = float(np.median(folds.thresholds))
    value: dict[str, Any] = {
        "schema": "facelab.eval.verification/1",
        "accuracy": folds.accuracy,
        "accuracy_std": folds.std,
        "folds": folds.folds,
        "fold_thresholds": folds.thresholds,
        "accuracy_interval": honest.as_dict(),
        "accuracy_interval_naive": naive.as_dict(),
        "accuracy_lo": honest.lo,
        "accuracy_hi": honest.hi,
        "distance": "squared L2",
        "threshold": verification.threshold_names(threshold),
        "eer": eer,
        "eer_threshold": verification.threshold_names(eer_threshold),
        "tar_at_far": _tars(distance, same, fars, options),
        "at_median_threshold": operating.acquisition_rates(distance, same, threshold),
        "counts": _counts(distance, same, first, second),
        "replicates": replicates,
        "seed": seed,
    }
    value["recommended"], why = _recommended(distance, same, options)
    value["warnings"] = _warnings(value, first is not None, why, len(same))
    return value


def _tars(
    distance: np.ndarray, same: np.ndarray, fars: Sequence[float], options: dict[str, Any]
) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for target in fars or DEFAULT_FARS:
        try:
            out[f"{target:g}"] = operating.tar_interval(distance, same, target, **options)
        except BadInputError as e:
            if fars:
                raise
            out[f"{target:g}"] = {
                "target": target,
                "tar": None,
                "refused": f"{e.what}: {e.expected}",
            }
    return out


def _recommended(
    distance: np.ndarray, same: np.ndarray, options: dict[str, Any]
) -> tuple[dict[str, Any] | None, str | None]:
    """Return the recommendation at the smallest power of ten that half of the impostor pairs support, or why not."""
    impostors = int((~same)[verification.fold_of(len(same)) < 5].sum())
    if impostors < 30:
        return (
            None,
            f"{impostors} impostor pairs in the first five folds support no threshold at FAR 0.1",
        )
    target = 10.0 ** -math.floor(math.log10(impostors / 3) + 1e-9)
    try:
        return operating.recommend(distance, same, target, **options), None
    except BadInputError as e:
        return None, str(e.what)


def _warnings(value: dict[str, Any], has_ids: bool, why: str | None, n: int) -> list[str]:
    out: list[str] = []
    if not has_ids:
        out.append(
            "identities are not known: the intervals take pairs as independent and may be many times too narrow "
            "(add an array `ids`)"
        )
    if why:
        out.append(f"no threshold is recommended: {why}")
    elif value["recommended"]["shared_identities"]:
        out.append(
            f"{value['recommended']['shared_identities']} identities are in the half that chose the threshold "
            "and in the half that reports it: the report is too kind (`facelab eval threshold` splits the people)"
        )
    if n % 10:
        out.append(
            f"{n} pairs do not divide into ten equal folds: the first {n % 10} folds hold one pair more"
        )
    return out


def as_text(value: dict[str, Any]) -> str:
    """Return the report of `evaluate` as lines of text."""
    c, i, naive = value["counts"], value["accuracy_interval"], value["accuracy_interval_naive"]
    t = value["threshold"]
    lines = [
        f"{c['pairs']} pairs ({c['genuine']} genuine, {c['impostor']} impostor, {c['failed']} failed to acquire)",
        f"accuracy  {value['accuracy']:.6f} ± {value['accuracy_std']:.6f} over ten folds",
        f"          [{i['lo']:.4f}, {i['hi']:.4f}] {i['method']} ({i['units']} units)",
        f"          [{naive['lo']:.4f}, {naive['hi']:.4f}] {naive['method']}",
        f"threshold {t['squared_l2']:.4f} squared L2 = {t['l2']:.4f} L2 = cosine {t['cosine']:.4f} "
        "(median of the folds)",
        f"EER       {value['eer']:.6f}",
    ]
    for target, p in value["tar_at_far"].items():
        if p["tar"] is None:
            lines.append(f"TAR@FAR {target}: refused, {p['refused']}")
        else:
            lines.append(
                f"TAR@FAR {target}: {p['tar']:.6f} [{p['lo']:.4f}, {p['hi']:.4f}] (achieved FAR "
                f"{p['far']:.6f}, {p['false_accepts']} of {p['impostors']}; "
                f"naive [{p['naive_lo']:.4f}, {p['naive_hi']:.4f}])"
            )
    if r := value["recommended"]:
        lines.append(
            f"recommended at FAR {r['target_far']:g}: squared L2 {r['threshold']:.4f} "
            f"[{r['threshold_lo']:.4f}, {r['threshold_hi']:.4f}] chosen on {r['chosen_on']}; on "
            f"{r['reported_on']}: FAR {r['far']:.4f} [{r['far_lo']:.4f}, {r['far_hi']:.4f}], "
            f"TAR {r['tar']:.4f} [{r['tar_lo']:.4f}, {r['tar_hi']:.4f}]"
        )
    return "\n".join(lines)
