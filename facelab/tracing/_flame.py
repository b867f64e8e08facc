"""A flame graph as one SVG file: no script, no network; the name and share of a box show when the pointer rests."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from facelab.core.templates import render

WIDTH, ROW, TOP, PAD = 1000, 20, 34, 8
LETTER = 6.6
"""Width of a letter of the labels, in pixels: what does not fit is not written."""
LEAST = 0.4
"""Pixels below which a box is left out."""


@dataclass
class _Node:
    name: str
    total: int = 0
    inner: dict[str, _Node] = field(default_factory=dict)


def flame_svg(folded: Mapping[str, int], *, title: str, unit: str) -> str:
    """Return the SVG text of folded stacks; a box's width is its share, the outermost frames are at the top.

    >>> text = flame_svg({"frame;detect": 30, "frame;embed": 60, "frame": 10}, title="t", unit="ms")
    >>> text.startswith("<svg"), "embed: 60 ms, 60.0 %" in text
    (True, True)
    """
    root = _Node("all")
    for stack, n in folded.items():
        _add(root, stack.split(";"), int(n))
    boxes: list[dict[str, Any]] = []
    deepest = _draw(root, 0.0, 0, root.total, unit, boxes) if root.total else 0
    return render(
        "tracing/templates/flame.svg.j2",
        title=title,
        boxes=boxes,
        width=WIDTH,
        height=TOP + ROW * (deepest + 1) + PAD,
        pad=PAD,
        row=ROW,
        top=TOP,
    )


def _add(root: _Node, frames: list[str], n: int) -> None:
    root.total += n
    node = root
    for frame in frames:
        node = node.inner.setdefault(frame, _Node(frame))
        node.total += n


def _draw(
    node: _Node, x: float, depth: int, whole: int, unit: str, boxes: list[dict[str, Any]]
) -> int:
    """Append the boxes of a node and what is inside it; return the depth reached."""
    width = (WIDTH - 2 * PAD) * node.total / whole
    if width < LEAST:
        return depth - 1
    y = TOP + ROW * depth
    words = f"{node.name}: {node.total:,} {unit}, {100 * node.total / whole:.1f} %"
    room = int((width - 6) / LETTER)
    text = node.name if len(node.name) <= room else node.name[: room - 1] + "…"
    boxes.append(
        {
            "words": words,
            "x": PAD + x,
            "y": y,
            "width": width,
            "colour": _colour(node.name),
            "text": text if room >= 3 else "",
        }
    )
    reached, at = depth, x
    for inner in sorted(node.inner.values(), key=lambda n: n.name):
        reached = max(reached, _draw(inner, at, depth + 1, whole, unit, boxes))
        at += (WIDTH - 2 * PAD) * inner.total / whole
    return reached


def _colour(name: str) -> str:
    """Return a light colour that depends on the name alone, so that two graphs can be compared."""
    seed = zlib.crc32(name.encode())
    return f"hsl({30 + seed % 190}, {45 + seed // 190 % 25}%, {72 + seed // 9000 % 12}%)"
