"""Pictures of latency and memory: stages, slow calls, causes, a flame graph, curves of memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from facelab.tracing.internals import MemoryReport, Stages, Trace

PARTS = ("cpu", "waiting", "blocked")
_COLOURS = dict(zip(PARTS, style.PALETTE))
MB = 1e6


def stages(found: Stages) -> Figure:
    """Draw P50, P90 and P99 per stage in milliseconds on a logarithmic axis, with 95 % intervals."""
    rows = [r for r in found.rows if r.name != "frame"]
    fig, ax = style.figure(9.0, 1.6 + 0.45 * len(rows))
    for k, level in enumerate(("p50", "p90", "p99")):
        for y, row in enumerate(rows):
            value, lo, hi = getattr(row, level)
            at = y + (k - 1) * 0.2
            ax.plot(
                [(lo or value) * 1e3, (hi or row.worst) * 1e3],
                [at, at],
                color=style.PALETTE[k],
                lw=2,
                ls="-" if hi else ":",
            )
            ax.plot(
                value * 1e3,
                at,
                style.MARKERS[k],
                color=style.PALETTE[k],
                label=level.upper() if not y else None,
            )
    ax.set_xscale("log")
    ax.set_yticks(range(len(rows)), [f"{r.name} (n={r.n})" for r in rows])
    ax.invert_yaxis()
    style.plain_log(ax.xaxis)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    x = "time [ms]; a dotted line ends at the worst call: too few calls for an interval"
    style.label(ax, "Time per stage", x, "")
    return fig


def slow_frames(trace: Trace, calls: Sequence[int], names: Mapping[int, str]) -> Figure:
    """Draw what single frames spent their time on: one bar per stage, cut into CPU, run-queue wait and blocked.

    `names` labels the calls, such as {25: "usual", 30: "sleep"}.
    """
    fig, ax = style.figure(9.6, 1.4 + 0.5 * len(calls))
    c = trace.columns
    for y, call in enumerate(calls):
        rows = np.flatnonzero((trace.call == call) & (trace.parent >= 0))
        first = int(c["start_ns"][trace.call == call].min())
        for k in rows.tolist():
            _bar(ax, y, trace, k, first)
    ax.set_yticks(range(len(calls)), [names.get(k, str(k)) for k in calls])
    ax.invert_yaxis()
    for part in PARTS:
        ax.plot([], [], color=_COLOURS[part], lw=8, label=part)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="time spent")
    style.label(ax, "Single frames, stage after stage", "since the frame was due [ms]", "")
    return fig


def _bar(ax: Axes, y: int, trace: Trace, row: int, first: int) -> None:
    c, wall = trace.columns, float(trace.wall_ns[row])
    waiting = min(float(c["wait_ns"][row]), wall)
    cpu = min(float(c["cpu_ns"][row]), wall - waiting)
    left = (float(c["start_ns"][row]) - first) / 1e6
    for part, ns in zip(PARTS, (cpu, waiting, wall - cpu - waiting)):
        ax.barh(
            y, ns / 1e6, left=left, height=0.62, color=_COLOURS[part], edgecolor="white", lw=0.4
        )
        left += ns / 1e6


def confusion(table: Mapping[str, Mapping[str, int]], expected: Mapping[str, str]) -> Figure:
    """Draw planted delays (rows) against named causes (columns); the expected cell of each row is framed."""
    from matplotlib.patches import Rectangle

    seen = {n for row in table.values() for n in row}
    named = [*dict.fromkeys(expected[k] for k in table), *sorted(seen - set(expected.values()))]
    counts = np.array([[row.get(n, 0) for n in named] for row in table.values()])
    fig, ax = style.figure(1.8 + 0.85 * len(named) + 2, 1.6 + 0.42 * len(table))
    ax.imshow(counts, cmap="Blues", vmin=0, vmax=max(1, counts.max()) * 1.4, aspect="auto")
    for y, kind in enumerate(table):
        for x, name in enumerate(named):
            if counts[y, x]:
                ax.text(x, y, counts[y, x], ha="center", va="center", fontweight="bold")
            if name == expected[kind]:
                ax.add_patch(
                    Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, fill=False, ec=style.GOOD, lw=2)
                )
    ax.set_xticks(range(len(named)), [n.replace("_", "\n") for n in named])
    ax.set_yticks(range(len(table)), list(table))
    ax.grid(False)
    style.label(ax, "What was planted, and what was named", "named cause (framed: right)", "")
    return fig


def flame(folded: Mapping[str, int]) -> Figure:
    """Draw folded stacks (µs) as a flame graph, outermost at the top; the legend names the small boxes."""
    total = sum(folded.values()) or 1
    depth = max((s.count(";") for s in folded), default=0) + 1
    fig, ax = style.figure(9.6, 1.6 + 0.45 * depth)
    _boxes(ax, {tuple(k.split(";")): n for k, n in folded.items()}, (), 0.0, total)
    ax.set(xlim=(0, 100), ylim=(depth, 0), yticks=[])
    ax.grid(False)
    ax.spines["left"].set_visible(False)
    style.label(ax, "Flame graph of the spans", f"share of {total / 1e6:.1f} s [%]", "")
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.42), ncols=4, fontsize=8.5)
    return fig


def _boxes(
    ax: Axes, stacks: Mapping[tuple[str, ...], int], above: tuple[str, ...], x: float, total: int
) -> None:
    depth = len(above)
    inner: dict[str, int] = {}
    for stack, n in stacks.items():
        if stack[:depth] == above and len(stack) > depth:
            inner[stack[depth]] = inner.get(stack[depth], 0) + n
    for k, (name, n) in enumerate(inner.items()):
        width = 100 * n / total
        if width < 0.15:
            continue
        colour = style.PALETTE[(k + 2 * depth) % 6]
        fits = width > 1.1 * len(name)
        label = None if fits else f"{name}: {width:.1f} %"
        ax.barh(
            depth + 0.5,
            width,
            left=x,
            height=0.94,
            color=colour,
            alpha=0.55,
            ec="white",
            label=label,
        )
        if fits:
            ax.text(x + width / 2, depth + 0.5, name, ha="center", va="center", fontsize=9)
        _boxes(ax, stacks, (*above, name), x, total)
        x += width


def memory(report: MemoryReport) -> Figure:
    """Draw RSS and the bytes in use by malloc against frames; what warms up is shaded."""
    r = report.readings
    fig, ax = style.figure(9.0, 4.2)
    frame = r["frame"]
    ax.axvspan(frame[0], frame[report.settled], color="#F3F4F6", label="may warm up")
    ax.plot(frame, r["rss"] / MB, color=style.PALETTE[0], lw=1.8, label="RSS")
    ax.plot(
        frame, r["in_use"] / MB, color=style.PALETTE[1], lw=1.8, ls="--", label="in use by malloc"
    )
    ax.plot(frame[-1], report.trimmed / MB, "D", color=style.PALETTE[2], label="RSS after a trim")
    ax.set_ylim(0)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    style.label(ax, f"Memory of the pipeline: {report.verdict.name}", "frame", "memory [MB]")
    return fig


def planted(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw RSS and bytes in use above their first reading for each planted case, with the verdict as title."""
    columns = 4
    lines = -(-len(rows) // columns)
    fig, axes = style.figure(11.5, 2.3 * lines, rows=lines, columns=columns, squeeze=False)
    flat = cast("np.ndarray", axes).ravel()
    for ax, row in zip(flat, rows):
        r = {k: np.asarray(v, float) for k, v in row["readings"].items()}
        for k, (name, ls) in enumerate((("rss", "-"), ("in_use", "--"))):
            ax.plot(r["frame"], (r[name] - r[name][0]) / MB, color=style.PALETTE[k], ls=ls, lw=1.6)
        good = row["verdict"] == row["expected"]
        ax.set_title(row["verdict"], fontsize=9.5, color=style.GOOD if good else style.BAD)
        ax.set_xlabel(row["case"], fontsize=8.5)
        ax.set_ylim(min(-1, ax.get_ylim()[0]), max(10, ax.get_ylim()[1]))
        ax.tick_params(labelsize=8)
    for ax in flat[len(rows) :]:
        ax.axis("off")
    last = flat[-1]
    last.plot([], [], color=style.PALETTE[0], label="RSS")
    last.plot([], [], color=style.PALETTE[1], ls="--", label="in use by malloc")
    last.legend(loc="center" if len(rows) < len(flat) else "upper left", fontsize=9)
    fig.supylabel("growth [MB]", fontsize=10)
    return fig


def swaps(rss: Mapping[str, Sequence[float]], model_mb: float) -> Figure:
    """Draw RSS above one loaded model after each swap, per way of swapping."""
    fig, ax = style.figure(9.0, 4.2)
    for k, (way, series) in enumerate(rss.items()):
        # several ways leave nothing: hollow markers of falling size show lines that coincide
        look = {**style.series(k), "markersize": 13 - 2 * k, "markerfacecolor": "none"}
        ax.plot(range(1, len(series) + 1), series, **look, lw=1.8, label=way)
    ax.axhline(model_mb, color=style.NEUTRAL, ls=":", lw=1.2)
    ends = {"ha": "right", "va": "bottom", "color": style.NEUTRAL, "fontsize": 9}
    ax.text(max(map(len, rss.values())), model_mb, "one more model ", **ends)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    title = f"RSS after swaps of a model with {model_mb:.0f} MB of weights"
    style.label(ax, title, "swaps", "RSS above one model [MB]")
    return fig
