"""Make pairs of colour and depth frames as they arrive, and account for every frame that finds no partner."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.camera._frame import Frame, FramePair
from facelab.camera._ledger import Ledger, LedgerReport
from facelab.camera.pairs import _policies
from facelab.camera.pairs._clockfit import WARM_UP, ClockEstimator, ClockFit
from facelab.camera.pairs._policies import POLICIES, Held, Step
from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.result import Result

if TYPE_CHECKING:
    pass
_NOTHING = np.zeros(0, np.uint8)


@dataclass(frozen=True)
class PairReport(Result):
    """What became of every frame of both streams, and what is known of their clocks.

    `clock_error_s` bounds what time stamps alone leave open; see `Pairer`.
    """

    policy: str
    pairs: int
    colour: LedgerReport
    depth: LedgerReport
    clocks: dict[str, ClockFit]
    clock_error_s: float

    @property
    def balanced(self) -> bool:
        """Whether arrived = paired + waiting + every named reason, on both sides."""
        return self.colour.balanced and self.depth.balanced

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "policy": self.policy,
            "pairs": self.pairs,
            "colour": self.colour.to_dict(),
            "depth": self.depth.to_dict(),
            "clocks": {name: dict(fit.__dict__) for name, fit in self.clocks.items()},
            "clock_error_s": None if self.clock_error_s == math.inf else self.clock_error_s,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per stream, one column per outcome."""
        names = dict.fromkeys([*self.colour.outcomes, *self.depth.outcomes])
        return [
            {
                "stream": r.name,
                "arrived": r.arrived,
                **{name: r.outcomes.get(name, 0) for name in names},
                "waiting": r.waiting,
            }
            for r in (self.colour, self.depth)
        ]


class Pairer:
    """Pair colour and depth frames by their device time stamps.

    Streams that name one clock are compared directly. Otherwise each clock is followed against the system's
    (`ClockEstimator`), which gives its offset and drift, but only up to the least latency of its stream: a depth frame
    that always arrives 40 ms later looks like a clock that is 40 ms behind. Say the latencies where they are known
    (`latency_s`), or bound their difference (`latency_unknown_s`); without either such streams are refused, because
    every pair could be wrong. `clock_error_s` says how much is left open, and every pair carries it.

    Parameters
    ----------
    tolerance_s
        The largest distance of a pair on the common clock; half a frame period of the slower stream or less.
    policy
        A key of `POLICIES`; `nearest` is facelab's own, the others are what other systems do.
    buffer
        Frames of each side that may wait for a partner; the oldest leaves as `buffer full`.
    latency_s
        (colour, depth) seconds from exposure to arrival of the fastest frames, where known.
    latency_unknown_s
        Instead of `latency_s`: how far the two least latencies may be apart at most.
    patient
        Wait for the frame that shows that no nearer partner exists. Without it the pair is made as soon as the frame
        rate rules a nearer one out, one period sooner; with uneven frame times a few pairs are then wrong.

    Examples
    --------
    >>> from facelab.camera import Pairer, RenderedSensor
    >>> sensor = RenderedSensor(pixels=False, duration_s=1)
    >>> pairer = Pairer(tolerance_s=0.01)
    >>> pairs = [pair for frame in sensor for pair in pairer.push(frame)] + pairer.flush()
    >>> len(pairs), pairer.report().balanced
    (30, True)
    """

    def __init__(
        self,
        *,
        tolerance_s: float = 0.0165,
        policy: str = "nearest",
        buffer: int = 6,
        latency_s: tuple[float, float] | None = None,
        latency_unknown_s: float | None = None,
        patient: bool = True,
    ) -> None:
        if policy not in POLICIES:
            raise BadInputError(
                f"there is no policy of pairing {policy!r}{did_you_mean(policy, POLICIES)}",
                expected=", ".join(POLICIES),
                got=policy,
                fix="choose one of these",
            )
        if not 0 < tolerance_s < 10 or buffer < 1:
            raise BadInputError(
                "frames cannot be paired like that",
                expected="a tolerance of more than 0 s, and room for at least one frame",
                got=f"tolerance {tolerance_s} s, buffer {buffer}",
                fix="give half a frame period, and about 4 frames",
            )
        self.tolerance_s, self.policy, self.buffer, self.patient = (
            tolerance_s,
            policy,
            buffer,
            patient,
        )
        self.latency_s, self.latency_unknown_s = latency_s, latency_unknown_s
        self.ledgers = {"colour": Ledger("colour"), "depth": Ledger("depth")}
        self.pairs = 0
        self._queues: tuple[deque[Held], deque[Held]] = (deque(), deque())
        self._clocks: dict[str, ClockEstimator] = {}
        self._names = {"colour": "", "depth": ""}
        self._last: dict[str, float] = {}
        self._gone: list[Held | None] = [None, None]
        self._periods: dict[str, deque[float]] = {s: deque(maxlen=31) for s in ("colour", "depth")}

    # ------------------------------------------------------------ frames in, pairs out
    def push(self, frame: Frame) -> list[FramePair]:
        """Take one frame in, and return the pairs that are decided by it.

        Frames without a partner give their memory back to their pool.

        Raises
        ------
        BadInputError
            For a stream that is neither `colour` nor `depth`.
        """
        if frame.stream not in self.ledgers:
            raise BadInputError(
                "a frame belongs to neither stream of a pair",
                expected="colour or depth",
                got=frame.stream,
                fix="push frames of one RGB-D source",
            )
        side = 0 if frame.stream == "colour" else 1
        self.ledgers[frame.stream].arrive()
        if not self._accept(frame, side):
            return []
        self._queues[side].append(Held(frame, frame.time_s))
        made = self._drain(frame.arrived_s, final=False)
        while len(self._queues[side]) > self.buffer:
            self._leave(side, "buffer full")
            made += self._drain(frame.arrived_s, final=False)
        return made

    def flush(self) -> list[FramePair]:
        """Return the pairs that can still be made, knowing that no frame will come; the rest is counted."""
        waiting = [h.frame.arrived_s for q in self._queues for h in q]
        made = self._drain(max(waiting, default=0.0), final=True)
        for side in (0, 1):
            while self._queues[side]:
                self._leave(side, "left over")
        return made

    def report(self) -> PairReport:
        """Return the ledgers and the clocks of this moment; every frame in a buffer is `waiting`."""
        for side, name in enumerate(("colour", "depth")):
            self.ledgers[name].check(len(self._queues[side]))
        return PairReport(
            self.policy,
            self.pairs,
            self.ledgers["colour"].report(),
            self.ledgers["depth"].report(),
            {name: clock.fit() for name, clock in self._clocks.items()},
            self.clock_error_s,
        )

    # ------------------------------------------------------------ clocks
    @property
    def shared_clock(self) -> bool:
        """Whether both streams name one clock (or one of them has sent nothing yet)."""
        a, b = self._names.values()
        return not (a and b) or a == b

    @property
    def clock_error_s(self) -> float:
        """Seconds by which the offset of the two clocks may be wrong: 0 for one clock or known latencies."""
        if self.shared_clock or self.latency_s is not None:
            return 0.0
        return math.inf if self.latency_unknown_s is None else self.latency_unknown_s

    def _accept(self, frame: Frame, side: int) -> bool:
        """Keep the clock's books; return whether the frame may wait for a partner."""
        stream = frame.stream
        self._names[stream] = frame.clock
        if self.policy == "arrival":
            return True
        if self.clock_error_s == math.inf:
            self._refuse(frame, "warming up")
            raise _two_clocks(self._names)
        clock = self._clocks.setdefault(f"{stream}: {frame.clock}", ClockEstimator())
        verdict = clock.add(frame.time_s, frame.arrived_s)
        if verdict == "suspect":
            return self._refuse(frame, "clock jump")
        if verdict == "jump":
            self.ledgers[stream].event("clock jump")
            for which in (0, 1) if self.shared_clock else (side,):
                while self._queues[which]:
                    self._leave(which, "clock jump")
            self._last.pop(stream, None)
        last = self._last.get(stream)
        if last is not None and frame.time_s <= last:
            return self._refuse(frame, "out of order")
        if last is not None:
            self._periods[stream].append(frame.time_s - last)
        self._last[stream] = frame.time_s
        if not self.shared_clock and clock.frames < WARM_UP:
            return self._refuse(frame, "warming up")
        return True

    def _refuse(self, frame: Frame, reason: str) -> bool:
        self.ledgers[frame.stream].settle(reason)
        if frame.slot is not None and frame.slot.alive:
            frame.release()
        return False

    def _common(self, held: Held, side: int) -> float:
        """Return a frame's time on the common clock, by the newest estimate."""
        if self.shared_clock or self.policy == "arrival":
            return held.frame.time_s
        fit = self._clocks[f"{held.frame.stream}: {held.frame.clock}"].fit()
        return fit.to_system(held.frame.time_s, self.latency_s[side] if self.latency_s else 0.0)

    # ------------------------------------------------------------ decisions
    def _drain(self, now: float, final: bool) -> list[FramePair]:
        made: list[FramePair] = []
        while True:
            queues = self._timed()
            steps = self._decide(queues, final)
            if not steps:
                return made
            for step in steps:
                if step.pair:
                    made.append(self._pair(queues, now))
                else:
                    self._leave(step.side, step.reason)

    def _timed(self) -> tuple[deque[Held], deque[Held]]:
        colour, depth = self._queues
        return (
            deque(Held(h.frame, self._common(h, 0)) for h in colour),
            deque(Held(h.frame, self._common(h, 1)) for h in depth),
        )

    def _decide(self, queues: tuple[deque[Held], deque[Held]], final: bool) -> list[Step]:
        if self.policy == "arrival":
            return _policies.arrival(queues, self.tolerance_s)
        if self.policy == "drop both":
            return _policies.drop_both(queues, self.tolerance_s)
        if self.policy == "drop older":
            return _policies.drop_older(queues, self.tolerance_s)
        periods = None
        if not self.patient and all(len(p) >= 8 for p in self._periods.values()):
            periods = (
                statistics.median(self._periods["colour"]),
                statistics.median(self._periods["depth"]),
            )
        a, b = self._gone
        gone = (
            None if a is None else self._common(a, 0),
            None if b is None else self._common(b, 1),
        )
        return _policies.nearest(queues, self.tolerance_s, gone, periods, final)

    def _pair(self, queues: tuple[deque[Held], deque[Held]], now: float) -> FramePair:
        a, b = queues[0][0], queues[1][0]
        for side, name in enumerate(("colour", "depth")):
            self._gone[side] = _without_pixels(self._queues[side].popleft())
            queues[side].popleft()
            self.ledgers[name].settle("paired")
        self.pairs += 1
        made = max(now, a.frame.arrived_s, b.frame.arrived_s)
        return FramePair(a.frame, b.frame, b.time_s - a.time_s, made, self.clock_error_s)

    def _leave(self, side: int, reason: str) -> None:
        held = self._queues[side].popleft()
        self._gone[side] = None if reason == "clock jump" else _without_pixels(held)
        self._refuse(held.frame, reason)


def _without_pixels(held: Held) -> Held:
    """Return the time of a frame without its memory, which others may need."""
    return Held(held.frame.replace(array=_NOTHING, slot=None), held.time_s)


def _two_clocks(names: dict[str, str]) -> BadInputError:
    return BadInputError(
        "the streams count different clocks, and nothing bounds the offset between them",
        where=" and ".join(f"{stream}: {clock}" for stream, clock in names.items()),
        expected="latency_s=(colour, depth), or latency_unknown_s",
        got="neither: time stamps alone cannot tell an offset from a latency",
        fix="measure the latencies once (both cameras before one blinking light), and give them",
    )


def pair_frames(
    frames: Iterable[Frame], pairer: Pairer | None = None, **options: Any
) -> Iterator[FramePair]:
    """Yield the pairs of frames that arrive, to the last.

    Parameters
    ----------
    frames
        Frames of both streams in order of arrival, such as a source.
    pairer
        The pairer, where its report is wanted afterwards; otherwise one is made with `options`.

    Returns
    -------
    Iterator[FramePair]
        The pairs, in the order of the colour frames.

    Examples
    --------
    >>> from facelab.camera import RenderedSensor, pair_frames
    >>> pairs = list(pair_frames(RenderedSensor(pixels=False, duration_s=0.5), tolerance_s=0.01))
    >>> len(pairs), pairs[0].colour.sequence, pairs[0].depth.sequence
    (15, 0, 0)
    """
    pairer = pairer or Pairer(**options)
    for frame in frames:
        yield from pairer.push(frame)
    yield from pairer.flush()
