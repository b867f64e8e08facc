"""Plots of collections, stores and fault histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def steps(seconds: Mapping[str, float], *, title: str) -> Figure:
    """Return seconds of each step as bars on a logarithmic axis.

    Parameters
    ----------
    seconds : mapping of str to float
        Step to seconds, first step on top.
    title : str
        The claim.
    """
    fig, ax = style.figure(8.0, 3.8)
    names = list(seconds)[::-1]
    values = np.array([seconds[n] for n in names])
    ax.barh(names, values, color=style.PALETTE[0])
    for y, value in enumerate(values):
        text = f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.0f} ms"
        ax.annotate(text, (value, y), xytext=(4, 0), textcoords="offset points", va="center")
    ax.set(xscale="log", xlabel="seconds", xlim=(values.min() / 2, values.max() * 4))
    ax.grid(axis="y", visible=False)
    ax.set_title(title)
    return fig


def stores(rows: Sequence[Any]) -> Figure:
    """Return the median time of a search and of a change against the size, one line per store."""
    fig, axes = style.figure(9.0, 3.8, columns=2)
    kinds = list(dict.fromkeys(r.store for r in rows))
    for ax, what, title in (
        (axes[0], "search_s", "Search of one query"),
        (axes[1], "upsert_s", "Change of one vector"),
    ):
        for k, kind in enumerate(kinds):
            mine = [r for r in rows if r.store == kind]
            x = [r.vectors for r in mine]
            y = [1e3 * float(np.median(getattr(r, what))) for r in mine]
            ax.plot(x, y, lw=2, label=kind, **style.series(k))
        ax.set(xscale="log", yscale="log", xlabel="vectors", ylabel="median [ms]")
        low, high = ax.get_ylim()
        ax.set_ylim(low / 1.5, high * 1.5)
        style.plain_log(ax.xaxis)
        style.plain_log(ax.yaxis)
        ax.set_title(title)
    axes[0].legend()
    return fig


def answers(histories: Sequence[Any], *, slot_s: float = 0.25) -> Figure:
    """Return answers per second over time, one panel per history, with its faults as vertical lines.

    A slot is `slot_s` seconds, or a twentieth of a short history.
    """
    fig, axes = style.figure(9.0, 1.6 * len(histories) + 0.6, rows=len(histories), squeeze=False)
    for ax, h in zip(axes[:, 0], histories):
        start = min(o.call for o in h.history)
        times = np.array([o.ret - start for o in h.history if not o.unknown and o.ret is not None])
        slots = max(20, int(np.ceil(times.max() / slot_s)))
        counts, edges = np.histogram(times, slots, (0, times.max()))
        width = edges[1]
        ax.stairs(counts / width, edges, fill=True, color=style.PALETTE[5])
        for k, at in enumerate(h.fault_at):
            label = h.fault if k == 0 else None
            ax.axvline(at - start, color=style.BAD, lw=1.5, ls="--", label=label)
        most = counts.max() / width
        ax.set(ylabel="answers/s", xlim=(0, edges[-1]), ylim=(0, 1.35 * most))
        ax.set_title(f"{h.store}: {h.operations:,} operations, {h.unknown} unknown")
        if h.fault_at:
            ax.legend(loc="upper right")
    axes[-1, 0].set_xlabel("seconds")
    return fig
