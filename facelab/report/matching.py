"""Plots and tables of the matcher benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from facelab.core.wording import number
from facelab.report import style

if TYPE_CHECKING:
    import pandas as pd


def bars(rows: Sequence, *, title: str) -> Any:
    """Return a horizontal bar chart of median milliseconds per contender, with intervals; wrong answers hatched.

    rows: objects with `name`, `samples` (seconds), `seconds`, `correct`, `exact` (the matcher study's `Row`).
    """
    from facelab.core.timing import median_interval

    rows = sorted(rows, key=lambda r: r.seconds, reverse=True)
    fig, ax = style.figure(8.5, 0.42 * len(rows) + 1.4)
    for y, row in enumerate(rows):
        lo, hi = median_interval(row.samples)
        color = style.PALETTE[0] if row.name.startswith("facelab") else style.NEUTRAL
        ax.barh(
            y,
            row.seconds * 1e3,
            color=color,
            alpha=1 if row.exact else 0.45,
            hatch=None if row.correct else "xx",
        )
        ax.plot([lo * 1e3, hi * 1e3], [y, y], color="black", lw=1.2)
        ax.annotate(
            number(row.seconds * 1e3),
            (max(hi, row.seconds) * 1e3, y),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    ax.set_yticks(range(len(rows)), [r.name for r in rows])
    ax.set_xscale("log")
    ax.set_xlim(min(r.seconds for r in rows) * 1e3 / 3, max(r.seconds for r in rows) * 1e3 * 3)
    style.plain_log(ax.xaxis)
    ax.grid(axis="y", visible=False)
    style.label(ax, title, "milliseconds (median, log scale; line: 95 % interval)", "")
    return fig


def _search_line(ax: Any, name: str, line: Mapping[int, dict], color: str) -> None:
    """Join a contender's searches, each marked with its queries."""
    ax.plot(
        [p["intensity"] for p in line.values()],
        [p["rate"] / 1e9 for p in line.values()],
        marker="o",
        ms=6,
        color=color,
        label=f"{name} (queries beside the dots)",
    )
    for n, p in line.items():
        ax.annotate(
            str(n),
            (p["intensity"], p["rate"] / 1e9),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=color,
        )


def roofline(
    pairs: Mapping[str, dict], searches: Mapping[str, Mapping[int, dict]], limits: Any
) -> Any:
    """Return the roofline: operations per byte against rate, the measured limits as the roof.

    pairs: kernel → point; searches: contender → queries → point; a point has `intensity` (operations a byte) and
    `rate` (operations a second). A contender's searches are joined by a line, each marked with its queries.
    """
    fig, ax = style.figure(9.5, 5.6)
    peak = max(limits.sgemm_flops, limits.tile_flops)
    everywhere = [*pairs.values(), *(p for line in searches.values() for p in line.values())]
    span, rates = [p["intensity"] for p in everywhere], [p["rate"] / 1e9 for p in everywhere]
    x = np.geomspace(min([0.25, *span]) / 2, max([1e3, *span]) * 2, 200)
    ax.plot(
        x,
        np.minimum(x * limits.read_bytes, peak) / 1e9,
        color="black",
        lw=2,
        label=f"roof: {limits.read_bytes / 1e9:.1f} GB/s, {peak / 1e9:.0f} GFLOP/s float32",
    )
    ax.axhline(
        limits.sgemm_flops / 1e9,
        color=style.NEUTRAL,
        ls="--",
        lw=1,
        label=f"numpy's sgemm: {limits.sgemm_flops / 1e9:.0f} GFLOP/s",
    )
    for i, (name, line) in enumerate(searches.items()):
        _search_line(ax, name, line, style.PALETTE[i % len(style.PALETTE)])
    for i, (name, p) in enumerate(sorted(pairs.items(), key=lambda item: -item[1]["rate"])):
        ax.plot(
            p["intensity"],
            p["rate"] / 1e9,
            style.MARKERS[(i + 1) % len(style.MARKERS)],
            ms=9,
            ls="none",
            color=style.PALETTE[(i + len(searches)) % len(style.PALETTE)],
            markeredgecolor="white",
            label=f"pairs, {name}: {p['rate'] / 1e9:.3g}",
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(min(rates) / 2, max(peak / 1e9, *rates) * 2)
    ax.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    style.label(
        ax,
        "What bounds each kernel",
        "operations per byte read or written",
        "billion operations per second",
    )
    return fig


def scaling(sizes: Sequence[int], panels: Mapping[int, Mapping[str, Sequence[float]]]) -> Figure:
    """Return time against gallery size on log axes, a panel for each number of queries, fitted slopes in the legends.

    panels: queries → contender → seconds at each of `sizes`.
    """
    fig, axes = style.figure(5.6 * len(panels), 6.2, columns=len(panels), squeeze=False)
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    for ax, (queries, lines) in zip(axes[0], panels.items()):
        for name, times in lines.items():
            i = names.index(name)
            ax.plot(
                sizes,
                np.asarray(times) * 1e3,
                marker=style.MARKERS[i % len(style.MARKERS)],
                color=style.PALETTE[i % len(style.PALETTE)],
                ls="-" if i < len(style.PALETTE) else "--",
                label=f"{name} (slope {fitted_slope(sizes, times):.2f})",
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.legend(fontsize=8.5, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
        many = "query" if queries == 1 else "queries"
        style.label(ax, f"{queries} {many}", "gallery rows", "milliseconds per search")
    return fig


def speedups(found: Mapping[str, Sequence[float]]) -> Any:
    """Return bars of how many times faster two threads are than one, with the 95 % interval of the median."""
    from facelab.core.timing import median_interval

    fig, ax = style.figure(8.0, 0.45 * len(found) + 1.4)
    for y, (name, ratios) in enumerate(reversed(list(found.items()))):
        value, ends = float(np.median(ratios)), median_interval(np.asarray(ratios))
        ax.barh(y, value, color=style.PALETTE[0] if name.startswith("facelab") else style.NEUTRAL)
        ax.plot(ends, [y, y], color="black", lw=1.2)
        ax.annotate(
            f"{value:.2f}",
            (max(value, ends[1]), y),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    ax.set_yticks(range(len(found)), list(reversed(list(found))))
    ax.set_xlim(0, 2.4)
    ax.grid(axis="y", visible=False)
    style.label(ax, "Two threads against one", "times faster (line: 95 % interval)", "")
    return fig


def fitted_slope(sizes: Sequence[int], times: Sequence[float]) -> float:
    """Return the least-squares slope of log time over log size: 1 is linear.

    >>> round(fitted_slope([10, 100, 1000], [1, 10, 100]), 6)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def frame(rows: Sequence) -> pd.DataFrame:
    """Return rows as a pandas table, fastest first: the answers' error or recall beside the speed."""
    import pandas as pd

    rows = sorted(rows, key=lambda r: (r.case, r.seconds))
    return pd.DataFrame(
        [
            {
                "case": r.case,
                "contender": r.name,
                "ms": round(r.seconds * 1e3, 3),
                "largest relative error": r.error,
                "recall": r.recall,
                "answers right": r.correct,
                "threads": r.threads,
                "BLAS": r.blas,
            }
            for r in rows
        ]
    )


def instructions(listings: Any) -> pd.DataFrame:
    """Return a table of the arithmetic in each kernel's machine code (the matcher study's `Listing`)."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "kernel": x.kernel,
                "packed": x.packed,
                "scalar": x.scalar,
                "register bits": ", ".join(map(str, x.widths)) or "none",
                "most frequent": ", ".join(
                    f"{name} × {n}" for name, n in list(x.mnemonics.items())[:4]
                ),
            }
            for x in listings
        ]
    )


def recommendation(rows: Sequence) -> pd.DataFrame:
    """Return, per shape, the fastest exact contender and how many times faster it is than the next library.

    `prepare s` is what its gallery costs once; approximate libraries are beside it with their recall.
    """
    import pandas as pd

    out = []
    for case in dict.fromkeys(r.case for r in rows):
        mine = sorted((r for r in rows if r.case == case and r.correct), key=lambda r: r.seconds)
        exact = [r for r in mine if r.exact]
        other = next((r for r in exact if not r.name.startswith("facelab")), None)
        rough = next((r for r in mine if not r.exact and r.recall is not None), None)
        shape = exact[0].shape
        out.append(
            {
                "queries": shape["queries"],
                "gallery": shape["gallery"],
                "dimension": shape["dimension"],
                "k": shape["k"],
                "deploy": exact[0].name,
                "ms": round(exact[0].seconds * 1e3, 3),
                "prepare s": None if exact[0].prepare_s is None else round(exact[0].prepare_s, 3),
                "best library": other and other.name,
                "times faster": other and round(other.seconds / exact[0].seconds, 2),
                "fastest approximate": rough
                and f"{rough.name}: {number(rough.seconds * 1e3)} ms, recall {rough.recall:.3f}",
            }
        )
    return pd.DataFrame(out)
