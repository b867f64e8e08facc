"""How heads of two queues become pairs: mutual nearest, and what other systems do."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from facelab.camera._frame import Frame

Policy = Literal["nearest", "arrival", "drop both", "drop older"]
POLICIES: dict[str, str] = {
    "nearest": "mutual nearest on an estimated clock: each frame is the other's best partner",
    "arrival": "whatever came last on each side (a buffered channel without time stamps)",
    "drop both": "compare the heads; too far apart: drop both (Orbbec SDK, issue 117)",
    "drop older": "compare the heads; too far apart: drop the older (a merge)",
}


@dataclass(frozen=True, eq=False)
class Held:
    """A frame in a buffer, with its time on the common clock."""

    frame: Frame
    time_s: float


@dataclass(frozen=True, eq=False)
class Step:
    """What a policy decided: a pair, or one frame of a side that leaves for a reason."""

    pair: bool
    side: int = 0
    reason: str = "no partner"


Queues = tuple[deque[Held], deque[Held]]


def arrival(queues: Queues, tolerance_s: float) -> list[Step]:
    """Pair the newest frame of each side without looking at the time; older ones leave."""
    if not (queues[0] and queues[1]):
        return []
    older = [Step(False, side) for side in (0, 1) for _ in range(len(queues[side]) - 1)]
    return older or [Step(True)]


def drop_both(queues: Queues, tolerance_s: float) -> list[Step]:
    """Pair the heads if they are near, drop both if not."""
    if not (queues[0] and queues[1]):
        return []
    if abs(queues[0][0].time_s - queues[1][0].time_s) <= tolerance_s:
        return [Step(True)]
    return [Step(False, 0), Step(False, 1)]


def drop_older(queues: Queues, tolerance_s: float) -> list[Step]:
    """Pair the heads if they are near, drop the older one if not."""
    if not (queues[0] and queues[1]):
        return []
    a, b = queues[0][0].time_s, queues[1][0].time_s
    if abs(a - b) <= tolerance_s:
        return [Step(True)]
    return [Step(False, 0 if a < b else 1)]


def nearest(
    queues: Queues,
    tolerance_s: float,
    gone: tuple[float | None, float | None] = (None, None),
    periods: tuple[float, float] | None = None,
    final: bool = False,
) -> list[Step]:
    """Pair two heads once it is certain that each is the other's nearest.

    Parameters
    ----------
    queues
        Frames of both sides, each in order of time.
    tolerance_s
        The largest distance of a pair.
    gone
        The time of the last frame that left each side: a frame that is nearer to it has lost its best partner.
    periods
        The usual time to the next frame of each side, where one that has not come may be ruled out by it.
    final
        No further frame will come.
    """
    if not (queues[0] and queues[1]):
        side = 0 if queues[0] else 1
        return [Step(False, side)] if final and queues[side] else []
    early = 0 if queues[0][0].time_s <= queues[1][0].time_s else 1
    mine, other, before = queues[early], queues[1 - early], gone[1 - early]
    gap = other[0].time_s - mine[0].time_s
    if gap > tolerance_s or (before is not None and mine[0].time_s - before < gap):
        return [Step(False, early)]
    # The later head can find nothing nearer but the next frame of the early side.
    if len(mine) > 1:
        better = abs(mine[1].time_s - other[0].time_s) < gap
        return [Step(False, early)] if better else [Step(True)]
    ruled_out = periods is not None and periods[early] - gap > gap
    return [Step(True)] if final or ruled_out else []
