"""One look for every plot: colours that survive colour-blindness, readable sizes, quiet grids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito's palette ("Color Universal Design", 2008), black last; markers tell series apart in gray print too.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GOOD, BAD, NEUTRAL = "#009E73", "#D55E00", "#6B7280"


def figure(
    width: float = 8.0, height: float = 4.5, *, rows: int = 1, columns: int = 1, **subplots: Any
) -> tuple[Figure, Any]:
    """Return a new figure and its axes (inches; an array of axes for several) in facelab's style.

    The figure is built without pyplot, so nothing is shown twice and no global state is left behind.
    """
    from cycler import cycler
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(
        {
            "font.size": 10.5,
            "axes.titlesize": 12,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#E5E7EB",
            "axes.axisbelow": True,
            "axes.prop_cycle": cycler(color=PALETTE),
            "legend.frameon": False,
            "figure.facecolor": "white",
        }
    ):
        fig = Figure(figsize=(width, height), layout="constrained")
        axes = fig.subplots(rows, columns, **subplots)
    return fig, axes


def series(k: int) -> dict:
    """Return colour, marker and dash of the k-th series: past the palette's end, dashes differ."""
    return {
        "color": PALETTE[k % len(PALETTE)],
        "marker": MARKERS[k % len(MARKERS)],
        "ls": ("-", "--", ":", "-.")[k // len(PALETTE) % 4],
    }


def plain_log(axis: Axis) -> None:
    """Label a logarithmic axis, once its data are drawn, with plain numbers (5, 10, 20) in place of powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def label(ax: Axes, title: str, x: str, y: str) -> Axes:
    """Set an axis's title and its x and y labels (units in brackets), and return it."""
    ax.set_title(title, loc="left", fontsize=12, fontweight="bold")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return ax


def tighten(fig: Figure, pad: float) -> None:
    """Leave only `pad` (inches, and shares of a cell) between the cells of a constrained figure."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    engine = fig.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=pad, h_pad=pad, wspace=pad, hspace=pad)
