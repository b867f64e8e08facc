"""Plot several runs: each figure against the parameter in which the runs differ."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facelab.core.errors import BadInputError
from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 6


class FigureOfRuns(Protocol):
    """One recorded figure, with a value (or None) and an interval (or None) per run."""

    @property
    def step(self) -> str:
        """Return the step that recorded it."""
        ...

    @property
    def values(self) -> tuple[Any, ...]:
        """Return one value per run."""
        ...

    @property
    def intervals(self) -> tuple[tuple[float, float] | None, ...]:
        """Return one interval per run."""
        ...

    @property
    def name(self) -> str:
        """Return what is on the vertical axis."""
        ...

    @property
    def differs(self) -> bool:
        """Return whether the runs have different values."""
        ...


class RunsSideBySide(Protocol):
    """What `plot` needs of several runs."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the runs' names."""
        ...

    @property
    def parameters(self) -> Mapping[str, tuple[Any, ...]]:
        """Return the parameters that differ, with a value per run."""
        ...

    @property
    def figures(self) -> Sequence[FigureOfRuns]:
        """Return the recorded figures."""
        ...


def plot(runs: RunsSideBySide) -> Figure:
    """Return one panel per figure that differs (at most six), against the parameter with the most values.

    A numeric parameter makes a numeric axis; the other parameters tell the lines apart. Whiskers are the recorded
    95 % intervals. Raises BadInputError where no numeric figure differs.
    """
    shown = [f for f in runs.figures if f.differs and any(_is_number(v) for v in f.values)]
    if not shown:
        raise BadInputError(
            "there is nothing to plot",
            expected="a numeric figure that differs between the runs",
            got=f"{len(runs.figures)} figures, none of which does",
            fix="compare runs that differ in a parameter",
        )
    shown = shown[:MOST_PANELS]
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    fig, axes = style.figure(5.2 * columns, 3.6 * rows, rows=rows, columns=columns, squeeze=False)
    panels: Sequence[Axes] = list(np.asarray(axes).ravel())
    groups = _groups(runs)
    for ax, figure in zip(panels, shown, strict=False):
        _panel(ax, runs, figure, groups)
    for ax in panels[len(shown) :]:
        ax.set_visible(False)
    if len(groups) > 1:  # one for all panels, beside what is drawn
        lines = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
        fig.legend(lines.values(), lines, loc="outside lower center", ncols=2 * columns, fontsize=9)
    return fig


def _axis(runs: RunsSideBySide) -> str | None:
    """Return the parameter with the most values, which is on the horizontal axis."""
    return max(runs.parameters, key=lambda p: len(set(map(repr, runs.parameters[p]))), default=None)


def _groups(runs: RunsSideBySide) -> dict[str, list[int]]:
    """Return the runs of each line, by the values of the parameters that are not on the axis."""
    others = [p for p in runs.parameters if p != _axis(runs)]
    groups: dict[str, list[int]] = {}
    for k in range(len(runs.names)):
        label = ", ".join(f"{p.rpartition('.')[2]}={runs.parameters[p][k]}" for p in others)
        groups.setdefault(label, []).append(k)
    return groups


def _panel(
    ax: Axes, runs: RunsSideBySide, figure: FigureOfRuns, groups: Mapping[str, list[int]]
) -> None:
    axis = _axis(runs)
    raw: Sequence[Any] = runs.parameters[axis] if axis else runs.names
    numeric = all(_is_number(v) for v in raw)
    ticks = list(dict.fromkeys(map(str, raw)))
    x = [float(v) if numeric else float(ticks.index(str(v))) for v in raw]
    places = sorted(set(x))
    narrowest = min((b - a for a, b in itertools.pairwise(places)), default=1)
    for place, (label, runs_of_line) in enumerate(groups.items()):
        # lines are beside each other, so that no whisker covers another
        aside = narrowest * 0.3 * ((place + 0.5) / len(groups) - 0.5)
        members = [k for k in runs_of_line if _is_number(figure.values[k])]
        members.sort(key=lambda k: x[k])
        y = np.array([figure.values[k] for k in members], float)
        ax.errorbar(
            [x[k] + aside for k in members],
            y,
            _whiskers(figure, members, y),
            label=label,
            capsize=3,
            ms=5,
            **style.series(place),
        )
    if not numeric:
        ax.set_xticks(range(len(ticks)), ticks)
    elif len(ticks) <= 8:
        ax.set_xticks(places, [f"{v:g}" for v in places])
    style.label(ax, figure.step, axis.rpartition(".")[2] if axis else "run", figure.name)


def _whiskers(figure: FigureOfRuns, members: Sequence[int], y: np.ndarray) -> np.ndarray | None:
    """Return the lengths of the whiskers below and above, or None where nothing has an interval."""
    if not any(figure.intervals[k] for k in members):
        return None
    bounds = [figure.intervals[k] or (v, v) for k, v in zip(members, y, strict=True)]
    return np.maximum([y - [b[0] for b in bounds], [b[1] for b in bounds] - y], 0)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
