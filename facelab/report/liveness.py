"""Pictures of liveness: errors by attack, coarse depth, loose boxes, wrong pairs, and three claims as ratios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.report.style import BAD, GOOD, NEUTRAL, PALETTE, figure, label, series

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from facelab.liveness.internals import LivenessEvaluation
    from facelab.metrics.intervals import Interval

__all__ = [
    "attack_plot",
    "box_plot",
    "claim_plot",
    "claim_table",
    "coarse_plot",
    "cost_table",
    "pairing_plot",
    "sample_plot",
]


def sample_plot(people: Sequence[Any], person: int = 0) -> Figure:
    """Draw one person live and by each attack: colour above, depth below."""
    name = people[person * len({p.kind for p in people})].identity
    mine = [p for p in people if p.identity == name]
    fig, axes = figure(9, 3.8, rows=2, columns=len(mine), squeeze=False)
    grid: Any = axes
    for k, p in enumerate(mine):
        look = p.looks[0]
        near = np.where(look.depth == 0, np.nan, look.depth.astype(float))
        middle = np.nanmedian(near[near < 900]) if (near < 900).any() else np.nanmedian(near)
        grid[0, k].imshow(look.colour)
        grid[0, k].set_title(p.kind.replace("_", " "), fontsize=11)
        shown = grid[1, k].imshow(near - middle, vmin=-60, vmax=60, cmap="viridis_r")
        for ax in (grid[0, k], grid[1, k]):
            ax.axis("off")
    fig.colorbar(shown, ax=list(grid[1]), label="mm from the middle", shrink=0.9)
    return fig


def attack_plot(found: Sequence[LivenessEvaluation]) -> Figure:
    """Draw a table of error rates with their intervals: one row per model, one column per attack, BPCER and ACER."""
    kinds = list(found[0].rates.apcer)
    columns = [*(f"APCER\n{k.replace('_', ' ')}" for k in kinds), "BPCER", "ACER"]
    parts = [[*(f.rates.apcer[k] for k in kinds), f.rates.bpcer, f.rates.acer] for f in found]
    fig, ax = figure(10, 0.9 + 0.55 * len(found))
    values = np.array([[i.value for i in row] for row in parts])
    ax.imshow(values, vmin=0, vmax=1, cmap="Oranges", aspect="auto")
    for y, row in enumerate(parts):
        for x, i in enumerate(row):
            _cell(ax, x, y, i)
    ax.set_xticks(range(len(columns)), columns)
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(found)), [f.model["name"] for f in found])
    ax.tick_params(length=0)
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.axvline(len(kinds) - 0.5, color="white", lw=4)
    return fig


def _cell(ax: Any, x: int, y: int, i: Interval) -> None:
    colour = "white" if i.value > 0.65 else "black"
    ax.annotate(f"{i.value:.2f}", (x, y), (0, 6), textcoords="offset points", ha="center",
                va="center", color=colour)  # fmt: skip
    ax.annotate(f"{i.lo:.2f} to {i.hi:.2f}", (x, y), (0, -7), textcoords="offset points",
                ha="center", va="center", fontsize=8, color=colour)  # fmt: skip


def cost_table(found: Sequence[LivenessEvaluation]) -> pd.DataFrame:
    """Return threshold, AUC and milliseconds per presentation of each model."""
    import pandas as pd

    rows = [
        {
            "model": f.model["name"],
            "needs": ", ".join(f.model["needs"]) or "colour",
            "threshold": round(f.rates.threshold, 4),
            "AUC": round(f.auc, 3),
            "ms per presentation": round(f.milliseconds[0], 2),
            "from": round(f.milliseconds[1], 2),
            "to": round(f.milliseconds[2], 2),
        }
        for f in found
    ]
    return pd.DataFrame(rows)


def coarse_plot(found: Sequence[Any]) -> Figure:
    """Draw depth geometry's ACER per depth camera: with the old threshold, and with one chosen again."""
    fig, ax = figure(9, 3.4)
    x = np.arange(len(found))
    again = np.array([c.acer_anew for c in found])
    spans = np.array([[c.acer_anew - c.lo, c.hi - c.acer_anew] for c in found]).T
    ax.bar(x - 0.2, [c.acer_kept for c in found], 0.38, color=BAD, label="threshold kept")
    ax.bar(
        x + 0.2,
        again,
        0.38,
        yerr=spans,
        capsize=3,
        color=PALETTE[0],
        label="threshold chosen again",
    )
    ax.set_xticks(x, [c.name.replace(" (", "\n(") for c in found])
    ax.set_ylim(0, 1)
    ax.grid(axis="x", visible=False)
    ax.legend(loc="upper left")
    label(ax, "Depth geometry on coarser cameras, without masks", "", "ACER")
    return fig


def box_plot(tables: Sequence[Any]) -> Figure:
    """Draw the share of decisions that another box turns over: by its size, and by its shift."""
    fig, axes = figure(10, 3.4, columns=2, sharey=True)
    left, right = np.ravel(axes)
    for k, t in enumerate(tables):
        scaled, moved = t.shift == 0, t.shift > 0
        left.plot(t.scale[scaled], t.flipped[scaled], label=t.model, **series(k))
        right.plot([0, *t.shift[moved]], [0, *t.flipped[moved]], **series(k))
    label(left, "Box larger or smaller", "side of the box (times)", "decisions turned over")
    label(right, "Box moved", "shift (share of its size)", "")
    left.set_ylim(-0.02, 1)
    right.set_xticks([0, 0.05, 0.1, 0.15, 0.2])
    fig.legend(loc="outside lower center", ncols=len(tables))
    return fig


def pairing_plot(found: Sequence[Any]) -> Figure:
    """Draw APCER and BPCER per policy of pairing, with intervals."""
    fig, ax = figure(9, 3.4)
    x = np.arange(len(found))
    for k, (name, colour) in enumerate((("apcer", BAD), ("bpcer", PALETTE[0]))):
        values = np.array([getattr(p, name) for p in found])
        lows = np.array([getattr(p, f"{name}_lo") for p in found])
        highs = np.array([getattr(p, f"{name}_hi") for p in found])
        place = x + 0.4 * k - 0.2
        spans = np.maximum([values - lows, highs - values], 0)
        ax.bar(place, values, 0.36, yerr=spans, capsize=3, color=colour, label=name.upper())
        for px, v, top in zip(place, values, highs):
            ax.annotate(f"{v:.1%}", (px, top), (0, 3), textcoords="offset points", ha="center")
    names = [
        f"{p.policy}\n{p.pairs} pairs, {p.mixed:.1%} mixed\n{p.apart_ms:.0f} ms apart"
        for p in found
    ]
    ax.set_xticks(x, names)
    ax.margins(y=0.18)
    ax.grid(axis="x", visible=False)
    ax.legend(loc="upper right")
    label(ax, "A person and a print take turns before the camera", "", "share of pairs")
    return fig


def claim_plot(claims: Sequence[Any], text: dict[str, float]) -> Figure:
    """Draw each measured ratio with its interval, and where the source text puts it (`text`: claim to ratio)."""
    from facelab.report.style import plain_log

    fig, ax = figure(9, 0.9 + 0.34 * len(claims))
    for y, c in enumerate(claims):
        colour = GOOD if c.hi < 1 else BAD if c.lo > 1 else NEUTRAL
        ax.plot([c.lo, c.hi], [y, y], color=colour, lw=2.5)
        ax.plot(c.ratio, y, "o", color=colour)
        if (said := text.get(_said(c))) is not None:
            ax.plot(said, y, "D", mfc="none", color="black", ms=8)
    ax.plot([], [], "D", mfc="none", color="black", ms=8, ls="none", label="source text")
    for colour, meaning in ((GOOD, "better"), (NEUTRAL, "no clear difference"), (BAD, "worse")):
        ax.plot([], [], "o-", color=colour, label=meaning)
    ax.axvline(1, color="black", lw=1)
    ax.set_xscale("log")
    plain_log(ax.xaxis)
    ax.set_yticks(range(len(claims)), [f"{c.case} / {c.against}: {c.metric}" for c in claims])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    fig.legend(loc="outside lower center", ncols=4)
    label(ax, "", "ratio, 95 % interval (below 1 is better)", "")
    return fig


def _said(claim: Any) -> str:
    if claim.case == "buffer of 3" and claim.metric == "median latency":
        return "buffer of 3"
    return "pool" if claim.metric.startswith("GC pause") else ""


def claim_table(claims: Sequence[Any]) -> pd.DataFrame:
    """Return each claim's ratio and interval."""
    import pandas as pd

    rows = [
        {
            "claim": c.claim,
            "ratio of": f"{c.case} / {c.against}",
            "in": c.metric,
            "ratio": round(c.ratio, 3),
            "from": round(c.lo, 3),
            "to": round(c.hi, 3),
            "note": c.note,
        }
        for c in claims
    ]
    return pd.DataFrame(rows)
