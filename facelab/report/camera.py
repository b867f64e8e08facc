"""Pictures of cameras: what formats cost, how old frames are, how policies pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.report.style import BAD, GOOD, PALETTE, figure, label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from facelab.camera.internals import Choice, DecodeCost

__all__ = ["age_plot", "choice_plot", "choice_table", "cost_plot", "pair_plot", "pair_table"]


def panels(axes: Any) -> list[Axes]:
    """Return the axes of a figure of one row as a list."""
    return list(np.ravel(axes))


def cost_plot(costs: Sequence[DecodeCost]) -> Figure:
    """Draw processor milliseconds per frame, one panel per size, with 95 % intervals."""
    sizes = list(dict.fromkeys((c.width, c.height) for c in costs))
    fig, axes = figure(9, 3.2, columns=len(sizes), squeeze=False)
    for ax, size in zip(panels(axes), sizes):
        mine = sorted((c for c in costs if (c.width, c.height) == size), key=lambda c: c.cpu_s)
        names = [f"{c.format}\n{c.decoder}" for c in mine]
        values = np.array([1e3 * c.cpu_s for c in mine])
        spans = np.array([[c.cpu_s - c.lo, c.hi - c.cpu_s] for c in mine]).T * 1e3
        colours = [PALETTE[0] if c.format == "YUYV" else PALETTE[1] for c in mine]
        ax.bar(names, values, yerr=np.maximum(spans, 0), color=colours, capsize=3)
        tops = values + np.maximum(spans[1], 0)
        for x, v in enumerate(values):
            ax.annotate(f"{v:.2f}", (x, tops[x]), (0, 4), textcoords="offset points", ha="center")
        ax.set_ylim(0, tops.max() * 1.2)
        label(ax, f"{size[0]}x{size[1]}", "", "CPU per frame (ms)")
        ax.grid(axis="x", visible=False)
    return fig


def choice_plot(by_bus: dict[str, list[Choice]], rate: float) -> Figure:
    """Draw wire and decoding time of each format and size, one panel per bus; the highest rate is written beside."""
    fig, axes = figure(10, 3.2, columns=len(by_bus), squeeze=False, sharey=True)
    for ax, (bus, found) in zip(panels(axes), by_bus.items()):
        best: dict[tuple[str, int], Choice] = {}
        for c in sorted(found, key=lambda c: (c.width, c.format != "YUYV", c.core)):
            best.setdefault((c.format, c.width), c)
        y = np.arange(len(best))
        wire = np.array([1e3 * c.wire_s for c in best.values()])
        both = np.array([1e3 * c.latency_s for c in best.values()])
        ax.barh(y, wire, color=PALETTE[5], label="wire (modelled)")
        ax.barh(y, both - wire, left=wire, color=PALETTE[1], label="decoding (measured)")
        for k, c in enumerate(best.values()):
            text = f"{c.rate:.0f} frames/s" + ("" if c.rate >= rate else ": too slow")
            ax.annotate(
                text, (both[k], k), (4, 0), textcoords="offset points", va="center", fontsize=9
            )
        ax.set_xlim(0, both.max() * 1.75)
        ax.set_yticks(y, [f"{c.format} {c.width}x{c.height}" for c in best.values()])
        ax.grid(axis="y", visible=False)
        label(ax, bus, "ms per frame", "")
    panels(axes)[0].invert_yaxis()
    handles = panels(axes)[0].get_legend_handles_labels()
    fig.legend(*handles, loc="outside lower center", ncols=2)
    return fig


def choice_table(by_bus: dict[str, list[Choice]]) -> pd.DataFrame:
    """Return the best choice per bus and size, with what is modelled said to be."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for bus, found in by_bus.items():
        for size in dict.fromkeys(
            (c.width, c.height) for c in sorted(found, key=lambda c: c.width)
        ):
            best = next(c for c in found if (c.width, c.height) == size)
            rows.append(
                {
                    "bus": bus,
                    "size": f"{size[0]}x{size[1]}",
                    "choose": f"{best.format} by {best.decoder}",
                    "wire ms (modelled)": round(1e3 * best.wire_s, 1),
                    "highest rate": round(best.rate, 1),
                    "share of a core": round(best.core, 4),
                    "reaches the rate": "yes" if best.reaches else "no",
                }
            )
    return pd.DataFrame(rows)


def age_plot(in_order: Sequence[float], newest: Sequence[float]) -> Figure:
    """Draw the age (seconds) of each frame that a slow reader got, read in order and read newest."""
    fig, ax = figure(9, 3.4)
    for found, name, colour, marker in (
        (in_order, "in order", BAD, "o"),
        (newest, "newest, at most 50 ms old", GOOD, "s"),
    ):
        ages = 1e3 * np.array(found)
        ax.plot(np.arange(1, len(ages) + 1), ages, marker, ls="-", ms=4, color=colour, label=name)
    ax.set_yscale("log")
    ax.legend(loc="upper left")
    label(ax, "Age of the frame that a slow reader gets", "read number", "age (ms)")
    return fig


def pair_plot(scores: Sequence[Any]) -> Figure:
    """Draw recall and wrong pairs of every policy on every kind of stream (`facelab.studies.camera.PairScore`)."""
    streams = list(dict.fromkeys(s.stream for s in scores))
    policies = list(dict.fromkeys(s.policy for s in scores))
    fig, axes = figure(10, 3.8, columns=2, sharey=True)
    width = 0.8 / len(policies)
    for ax, field, title in zip(
        panels(axes),
        ("recall", "wrong"),
        ("True pairs that are made", "Made pairs that are wrong"),
    ):
        for k, policy in enumerate(policies):
            values = [
                getattr(next(s for s in scores if (s.stream, s.policy) == (name, policy)), field)
                for name in streams
            ]
            y = np.arange(len(streams)) + (k - (len(policies) - 1) / 2) * width
            ax.barh(y, values, width, color=PALETTE[k], label=policy)
        ax.set_yticks(np.arange(len(streams)), streams)
        ax.set_xlim(0, 1)
        ax.grid(axis="y", visible=False)
        label(ax, title, "share", "")
    panels(axes)[0].invert_yaxis()
    fig.legend(
        *panels(axes)[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(policies),
    )
    return fig


def pair_table(scores: Sequence[Any]) -> pd.DataFrame:
    """Return recall / wrong per stream and policy, and the price in waiting."""
    import pandas as pd

    rows = {}
    for s in scores:
        row = rows.setdefault(s.stream, {})
        row[s.policy] = f"{s.recall:.3f} / {s.wrong:.3f}"
        if s.policy == "nearest":
            row["nearest waits ms, 50 % / 99 %"] = (
                f"{1e3 * s.wait_p50_s:.0f} / {1e3 * s.wait_p99_s:.0f}"
            )
    return pd.DataFrame.from_dict(rows, orient="index")
