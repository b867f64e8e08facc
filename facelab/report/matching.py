"""Plots and tables of the matcher benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from facelab.report import style


def bars(rows: Sequence, *, title: str):
    """Return a horizontal bar chart of median milliseconds per contender, with intervals; wrong answers hatched.

    rows: objects with `name`, `samples` (seconds), `seconds`, `correct`, `exact` (facelab.matching.bench.Row).
    """
    from facelab.core.timing import median_interval
    rows = sorted(rows, key=lambda r: r.seconds, reverse=True)
    _, ax = style.figure(8.5, 0.42 * len(rows) + 1.4)
    for y, row in enumerate(rows):
        lo, hi = median_interval(row.samples)
        color = style.PALETTE[0] if row.name.startswith("facelab") else style.NEUTRAL
        ax.barh(y, row.seconds * 1e3, color=color, alpha=1 if row.exact else 0.45,
                hatch=None if row.correct else "xx")
        ax.plot([lo * 1e3, hi * 1e3], [y, y], color="black", lw=1.2)
        ax.annotate(f"{row.seconds * 1e3:.3g}", (max(hi, row.seconds) * 1e3, y), xytext=(5, 0),
                    textcoords="offset points", va="center", fontsize=9)
    ax.set_yticks(range(len(rows)), [r.name for r in rows])
    ax.set_xscale("log")
    ax.set_xlim(right=max(r.seconds for r in rows) * 1e3 * 3)
    ax.grid(axis="y", visible=False)
    return style.label(ax, title, "milliseconds (median, log scale; line: 95 % interval)", "").figure


def roofline(points: Mapping[str, dict], limits):
    """Return the roofline: operations per byte against rate, the measured limits as the roof.

    points: name → dict of `intensity` (operations a byte) and `rate` (operations a second).
    """
    _, ax = style.figure(8.5, 5.2)
    peak = max(limits.sgemm_flops, limits.tile_flops)
    top = max([peak, *(p["rate"] for p in points.values())])
    span = [p["intensity"] for p in points.values()]
    x = np.geomspace(min([0.25, *span]) / 2, max([1e3, *span]) * 2, 200)
    ax.plot(x, np.minimum(x * limits.read_bytes, peak) / 1e9, color="black", lw=2,
            label=f"roof: {limits.read_bytes / 1e9:.1f} GB/s, {peak / 1e9:.0f} GFLOP/s float32")
    ax.axhline(limits.sgemm_flops / 1e9, color=style.NEUTRAL, ls="--", lw=1,
               label=f"numpy's sgemm: {limits.sgemm_flops / 1e9:.0f} GFLOP/s")
    for i, (name, p) in enumerate(points.items()):
        ax.plot(p["intensity"], p["rate"] / 1e9, style.MARKERS[i % len(style.MARKERS)], ms=8, label=name,
                color=style.PALETTE[i % len(style.PALETTE)], ls="none")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(top=top / 1e9 * 2)
    ax.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return style.label(ax, "What bounds each search", "operations per byte read",
                       "billion operations per second").figure


def scaling(sizes: Sequence[int], seconds: Mapping[str, Sequence[float]]):
    """Return time against gallery size on log axes with the fitted slope of each contender in the legend."""
    _, ax = style.figure(8.0, 4.8)
    for i, (name, times) in enumerate(seconds.items()):
        slope = fitted_slope(sizes, times)
        ax.plot(sizes, np.asarray(times) * 1e3, marker=style.MARKERS[i % len(style.MARKERS)],
                color=style.PALETTE[i % len(style.PALETTE)], label=f"{name} (slope {slope:.2f})")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.legend(fontsize=9)
    return style.label(ax, "Time against gallery size", "gallery rows", "milliseconds per search").figure


def fitted_slope(sizes: Sequence[int], times: Sequence[float]) -> float:
    """Return the least-squares slope of log time over log size: 1 is linear.

    >>> round(fitted_slope([10, 100, 1000], [1, 10, 100]), 6)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def frame(rows: Sequence):
    """Return rows as a pandas table, fastest first: the answers' error or recall beside the speed."""
    import pandas as pd
    rows = sorted(rows, key=lambda r: (r.case, r.seconds))
    return pd.DataFrame([{"case": r.case, "contender": r.name, "ms": round(r.seconds * 1e3, 3),
                          "largest relative error": r.error, "recall": r.recall, "answers right": r.correct,
                          "threads": r.threads} for r in rows])


def recommendation(rows: Sequence):
    """Return, per shape, the fastest exact contender and how many times faster it is than the next library."""
    import pandas as pd
    out = []
    for case in dict.fromkeys(r.case for r in rows):
        exact = sorted((r for r in rows if r.case == case and r.exact and r.correct), key=lambda r: r.seconds)
        others = [r for r in exact if not r.name.startswith("facelab")]
        out.append({"shape": case, "deploy": exact[0].name, "ms": round(exact[0].seconds * 1e3, 3),
                    "best library": others[0].name if others else None,
                    "times faster": round(others[0].seconds / exact[0].seconds, 2) if others else None})
    return pd.DataFrame(out)
