"""Plots of swaps, canaries, pools, overload and recovery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def tail(latencies: Mapping[str, np.ndarray], *, title: str = "") -> Figure:
    """Return the share of requests that took longer than a time, on logarithmic axes.

    Parameters
    ----------
    latencies : mapping of str to ndarray
        Seconds per request.
    title : str
        The claim.
    """
    fig, ax = style.figure(8.0, 4.2)
    for k, (name, x) in enumerate(latencies.items()):
        x = np.sort(x) * 1e3
        share = 1 - np.arange(len(x)) / len(x)
        look = {**style.series(k), "marker": ""}
        ax.step(x, share, where="post", lw=2, label=f"{name} (n = {len(x):,})", **look)
    ax.axhline(0.01, color=style.NEUTRAL, lw=1, ls=":")
    ax.annotate("P99", (1, 0.01), xycoords=("axes fraction", "data"), ha="right", va="bottom")
    ax.set(xscale="log", yscale="log", xlabel="latency [ms]", ylabel="share of requests above")
    style.plain_log(ax.xaxis)
    ax.set_title(title)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, -0.34), ncols=len(latencies))
    return fig


def memory(series: Mapping[str, np.ndarray], *, model_mb: float) -> Figure:
    """Return resident memory above the start (MiB) after each swap, one line per allocator setting."""
    from matplotlib.ticker import MaxNLocator

    fig, ax = style.figure(8.0, 3.8)
    for k, (name, y) in enumerate(series.items()):
        ax.plot(np.arange(1, len(y) + 1), y, lw=2, label=name, **style.series(k))
    ax.axhline(model_mb, color=style.NEUTRAL, ls=":", lw=1.2)
    ax.annotate(
        "one model", (1, model_mb), xycoords=("axes fraction", "data"), ha="right", va="bottom"
    )
    ax.set(xlabel="swaps", ylabel="MiB above the start")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_title("Memory after swaps: retention, not a leak")
    ax.legend()
    return fig


def shares(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return the share of units in the candidate against the ratio asked for, with the binomial interval."""
    fig, ax = style.figure(6.4, 3.8)
    ratio = np.array([r["ratio"] for r in rows])
    got = np.array([r["share"] for r in rows])
    low, high = (np.array([r[k] for r in rows]) for k in ("lo", "hi"))
    ax.fill_between(
        ratio, low / ratio, high / ratio, color=style.PALETTE[5], alpha=0.3, label="99 % interval"
    )
    ax.plot(ratio, got / ratio, lw=0, label="10 000 units", **{**style.series(0), "ls": ""})
    ax.axhline(1, color=style.NEUTRAL, lw=1)
    ax.set(xscale="log", xlabel="ratio in the rollout", ylabel="share drawn / ratio")
    style.plain_log(ax.xaxis)
    ax.set_title("A fair draw at every ratio")
    ax.legend()
    return fig


def agreement(runs: Mapping[str, np.ndarray], *, least: float) -> Figure:
    """Return the anytime-valid bounds of the agreement while requests come in; rows are (request, n, low, high)."""
    fig, ax = style.figure(8.0, 4.0)
    for k, (name, trail) in enumerate(runs.items()):
        if not len(trail):
            continue
        colour = style.PALETTE[k]
        ax.fill_between(
            trail[:, 0] + 1,
            trail[:, 2],
            trail[:, 3],
            color=colour,
            alpha=0.3,
            label=name,
            step="post",
        )
        ax.plot(trail[-1, 0] + 1, trail[-1, 3], "v", color=colour)
    ax.axhline(least, color=style.BAD, ls="--", lw=1.2)
    ax.annotate(
        f"least agreement {least:g}",
        (0, least),
        xycoords=("axes fraction", "data"),
        ha="left",
        va="top",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )
    ax.set(xscale="log", xlabel="requests", ylabel="agreement of both versions", ylim=(-0.02, 1.02))
    style.plain_log(ax.xaxis)
    ax.set_title("The candidate is stopped when its upper bound falls below")
    ax.legend(loc="lower right")
    return fig


def waits(planted: Sequence[Any]) -> Figure:
    """Return the waits and holds behind each verdict: one panel per planted fault, one colour per kind of pool."""
    faults = list(dict.fromkeys(p.planted for p in planted))
    kinds = list(dict.fromkeys(p.kind for p in planted))
    fig, panels = style.figure(10.0, 3.6, columns=len(faults), sharey=True, squeeze=False)
    axes = np.asarray(panels).ravel()
    for ax, fault in zip(axes, faults, strict=True):
        for k, kind in enumerate(kinds):
            (found,) = [p for p in planted if p.planted == fault and p.kind == kind]
            x = np.sort(np.maximum(found.waits[:, 1], 1e-5)) * 1e3
            look = {**style.series(k), "marker": ""}
            ax.step(x, np.arange(1, len(x) + 1) / len(x), where="post", label=kind, lw=1.8, **look)
        ax.set(xscale="log", xlabel="wait [ms]", xlim=(8e-3, 1e3))
        verdicts = {p.found for p in planted if p.planted == fault}
        ax.set_title(f"planted: {fault}\nfound: {', '.join(sorted(verdicts))}", fontsize=10)
    axes[0].set_ylabel("share of waits below")
    axes[0].legend(loc="lower right", fontsize=8.5)
    return fig


def overload(result: Any) -> Figure:
    """Return the goodput against the offered load, both as shares of the capacity."""
    fig, ax = style.figure(7.0, 4.0)
    top, most = 1.0, 1.1
    for k, queue in enumerate(("bounded", "unbounded")):
        offered, good = result.goodput(queue)
        most = max(most, float(good.max()))
        ax.plot(offered, good, lw=2, label=f"{queue} queue", **style.series(k))
        top = max(top, float(offered.max()))
    ax.plot([0, 1, top], [0, 1, 1], color=style.NEUTRAL, ls=":", lw=1.2, label="ideal")
    ax.set(
        xlabel="offered load / capacity",
        ylabel=f"answers within {result.within_s * 1e3:g} ms / capacity",
        ylim=(0, 1.05 * most),
    )
    ax.set_title("Shedding keeps the goodput where a long queue loses it")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, -0.36), ncols=3)
    return fig


def recovery(report: Any) -> Figure:
    """Return the share of faults that were over after each time, one line per cause."""
    fig, ax = style.figure(7.0, 4.0)
    for k, cause in enumerate(sorted(report.causes)):
        seconds = [f.recovered_s for f in report.faults if f.cause == cause]
        x = np.sort([s for s in seconds if s is not None]) * 1e3
        y = np.arange(1, len(x) + 1) / len(seconds)
        look = {**style.series(k), "marker": "o" if len(x) < 40 else ""}
        name = f"{cause} ({len(seconds)})"
        ax.step(np.maximum(x, 0.1), y, where="post", label=name, lw=1.8, ms=4, **look)
    ax.set(
        xscale="log",
        xlabel="time until a worker was ready again [ms]",
        ylabel="share of faults",
        ylim=(0, 1.04),
    )
    style.plain_log(ax.xaxis)
    ax.set_title("Recovery from planted faults, by cause")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, -0.4), ncols=2, fontsize=9)
    return fig
