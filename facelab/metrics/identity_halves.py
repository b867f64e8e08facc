"""Choose a verification threshold on one half of the people and report it on the other."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.metrics.operating import check_supported, threshold_at
from facelab.metrics.verification import checked, pair_weights, share_interval, threshold_names

__all__ = ["Choice", "choose", "every_pair", "halves"]

MOST_PAIRS = 2_000_000


@dataclasses.dataclass(frozen=True)
class Choice:
    """A threshold with the people that chose it and the figures on the others.

    `threshold` is a squared L2 distance, same below. `far` and `tar` (with `_lo`, `_hi`) are of the reporting half;
    `crossing` counts pairs of one person of each half, which neither half may use.
    """

    target: float
    threshold: float
    far: float
    far_lo: float
    far_hi: float
    tar: float
    tar_lo: float
    tar_hi: float
    method: str
    chosen: tuple[str, ...]
    reported: tuple[str, ...]
    pairs: dict[str, int]
    crossing: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return dataclasses.asdict(self) | {"names": threshold_names(self.threshold)}


def halves(
    first: np.ndarray, second: np.ndarray, same: np.ndarray, *, seed: int = 0
) -> tuple[set[str], set[str]]:
    """Split the people of pairs into two sets with as many genuine pairs each as can be.

    Examples
    --------
    >>> a, b = halves(np.array(["x", "y", "z", "w"]), np.array(["x", "y", "z", "w"]), np.ones(4, bool))
    >>> len(a), len(b), a & b
    (2, 2, set())
    """
    people = np.unique(np.concatenate([first, second]).astype(str))
    own = dict.fromkeys(people.tolist(), 0)
    for p in first[same].astype(str).tolist():
        own[p] += 1
    order: list[str] = np.random.default_rng(seed).permutation(people).tolist()
    order.sort(key=lambda p: -own[p])
    sides: tuple[set[str], set[str]] = (set(), set())
    load = [0, 0]
    for p in order:
        # the side with fewer genuine pairs, then with fewer people
        k = min((0, 1), key=lambda i: (load[i], len(sides[i])))
        sides[k].add(p)
        load[k] += own[p]
    return sides


def _check_half(same: np.ndarray, what: str, target: float) -> None:
    """Raise BadInputError where a half of the people cannot choose or report a threshold at FAR `target`."""
    genuine, impostor = int(same.sum()), int((~same).sum())
    if not genuine or not impostor:
        raise BadInputError(
            f"the half of the people that {what} the threshold has pairs of one kind only",
            expected="genuine and impostor pairs within both halves",
            got=f"{genuine} genuine, {impostor} impostor",
            fix="give more people, or compare every pair (--every-pair)",
        )
    check_supported(
        target,
        impostor,
        fix="choose a larger target (--far), give more people, or compare every pair (--every-pair)",
    )


def choose(
    distance: np.ndarray,
    same: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    target: float,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> Choice:
    """Choose the threshold at FAR `target` on half of the people, and report FAR and TAR on the other half.

    Parameters
    ----------
    distance : (n,) float ndarray
        Squared L2 distance of each pair; infinity where a face was not found.
    same : (n,) bool ndarray
        Whether a pair shows one person.
    first, second : (n,) ndarray of str
        Who is shown.
    target : float
        False accept rate, 0 to 1; both halves must support it (rule of three).
    replicates, seed : int
        Of the bootstrap over people, and of the split.

    Returns
    -------
    Choice
        No person is in both halves.

    Raises
    ------
    BadInputError
        A half lacks genuine or impostor pairs, or cannot support the target.
    """
    distance, same = checked(distance, same)
    first, second = (np.asarray(side).astype(str) for side in (first, second))
    one, other = halves(first, second, same, seed=seed)
    inside = [np.isin(first, sorted(side)) & np.isin(second, sorted(side)) for side in (one, other)]
    for mask, what in zip(inside, ("chooses", "reports")):
        _check_half(same[mask], what, target)
    threshold = threshold_at(distance[inside[0]], same[inside[0]], target)
    if not math.isfinite(threshold):
        threshold = float(np.nextafter(distance[np.isfinite(distance)].max(), np.inf))
    d, s = distance[inside[1]], same[inside[1]]
    weights, units, method = pair_weights(
        len(d), first[inside[1]], second[inside[1]], replicates, seed
    )
    far = share_interval(d[~s] < threshold, weights[:, ~s], units, method)
    tar = share_interval(d[s] < threshold, weights[:, s], units, method)
    return Choice(
        target,
        float(threshold),
        far.value,
        far.lo,
        far.hi,
        tar.value,
        tar.lo,
        tar.hi,
        method,
        tuple(sorted(one)),
        tuple(sorted(other)),
        {"chose": int(inside[0].sum()), "reported": int(inside[1].sum())},
        int((~inside[0] & ~inside[1]).sum()),
    )


def every_pair(
    a: np.ndarray, b: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return every pair of the different embeddings among `a` and `b` (n, d): indices as rows, labels, identities.

    A list of pairs compares each picture with few others; all pairs support lower false accept rates. At most two
    million, of which impostor pairs are drawn at random (seeded). Returns (rows a, rows b, same, first, second).
    """
    rows = np.concatenate([a, b])
    who = np.concatenate([first, second]).astype(str)
    _, unique = np.unique(rows, axis=0, return_index=True)
    unique = unique[np.isfinite(rows[unique]).all(axis=1)]
    i, j = np.triu_indices(len(unique), 1)
    same = who[unique[i]] == who[unique[j]]
    if len(i) > MOST_PAIRS:
        rng = np.random.default_rng(seed)
        kept = same.copy()
        kept[rng.choice(np.flatnonzero(~same), MOST_PAIRS - int(same.sum()), replace=False)] = True
        i, j, same = i[kept], j[kept], same[kept]
    i, j = unique[i], unique[j]
    return rows[i], rows[j], same, who[i], who[j]
