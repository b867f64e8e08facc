"""Pictures of detectors: recall against factors, latency against accuracy, where the time goes, a failure gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def factor_curves(
    rows: Sequence[Mapping], labels: Mapping[str, str], *, title: str, y: str
) -> Figure:
    """Draw `share` against `value`, one panel per factor, one line per name; intervals are shaded for up to four names.

    `rows` have name, factor, value, share, lo, hi; `labels` maps a factor to its axis label.
    """
    factors, names = (
        list(dict.fromkeys(r["factor"] for r in rows)),
        list(dict.fromkeys(r["name"] for r in rows)),
    )
    columns = min(3, len(factors))
    fig, axes = style.figure(
        11,
        3.1 * -(-len(factors) // columns) + 0.7,
        rows=-(-len(factors) // columns),
        columns=columns,
        squeeze=False,
        sharey=True,
    )
    for ax, factor in zip(axes.flat, factors):
        for k, name in enumerate(names):
            mine = [r for r in rows if r["factor"] == factor and r["name"] == name]
            x, v = [r["value"] for r in mine], [r["share"] for r in mine]
            look = style.series(k)
            if len(names) <= 4:
                ax.fill_between(
                    x,
                    [r["lo"] for r in mine],
                    [r["hi"] for r in mine],
                    color=look["color"],
                    alpha=0.08,
                    lw=0,
                )
            ax.plot(x, v, **look, ms=5, lw=1.7, label=name)
        ax.set_ylim(-0.03, 1.05)
        style.label(ax, factor, labels[factor], y if ax in axes[:, 0] else "")
    for ax in list(axes.flat)[len(factors) :]:
        ax.set_visible(False)
    handles, texts = axes.flat[0].get_legend_handles_labels()
    fig.legend(handles, texts, loc="outside lower center", ncols=min(6, len(names)))
    fig.suptitle(title, x=0.01, ha="left", weight="bold")
    return fig


def latency_accuracy(rows: Sequence[Mapping], *, accuracy: str) -> Figure:
    """Draw accuracy against median milliseconds (log), a point a model; rows have name, ms, ms_lo, ms_hi, accuracy."""
    fig, ax = style.figure(8, 4.8)
    for k, row in enumerate(rows):
        spread = [[row["ms"] - row["ms_lo"]], [row["ms_hi"] - row["ms"]]]
        ax.errorbar(
            row["ms"],
            row["accuracy"],
            xerr=spread,
            ms=8,
            lw=1.4,
            label=row["name"],
            **{**style.series(k), "ls": "none"},
        )
    ax.set_xscale("log")
    style.plain_log(ax.xaxis)
    ax.set_ylim(-0.03, 1.05)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    style.label(
        ax, "Latency against accuracy", "median milliseconds an image, one thread (log)", accuracy
    )
    return fig


def where_time_goes(rows: Sequence[Mapping]) -> Figure:
    """Draw median milliseconds before, in and after the network, stacked; rows have label, pre, run, post."""
    fig, ax = style.figure(8.5, 1.4 + 0.32 * len(rows))
    place, left = np.arange(len(rows))[::-1], np.zeros(len(rows))
    for part, what, colour, hatch in (
        ("pre", "before (pre)", style.PALETTE[4], ""),
        ("run", "network (run)", style.PALETTE[0], ""),
        ("post", "after (post)", style.PALETTE[3], "///"),
    ):
        width = np.array([r[part] for r in rows])
        ax.barh(place, width, left=left, color=colour, hatch=hatch, edgecolor="white", label=what)
        left = left + width
    ax.set_yticks(place, [r["label"] for r in rows])
    ax.grid(axis="y", visible=False)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    style.label(ax, "Where the time goes (medians)", "milliseconds an image", "")
    return fig


def gallery(items: Sequence[Mapping], *, title: str, columns: int = 4) -> Figure:
    """Draw images with labelled boxes (green, solid) and detections (orange, dashed); missed faces are thick.

    `items` have image, found (n, 4), truth (m, 4) or None, missed (m,) bool or None, and caption.
    """
    from matplotlib.patches import Rectangle

    columns = min(columns, len(items))
    rows = -(-len(items) // columns)
    high = max(item["image"].shape[0] / item["image"].shape[1] for item in items)
    fig, axes = style.figure(
        4.2 * columns,
        (4.0 * min(high, 1.2) + 0.35) * rows + 0.4,
        rows=rows,
        columns=columns,
        squeeze=False,
    )
    for ax, item in zip(axes.flat, items):
        ax.imshow(item["image"])
        ax.set_anchor("N")
        truth = item["truth"] if item["truth"] is not None else np.zeros((0, 4))
        missed = item["missed"] if item["missed"] is not None else np.zeros(len(truth), bool)
        # thin on crowds, or the boxes hide the faces
        thin = 0.6 if len(truth) > 30 else 1.2
        drawn = [(b, style.GOOD, "-", 3.0 if m else thin) for b, m in zip(truth, missed)]
        drawn += [(b, style.PALETTE[4], "--", thin + 0.2) for b in item["found"]]
        for (x1, y1, x2, y2), colour, dash, width in drawn:
            ax.add_patch(
                Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, ls=dash, lw=width)
            )
        ax.set_title(item["caption"], fontsize=9, weight="normal")
    for ax in axes.flat:
        ax.set_axis_off()
    fig.suptitle(title, x=0.01, ha="left", weight="bold")
    return fig
