"""Which layer is to blame, by the end metric; and the smallest set of float layers that meets the budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from facelab.core.errors import BadInputError, did_you_mean
from facelab.quantization._budgets import Budgets, judge, shortfall
from facelab.quantization._operators import Operator

Evaluate = Callable[[tuple[str, ...], tuple[str, ...] | None], dict[str, Any]]
"""(layers kept in float, layers that alone are quantised or None) → a row with quality and size."""

MOST_EXHAUSTIVE = 100
MOST_TRIED = 400
"""Models made after which the search stops ranking the layers anew for each one that it adds."""


@dataclass(frozen=True)
class KeepFloat:
    """What the search found: the layers to keep in float, the row they give, whether it meets the budgets, and the
    number of models that were made and evaluated on the way."""

    layers: tuple[str, ...]
    row: dict[str, Any]
    met: bool
    tried: int
    how: str
    ranking: list[dict[str, Any]] = field(default_factory=list)


def rank(layers: Sequence[Operator], evaluate: Evaluate, budgets: Budgets) -> list[dict[str, Any]]:
    """Return the layers, most to blame first, each by two experiments on the end metric.

    `left_float`: every other layer is quantised; `alone`: only this one is. A layer is ranked by how much of the
    missed budgets leaving it in float gives back, then by the mean cosine (of outputs to the float model's) it gives
    back, which tells layers apart where every answer stays the same.
    """
    whole = evaluate((), None)
    table = []
    for op in layers:
        left = evaluate((op.name,), None)
        alone = evaluate((), (op.name,))
        table.append(
            {
                "index": op.index,
                "op": op.kind,
                "name": op.name,
                "shortfall_left_float": shortfall(judge(left, budgets)),
                "recovered": shortfall(judge(whole, budgets)) - shortfall(judge(left, budgets)),
                "cosine_left_float": left["cosine"]["mean"],
                "cosine_alone": alone["cosine"]["mean"],
                "agreement_left_float": (left["agreement"] or {}).get("value"),
                "agreement_alone": (alone["agreement"] or {}).get("value"),
                "size_ratio_left_float": left["size_ratio"],
            }
        )
    return sorted(table, key=lambda r: (-r["recovered"], -r["cosine_left_float"]))


def smallest(layers: Sequence[Operator], evaluate: Evaluate, budgets: Budgets) -> KeepFloat:
    """Return the smallest set of float layers with which the model meets the budgets.

    None, then every single layer, then every pair (and so on, while a size has at most MOST_EXHAUSTIVE sets) is
    tried, so the answer is the smallest there is; beyond that the layer that helps most is added to those chosen, again
    and again, and those that turn out needless are taken back, which gives a set from which nothing can be left out.
    Among sets of a size the best quality wins. Where no set meets the budgets, `met` is False and the set of best
    quality is returned.
    """
    tried: dict[tuple[str, ...], dict[str, Any]] = {}

    def row(names: Iterable[str]) -> dict[str, Any]:
        key = tuple(sorted(names))
        if key not in tried:
            tried[key] = evaluate(key, None)
        return tried[key]

    def fits(names: Iterable[str]) -> bool:
        return judge(row(names), budgets)["passed"]

    names = [op.name for op in layers]
    if fits(()):
        return KeepFloat((), row(()), True, len(tried), "no layer needs to stay in float")
    if "size" in judge(row(()), budgets)["failed"]:
        return KeepFloat(
            (),
            row(()),
            False,
            len(tried),
            "the size budget is missed already, and layers left in float only make the file larger",
        )
    for size in range(1, len(names) + 1):
        sets = list(combinations(names, size))
        if len(sets) > MOST_EXHAUSTIVE and size > 1:
            break
        good = [s for s in sets if fits(s)]
        if good:
            best = max(good, key=lambda s: row(s)["cosine"]["mean"])
            return KeepFloat(
                best, row(best), True, len(tried), f"every set of {size} and fewer was tried"
            )
    order = sorted(
        names, key=lambda n: (shortfall(judge(row((n,)), budgets)), -row((n,))["cosine"]["mean"])
    )
    return _greedy(order, row, fits, budgets, tried)


def _greedy(order: list[str], row, fits, budgets: Budgets, tried: dict) -> KeepFloat:
    """Add, one by one, the layer that helps most together with those chosen; take back what turns out needless."""

    def cost(names: list[str]) -> tuple[float, float]:
        return shortfall(judge(row(names), budgets)), -row(names)["cosine"]["mean"]

    kept: list[str] = []
    while not fits(kept):
        left = (
            n
            for n in order
            if n not in kept and "size" not in judge(row([*kept, n]), budgets)["failed"]
        )
        # once many models have been made, the order of the single layers stands
        best = (
            min(left, key=lambda n: cost([*kept, n]), default=None)
            if len(tried) < MOST_TRIED
            else next(left, None)
        )
        if best is None:  # whatever is added now breaks the size
            nearest = min(tried, key=lambda k: (shortfall(judge(tried[k], budgets)), len(k)))
            return KeepFloat(
                nearest,
                tried[nearest],
                False,
                len(tried),
                "no set of float layers meets the budgets",
            )
        kept.append(best)
    for name in list(kept):
        if len(kept) > 1 and fits([k for k in kept if k != name]):
            kept.remove(name)
    return KeepFloat(
        tuple(kept),
        row(kept),
        True,
        len(tried),
        "added by what helps most, needless ones taken back: nothing can be left out, a smaller set may "
        "exist",
    )


def named(text: str, layers: Sequence[Operator]) -> tuple[str, ...]:
    """Return the layers that `--keep-float` names: numbers (#3 or 3), whole names, or operator types, by commas.

    Raises BadInputError for one that the model does not have.
    """
    names = {op.name for op in layers}
    whole = (
        [text.strip()]
        if text.strip() in names
        else [p.strip() for p in text.split(",") if p.strip()]
    )
    found: dict[str, None] = {}
    for part in whole:
        mine = [
            op.name for op in layers if part in (op.name, op.kind, f"{op.index}", f"#{op.index}")
        ]
        if not mine:
            known = [*sorted({op.kind for op in layers}), *names]
            raise BadInputError(
                f"the model has no operator {part!r}{did_you_mean(part, known)}",
                expected=", ".join(f"#{op.index} {op.kind}" for op in layers)[:400],
                got=part,
                fix="name operators by number, type or output tensor, or say auto",
            )
        found |= dict.fromkeys(mine)
    return tuple(found)
