"""Pictures of feedback: flicker against delay, the heart over time, lateness, pulses, the adaptive beat."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.report.style import BAD, GOOD, NEUTRAL, PALETTE, figure, label, plain_log, series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "beat_plot",
    "flicker_plot",
    "heart_plot",
    "late_plot",
    "latency_plot",
    "law_plot",
    "pulse_plot",
    "shown_plot",
]


def flicker_plot(groups: dict[str, Sequence[Any]]) -> Figure:
    """Draw changes per minute against delay: one panel per source of scores, one line per smoother."""
    fig, axes = figure(4.8 * len(groups) + 1.2, 4.2, columns=len(groups), squeeze=False)
    for ax, (name, points) in zip(np.ravel(axes), groups.items()):
        kinds = list(dict.fromkeys(p.smoother for p in points))
        for k, kind in enumerate(kinds):
            mine = [p for p in points if p.smoother == kind and p.delay_s is not None]
            x = [p.delay_s for p in mine]
            y = [max(p.changes_per_minute, 0.5) for p in mine]
            ax.plot(x, y, **series(k), label=kind, ms=5, lw=1.4)
            for p in mine:
                if p.default and kind != "argmax":
                    ax.plot(p.delay_s, max(p.changes_per_minute, 0.5), "o", ms=13, mfc="none",
                            mec=PALETTE[k], mew=1.6)  # fmt: skip
        true = points[0].true_per_minute
        if true > 0:
            ax.axhline(true, color=NEUTRAL, ls=":", lw=1.2)
            ax.annotate(f"true changes: {true:.0f}", (0.98, true), (0, 3), ha="right", fontsize=9,
                        xycoords=("axes fraction", "data"), textcoords="offset points",
                        color=NEUTRAL)  # fmt: skip
        else:
            ax.text(0.5, 0.5, "no change known", transform=ax.transAxes, ha="center")
        ax.set_yscale("log")
        plain_log(ax.yaxis)
        label(
            ax,
            name,
            "delay after a true change (s, median)",
            "changes of the label per minute (0 is drawn at 0.5)",
        )
    np.ravel(axes)[0].legend(fontsize=9)
    return fig


def shown_plot(times_s: np.ndarray, rows: dict[str, Sequence[str | None]]) -> Figure:
    """Draw which label is shown when: one bar per way, colours by label."""
    names = sorted({label for row in rows.values() for label in row if label})
    fig, ax = figure(10, 0.9 + 0.45 * len(rows))
    for y, row in enumerate(rows.values()):
        edges = [0, *(k for k in range(1, len(row)) if row[k] != row[k - 1]), len(row) - 1]
        for a, b in itertools.pairwise(edges):
            shown = row[a]
            colour = "white" if shown is None else PALETTE[names.index(shown) % len(PALETTE)]
            ax.barh(y, times_s[b] - times_s[a], left=times_s[a], color=colour, height=0.8)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.invert_yaxis()
    ax.grid(visible=False)
    for k, name in enumerate(names):
        ax.barh(0, 0, color=PALETTE[k % len(PALETTE)], label=name)
    fig.legend(loc="outside upper center", ncols=min(7, len(names)), fontsize=9)
    ax.set_xlabel("time (s)")
    return fig


def heart_plot(animations: Mapping[str, Any], change_s: float) -> Figure:
    """Draw the heart's size over time by several formulas (name → animation), and where the emotion changes."""
    fig, ax = figure(9, 3.4)
    for k, (name, shown) in enumerate(animations.items()):
        scales = [pose.scale for pose in shown.poses]
        ax.plot(shown.times_s, scales, color=(PALETTE[0], BAD)[k % 2], lw=1.6, label=name)
    ax.axvline(change_s, color=NEUTRAL, ls=":", lw=1.2)
    ax.annotate("anger becomes neutral", (change_s, 1.0), (4, -2), textcoords="offset points",
                xycoords=("data", "axes fraction"), va="top", fontsize=9, color=NEUTRAL)  # fmt: skip
    ax.legend(fontsize=9, loc="lower right")
    label(ax, "Size of the heart", "time (s)", "size against rest")
    return fig


def latency_plot(parts: Sequence[Any], total_ms: np.ndarray) -> Figure:
    """Draw the median and the range from P5 to P95 of each stage, and of their sum."""
    fig, ax = figure(9, 0.9 + 0.45 * (len(parts) + 1))
    rows = [*((p.name, p.ms, p.method) for p in parts), ("frame to drawn heart", total_ms, "sum")]
    for y, (_, ms, method) in enumerate(rows):
        low, middle, high = np.quantile(ms, (0.05, 0.5, 0.95))
        colour = NEUTRAL if method == "model" else PALETTE[1] if method == "sum" else PALETTE[0]
        ax.plot([low, high], [y, y], color=colour, lw=5, alpha=0.4, solid_capstyle="butt")
        ax.plot(middle, y, "o", color=colour)
        ax.annotate(f"{middle:.2g} ms", (high, y), (6, 0), textcoords="offset points", va="center",
                    fontsize=9)  # fmt: skip
    names = [f"{n} (modelled)" if m == "model" else n for n, _, m in rows]
    ax.set_yticks(range(len(rows)), names)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    label(ax, "From frame to drawn heart", "milliseconds: median, P5 to P95", "")
    return fig


def late_plot(found: Sequence[Any]) -> Figure:
    """Draw the distribution of lateness of each way: one panel per load, shares on the vertical axis."""
    loads = list(dict.fromkeys(f.load for f in found))
    ways = list(dict.fromkeys(f.way for f in found))
    fig, axes = figure(11, 3.9, columns=len(loads), sharey=True, squeeze=False)
    for ax, load in zip(np.ravel(axes), loads):
        for f in found:
            if f.load == load:
                ms = np.sort(np.maximum(f.ms, 0.01))
                style = {**series(ways.index(f.way)), "marker": ""}
                ax.plot(ms, np.arange(1, len(ms) + 1) / len(ms), lw=1.8, label=f.way, **style)
        ax.set_xscale("log")
        ax.set_xlim(0.02, max(300.0, 1.1 * max(float(f.ms.max()) for f in found)))
        plain_log(ax.xaxis)
        label(ax, load, "late by at most (ms)", "share of ticks" if load == loads[0] else "")
    fig.legend(*np.ravel(axes)[0].get_legend_handles_labels(), loc="outside upper center",
               ncols=len(ways), fontsize=9)  # fmt: skip
    return fig


def pulse_plot(asked: Sequence[Any], played: Sequence[Any]) -> Figure:
    """Draw pulses as asked for, above those that a motor gets."""
    fig, ax = figure(10, 2.2)
    for y, (pulses, colour) in enumerate(((asked, NEUTRAL), (played, GOOD))):
        for p in pulses:
            ax.barh(y, 1e3 * p.seconds, left=1e3 * p.start_s, color=colour, height=0.6)
            narrow = p.seconds <= 0.03  # the number stands above a bar that is too narrow for it
            ax.annotate(f"{1e3 * p.seconds:.0f}", (500 * (p.start_s + p.stop_s), y - 0.42 * narrow), ha="center",
                        va="center", fontsize=8, color="black" if narrow else "white")  # fmt: skip
    ax.set_yticks([0, 1], ["asked", "played"])
    ax.set_ylim(1.5, -0.6)
    ax.grid(axis="y", visible=False)
    label(ax, "Pulses and their lengths (ms)", "time (ms)", "")
    return fig


def law_plot(runs: Sequence[Any], seconds: float = 180.0) -> Figure:
    """Draw the end of each simulated run: the interval between two beats, one panel per law."""
    fig, axes = figure(10, 1.35 * len(runs) + 0.6, rows=len(runs), sharex=True, squeeze=False)
    for k, (ax, run) in enumerate(zip(np.ravel(axes), runs)):
        keep = run.times_s >= run.times_s[-1] - seconds
        ax.step(run.times_s[keep] - run.times_s[keep][0], run.interval_ms[keep], where="post",
                color=PALETTE[0] if run.swing_ms < 20 and run.changes_per_minute < 1 else BAD, lw=1.4)  # fmt: skip
        middle = float(np.median(run.interval_ms[keep]))
        half = max(30.0, 0.6 * float(np.ptp(run.interval_ms[keep])))
        centre = float(run.interval_ms[keep].max() + run.interval_ms[keep].min()) / 2
        ax.set_ylim(
            (centre if half > 30 else middle) - half, (centre if half > 30 else middle) + half
        )
        ax.set_title(f"{run.law}: {run.changes_per_minute:.1f} changes per minute, "
                     f"{run.mean_c:.1f} °C", fontsize=10, loc="left")  # fmt: skip
        ax.set_ylabel("ms")
        if k == len(runs) - 1:
            ax.set_xlabel("time (s), after warming up; modelled")
    return fig


def beat_plot(formulas: dict[str, Any]) -> Figure:
    """Draw each formula over the frame rate, at 60 °C, and over the temperature, at 60 frames per second."""
    fig, axes = figure(10, 3.6, columns=2, sharey=True)
    left, right = np.ravel(axes)
    rates, warm = np.linspace(0, 60, 121), np.linspace(30, 90, 121)
    for k, (name, formula) in enumerate(formulas.items()):
        style = {**series(k), "marker": "", "ls": ("-", "--", "-", ":")[k], "lw": (4, 2, 4, 2)[k]}
        style["alpha"] = (0.45, 1, 0.45, 1)[k]
        left.plot(rates, [formula(60.0, f) for f in rates], label=name, **style)
        right.plot(warm, [formula(c, 60.0) for c in warm], **style)
    left.legend(fontsize=9)
    label(left, "At 60 °C", "frames per second", "ms between two beats")
    label(right, "At 60 frames per second", "°C", "")
    return fig
