"""Which layer is to blame, by the end metric; and the smallest set of float layers that meets the budgets."""

from __future__ import annotations

import time
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
"""Models made after which the search stops ranking the layers again for each one that it adds."""


class _OutOfTimeError(Exception):
    """The search's time is over; what was tried stays."""


Progress = Callable[[int, float, int | None], None]
"""(models made, seconds, models that the present round may still take or None)."""


@dataclass(frozen=True)
class KeepFloat:
    """What the search found: the layers to keep in float, the row they give, whether it meets the budgets, and the
    number of models that were made and evaluated on the way. Where none met them, it is the nearest miss."""

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


def smallest(
    layers: Sequence[Operator],
    evaluate: Evaluate,
    budgets: Budgets,
    *,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> KeepFloat:
    """Return the smallest set of float layers with which the model meets the budgets.

    None, then every single layer, then every pair (and so on, while a size has at most MOST_EXHAUSTIVE sets) is
    tried, so the answer is the smallest there is; beyond that the layer that helps most is added to those chosen, again
    and again, and those that turn out needless are taken back, which gives a set from which nothing can be left out.
    Among sets of a size the best quality wins. Where no set meets the budgets, or `seconds` are over first, `met` is
    False and the set of best quality is returned. `progress` is called after each model.
    """
    search = _Search([op.name for op in layers], evaluate, budgets, seconds, progress)
    try:
        return search.run()
    except _OutOfTimeError:
        return search.out_of_time()


class _Search:
    """One search: what was tried, and how long it took."""

    def __init__(
        self,
        names: list[str],
        evaluate: Evaluate,
        budgets: Budgets,
        seconds: float | None,
        progress: Progress | None,
    ):
        self.names, self.evaluate, self.budgets = names, evaluate, budgets
        self.seconds, self.progress = seconds, progress
        self.tried: dict[tuple[str, ...], dict[str, Any]] = {}
        self.started, self.left = time.monotonic(), None

    def row(self, names: Iterable[str]) -> dict[str, Any]:
        """Return a set's row; a set is made once. Raises _OutOfTimeError before another one is begun too late."""
        key = tuple(sorted(names))
        if key not in self.tried:
            spent = time.monotonic() - self.started
            # the next model takes as long as the others did
            due = spent + spent / max(len(self.tried), 1)
            if self.seconds is not None and len(self.tried) > 1 and due > self.seconds:
                raise _OutOfTimeError
            self.tried[key] = self.evaluate(key, None)
            if self.left is not None:
                self.left = max(self.left - 1, 0)
            if self.progress is not None:
                self.progress(len(self.tried), time.monotonic() - self.started, self.left)
        return self.tried[key]

    def fits(self, names: Iterable[str]) -> bool:
        """Whether a set meets every budget."""
        return judge(self.row(names), self.budgets)["passed"]

    def cost(self, names: Iterable[str]) -> tuple[float, float]:
        """What a set is ranked by: the missed quality, then the cosine."""
        row = self.row(names)
        return shortfall(judge(row, self.budgets)), -row["cosine"]["mean"]

    def run(self) -> KeepFloat:
        if self.fits(()):
            return self._found((), True, "no layer needs to stay in float")
        if "size" in judge(self.row(()), self.budgets)["failed"]:
            return self._found(
                (),
                False,
                "the size budget is missed already, and layers left in float only make the file larger: a larger "
                "--max-size lets the search begin",
            )
        for size in range(1, len(self.names) + 1):
            sets = list(combinations(self.names, size))
            if len(sets) > MOST_EXHAUSTIVE and size > 1:
                break
            self.left = len(sets)
            good = [s for s in sets if self.fits(s)]
            if good:
                best = max(good, key=lambda s: self.row(s)["cosine"]["mean"])
                return self._found(best, True, f"every set of {size} and fewer was tried")
        return self._greedy(sorted(self.names, key=lambda n: self.cost((n,))))

    def _greedy(self, order: list[str]) -> KeepFloat:
        """Add, one by one, the layer that helps most together with those chosen; take back what is needless."""
        kept: list[str] = []
        while not self.fits(kept):
            self.left = len(order) - len(kept)
            left = (
                n
                for n in order
                if n not in kept
                and "size" not in judge(self.row([*kept, n]), self.budgets)["failed"]
            )
            # once many models have been made, the order of the single layers stands
            best = (
                min(left, key=lambda n: self.cost([*kept, n]), default=None)
                if len(self.tried) < MOST_TRIED
                else next(left, None)
            )
            if best is None:  # whatever is added now breaks the size
                return self._found(
                    self._nearest(), False, "no set of float layers meets the budgets"
                )
            kept.append(best)
        self.left = len(kept)
        try:
            for name in list(kept):
                if len(kept) > 1 and self.fits([k for k in kept if k != name]):
                    kept.remove(name)
        except _OutOfTimeError:
            how = "added by what helps most; no time was left to take needless ones back"
            return self._found(tuple(kept), True, how)
        return self._found(
            tuple(kept),
            True,
            "added by what helps most, needless ones taken back: nothing can be left out, a smaller set may exist",
        )

    def _nearest(self) -> tuple[str, ...]:
        """The set that misses the quality budgets least, of those the smallest; one that breaks the size last."""

        def key(names: tuple[str, ...]) -> tuple[bool, float, int]:
            verdict = judge(self.tried[names], self.budgets)
            return "size" in verdict["failed"], shortfall(verdict), len(names)

        return min(self.tried, key=key)

    def out_of_time(self) -> KeepFloat:
        """Return the best that was found in time."""
        good = [k for k in self.tried if judge(self.tried[k], self.budgets)["passed"]]
        if good:
            best = min(good, key=lambda k: (len(k), -self.tried[k]["cosine"]["mean"]))
            other = "a smaller set" if len(best) > 1 else "a better single layer"
            return self._found(
                best, True, f"the best within {self.seconds:.0f} s: {other} may exist"
            )
        return self._found(
            self._nearest(),
            False,
            f"no set of float layers met the budgets within {self.seconds:.0f} s; --time gives it longer",
        )

    def _found(self, names: tuple[str, ...], met: bool, how: str) -> KeepFloat:
        return KeepFloat(tuple(names), self.row(names), met, len(self.tried), how)


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
