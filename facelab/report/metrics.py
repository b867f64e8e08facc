"""Pictures of metrics: precision-recall, landmark errors, DET and ROC, histograms, reliability, confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from facelab.core.errors import BadInputError
from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from facelab.metrics.classification import Reliability
    from facelab.metrics.detection import Curve
    from facelab.metrics.operating import ErrorCurve

_DET_TICKS = (1e-4, 1e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)


def precision_recall(
    curves: Mapping[str, Curve], *, title: str = "Precision against recall"
) -> Figure:
    """Draw precision-recall curves by name, AP and its interval in the legend."""
    fig, ax = style.figure(9.6, 4.8)
    for k, (name, c) in enumerate(curves.items()):
        drawn = c.found > 0
        ap = "no faces" if c.ap is None else f"AP {c.ap:.3f}"
        spread = f" [{c.interval.lo:.3f}, {c.interval.hi:.3f}]" if c.interval else ""
        ax.plot(
            c.recall[drawn],
            c.precision[drawn],
            **style.series(k),
            markevery=0.12,
            markersize=5,
            lw=1.8,
            label=f"{name}\n{ap}{spread}",
        )
    ax.set(xlim=(0, 1.01), ylim=(0, 1.02))
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)
    style.label(ax, title, "recall", "precision")
    return fig


def det(
    curves: Mapping[str, ErrorCurve],
    *,
    title: str = "DET: FNMR against FMR",
    impostors: int | None = None,
) -> Figure:
    """Draw DET curves on normal-deviate axes; equal errors lie on the dashed diagonal.

    With `impostors` the region below FMR 3/n, which this many impostor pairs cannot support, is shaded.
    """
    from scipy.stats import norm

    fig, ax = style.figure(6.2, 5.8)
    least = 1.0
    for (name, c), marker in zip(curves.items(), style.MARKERS * len(curves)):
        inside = (c.fmr > 0) & (c.fmr < 1) & (c.fnmr > 0) & (c.fnmr < 1)
        if inside.any():
            least = min(least, float(c.fmr[inside].min()), float(c.fnmr[inside].min()))
        ax.plot(
            norm.ppf(c.fmr[inside]),
            norm.ppf(c.fnmr[inside]),
            marker=marker,
            # a share of the line would leave out the marker of a curve of one or two points
            markevery=0.12 if inside.sum() > 8 else 1,
            markersize=5,
            lw=1.8,
            clip_on=False,
            label=name if inside.any() else f"{name}: never both errors at once",
        )
    low = norm.ppf(max(min(least, 0.01) * 0.8, 1e-5))
    ticks = [t for t in _DET_TICKS if norm.ppf(t) >= low and t <= 0.6]
    high = norm.ppf(0.6)
    ax.plot([low, high], [low, high], "--", color=style.NEUTRAL, lw=1, label="equal error")
    if impostors and norm.ppf(3 / max(impostors, 4)) > low:
        ax.axvspan(
            low,
            norm.ppf(3 / impostors),
            color=style.NEUTRAL,
            alpha=0.15,
            lw=0,
            label=f"below 3/{impostors}: no support",
        )
    for setter in (ax.set_xticks, ax.set_yticks):
        setter([norm.ppf(t) for t in ticks], [f"{100 * t:g}" for t in ticks])
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.legend(loc="upper right")
    style.label(ax, title, "false match rate [%]", "false non-match rate [%]")
    return fig


def cumulative_error(
    errors: Mapping[str, np.ndarray],
    *,
    limit: float = 0.08,
    missed: Mapping[str, int] | None = None,
    title: str = "Landmark error",
) -> Figure:
    """Draw the cumulative error curve of each name: the share of faces whose NME is at most x.

    `errors` are NME (n,) of the faces that were found, as fractions; `missed` counts the others, which no curve ever
    reaches. The legend states the area under the curve over `limit`, and the share beyond it.
    """
    from facelab.metrics import landmarks

    fig, ax = style.figure(9.6, 4.8)
    for k, (name, nme) in enumerate(errors.items()):
        lost = (missed or {}).get(name, 0)
        x, share = landmarks.ced(nme, limit, missed=lost)
        area = landmarks.ced_area(nme, limit, missed=lost)
        beyond = landmarks.failure_rate(nme, limit, missed=lost)
        ax.step(
            100 * x,
            100 * share,
            **style.series(k),
            where="post",
            markevery=0.12,
            markersize=5,
            lw=1.8,
            label=f"{name}\narea {area:.3f}, failures {beyond:.1%}",
        )
    ax.set(xlim=(0, 100 * limit), ylim=(0, 102))
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)
    style.label(ax, title, "NME, inter-ocular [%]", "faces at or below [%]")
    return fig


def score_histogram(
    distance: np.ndarray,
    same: np.ndarray,
    *,
    threshold: float | None = None,
    title: str = "Distances of genuine and impostor pairs",
    name: str = "squared L2 distance",
) -> Figure:
    """Draw the distributions of genuine and impostor distances (each with area 1), and a threshold."""
    distance, same = np.asarray(distance, dtype=np.float64), np.asarray(same, dtype=bool)
    there = np.isfinite(distance)
    if not (there & same).any() or not (there & ~same).any():
        raise BadInputError(
            "the histogram needs genuine and impostor pairs with distances",
            fix="add pairs of both kinds whose faces were found",
        )
    fig, ax = style.figure(7, 4.2)
    edges = np.histogram_bin_edges(distance[there], bins=60)
    for mask, what, colour, hatch in (
        (same, "genuine", style.GOOD, ""),
        (~same, "impostor", style.BAD, "///"),
    ):
        ax.hist(
            distance[there & mask],
            edges,
            density=True,
            alpha=0.5,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=f"{what} (n = {int((there & mask).sum())})",
        )
    if threshold is not None:
        ax.axvline(threshold, color="black", ls="--", lw=1.4, label=f"threshold {threshold:.3f}")
    lost = int((~there).sum())
    ax.legend(title=f"failures to acquire, not drawn: {lost}" if lost else None)
    style.label(ax, title, name, "density")
    return fig


def reliability(table: Reliability, *, title: str = "Reliability") -> Figure:
    """Draw accuracy against confidence by bin, the gap to the diagonal, and how many rows each bin holds."""
    fig, (ax, below) = style.figure(5.6, 6, rows=2, sharex=True, height_ratios=(3, 1))
    full = table.count > 0
    centre, width = (table.edges[:-1] + table.edges[1:]) / 2, np.diff(table.edges)
    ax.bar(
        centre[full],
        table.accuracy[full],
        width[full] * 0.92,
        color=style.PALETTE[5],
        label="accuracy",
    )
    gap = table.confidence[full] - table.accuracy[full]
    ax.bar(
        centre[full],
        gap,
        width[full] * 0.92,
        bottom=table.accuracy[full],
        color="none",
        hatch="///",
        edgecolor=style.BAD,
        lw=1,
        label="gap to mean confidence",
    )
    ax.plot([0, 1], [0, 1], "--", color=style.NEUTRAL, lw=1.2, label="perfect calibration")
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    ax.legend(loc="upper left")
    style.label(
        ax,
        f"{title}: ECE {100 * table.ece:.1f} points ({len(table.count)} equal bins)",
        "",
        "accuracy",
    )
    below.bar(centre, table.count / table.count.sum(), width * 0.92, color=style.NEUTRAL)
    style.label(below, "", "confidence of the answer", "share of rows")
    return fig


def confusion(table: np.ndarray, names: Sequence[str], *, title: str = "Confusion") -> Figure:
    """Draw a confusion table (rows true, columns predicted): counts, and shares of each row as shades."""
    table = np.asarray(table)
    if table.shape != (len(names), len(names)):
        raise BadInputError(
            "the confusion table does not fit the class names",
            expected=(len(names),) * 2,
            got=table.shape,
            fix="pass one name per row of the table",
        )
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = 2.6 + 0.75 * len(names)
    fig, ax = style.figure(side + 0.9, side)
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ax.grid(False)
    for (i, j), n in np.ndenumerate(table):
        ax.text(
            j,
            i,
            f"{n}\n{100 * share[i, j]:.0f} %",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if share[i, j] > 0.55 else "black",
        )
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right")
    ax.set_yticks(range(len(names)), names)
    style.label(ax, title, "predicted", "true")
    fig.colorbar(image, ax=ax, label="share of the true class", shrink=0.8)
    return fig


def breakdown(
    groups: Mapping[str, Mapping[str, Mapping]], *, title: str = "Recall by attribute"
) -> Figure:
    """Draw recall with intervals for each value of each attribute (the `breakdowns` of `facelab eval wider`)."""
    rows = [
        (a, v, g)
        for a, values in groups.items()
        for v, g in values.items()
        if g.get("recall") is not None
    ]
    if not rows:
        raise BadInputError(
            "there is no group with faces to draw",
            fix="leave the plot out, or evaluate labelled groups",
        )
    fig, ax = style.figure(7.5, 1.2 + 0.3 * len(rows))
    colours = {a: style.PALETTE[i % len(style.PALETTE)] for i, a in enumerate(groups)}
    for y, (attribute, _, g) in enumerate(rows):
        error = [[max(0.0, g["recall"] - g["recall_lo"])], [max(0.0, g["recall_hi"] - g["recall"])]]
        ax.errorbar(g["recall"], y, xerr=error, fmt="o", color=colours[attribute], capsize=3)
    ax.set_yticks(range(len(rows)), [f"{a}: {v} ({g['faces']})" for a, v, g in rows])
    ax.invert_yaxis()
    ax.set_xlim(right=1.02)
    style.label(ax, title, "recall, 95 % interval by bootstrap over images", "group (faces)")
    return fig
