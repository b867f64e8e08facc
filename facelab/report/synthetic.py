"""Pictures of synthetic faces and of the evidence that real models take them for faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from facelab.datasets.synthetic import Sample, Scene

SUBSET_COLOURS = {"easy": style.GOOD, "medium": "#E69F00", "hard": style.BAD}


class CellScore(Protocol):
    """What a plot needs of one detector on one cell.

    Faces found (n,) bool, their share, the landmarks' error of each (n,) (NaN where there is none), and the false
    alarms of each picture.
    """

    detector: str
    cell: str
    found: np.ndarray
    nme: np.ndarray
    false_alarms: np.ndarray

    @property
    def recall(self) -> float: ...


class Learned(Protocol):
    """What a plot needs of a trained classifier: right answers (n,) bool, their share, seconds of training."""

    accuracy: float
    right: np.ndarray
    seconds: float


def _bare(ax: Axes) -> Axes:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def picture_grid(
    rows: Mapping[str, Sequence[np.ndarray]],
    titles: Sequence[str] = (),
    *,
    cell: float = 1.15,
    title: str = "",
    captions: Mapping[str, Sequence] | None = None,
) -> Figure:
    """Draw rows of pictures, each with its name at the left; `titles` head the columns.

    `captions` are values by row, written into the pictures' lower left corners.
    """
    columns = max(len(row) for row in rows.values())
    fig, axes = style.figure(
        1.1 + cell * columns,
        cell * len(rows) + (0.6 if title else 0.3),
        rows=len(rows),
        columns=columns,
        squeeze=False,
    )
    for i, (name, pictures) in enumerate(rows.items()):
        for j in range(columns):
            ax = _bare(axes[i, j])
            if j < len(pictures):
                ax.imshow(
                    pictures[j],
                    interpolation="nearest" if min(pictures[j].shape[:2]) < 64 else "antialiased",
                )
                if captions:
                    ax.text(
                        0.04,
                        0.04,
                        f"{captions[name][j]}",
                        transform=ax.transAxes,
                        fontsize=7.5,
                        color="white",
                        bbox={"facecolor": "black", "alpha": 0.6, "pad": 1.5, "lw": 0},
                    )
            if i == 0 and j < len(titles):
                ax.set_title(titles[j], fontsize=9, loc="center", fontweight="normal")
        axes[i, 0].set_ylabel(
            name.replace("_", " "), rotation=0, ha="right", va="center", fontsize=9.5
        )
    style.tighten(fig, 0.01)
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return fig


def truth(samples: Sequence[Sample]) -> Figure:
    """Draw pictures with their box and landmarks (open where hidden), and below them the depth map."""
    fig, axes = style.figure(1.75 * len(samples), 3.9, rows=2, columns=len(samples), squeeze=False)
    for ax, below, s in zip(axes[0], axes[1], samples, strict=True):
        _bare(ax).imshow(s.image)
        _box(ax, s.box, style.GOOD)
        for (x, y), seen in zip(s.landmarks, s.visible, strict=True):
            ax.plot(x, y, "o", ms=4, mfc="#56B4E9" if seen else "none", mec="#56B4E9")
        ax.set_title(
            f"{s.emotion} {s.intensity:.2f}\nyaw {s.yaw:.0f}°, {s.visibility:.0%} seen",
            fontsize=8.5,
            fontweight="normal",
            loc="center",
        )
        shown = _bare(below).imshow(
            s.depth, cmap="viridis_r", vmin=np.nanmin(s.depth), vmax=np.nanmin(s.depth) + 250
        )
    bar = fig.colorbar(shown, ax=axes[1].tolist(), fraction=0.03, pad=0.01, ticks=[])
    bar.set_label("depth: near to\n25 cm behind", fontsize=8.5)
    return fig


def _box(ax: Axes, box: np.ndarray, colour: str, lw: float = 1.2) -> None:
    x1, y1, x2, y2 = box
    ax.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], color=colour, lw=lw)


def scenes(drawn: Sequence[Scene], columns: int = 3) -> Figure:
    """Draw scenes with each face's box in the colour of the easiest subset it belongs to; gray counts nowhere."""
    rows = -(-len(drawn) // columns)
    fig, axes = style.figure(
        4.1 * columns, 3.1 * rows + 0.4, rows=rows, columns=columns, squeeze=False
    )
    for ax in axes.flat[len(drawn) :]:
        _bare(ax)
    for ax, scene in zip(axes.flat, drawn, strict=False):
        _bare(ax).imshow(scene.image)
        for face in scene.faces:
            subset = next((k for k in SUBSET_COLOURS if face.in_subset(k)), None)
            _box(ax, face.box, style.NEUTRAL if subset is None else SUBSET_COLOURS[subset])
        h, w = scene.image.shape[:2]
        ax.set(xlim=(0, w), ylim=(h, 0))
        ax.set_title(f"{len(scene.faces)} faces", fontsize=9, fontweight="normal", loc="center")
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=c, lw=2, label=k) for k, c in SUBSET_COLOURS.items()]
    handles.append(Line2D([], [], color=style.NEUTRAL, lw=2, label="counts nowhere"))
    fig.legend(handles=handles, loc="outside lower center", ncols=4)
    return fig


def recall_table(scores: Sequence[CellScore]) -> Figure:
    """Draw recall as a table of detectors and cells, darker where faces are missed; below each the false alarms."""
    detectors = list(dict.fromkeys(s.detector for s in scores))
    cells = list(dict.fromkeys(s.cell for s in scores))
    table = np.full((len(detectors), len(cells)), np.nan)
    alarms = np.full_like(table, np.nan)
    for s in scores:
        place = detectors.index(s.detector), cells.index(s.cell)
        table[place], alarms[place] = s.recall, s.false_alarms.mean()
    fig, ax = style.figure(2.6 + 1.0 * len(cells), 1.5 + 0.62 * len(detectors))
    ax.grid(False)
    shown = ax.imshow(table, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            ax.text(
                j,
                i,
                f"{value:.2f}\n({alarms[i, j]:.2f})",
                ha="center",
                va="center",
                fontsize=9,
                color="black" if value > 0.55 else "white",
            )
        else:
            ax.text(
                j, i, "not\nmeasured", ha="center", va="center", fontsize=8, color=style.NEUTRAL
            )
    ax.set_xticks(range(len(cells)), cells)
    ax.set_yticks(range(len(detectors)), detectors)
    fig.colorbar(shown, ax=ax, fraction=0.03, pad=0.02, label="recall at IoU 0.35")
    style.label(
        ax,
        "Faces found (and false alarms per picture)",
        "one face by pose, by height, and scenes",
        "",
    )
    return fig


def landmark_errors(scores: Sequence[CellScore]) -> Figure:
    """Draw the cumulative landmark error of each detector with landmarks; faces that it missed count as failures."""
    from facelab.report.metrics import cumulative_error

    found = {s.detector: np.isfinite(s.nme) for s in scores}
    return cumulative_error(
        {s.detector: s.nme[found[s.detector]] for s in scores},
        missed={s.detector: int((~found[s.detector]).sum()) for s in scores},
        title="Landmark error of frontal faces",
    )


def identities(
    similarity: Mapping[str, np.ndarray], same: np.ndarray, hard: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Draw, for each embedder, similarities of genuine and impostor pairs, and the AUC on each hard factor."""
    fig, axes = style.figure(
        10.5,
        3.4 * len(similarity),
        rows=len(similarity),
        columns=2,
        squeeze=False,
        width_ratios=(1.2, 1),
    )
    for (name, values), row in zip(similarity.items(), axes, strict=True):
        edges = np.linspace(values.min(), values.max(), 31)
        row[0].hist(values[~same], edges, color=style.BAD, alpha=0.65, label="impostor: two people")
        row[0].hist(values[same], edges, color=style.GOOD, alpha=0.65, label="genuine: one person")
        row[0].legend(loc="upper left")
        style.label(row[0], name, "cosine similarity", "pairs")
        factors = hard[name]
        y = np.arange(len(factors))
        # from chance: a bar from another place would exaggerate or hide what is above it
        row[1].barh(
            y, np.array(list(factors.values())) - 0.5, left=0.5, color=style.PALETTE[0], height=0.65
        )
        for place, value in zip(y, factors.values()):
            row[1].text(max(value, 0.5) + 0.01, place, f"{value:.2f}", va="center", fontsize=8.5)
        row[1].set_yticks(y, list(factors))
        row[1].invert_yaxis()
        row[1].set_xlim(min(0.3, *factors.values()), 1.08)
        row[1].axvline(0.5, color=style.NEUTRAL, lw=1, ls="--")
        style.label(row[1], "One hard factor at a time", "AUC (0.5 is chance)", "")
    return fig


def confusion(table: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """Draw a confusion table of counts: rows intended, columns answered, shaded by the row's share."""
    fig, ax = style.figure(6.4, 5.4)
    ax.grid(False)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    shown = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), n in np.ndenumerate(table):
        if n:
            ax.text(
                j,
                i,
                str(int(n)),
                ha="center",
                va="center",
                fontsize=9,
                color="white" if share[i, j] > 0.6 else "black",
            )
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right")
    ax.set_yticks(range(len(names)), names)
    fig.colorbar(shown, ax=ax, fraction=0.045, pad=0.02, label="share of the row")
    style.label(ax, title, "the network's answer", "intended")
    return fig


def learned(results: Mapping[str, Learned], chance: float, bars: Mapping[str, str]) -> Figure:
    """Draw held-out accuracies with 95 % Wilson intervals, chance, and each classifier's budget (such as ">= 0.9")."""
    from facelab.metrics.intervals import wilson

    fig, ax = style.figure(8.4, 1.5 + 0.7 * len(results))
    for y, (name, r) in enumerate(results.items()):
        low, high = wilson(float(r.right.sum()), len(r.right))
        ax.barh(y, r.accuracy, color=(style.PALETTE[0], style.PALETTE[2])[y % 2], height=0.55)
        ax.errorbar(
            r.accuracy,
            y,
            xerr=[[max(0, r.accuracy - low)], [max(0, high - r.accuracy)]],
            color="black",
            capsize=4,
        )
        ax.text(
            0.02,
            y,
            f"{r.accuracy:.3f}   ({r.seconds:.0f} s)",
            va="center",
            color="white",
            fontweight="bold",
        )
        if name in bars:
            at = float(bars[name].split()[-1])
            ax.plot([at] * 2, [y - 0.36, y + 0.36], color=style.BAD, lw=2.5)
            ax.text(
                at,
                y - 0.4,
                bars[name].replace(">=", "at least").replace("<=", "at most"),
                ha="center",
                fontsize=8.5,
                color=style.BAD,
            )
    ax.axvline(chance, color=style.NEUTRAL, ls="--", lw=1.2, label="chance")
    ax.set_yticks(range(len(results)), list(results))
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_ylim(len(results) - 0.5, -0.65)
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0))
    style.label(
        ax,
        "Three emotions (95 % intervals, seconds of training)",
        "accuracy on people never seen",
        "",
    )
    return fig
