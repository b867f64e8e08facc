"""Plots of quantisation: size against latency and accuracy, layers, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from facelab.report.style import BAD, GOOD, MARKERS, NEUTRAL, PALETTE, figure, label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def quality_of(row: Mapping[str, Any]) -> tuple[float, str]:
    """Return what a row is judged by, and its name: accuracy of a classifier, else the mean cosine."""
    if row.get("accuracy"):
        return row["accuracy"]["value"], "accuracy"
    return row["cosine"]["mean"], "mean cosine to FP32"


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of points (cost, quality) that no other point beats in both, by rising cost.

    >>> pareto_front([(2.0, 0.9), (1.0, 0.8), (3.0, 0.85)])
    [1, 0]
    """
    order, best, front = (
        sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])),
        float("-inf"),
        [],
    )
    for i in order:
        if points[i][1] > best:
            front.append(i)
            best = points[i][1]
    return front


def _variant(ax: Any, k: int, row: Mapping[str, Any], cost: float, quality: float) -> None:
    """Draw the k-th variant's mark, with the interval of its accuracy."""
    error = None
    if row.get("accuracy"):
        error = [[quality - row["accuracy"]["lo"]], [row["accuracy"]["hi"] - quality]]
    ax.errorbar(
        cost,
        quality,
        error,
        color=PALETTE[k % 8],
        marker=MARKERS[k % 8 if k < 8 else (k + 3) % 8],
        ms=8,
        ls="",
        elinewidth=0.8,
        capsize=2,
        label=row["variant"],
        alpha=0.9,
        markerfacecolor=PALETTE[k % 8] if k < 8 else "white",
    )


def pareto(rows: Sequence[Mapping[str, Any]], *, threads: int = 1) -> Figure:
    """Draw quality against file size and against latency, a mark a variant; the line joins what nothing beats."""
    fig, axes = figure(10.5, 4.6, columns=2, sharey=True)
    y = [quality_of(r)[0] for r in rows]
    costs = [
        ([r["bytes"] / 1024 for r in rows], "file size (KiB)"),
        (
            [r.get("latency", {}).get(str(threads), {}).get("p50_ms", float("nan")) for r in rows],
            f"latency P50 (ms, {threads} thread{'s' if threads > 1 else ''})",
        ),
    ]
    for ax, (x, name) in zip(axes, costs):
        front = pareto_front([(a, b) for a, b in zip(x, y) if a == a])
        known = [i for i, a in enumerate(x) if a == a]
        ax.plot(
            [x[known[i]] for i in front],
            [y[known[i]] for i in front],
            color=NEUTRAL,
            lw=1,
            zorder=1,
        )
        for k, (row, a, b) in enumerate(zip(rows, x, y)):
            _variant(ax, k, row, a, b)
        label(ax, "", name, quality_of(rows[0])[1])
    for ax in axes:
        ax.set_xlim(left=0)
    fig.suptitle(
        "Smaller and faster to the left, better at the top; the line joins variants that none beats",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    fig.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9
    )
    return fig


def layers(ranking: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw, per layer in the graph's order, the end metric with only it quantised, and the debugger's figures.

    `ranking` is what `Session.blame` returns.
    """
    fig, (left, right) = figure(10.5, 0.36 * len(ranking) + 1.9, columns=2, sharey=True)
    rows = sorted(ranking, key=lambda r: r["index"])
    names = [f"#{r['index']} {r['op']}" for r in rows]
    left.barh(names, [1e6 * (1 - r["cosine_alone"]) for r in rows], color=PALETTE[0])
    label(left, "This layer alone in INT8", "millionths lost of the output's cosine to FP32", "")
    noise = [r["rmse_over_scale"] or 0 for r in rows]
    right.barh(names, noise, color=PALETTE[4])
    for y, r in enumerate(rows):
        if r["snr_db"] is not None:
            right.annotate(
                f"{r['snr_db']:.0f} dB",
                (noise[y], y),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )
    right.axvline(0.289, color=BAD, lw=1.2, ls="--")
    right.text(0.289, -0.9, " 0.289: plain rounding", color=BAD, fontsize=9, va="center")
    label(right, "What a debugger shows", "rmse / scale of the rounded tensor (bar), SNR (dB)", "")
    right.set_xlim(0, max(0.36, *noise) * 1.25)
    left.invert_yaxis()
    return fig


def calibration(rows: Sequence[Mapping[str, Any]], mistakes: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw agreement with FP32 against the number of calibration images, and under wrong normalisations."""
    fig, (left, right) = figure(10.5, 3.8, columns=2, sharey=True, width_ratios=[1, 1.2])
    counts = sorted({r["count"] for r in rows})
    for r in rows:
        left.plot(
            counts.index(r["count"]),
            100 * r["agreement"]["value"],
            "o",
            color=PALETTE[0],
            alpha=0.7,
        )
    left.set_xticks(range(len(counts)), [str(c) for c in counts])
    left.axhline(98, color=NEUTRAL, lw=1, ls="--")
    label(
        left,
        "Number of images (a dot a seed)",
        "calibration images",
        "top-1 agreement with FP32 (%)",
    )
    values = [100 * m["agreement"]["value"] for m in mistakes]
    right.bar(
        range(len(values)), values, color=[GOOD if v >= 98 else BAD for v in values], width=0.6
    )
    right.set_xticks(
        range(len(values)),
        [m["calibration"].replace(" instead of ", "\ninstead of ") for m in mistakes],
        fontsize=9,
    )
    for i, v in enumerate(values):
        right.annotate(f"{v:.1f}", (i, v), ha="center", va="bottom", fontsize=9)
    right.axhline(98, color=NEUTRAL, lw=1, ls="--")
    right.set_ylim(0, 108)
    label(right, "Normalisation of the calibration images", "", "")
    return fig


def table(rows: Mapping[str, Mapping[str, Any]], *, threads: int = 1) -> pd.DataFrame:
    """Return the table of variants as a pandas DataFrame for a notebook (sizes in KiB, memory in MiB, times in ms)."""
    import pandas as pd

    return pd.DataFrame([_cells(v, r, str(threads)) for v, r in rows.items()]).set_index("variant")


def _cells(variant: str, row: Mapping[str, Any], threads: str) -> dict[str, Any]:
    timed = row.get("latency", {}).get(threads, {})

    def times(key: str, form: str = ".3f") -> str:
        return format(timed[key], form) if timed else "–"

    cells = {
        "variant": variant,
        "KiB": round(row["bytes"] / 1024),
        "of FP32": f"{row['size_ratio']:.3f}",
        "arena KiB": "–" if row["arena_bytes"] is None else round(row["arena_bytes"] / 1024),
        "RSS MiB": round(row["peak_rss"] / 2**20) if row.get("peak_rss") else "–",
        "P50": times("p50_ms"),
        "P90": times("p90_ms"),
        "P99": times("p99_ms"),
        "times faster": times("speedup", ".2f"),
    }
    if row.get("accuracy"):
        a, worst = row["accuracy"], row["worst_class"]
        cells |= {
            "accuracy": f"{a['value']:.3f} [{a['lo']:.3f}, {a['hi']:.3f}]",
            "agreement": f"{row['agreement']['value']:.4f}",
            "worst class": f"{worst['change']:+.1f} {worst['class']}",
            "ΔECE": f"{row['ece_change']:+.2f}",
        }
    elif row.get("boxes"):
        cells |= {
            "boxes that agree": f"{row['agreement']['value']:.4f}",
            "boxes": row["boxes"]["variant"],
            "their IoU": f"{row['boxes']['mean_iou']:.3f}" if row["boxes"]["pairs"] else "–",
        }
    cells |= {"cosine": f"{row['cosine']['mean']:.4f}", "worst": f"{row['cosine']['worst']:.4f}"}
    failed = row["verdict"]["failed"]
    return cells | {
        "verdict": "–"
        if variant == "float32"
        else "good"
        if not failed
        else "misses " + ", ".join(failed)
    }
