"""Plots of emitted preprocessing: time per frame of each program, with its error written beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from facelab.report.style import MARKERS, PALETTE, figure, plain_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from facelab.core.result import Result

ORDER = ("C", "Go", "JavaScript", "ONNX", "Python", "OpenCV", "Pillow")
LABELS = {"OpenCV": "OpenCV + numpy", "Pillow": "Pillow + numpy"}


def speed_figure(found: Result) -> Figure:
    """Draw the median microseconds per frame, one panel per specification.

    Parameters
    ----------
    found : Result
        Its `rows()` name spec, program, `µs per frame`, `lo`, `hi` and `largest error (levels)`.

    Returns
    -------
    Figure
        One row of dots per program; the error in levels of the input is written beside each.
    """
    rows = found.rows()
    specs = list(dict.fromkeys(r["spec"] for r in rows))
    fig, axes = figure(9.5, 1.0 + 1.75 * len(specs), rows=len(specs), sharex=True, squeeze=False)
    widest = max(r["hi"] for r in rows)
    least = min(r["lo"] for r in rows)
    for axis, spec in zip(axes[:, 0], specs):
        own = {r["program"]: r for r in rows if r["spec"] == spec}
        _panel(axis, own, [p for p in ORDER if p in own])
        axis.set_title(spec)
        axis.set_xscale("log")
        axis.set_xlim(least / 1.6, widest * 4.5)
        plain_log(axis.xaxis)
    axes[-1, 0].set_xlabel("CPU microseconds per frame, one thread (less is better)")
    return fig


def _panel(axis: Any, own: dict, programs: Sequence[str]) -> None:
    for y, program in enumerate(reversed(programs)):
        r, k = own[program], ORDER.index(program)
        low, high = r["µs per frame"] - r["lo"], r["hi"] - r["µs per frame"]
        axis.errorbar(
            r["µs per frame"],
            y,
            xerr=[[max(low, 0)], [max(high, 0)]],
            fmt=MARKERS[k],
            color=PALETTE[k],
            ms=7,
            capsize=2,
        )
        error = r["largest error (levels)"]
        text = "exact" if error == 0 else f"{error:g} level{'s' * (error != 1)} off"
        axis.annotate(
            f"{r['µs per frame']:,.0f} µs, {text}",
            (r["hi"], y),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    names = [LABELS.get(p, p) for p in reversed(programs)]
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.grid(axis="y", visible=False)
