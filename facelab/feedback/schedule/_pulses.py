"""Vibration: which pulses are merged, dropped and stretched before a motor gets them.

The source text asks for pulses of at least 50 ms, and cuts those below 30 ms: it does not say what a pulse of 40 ms
becomes. Here gaps below 20 ms merge, merged pulses below 30 ms are dropped, and the others last at least 50 ms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from facelab.core.errors import BadInputError
from facelab.core.result import Result


@dataclass(frozen=True, order=True)
class Pulse:
    """A motor runs from `start_s` to `stop_s`, seconds from the start of the program."""

    start_s: float
    stop_s: float

    @property
    def seconds(self) -> float:
        """Length."""
        return self.stop_s - self.start_s


@dataclass(frozen=True)
class PulseRules:
    """When pulses merge, and which are too short.

    Parameters
    ----------
    gap_s
        Pulses closer than this merge: a motor does not come to rest in between.
    drop_s
        A merged pulse shorter than this is dropped: nobody feels it.
    least_s
        Kept pulses are stretched to this at least: a motor needs it to start.

    Raises
    ------
    BadInputError
        A rule is negative or not finite.
    """

    gap_s: float = 0.02
    drop_s: float = 0.03
    least_s: float = 0.05

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < math.inf:  # NaN too
                raise BadInputError(
                    "a pulse rule must be a duration",
                    where=name,
                    expected="seconds, 0 or more",
                    got=value,
                    fix="correct the rule",
                )


@dataclass(frozen=True)
class MergedPulses(Result):
    """What a motor gets.

    Parameters
    ----------
    pulses
        Sorted; `gap_s` or more apart, `least_s` or longer.
    asked
        Pulses that were asked for.
    merged
        Those that went into a pulse together with others.
    dropped
        Those that were dropped as too short, alone or together.
    stretched
        Kept pulses that were made longer.
    """

    pulses: tuple[Pulse, ...]
    asked: int
    merged: int
    dropped: int
    stretched: int


@dataclass
class _Group:
    start_s: float
    stop_s: float
    members: int = field(default=1)


def merge_pulses(pulses: Iterable[Pulse], rules: PulseRules | None = None) -> MergedPulses:
    """Apply the rules to pulses in any order.

    Parameters
    ----------
    pulses
        As asked for; they may overlap.
    rules
        By default 20, 30 and 50 ms.

    Returns
    -------
    MergedPulses
        Applying the rules again changes nothing.

    Raises
    ------
    BadInputError
        A pulse ends before it starts, or starts before the program.

    Examples
    --------
    >>> merge_pulses([Pulse(0.0, 0.015), Pulse(0.025, 0.040), Pulse(0.2, 0.21)]).pulses
    (Pulse(start_s=0.0, stop_s=0.05),)
    """
    rules = rules or PulseRules()
    asked = sorted(_checked(p) for p in pulses)
    groups = _joined([_Group(p.start_s, p.stop_s) for p in asked], rules.gap_s)
    kept = [g for g in groups if g.stop_s - g.start_s >= rules.drop_s - _EPSILON]
    dropped = len(asked) - sum(g.members for g in kept)
    stretched = 0
    for group in kept:
        if group.stop_s - group.start_s < rules.least_s - _EPSILON:
            group.stop_s, stretched = group.start_s + rules.least_s, stretched + 1
    joined = _joined(kept, rules.gap_s)  # a stretched pulse may reach the next one
    return MergedPulses(
        tuple(Pulse(g.start_s, g.stop_s) for g in joined),
        asked=len(asked),
        merged=sum(g.members for g in joined if g.members > 1),
        dropped=dropped,
        stretched=stretched,
    )


_EPSILON = 1e-9
"""Seconds: 0.25 - 0.22 is not exactly 0.03."""


def _joined(groups: list[_Group], gap_s: float) -> list[_Group]:
    out: list[_Group] = []
    for group in groups:
        if out and group.start_s - out[-1].stop_s < gap_s - _EPSILON:
            out[-1].stop_s = max(out[-1].stop_s, group.stop_s)
            out[-1].members += group.members
        else:
            out.append(group)
    return out


def _checked(pulse: Pulse) -> Pulse:
    if not (math.isfinite(pulse.stop_s) and 0 <= pulse.start_s <= pulse.stop_s):
        raise BadInputError(
            "a pulse is not a span of time",
            expected="0 <= start <= stop, in seconds",
            got=f"{pulse.start_s} to {pulse.stop_s}",
            fix="correct the pulse",
        )
    return pulse
