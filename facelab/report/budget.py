"""Pictures of budgets: what models need on a device, and predictions against measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from facelab.budget.internals import Prediction


def memory(names: Sequence[str], found: Sequence[Prediction], limit_mb: float) -> Figure:
    """Draw the modelled peak of each model's process against the device's memory, largest first."""
    needs = np.array([max(p.load_peak_bytes, p.run_bytes) / 1e6 for p in found])
    order = np.argsort(-needs)
    fig, ax = style.figure(8.6, 1.4 + 0.2 * len(names))
    shades = {True: style.GOOD, False: style.BAD, None: style.NEUTRAL}
    colours = [shades[found[k].fits] for k in order]
    ax.barh(range(len(names)), needs[order], color=colours, height=0.7)
    ax.axvline(limit_mb, color="black", lw=1.2, ls="--")
    ax.text(limit_mb, len(names) / 2, f" {limit_mb:g} MB", ha="left", va="center", fontsize=9)
    ax.set_ylim(-0.8, len(names) - 0.2)
    ax.set_yticks(range(len(names)), [names[k] for k in order], fontsize=8.5)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    x = "peak while loading or running [MB]; gray: cannot be judged"
    style.label(ax, "Memory of the process, modelled", x, "")
    return fig


def predicted(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw predicted over measured time per model with its interval, and MACs over the best rate beside it.

    `rows` are those of a comparison (`facelab.studies.budget`).
    """
    rows = sorted(rows, key=lambda r: r["measured ms"])
    fig, ax = style.figure(9.2, 1.6 + 0.26 * len(rows))
    for y, r in enumerate(rows):
        m = r["measured ms"]
        ax.plot([r["lo ms"] / m, r["hi ms"] / m], [y, y], color=style.PALETTE[0], lw=2, alpha=0.45)
        ax.plot(r["predicted ms"] / m, y, style.MARKERS[0], color=style.PALETTE[0])
        ax.plot(r["MACs / best rate ms"] / m, y, style.MARKERS[1], color=style.PALETTE[1], ms=5)
    ax.axvline(1.0, color="black", lw=1)
    ax.axvspan(0.75, 1.25, color="#E5E7EB", zorder=0)
    ax.set_xscale("log")
    labels = [f"{r['model']}  {r['measured ms']:.3g} ms" for r in rows]
    ax.set_yticks(range(len(rows)), labels, fontsize=9)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    style.plain_log(ax.xaxis)
    ax.plot([], [], style.MARKERS[0], color=style.PALETTE[0], label="by operators, with interval")
    ax.plot([], [], style.MARKERS[1], color=style.PALETTE[1], label="MACs over the best rate")
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, -0.07 - 0.8 / len(rows)), ncols=2)
    x = "predicted / measured; the gray band is ±25 %"
    style.label(ax, "Predicted against measured latency", x, "")
    return fig


def loading(
    names: Sequence[str],
    weights_mb: Sequence[float],
    measured_mb: Sequence[float],
    modelled_mb: Sequence[float],
) -> Figure:
    """Draw what loading adds at its worst moment over the size of the weights; a line joins model and measurement."""
    fig, ax = style.figure(8.0, 4.2)
    for w, m, p in zip(weights_mb, measured_mb, modelled_mb):
        ax.plot([w, w], [m, p], color="#9CA3AF", lw=1)
    ax.plot(weights_mb, measured_mb, style.MARKERS[0], color=style.PALETTE[0], label="measured")
    ax.plot(weights_mb, modelled_mb, "_", color=style.PALETTE[1], ms=11, mew=2, label="modelled")
    most = int(np.argmax(weights_mb))
    ax.annotate(
        names[most],
        (weights_mb[most], measured_mb[most]),
        xytext=(-6, 8),
        textcoords="offset points",
        ha="right",
    )
    ax.set_ylim(0, 1.15 * max(*measured_mb, *modelled_mb))
    ax.set_xlim(left=0)
    ax.legend(loc="upper left")
    style.label(ax, "Peak that loading adds to the process", "weights [MB]", "added at most [MB]")
    return fig
