"""Memory of activations: what must be held at once, and the plan that a runtime makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from facelab.budget.model._graph import Graph, Operator

ALIGNMENT = 64
VIEWS = frozenset(
    [
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Identity",
        "Dropout",
        "RESHAPE",
        "SQUEEZE",
        "EXPAND_DIMS",
    ]
)
"""Operators that give the same bytes another shape: a runtime lets input and output share them."""


@dataclass(frozen=True)
class Life:
    """A tensor's bytes, and the first and the last operator that need it."""

    size: int
    begin: int
    end: int


def lives(graph: Graph) -> tuple[list[Life], int]:
    """Return the lives of all activations, and how many tensors' sizes cannot be determined (they count as 0).

    Inputs live from the start, and inputs and outputs until the end: the caller holds them. A view shares its input's
    bytes. Results that no operator reads live while their operator runs.
    """
    root: dict[str, str] = {}
    begin = {t.name: 0 for t in graph.inputs}
    size = {t.name: t.bytes for t in graph.inputs}
    end = {t.name: len(graph.operators) for t in (*graph.inputs, *graph.outputs)}
    for op in graph.operators:
        if op.folded:
            continue
        for tensor in op.present:
            if not tensor.constant:
                end[tensor.name] = max(end.get(tensor.name, 0), op.index)
        shared = _shared(op)
        for tensor in op.outputs:
            begin.setdefault(tensor.name, op.index)
            size.setdefault(tensor.name, tensor.bytes)
            end[tensor.name] = max(end.get(tensor.name, 0), op.index)
            if shared is not None:
                root[tensor.name] = root.get(shared, shared)
    return _joined(root, begin, end, size)


def _shared(op: Operator) -> str | None:
    """Return the name of the input whose bytes a view shares; constants are not activations."""
    first = op.input(0)
    if op.kind not in VIEWS or op.domain or first is None or first.constant:
        return None
    return first.name


def _joined(
    root: dict[str, str], begin: dict[str, int], end: dict[str, int], size: dict[str, int | None]
) -> tuple[list[Life], int]:
    unknown = sum(size[name] is None for name in begin)
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for name, at in begin.items():
        owner = root.get(name, name)
        first[owner] = min(first.get(owner, at), at)
        last[owner] = max(last.get(owner, 0), end.get(name, at))
    return [Life(size.get(n) or 0, first[n], last[n]) for n in first], unknown


def peak(found: Iterable[Life]) -> int:
    """Return the most bytes that live at once: no plan in this order of operators needs less.

    >>> peak([Life(64, 0, 1), Life(64, 1, 2), Life(10, 2, 3)])
    128
    """
    change: dict[int, int] = {}
    for life in found:
        change[life.begin] = change.get(life.begin, 0) + life.size
        change[life.end + 1] = change.get(life.end + 1, 0) - life.size
    most = now = 0
    for at in sorted(change):
        now += change[at]
        most = max(most, now)
    return most


def greedy_by_size(found: Sequence[Life], alignment: int = ALIGNMENT) -> int:
    """Return the end of LiteRT's plan: largest tensor first, at the lowest offset that is free during its life.

    Parameters
    ----------
    found : sequence of Life
        The tensors, bytes and operator positions.
    alignment : int
        Bytes; every tensor's size is rounded up to a multiple of it.

    Returns
    -------
    int
        Bytes.

    Examples
    --------
    >>> greedy_by_size([Life(64, 0, 1), Life(64, 1, 2), Life(64, 2, 3)])
    128

    References
    ----------
    Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020.
    """
    placed: list[tuple[int, int, int, int]] = []
    for life in sorted(found, key=lambda t: (-t.size, t.begin)):
        if not life.size:
            continue
        size, offset = -(-life.size // alignment) * alignment, 0
        for other_offset, other_size, begin, end in sorted(placed):
            if begin <= life.end and life.begin <= end:
                if offset + size <= other_offset:
                    break
                offset = max(offset, other_offset + other_size)
        placed.append((offset, size, life.begin, life.end))
    return max((offset + size for offset, size, _, _ in placed), default=0)
