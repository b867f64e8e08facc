"""A pipeline of stages: one frame after the other through named, traced steps, and the slowest inputs kept."""

from __future__ import annotations

import contextlib
import gc
import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from facelab.core import degraded
from facelab.core.errors import BadInputError
from facelab.tracing import Tracer, explain
from facelab.tracing.internals import Causes, Trace

OUTER = "frame"
"""The name of the span around all stages of one frame."""
CAPTURE = "capture"
KEPT = 24
"""Inputs of slow stages that a run keeps, so that they can run again alone."""


class FrameLike(Protocol):
    """What the pipeline needs of a frame; `facelab.camera`'s frames have it."""

    @property
    def sequence(self) -> int:
        """The frame's number."""
        ...

    def image(self, colour: str = "RGB") -> np.ndarray:
        """Return the picture, (height, width, 3) uint8."""
        ...

    def release(self) -> None:
        """Give the frame's memory back."""
        ...


class FrameSource(Protocol):
    """What delivers frames. `read` returns None when there are no more, or raises `camera.SourceEndedError`."""

    def read(self) -> FrameLike | None:
        """Return the next frame, or None at the end."""
        ...


@dataclass(frozen=True)
class PipelineStage:
    """One step: its name, what it does to the value, and how much work a value means.

    Parameters
    ----------
    name : str
        Also the span's name.
    run : callable
        Takes the value of the step before (the first one: a frame) and returns its own.
    work : callable or None
        Returns the amount of work of an input as a number (faces, pixels); the trace keeps it with the span.
    pure : bool
        Whether the same input may run again without effects; only such stages are repeated.

    Examples
    --------
    >>> stage = PipelineStage("detect", lambda frame: [frame, frame], work=len)
    >>> stage.run("face"), stage.pure
    (['face', 'face'], True)
    """

    name: str
    run: Callable[[Any], Any]
    work: Callable[[Any], int] | None = None
    pure: bool = True


@dataclass(frozen=True)
class PipelineRun:
    """What a run left: results per frame, the trace, and seconds of slow stages that ran again alone.

    `degraded` names the fallbacks that were active while a frame was read or processed.
    """

    results: tuple[Any, ...]
    trace: Trace
    replayed: dict[tuple[int, str], float]
    degraded: tuple[str, ...] = ()

    def causes(self, **options: Any) -> Causes:
        """Return the slow calls with their causes; `options` are those of `facelab.tracing.explain`."""
        return explain(self.trace, replayed=self.replayed, **options)


class Pipeline:
    """Named stages in a row, run frame by frame in the calling thread.

    Parameters
    ----------
    stages : sequence of PipelineStage
        At least one; names must differ from each other and from "frame" and "capture".
    keep : int
        Slowest inputs (by their excess over the running median) that are kept to run again.

    Raises
    ------
    BadInputError
        The pipeline has no stage, or a name is used twice.

    Examples
    --------
    >>> stages = [PipelineStage("double", lambda frame: 2 * int(frame.image()[0, 0, 0]))]
    >>> from facelab.serving.internals import RenderedFrames
    >>> pictures = [np.full((2, 2, 3), 21, np.uint8)]
    >>> found = Pipeline(stages).run(RenderedFrames(pictures, count=3))
    >>> found.results, found.trace.names
    ((42, 42, 42), ('frame', 'capture', 'double'))
    """

    def __init__(self, stages: Sequence[PipelineStage], *, keep: int = KEPT) -> None:
        names = [s.name for s in stages]
        if not names or len({*names, OUTER, CAPTURE}) != len(names) + 2:
            raise BadInputError(
                "a pipeline needs stages with different names",
                expected=f"at least one name, none of them {OUTER!r} or {CAPTURE!r}",
                got=", ".join(names) or "no stages",
                fix="rename the stages",
            )
        self.stages, self.keep = tuple(stages), keep

    def run(
        self,
        source: FrameSource,
        *,
        frames: int | None = None,
        tracer: Tracer | None = None,
        on_frame: Callable[[int], None] | None = None,
        collect: bool = True,
    ) -> PipelineRun:
        """Run frames through all stages until the source ends, and repeat the slowest inputs alone afterwards.

        Objects that exist at the start are left out of garbage collections while the run lasts (`gc.freeze`).

        Parameters
        ----------
        source : FrameSource
            A source whose frames have a `due_ns` (`perf_counter_ns`) is paced: calls are timed from there.
        frames : int or None
            Frames to run at most; None runs to the end of the source.
        tracer : Tracer or None
            Records the spans; None makes one for this run.
        on_frame : callable or None
            Called with the frame's number after each frame, outside the spans.
        collect : bool
            Whether `PipelineRun.results` has every result; a run of days sets it to False.
        """
        held, met = _Slowest(self.keep), dict.fromkeys(degraded.active())

        def noted(call: int) -> None:
            met.update(dict.fromkeys(degraded.active()))
            if on_frame is not None:
                on_frame(call)

        with _settled_objects(), tracer or Tracer() as recorder:
            made = self._frames(source, recorder, held, frames, noted)
            results = tuple(made) if collect else tuple(deque(made, maxlen=0))
            trace = recorder.trace()
        return PipelineRun(results, trace, self._replay(held), tuple(met))

    def _frames(
        self,
        source: FrameSource,
        tracer: Tracer,
        held: _Slowest,
        frames: int | None,
        on_frame: Callable[[int], None] | None,
    ) -> Iterator[Any]:
        for call in itertools.count() if frames is None else range(frames):
            with tracer.span(OUTER) as outer:
                with tracer.span(CAPTURE) as capture:
                    frame = _read(source)
                    due = _due_ns(frame)
                    if due:
                        # waiting for a paced source is not a delay: the call counts from when its frame was due
                        capture.start_at(due)
                        outer.start_at(due)
                        outer.value = due
                    if frame is None:
                        capture.discard()
                        outer.discard()
                if frame is not None:
                    try:
                        value = self._one(call, frame, tracer, held)
                    finally:
                        frame.release()
            if frame is None:
                return
            yield value
            if on_frame is not None:
                on_frame(call)

    def _one(self, call: int, frame: FrameLike, tracer: Tracer, held: _Slowest) -> Any:
        value: Any = frame
        for stage in self.stages:
            with tracer.span(stage.name) as span:
                if stage.work is not None:
                    span.value = stage.work(value)
                started = time.perf_counter_ns()
                given, value = value, stage.run(value)
                took = time.perf_counter_ns() - started
            if stage.pure and given is not frame:
                held.offer(took, call, stage, given)
        return value

    def _replay(self, held: _Slowest) -> dict[tuple[int, str], float]:
        """Return the least processor seconds of three repetitions per kept input."""
        out = {}
        for call, stage, given in held.items():
            seconds = []
            for _ in range(3):
                started = time.thread_time()
                stage.run(given)
                seconds.append(time.thread_time() - started)
            out[call, stage.name] = min(seconds)
        return out


def _read(source: FrameSource) -> FrameLike | None:
    """Return the next colour frame, or None at the source's end, which cameras and files raise."""
    from facelab.camera.internals import SourceEndedError

    try:
        frame = source.read()
        while frame is not None and getattr(frame, "stream", "colour") != "colour":
            frame.release()  # the depth frame of a sensor: this pipeline has no use for it
            frame = source.read()
    except SourceEndedError:
        return None
    return frame


def _due_ns(frame: Any) -> int:
    """Return when a frame was due (`perf_counter_ns`): its own word, or its age by the system's clock; 0 if unknown."""
    due = int(getattr(frame, "due_ns", 0))
    if not due and getattr(frame, "clock", None) == "monotonic":
        due = time.perf_counter_ns() - int(max(0.0, frame.age_s) * 1e9)
    return due


@contextlib.contextmanager
def _settled_objects() -> Iterator[None]:
    """Leave out of collections what exists now: a full one of 700,000 objects stops every thread for 0.2 s."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Slowest:
    """The inputs whose stages exceeded their running median most; memory is bounded."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self._usual: dict[str, float] = {}
        self._heap: list[tuple[float, int, int, PipelineStage, Any]] = []
        self._ties = itertools.count()

    def offer(self, took: int, call: int, stage: PipelineStage, given: Any) -> None:
        usual = self._usual.get(stage.name)
        # a step of 5 % up or down per call follows the median and costs nothing
        self._usual[stage.name] = (
            float(took) if usual is None else usual * (1.05 if took > usual else 0.95)
        )
        if usual is None or took < 1.5 * usual + 1e6:
            return
        entry = (took - usual, next(self._ties), call, stage, given)
        if len(self._heap) < self.keep:
            heapq.heappush(self._heap, entry)
        elif self._heap and entry[0] > self._heap[0][0]:
            heapq.heapreplace(self._heap, entry)

    def items(self) -> list[tuple[int, PipelineStage, Any]]:
        return [(call, stage, given) for _, _, call, stage, given in self._heap]
