"""Plots of drawings and of how well they are recognised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sheet(inks: np.ndarray, titles: Sequence[str], *, title: str = "", columns: int = 12) -> Figure:
    """Return a sheet of 28×28 ink pictures with a word below each.

    Parameters
    ----------
    inks : ndarray, (n, 28, 28) uint8
    titles : sequence of str
        One per picture.
    """
    lines = -(-len(inks) // columns)
    fig, axes = style.figure(9.0, 1.15 * lines + 0.4, rows=lines, columns=columns)
    axes = np.atleast_2d(axes)
    for ax in axes.ravel():
        ax.set_axis_off()
    for k, (picture, word) in enumerate(zip(inks, titles)):
        ax = axes[k // columns, k % columns]
        ax.imshow(255 - picture, cmap="gray", vmin=0, vmax=255)
        ax.set_title(word, fontsize=7, pad=2)
    if title:
        fig.suptitle(title)
    return fig


def per_class(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> Figure:
    """Return the share that is right per set and class, with its 95 % interval.

    Parameters
    ----------
    rows : sequence of mappings
        `drawings` (the set), `class`, `share`, `lo`, `hi`, `n`, as `facelab.studies.doodles.Table.rows` gives them.
    """
    names = list(dict.fromkeys(r["drawings"] for r in rows))
    fig, ax = style.figure(8.0, 0.62 * len(names) + 1.5)
    for k, label in enumerate(("heart", "other")):
        chosen = [r for r in rows if r["class"] == label]
        y = np.array([names.index(r["drawings"]) for r in chosen]) + (k - 0.5) * 0.28
        x = np.array([r["share"] for r in chosen])
        error = np.abs(np.array([[r["lo"], r["hi"]] for r in chosen]).T - x)
        look = {k: v for k, v in style.series(k).items() if k in ("color", "marker")}
        ax.errorbar(x, y, xerr=error, ls="", capsize=3, label=label, **look)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set(xlim=(-0.02, 1.02), xlabel="share that is right (95 % interval)", title=title)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def speed(seconds: Mapping[str, np.ndarray]) -> Figure:
    """Return the distribution of seconds per call, by runtime, on a logarithmic axis."""
    fig, ax = style.figure(8.0, 3.2)
    for k, (name, x) in enumerate(seconds.items()):
        x = np.sort(x) * 1e6
        look = {**style.series(k), "marker": ""}
        share = (1 + np.arange(len(x))) / len(x)
        ax.step(x, share, where="post", lw=2, label=f"{name}: median {np.median(x):.0f} µs", **look)
    high = max(float(np.quantile(x, 0.98)) for x in seconds.values()) * 1e6
    low = min(float(x.min()) for x in seconds.values()) * 1e6
    ax.set(xscale="log", xlim=(low * 0.8, high), xlabel="µs per call", ylabel="share of calls")
    style.plain_log(ax.xaxis)
    ax.set_title("One INT8 call through each runtime, and the network alone")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig
