"""Pictures of a set of models: which are here, what each detector finds, what each costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facelab.report import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from facelab.detection import Detections


def presence_plot(table: pd.DataFrame) -> Figure:
    """Return bars of models here and not here, by kind."""
    kinds = list(dict.fromkeys(table["kind"]))
    here = [int(((table["kind"] == k) & (table["here"] != "–")).sum()) for k in kinds]
    absent = [int(((table["kind"] == k) & (table["here"] == "–")).sum()) for k in kinds]
    fig, ax = style.figure(8, 1.4 + 0.35 * len(kinds))
    y = np.arange(len(kinds))
    ax.barh(y, here, color=style.PALETTE[0], label="on this machine")
    ax.barh(y, absent, left=here, color=style.PALETTE[4], label="in the catalogue, not here")
    for k, (h, a) in enumerate(zip(here, absent)):
        ax.text(h + a + 0.3, k, f"{h} of {h + a}", va="center", fontsize=9)
    ax.set_yticks(y, kinds)
    ax.invert_yaxis()
    ax.set_xlim(0, max(h + a for h, a in zip(here, absent)) * 1.15)
    ax.legend(loc="lower right")
    style.label(ax, "Models by kind", "models", "")
    return fig


def draw(ax: Axes, image: np.ndarray, found: Detections, title: str) -> None:
    """Draw boxes and landmarks of one detector on one axis."""
    from matplotlib.patches import Rectangle

    ax.imshow(image)
    ax.set_title(title, fontsize=8.5, fontweight="normal", loc="center")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    width = 1 + image.shape[1] / 1200
    for k, (x1, y1, x2, y2) in enumerate(found.boxes):
        ax.add_patch(
            Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="#F0E442", linewidth=width)
        )
        if found.landmarks is not None:
            ax.scatter(
                *found.landmarks[k].T,
                s=5 * width,
                c="#56B4E9",
                edgecolors="black",
                linewidths=0.3,
                zorder=3,
            )


def gallery(image: np.ndarray, found: dict[str, Detections], *, columns: int = 5) -> Figure:
    """Return one picture with a tile a detector: its boxes (yellow) and landmarks (blue) on the same image."""
    columns = min(columns, len(found))
    rows = -(-len(found) // columns)
    high = image.shape[0] / image.shape[1]
    fig, axes = style.figure(
        2.5 * columns, (2.5 * high + 0.45) * rows, rows=rows, columns=columns, squeeze=False
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (name, faces) in zip(axes.flat, found.items()):
        ax.set_axis_on()
        draw(ax, image, faces, f"{name}\n{len(faces)} face{'s' * (len(faces) != 1)}")
    return fig


def cost_plot(rows: list[dict], title: str) -> Figure:
    """Return latency (P50 to P90) and memory a model, side by side, slowest at the bottom; hatched: embedders."""
    rows = sorted(rows, key=lambda r: -r["P50 [ms]"])
    names, y = [r["model"] for r in rows], np.arange(len(rows))
    fig, (left, right) = style.figure(10, 1.2 + 0.3 * len(rows), columns=2, sharey=True)
    p50, p90 = np.array([r["P50 [ms]"] for r in rows]), np.array([r["P90 [ms]"] for r in rows])
    left.hlines(y, p50, p90, color=style.NEUTRAL, linewidth=2)
    one_crop = np.array([r.get("kind") == "embedder" for r in rows])
    left.plot(
        p50[~one_crop],
        y[~one_crop],
        "o",
        color=style.PALETTE[0],
        label="P50, detector: a photograph",
    )
    if one_crop.any():
        left.plot(
            p50[one_crop], y[one_crop], "D", color=style.PALETTE[3], label="P50, embedder: one crop"
        )
    left.plot(p90, y, "|", color=style.PALETTE[1], markersize=10, markeredgewidth=2, label="P90")
    left.set_xscale("log")
    style.plain_log(left.xaxis)
    left.set_yticks(y, names)
    left.set_ylim(-0.8, len(rows) - 0.2)
    left.legend(loc="upper right")
    style.label(left, title, "milliseconds per call, one thread (log)", "")
    bars = right.barh(y, [r["memory [MiB]"] for r in rows], color=style.PALETTE[5])
    for bar, crop in zip(bars, one_crop):
        bar.set(hatch="///" if crop else "", edgecolor="white")
    style.label(right, "Memory above the bare process", "peak resident memory [MiB]", "")
    return fig
