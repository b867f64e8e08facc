"""Budgets and the verdict on a variant: what a quantised model may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facelab.core.errors import BadInputError

ONLY_COSINE = "only cosine was looked at"
"""What a network of unknown kind misses: a cosine near 1 does not say that its answers are still right."""


@dataclass(frozen=True)
class Budgets:
    """What a variant must keep, against the float model on the same images. Shares are between 0 and 2; 1 is as much.

    Parameters
    ----------
    accuracy : float
        Least share of the float accuracy.
    agreement : float
        Least share of equal top-1 answers; of a detector, of boxes that both find.
    worst_class : float
        Least change of a class's recall, in points.
    ece : float
        Largest rise of the expected calibration error, in points.
    size : float
        Largest share of the float file.
    cosine : float
        Least mean cosine to the float output, of embedders and other networks without classes.
    recall : float
        Least share of a detector's float boxes that the variant finds.
    ap : float
        Least share of its float average precision, where boxes are labelled.
    counts : float
        Least share of the images on which the float model counts faces exactly, where faces are labelled.
    tar : float
        Least share of an embedder's float TAR at the same FAR, where pairs are given.
    cosine_suffices : bool
        Whether a network of unknown kind may pass by its cosine alone.

    Examples
    --------
    >>> Budgets(agreement=0.95).agreement
    0.95
    """

    accuracy: float = 0.99
    agreement: float = 0.98
    worst_class: float = -2.0
    ece: float = 1.0
    size: float = 0.30
    cosine: float = 0.98
    recall: float = 0.98
    ap: float = 0.98
    counts: float = 0.95
    tar: float = 0.98
    cosine_suffices: bool = False

    def __post_init__(self) -> None:
        for name in ("accuracy", "agreement", "size", "cosine", "recall", "ap", "counts", "tar"):
            if not 0 <= getattr(self, name) <= 2:
                raise BadInputError(
                    f"the budget `{name}` is a share",
                    expected="0 … 2, 1 being as much as the float model has",
                    got=getattr(self, name),
                    fix="write 98 % as 0.98",
                )


def judge(row: dict[str, Any], budgets: Budgets) -> dict[str, Any]:
    """Return the verdict on a row of the table: each check with its limit, value and outcome, and which failed.

    >>> judge({"size_ratio": 0.27, "cosine": {"mean": 0.99}, "agreement": None}, Budgets())["passed"]
    True
    """
    checks = [("size", "<=", budgets.size, row["size_ratio"])]
    if row.get("accuracy") is not None:
        checks += [
            ("accuracy", ">=", budgets.accuracy, row["accuracy_ratio"]),
            ("agreement", ">=", budgets.agreement, row["agreement"]["value"]),
            ("worst_class", ">=", budgets.worst_class, row["worst_class"]["change"]),
            ("ece", "<=", budgets.ece, row["ece_change"]),
        ]
    elif boxes := row.get("boxes"):
        checks += [
            ("agreement", ">=", budgets.agreement, row["agreement"]["value"]),
            ("recall", ">=", budgets.recall, boxes["recall"]),
        ]
        if not boxes["float"]:  # no face was found: nothing speaks for the variant
            checks.append(("faces", ">=", 1, 0))
    elif row["agreement"] is not None:
        checks.append(("agreement", ">=", budgets.agreement, row["agreement"]["value"]))
    else:
        checks.append(("cosine", ">=", budgets.cosine, row["cosine"]["mean"]))
        if row.get("unknown_kind") and not budgets.cosine_suffices:
            checks.append((ONLY_COSINE, ">=", 1, 0))
    for name in ("ap", "counts", "tar"):
        if row.get(f"{name}_ratio") is not None:
            checks.append((name, ">=", getattr(budgets, name), row[f"{name}_ratio"]))
    told = [
        {
            "budget": name,
            "limit": f"{sign} {limit:g}",
            "value": value,
            "passed": bool(value >= limit - 1e-9 if sign == ">=" else value <= limit + 1e-9),
        }
        for name, sign, limit, value in checks
    ]
    failed = [c["budget"] for c in told if not c["passed"]]
    return {"passed": not failed, "failed": failed, "checks": told}


def shortfall(verdict: dict[str, Any]) -> float:
    """Return by how much a verdict misses its quality budgets (size aside), 0 where it meets them: for ranking only."""
    units = {"worst_class": 1.0, "ece": 1.0, "faces": 1.0}
    return sum(
        abs(c["value"] - float(c["limit"].split()[1])) / units.get(c["budget"], 0.01)
        for c in verdict["checks"]
        if not c["passed"] and c["budget"] not in ("size", ONLY_COSINE)
    )
