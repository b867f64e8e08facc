"""Pictures of embedders: what alignment and mistakes cost, and the pairs that go wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bars(rows: Sequence[Mapping], *, title: str, x: str, best: float | None = None) -> Figure:
    """Draw horizontal bars with intervals; rows have label, value, lo, hi. `best` draws a reference line."""
    fig, ax = style.figure(8, 1.3 + 0.38 * len(rows))
    place = np.arange(len(rows))[::-1]
    value = np.array([r["value"] for r in rows])
    error = np.array([[max(0, r["value"] - r["lo"]), max(0, r["hi"] - r["value"])] for r in rows]).T
    ax.barh(
        place,
        value,
        xerr=error,
        color=style.PALETTE[0],
        ecolor=style.NEUTRAL,
        capsize=3,
        height=0.6,
    )
    for y, r in zip(place, rows):
        ax.annotate(f" {r['value']:.3f}", (max(r["hi"], r["value"]), y), va="center", fontsize=9)
    if best is not None:
        ax.axvline(best, color=style.NEUTRAL, ls="--", lw=1)
    ax.set_yticks(place, [r["label"] for r in rows])
    ax.set_xlim(0, max(1.0, float(max(r["hi"] for r in rows))) * 1.09)
    ax.grid(axis="y", visible=False)
    style.label(ax, title, x, "")
    return fig


def pair_gallery(rows: Sequence[Sequence[Mapping]], titles: Sequence[str]) -> Figure:
    """Draw rows of face pairs; each item has a, b (crops) and caption."""
    columns = max(map(len, rows))
    fig, axes = style.figure(
        2.3 * columns, 1.75 * len(rows) + 0.4, rows=len(rows), columns=columns, squeeze=False
    )
    for line, (items, title) in enumerate(zip(rows, titles)):
        for ax, item in zip(axes[line], items):
            gap = np.full((item["a"].shape[0], 4, 3), 255, np.uint8)
            ax.imshow(np.concatenate([item["a"], gap, item["b"]], axis=1))
            ax.set_title(item["caption"], fontsize=9, weight="normal")
        axes[line, 0].text(
            0,
            -0.08,
            title,
            transform=axes[line, 0].transAxes,
            va="top",
            fontsize=9.5,
            weight="bold",
        )
    for ax in axes.flat:
        ax.set_axis_off()
    return fig
