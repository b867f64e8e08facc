"""`facelab.thresholds/1`: decision thresholds, and on which data each was chosen and reported.

A threshold chosen on the data that it is reported on fits their noise: its error rates come out too low (bob.bio's
rule: choose on one set, report on another).
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from facelab.core.errors import BadInputError
from facelab.core.files import read_json
from facelab.core.hashing import sha256_json
from facelab.deploy.manifest import Strict, explain

SCHEMA = "facelab.thresholds/1"
VERIFICATION = "facelab.eval.verification/1"


class DataSet(Strict):
    """The data behind a figure: a name, and where known the content hashes of its images and its identities."""

    name: str = Field(min_length=1)
    hash: str | None = None
    images: list[str] = Field(default_factory=list)
    identities: list[str] = Field(default_factory=list)


class Threshold(Strict):
    """One threshold. `quantity` says what is compared and in which direction; `origin` is `published` for a figure
    taken over from the model's authors, else `chosen`, with both data sets."""

    name: str = Field(min_length=1)
    value: Annotated[float, Field(allow_inf_nan=False)]
    quantity: str
    origin: Literal["chosen", "published"] = "chosen"
    chosen_on: DataSet | None = None
    reported_on: DataSet | None = None
    shared_identities: int = Field(default=0, ge=0)
    target: str | None = None
    reported: dict[str, Any] = Field(default_factory=dict)
    note: str = ""


class Thresholds(Strict):
    """The document."""

    schema_: Literal["facelab.thresholds/1"] = Field(default=SCHEMA, alias="schema")
    thresholds: list[Threshold] = Field(default_factory=list)

    def to_dict(self) -> dict:
        """Return the JSON document."""
        return self.model_dump(by_alias=True, exclude_none=True)


def parse(value: Any, where: object) -> Thresholds:
    """Check a document: this schema, or the figures of `facelab eval verification --json` with their recommendation.

    Raises BadInputError naming the key.
    """
    if (
        isinstance(value, dict)
        and value.get("schema", VERIFICATION) == VERIFICATION
        and "recommended" in value
    ):
        value = _from_verification(value["recommended"], where)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        got = value.get("schema") if isinstance(value, dict) else type(value).__name__
        raise BadInputError(
            "the thresholds have a different schema",
            where=where,
            expected=repr(SCHEMA),
            got=repr(got)[:80],
            fix='write {"schema": "facelab.thresholds/1", "thresholds": [{"name": …, "value": …}]}',
        )
    try:
        return Thresholds.model_validate(value)
    except ValidationError as e:
        raise explain(e, Thresholds, where, "thresholds") from None


def load(path: str | os.PathLike) -> Thresholds:
    """Read a file of thresholds; see `parse`."""
    return parse(read_json(path, max_bytes=16 << 20), path)


def _from_verification(r: Any, where: object) -> dict:
    if not isinstance(r, dict) or "threshold" not in r:
        raise BadInputError(
            "the verification recommends no threshold",
            where=where,
            fix="evaluate on pairs that support the FAR target",
        )
    lacking = [k for k in ("target_far", "chosen_on", "reported_on") if k not in r]
    if lacking or not isinstance(r["target_far"], (int, float)):
        raise BadInputError(
            "the verification's recommendation is not whole",
            where=where,
            expected="threshold, target_far (a number), chosen_on, reported_on",
            got=f"no {', '.join(lacking)}" if lacking else f"target_far {r['target_far']!r}"[:80],
            fix="write it again: facelab eval verification --json F",
        )
    return {
        "schema": SCHEMA,
        "thresholds": [
            {
                "name": "verification",
                "value": r["threshold"],
                "quantity": "squared L2 distance, same below",
                "target": f"FAR {r['target_far']:g}",
                "chosen_on": {"name": r["chosen_on"]},
                "reported_on": {"name": r["reported_on"]},
                "shared_identities": r.get("shared_identities", 0),
                "reported": {
                    k: r[k]
                    for k in ("far", "tar", "far_lo", "far_hi", "tar_lo", "tar_hi")
                    if k in r
                },
            }
        ],
    }


def data_set(name: str, images: list[str], identities: Any = ()) -> dict:
    """Return the record of a data set from its images' content hashes and its identities."""
    return {
        "name": name,
        "hash": sha256_json(sorted(images)),
        "images": sorted(set(images)),
        "identities": sorted(set(filter(None, identities))),
    }


def problem(t: Threshold) -> str | None:
    """Return why a threshold cannot be trusted, in one sentence, or None.

    >>> problem(Threshold(name="t", value=1, quantity="d", chosen_on=DataSet(name="test"),
    ...                   reported_on=DataSet(name="Test")))
    "the threshold 't' was chosen on the set it is reported on ('test')"
    """
    if t.origin == "published":
        return None
    a, b = t.chosen_on, t.reported_on
    if a is None or b is None:
        return f"nobody says on which data the threshold {t.name!r} was {'chosen' if a is None else 'reported'}"
    if a.name.strip().casefold() == b.name.strip().casefold() or (a.hash and a.hash == b.hash):
        return f"the threshold {t.name!r} was chosen on the set it is reported on ({a.name!r})"
    if shared := len(set(a.images) & set(b.images)):
        return (
            f"the threshold {t.name!r} was chosen on {a.name!r}, of which {shared} images are in {b.name!r}, "
            "where it is reported"
        )
    people = max(len(set(a.identities) & set(b.identities)), t.shared_identities)
    if people:
        return f"{people} people are in the data that chose the threshold {t.name!r} and in those that report it"
    return None


def rejection(confidence: np.ndarray, correct: np.ndarray, *, error: float = 0.05) -> float:
    """Return the lowest confidence above which a classifier's accepted answers are wrong at most `error` of the time.

    `confidence` (n,) float in 0…1, `correct` (n,) bool. Returns 1.0 (accept nothing) where no level does it.

    >>> rejection(np.array([.9, .8, .6, .5]), np.array([True, True, False, True]), error=0.1)
    0.8
    """
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, bool)
    if confidence.shape != correct.shape or confidence.ndim != 1 or not confidence.size:
        raise BadInputError(
            "one confidence and one outcome an answer",
            expected="two lists of equal length",
            got=f"{confidence.shape} and {correct.shape}",
            fix="pass two lists of equal length, one entry per answer",
        )
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~correct[order]) / np.arange(1, len(order) + 1)
    # a level accepts all answers of equal confidence, so only the last of equals may be one
    last = np.r_[np.diff(confidence[order]) != 0, True]
    good = np.flatnonzero((wrong <= error) & last)
    return float(confidence[order][good[-1]]) if len(good) else 1.0


def accepted(confidence: np.ndarray, correct: np.ndarray, threshold: float) -> dict:
    """Return how many answers a threshold accepts (share) and how many of those are wrong (share, None if none)."""
    taken = np.asarray(confidence) >= threshold
    wrong = float(np.mean(~np.asarray(correct, bool)[taken])) if taken.any() else None
    return {"coverage": float(np.mean(taken)), "error": wrong, "n": int(taken.size)}
