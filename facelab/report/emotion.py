"""Pictures of an emotion classifier: what it was shown, how it learnt, where it errs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from facelab.emotion.internals import Evaluation, FaceSet
from facelab.report import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def gallery(
    faces: FaceSet, *, each: int = 8, title: str = "What the classifier is shown"
) -> Figure:
    """Draw the first `each` faces of every class, one row per class, as cropped by the spec."""
    k = len(faces.classes)
    fig, axes = style.figure(1.1 * each + 0.9, 1.15 * k + 0.4, rows=k, columns=each, squeeze=False)
    for row, name in enumerate(faces.classes):
        index = np.flatnonzero(faces.labels == row)[:each]
        for column in range(each):
            ax = axes[row][column]
            _bare(ax)
            if column < len(index):
                ax.imshow(faces.images[index[column]], interpolation="nearest")
        axes[row][0].set_ylabel(name)
    fig.suptitle(title, x=0.01, ha="left", weight="bold")
    return fig


def parts_table(parts: Mapping[str, FaceSet]) -> pd.DataFrame:
    """Return one row per part: faces, people, faces per class."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "part": name,
                "faces": len(p),
                "people": len(set(filter(None, p.identities))) or "unknown",
                **p.counts(),
            }
            for name, p in parts.items()
        ]
    )


def learning_curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Draw loss and accuracy by epoch for each training (training dashed, validation solid)."""
    fig, axes = style.figure(9.5, 3.8, columns=2)
    for (name, history), colour, marker in zip(histories.items(), style.PALETTE, style.MARKERS):
        for ax, key in zip(axes, ("loss", "accuracy")):
            epochs = np.arange(1, len(history[key]) + 1)
            ax.plot(epochs, history[key], "--", color=colour, lw=1.2, label=f"{name}, training")
            ax.plot(
                epochs,
                history[f"val_{key}"],
                marker=marker,
                ms=5,
                color=colour,
                lw=1.8,
                label=f"{name}, validation",
            )
    for ax, key in zip(axes, ("loss", "accuracy")):
        ax.xaxis.get_major_locator().set_params(integer=True)
        style.label(ax, f"{key.capitalize()} by epoch", "epoch", key)
    axes[1].set_ylim(None, 1.01)
    axes[1].legend(loc="lower right", fontsize=9)
    return fig


def accuracies(
    evaluations: Mapping[str, Evaluation],
    *,
    bar: float | None = None,
    title: str = "Accuracy on people never seen",
) -> Figure:
    """Draw each accuracy with its interval, the bar to reach, and what the majority class would give."""
    fig, ax = style.figure(8, 1.5 + 0.45 * len(evaluations))
    for y, e in enumerate(evaluations.values()):
        a = e.accuracy
        ax.errorbar(
            a.value,
            y,
            xerr=[[a.value - a.lo], [a.hi - a.value]],
            fmt=style.MARKERS[y],
            capsize=4,
            ms=7,
            color=style.PALETTE[y],
        )
        ax.annotate(
            f"{100 * a.value:.1f} %",
            (a.value, y),
            (0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    first = next(iter(evaluations.values()))
    ax.axvline(first.to_dict()["majority"], color=style.NEUTRAL, ls=":", label="majority class")
    if bar is not None:
        ax.axvline(bar, color=style.BAD, ls="--", label=f"bar {bar:g}")
    ax.set_yticks(range(len(evaluations)), list(evaluations))
    ax.set_ylim(len(evaluations) - 0.4, -0.7)
    ax.set_xlim(None, 1.0)
    ax.legend(loc="center", fontsize=9)
    style.label(
        ax,
        f"{title} (n = {len(first.faces)})",
        "accuracy, 95 % interval by bootstrap over people",
        "",
    )
    return fig


def per_class_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return precision, recall, F1 and number of faces per class."""
    import pandas as pd

    rows = evaluation.to_dict()["per_class"]
    return pd.DataFrame([{"class": c, **r} for c, r in rows.items()]).round(3)


def mistakes(evaluation: Evaluation, *, most: int = 12) -> Figure:
    """Draw the most confident wrong answers: what was shown, what it is, what was said and how surely."""
    index = evaluation.worst(most)
    classes = evaluation.faces.classes
    columns = max(1, min(6, len(index)))
    rows = max(1, -(-len(index) // columns))
    fig, axes = style.figure(
        max(1.7 * columns, 4.5), 2.15 * rows + 0.4, rows=rows, columns=columns, squeeze=False
    )
    for ax in axes.flat:
        ax.axis("off")
    for ax, i in zip(axes.flat, index):
        p = evaluation.probabilities[i]
        ax.imshow(evaluation.faces.images[i], interpolation="nearest")
        ax.set_title(
            f"is {classes[evaluation.faces.labels[i]]}\nsaid {classes[p.argmax()]} {100 * p.max():.0f} %",
            fontsize=9,
            weight="normal",
            loc="center",
        )
    wrong = int((~evaluation.right).sum())
    fig.suptitle(
        f"The {len(index)} surest of {wrong} mistakes on {len(evaluation.right)} faces"
        if wrong
        else f"No mistake on {len(evaluation.right)} faces",
        x=0.01,
        ha="left",
        weight="bold",
    )
    return fig


def _bare(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)
