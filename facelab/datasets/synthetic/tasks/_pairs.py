"""Pairs of the set `verification`: ten folds with disjoint identities as in LFW, and pairs hard in one way."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

from facelab.datasets.synthetic._stream import Stream
from facelab.datasets.synthetic.tasks._sets import FOLDS, HARD_FACTORS, verification_place

FEWEST = 40  # pictures: two identities a fold, twice each


@dataclass(frozen=True)
class Pair:
    """Two pictures by index, whether they show one person, their fold, and for hard pairs what makes them so."""

    fold: int
    a: int
    b: int
    same: int
    factor: str = ""


def base_pairs(seed: int, n: int) -> list[Pair]:
    """Return all genuine pairs of the first n pictures and as many impostor pairs, fold by fold (folds 0 … 9)."""
    folds: dict[int, dict[int, list[int]]] = {k: defaultdict(list) for k in range(FOLDS)}
    for index in range(n):
        place = verification_place(index)
        if place["kind"] == "base":
            folds[place["fold"]][place["identity"]].append(index)
    out = []
    for fold, people in folds.items():
        genuine = [pair for shots in people.values() for pair in combinations(shots, 2)]
        out += [Pair(fold, a, b, 1) for a, b in genuine]
        out += [Pair(fold, a, b, 0) for a, b in _impostors(seed, fold, people, len(genuine))]
    return out


def _impostors(
    seed: int, fold: int, people: dict[int, list[int]], count: int
) -> list[tuple[int, int]]:
    """Return `count` different pairs of different people of a fold (all there are, if fewer)."""
    r = Stream(seed, "verification", "impostors", fold)
    shots = [(person, index) for person, indices in people.items() for index in indices]
    if len(shots) < 60:
        every = [(a, b) for (p, a), (q, b) in combinations(shots, 2) if p != q]
        return sorted(every[k] for k in r.permutation(len(every))[:count])
    chosen: set[tuple[int, int]] = set()
    while len(chosen) < count:
        (p, a), (q, b) = r.choice(shots), r.choice(shots)
        if p != q:
            chosen.add((min(a, b), max(a, b)))
    return sorted(chosen)


def hard_pairs(n: int) -> list[Pair]:
    """Return, for each hard factor, pairs of an anchor with a picture in which that factor alone is extreme.

    Genuine: one's own anchor; impostor: the anchor of the other hard identity of the block. The factor `lookalike`
    has only impostor pairs: another person whose every number lies near the anchor's.
    """
    blocks: dict[int, dict[str, int]] = defaultdict(dict)
    folds: dict[int, int] = {}
    for index in range(n):
        place = verification_place(index)
        if place["kind"] == "hard":
            blocks[place["identity"]][place["factor"]] = index
            folds[place["identity"]] = place["fold"]
    out = []
    for person, shots in blocks.items():
        other = blocks.get(person + 1 if person % 2 == 0 else person - 1, {})
        for factor in HARD_FACTORS:
            if factor not in shots or "anchor" not in shots:
                continue
            out.append(
                Pair(
                    folds[person],
                    shots["anchor"],
                    shots[factor],
                    int(factor != "lookalike"),
                    factor,
                )
            )
            if factor != "lookalike" and "anchor" in other:
                out.append(Pair(folds[person], other["anchor"], shots[factor], 0, factor))
    return out
