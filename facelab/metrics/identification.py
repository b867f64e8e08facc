"""Identification among many, 1:N: rank-k of people who are enrolled, and what a watch-list costs (ISO/IEC 19795-1).

FPIR: the share of searches by people who are not enrolled that return somebody. FNIR: the share of searches by
enrolled people that do not return them, at rank 1 and at or above the threshold.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.result import Result
from facelab.metrics.intervals import bootstrap_mean
from facelab.metrics.operating import check_supported

__all__ = ["Identification", "evaluate"]

RANKS = (1, 5, 10)
FPIRS = (0.1, 0.01, 0.001)


@dataclasses.dataclass(frozen=True)
class Identification(Result):
    """What searching for probes in a gallery of people gives.

    Attributes
    ----------
    people : int
        People in the gallery.
    mated, unmated : int
        Searches by people who are enrolled, and by others.
    failed : int
        Of these, searches without an embedding: never found, and never an alarm.
    ranks : dict[str, dict]
        Rank → share of mated searches whose person is among the first this many, with `lo`, `hi` over people.
    open_set : list of dict
        For each FPIR target the threshold (cosine), the achieved FPIR, and FNIR with its interval; `refused` where the
        unmated searches cannot support the target.
    place : (n,) int64 ndarray
        Rank of each mated search's person, from 1; 0 for a failed or unmated search.
    best : (n,) int64 ndarray
        Gallery row of the best match of each search; -1 without an embedding.
    score : (n,) float64 ndarray
        Its cosine.
    """

    people: int
    mated: int
    unmated: int
    failed: int
    ranks: dict[str, dict[str, Any]]
    open_set: list[dict[str, Any]]
    place: np.ndarray
    best: np.ndarray
    score: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return the document `facelab.eval.identification/1`."""
        keep = ("people", "mated", "unmated", "failed", "ranks", "open_set")
        return {"schema": "facelab.eval.identification/1"} | {k: getattr(self, k) for k in keep}

    def __str__(self) -> str:
        lines = [
            f"{self.people} people enrolled; {self.mated} searches by them, {self.unmated} by others, "
            f"{self.failed} without a face"
        ]
        for rank, r in self.ranks.items():
            lines.append(f"rank {rank:<4} {r['value']:.4f} [{r['lo']:.4f}, {r['hi']:.4f}]")
        lines += [_open_words(o) for o in self.open_set]
        return "\n".join(lines)


def _open_words(o: dict[str, Any]) -> str:
    if o["fnir"] is None:
        return f"FPIR {o['target']:g}: refused ({o['refused']})"
    return (
        f"FPIR {o['target']:g}: FNIR {o['fnir']:.4f} [{o['lo']:.4f}, {o['hi']:.4f}] at cosine "
        f"{o['threshold']:.4f} (achieved FPIR {o['fpir']:.4f})"
    )


def evaluate(
    gallery: np.ndarray,
    enrolled: Sequence[str] | np.ndarray,
    probes: np.ndarray,
    shown: Sequence[str] | np.ndarray,
    *,
    ranks: Sequence[int] = RANKS,
    fpirs: Sequence[float] = FPIRS,
    seed: int = 0,
) -> Identification:
    """Search every probe in the gallery and score the answers by person.

    Parameters
    ----------
    gallery : (g, d) float ndarray
        Embeddings of the enrolled pictures; a person's score is that of their best picture.
    enrolled : (g,) of str
        Whose they are.
    probes : (p, d) float ndarray
        Embeddings to search for; a row with NaN is a failure to find a face.
    shown : (p,) of str
        Whose they are; people who are not enrolled are unmated searches.
    ranks : sequence of int
        Ranks to report.
    fpirs : sequence of float
        False positive identification rates; one that the unmated searches cannot support is refused in the result.
    seed : int
        Of the bootstrap over people.

    Returns
    -------
    Identification
        Figures with 95 % intervals by resampling people.

    Raises
    ------
    BadInputError
        Shapes do not fit, or nobody who is enrolled is searched for.

    Examples
    --------
    >>> g = np.eye(3)
    >>> r = evaluate(g, ["a", "b", "c"], np.array([[1, 0.1, 0], [0, 1, 0.2], [0.9, 1, 0]]), ["a", "b", "a"])
    >>> round(r.ranks["1"]["value"], 3), r.place.tolist()
    (0.667, [1, 1, 2])
    """
    gallery, probes = (np.asarray(x, np.float64) for x in (gallery, probes))
    enrolled, shown = np.asarray(enrolled).astype(str), np.asarray(shown).astype(str)
    _check(gallery, enrolled, probes, shown)
    people, owner = np.unique(enrolled, return_inverse=True)
    there = np.isfinite(probes).all(axis=1)
    known = np.isin(shown, people)
    mated = known & there
    if not mated.any():
        raise BadInputError(
            "nobody who is enrolled is searched for",
            expected="probes of people in the gallery",
            got=f"{len(shown)} probes of {len(np.unique(shown))} people",
            fix="enrol some pictures of people and search for others of them",
        )
    scores, rows = _by_person(_unit(gallery), owner, len(people), _unit(probes[there]))
    place = np.zeros(len(probes), np.int64)
    best, top = np.full(len(probes), -1), np.full(len(probes), -np.inf)
    best[there] = rows[np.arange(len(rows)), scores.argmax(axis=1)]
    top[there] = scores.max(axis=1)
    column = np.searchsorted(people, shown[mated])
    mine = scores[mated[there]]
    own = mine[np.arange(len(mine)), column]
    # ties count against the search: somebody else with the same score stands first
    place[mated] = (mine >= own[:, None]).sum(axis=1)
    return Identification(
        len(people),
        int(known.sum()),
        int((~known).sum()),
        int((~there).sum()),
        {
            str(k): bootstrap_mean(
                (place[known] > 0) & (place[known] <= k), groups=shown[known], seed=seed
            ).as_dict()
            for k in ranks
        },
        [_open(t, top, place, known, shown, seed) for t in fpirs],
        place,
        best,
        top,
    )


def _open(
    target: float,
    top: np.ndarray,
    place: np.ndarray,
    known: np.ndarray,
    shown: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """FNIR at the lowest threshold whose FPIR does not exceed the target."""
    alarms = np.sort(top[~known])[::-1]
    try:
        check_supported(target, len(alarms))
    except BadInputError as e:
        return {
            "target": target,
            "fnir": None,
            "refused": f"{len(alarms)} searches by people who are not enrolled; {e.expected}".replace(
                "impostor pairs", "of them"
            ),
        }
    allowed = math.floor(target * len(alarms) * (1 + 1e-12))
    # accepted from the threshold on: just above the first alarm that is one too many
    threshold = float(np.nextafter(alarms[allowed], np.inf)) if allowed < len(alarms) else -1.0
    missed = ~((place[known] == 1) & (top[known] >= threshold))
    interval = bootstrap_mean(missed, groups=shown[known], seed=seed)
    return {
        "target": target,
        "threshold": threshold,
        "fpir": float(np.mean(alarms >= threshold)),
        "fnir": interval.value,
        "lo": interval.lo,
        "hi": interval.hi,
    }


def _check(
    gallery: np.ndarray, enrolled: np.ndarray, probes: np.ndarray, shown: np.ndarray
) -> None:
    fine = gallery.ndim == probes.ndim == 2 and len(gallery) and len(probes)
    if (
        not fine
        or gallery.shape[1] != probes.shape[1]
        or (len(enrolled) != len(gallery) or len(shown) != len(probes))
    ):
        raise BadInputError(
            "gallery, probes and their identities do not fit together",
            expected="(g, d) with g names, (p, d) with p names",
            got=f"{gallery.shape} with {len(enrolled)}, {probes.shape} with {len(shown)}",
            fix="give one name a row",
        )
    if not np.isfinite(gallery).all():
        raise BadInputError(
            "a picture of the gallery has no embedding",
            got=f"row {int(np.flatnonzero(~np.isfinite(gallery).all(axis=1))[0])}",
            fix="leave out pictures without a face",
        )


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)


def _by_person(
    gallery: np.ndarray, owner: np.ndarray, people: int, probes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each probe's best cosine with every person (p, people), and the gallery row that gives it."""
    scores = np.full((len(probes), people), -np.inf)
    rows = np.zeros((len(probes), people), np.int64)
    for at in range(0, len(probes), 1024):
        part = probes[at : at + 1024] @ gallery.T
        for g, person in enumerate(owner):
            better = part[:, g] > scores[at : at + 1024, person]
            scores[at : at + 1024, person][better] = part[better, g]
            rows[at : at + 1024, person][better] = g
    return scores, rows
