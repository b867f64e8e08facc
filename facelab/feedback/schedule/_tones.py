"""Tones: one loudspeaker plays one tone at a time, the one of the highest priority."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from facelab.core.errors import BadInputError
from facelab.core.result import Result

LOWEST_HZ, HIGHEST_HZ, LONGEST_S = 20.0, 20_000.0, 60.0


@dataclass(frozen=True)
class Tone:
    """A tone that is asked for.

    Parameters
    ----------
    start_s
        Seconds from the start of the program.
    seconds
        Length.
    frequency_hz
        20 to 20 000.
    priority
        A higher one interrupts a lower one; among equals the one that starts later.
    """

    start_s: float
    seconds: float
    frequency_hz: float
    priority: int = 0


@dataclass(frozen=True)
class Segment:
    """A tone sounds from `start_s` to `stop_s`; `tone` is its place in what was asked."""

    start_s: float
    stop_s: float
    frequency_hz: float
    tone: int


@dataclass(frozen=True)
class PlayedTones(Result):
    """What a loudspeaker gets.

    Parameters
    ----------
    segments
        Sorted, without overlap.
    asked
        Tones that were asked for.
    whole, cut, dropped
        Tones that sound to their end, that are interrupted, and that never sound: their sum is `asked`.
    """

    segments: tuple[Segment, ...]
    asked: int
    whole: int
    cut: int
    dropped: int


def resolve_tones(tones: Sequence[Tone]) -> PlayedTones:
    """Decide which tone sounds when. An interrupted tone does not come back: its moment has passed.

    Parameters
    ----------
    tones
        In any order.

    Returns
    -------
    PlayedTones
        At each moment at most one tone.

    Raises
    ------
    BadInputError
        A tone has no length, starts before the program, or cannot be heard.

    Examples
    --------
    >>> alarm, hum = Tone(0.5, 0.2, 880, priority=2), Tone(0.0, 2.0, 220)
    >>> [(s.start_s, s.stop_s, s.frequency_hz) for s in resolve_tones([hum, alarm]).segments]
    [(0.0, 0.5, 220), (0.5, 0.7, 880)]
    """
    for tone in tones:
        _check(tone)
    order = sorted(range(len(tones)), key=lambda k: (tones[k].start_s, -tones[k].priority, k))
    segments: list[Segment] = []
    cut: set[int] = set()
    dropped = 0
    for k in order:
        tone = tones[k]
        now = segments[-1] if segments and segments[-1].stop_s > tone.start_s else None
        if now is not None:
            other = tones[now.tone]
            wins = tone.priority > other.priority or (
                tone.priority == other.priority and tone.start_s > other.start_s
            )
            if not wins:
                dropped += 1
                continue
            segments[-1] = Segment(now.start_s, tone.start_s, now.frequency_hz, now.tone)
            cut.add(now.tone)
        stop = tone.start_s + tone.seconds
        segments.append(Segment(tone.start_s, stop, tone.frequency_hz, k))
    whole = len(tones) - dropped - len(cut)
    return PlayedTones(tuple(segments), len(tones), whole, len(cut), dropped)


def _check(tone: Tone) -> None:
    numbers = (tone.start_s, tone.seconds, tone.frequency_hz)
    if not all(map(math.isfinite, numbers)) or not (
        tone.start_s >= 0
        and 0 < tone.seconds <= LONGEST_S
        and LOWEST_HZ <= tone.frequency_hz <= HIGHEST_HZ
    ):
        raise BadInputError(
            "a tone is out of range",
            expected=f"start 0 s or later, up to {LONGEST_S:g} s long, "
            f"{LOWEST_HZ:g} to {HIGHEST_HZ:g} Hz",
            got=f"start {tone.start_s:g} s, {tone.seconds:g} s, {tone.frequency_hz:g} Hz",
            fix="correct the tone",
        )
