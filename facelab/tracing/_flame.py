"""A flame graph as one SVG file: no script, no network; the name and share of a box show when the pointer rests."""

from __future__ import annotations

import html
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

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
    boxes: list[str] = []
    deepest = _draw(root, 0.0, 0, root.total, unit, boxes) if root.total else 0
    height = TOP + ROW * (deepest + 1) + PAD
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="DejaVu Sans Mono, monospace" font-size="11">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="{PAD}" y="20" font-size="14" font-weight="bold">{html.escape(title)}</text>'
    )
    if not root.total:
        boxes.append(f'<text x="{PAD}" y="{TOP + 12}">nothing was recorded</text>')
    return head + "".join(boxes) + "</svg>\n"


def _add(root: _Node, frames: list[str], n: int) -> None:
    root.total += n
    node = root
    for frame in frames:
        node = node.inner.setdefault(frame, _Node(frame))
        node.total += n


def _draw(node: _Node, x: float, depth: int, whole: int, unit: str, boxes: list[str]) -> int:
    """Append the boxes of a node and what is inside it; return the depth reached."""
    width = (WIDTH - 2 * PAD) * node.total / whole
    if width < LEAST:
        return depth - 1
    y = TOP + ROW * depth
    words = f"{node.name}: {node.total:,} {unit}, {100 * node.total / whole:.1f} %"
    boxes.append(
        f'<g><title>{html.escape(words)}</title><rect x="{PAD + x:.2f}" y="{y}" width="{width:.2f}" '
        f'height="{ROW - 1}" fill="{_colour(node.name)}" stroke="#ffffff"/>'
    )
    room = int((width - 6) / LETTER)
    if room >= 3:
        text = node.name if len(node.name) <= room else node.name[: room - 1] + "…"
        boxes.append(f'<text x="{PAD + x + 3:.2f}" y="{y + 14}">{html.escape(text)}</text>')
    boxes.append("</g>")
    reached, at = depth, x
    for inner in sorted(node.inner.values(), key=lambda n: n.name):
        reached = max(reached, _draw(inner, at, depth + 1, whole, unit, boxes))
        at += (WIDTH - 2 * PAD) * inner.total / whole
    return reached


def _colour(name: str) -> str:
    """Return a light colour that depends on the name alone, so that two graphs can be compared."""
    seed = zlib.crc32(name.encode())
    return f"hsl({30 + seed % 190}, {45 + seed // 190 % 25}%, {72 + seed // 9000 % 12}%)"
