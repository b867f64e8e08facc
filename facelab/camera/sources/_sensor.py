"""The rendered RGB-D sensor: two streams whose rate, jitter, drift, drops, latency and faults are parameters."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facelab.camera._clock import Clock, MonotonicClock, VirtualClock
from facelab.camera._contract import Contract, Mode, Request, differences, settle
from facelab.camera._errors import PoolExhaustedError, SourceEndedError
from facelab.camera._frame import Frame
from facelab.camera._pool import FramePool
from facelab.camera._source import Continuity, Source
from facelab.camera.pixels._formats import pixel_format
from facelab.camera.sources._scene import FaceScene, Nothing, Scene
from facelab.core.errors import BadInputError

FAULTS = ("corrupt", "truncated", "repeated", "no huffman tables")


@dataclass(frozen=True)
class StreamModel:
    """How one stream of a rendered sensor behaves.

    Parameters
    ----------
    rate
        Frames per second of the device's own clock.
    phase_s
        When the first frame is taken, in seconds after the start.
    jitter_s
        Standard deviation of the moment of exposure around the ideal one (seconds).
    drop_share
        Share of frames that never arrive; their sequence numbers are missing.
    latency_s, latency_jitter_s
        Seconds from exposure to arrival: the least, and the standard deviation of a half-normal part on top.
    clock
        Name of the clock that stamps the frames. Streams that name one clock share its offset and drift.
    clock_offset_s, clock_drift
        How far the device clock is ahead of the system's at the start, and how much faster it runs (50e-6: 50 ppm).
    clock_jumps
        (system second, seconds) pairs: from then on the clock is ahead by so much more.
    faults
        (sequence number, fault) pairs; a fault is `corrupt`, `truncated`, `repeated` or `no huffman tables`.
    unplugged
        (from, until) system seconds during which nothing is sent and sequence numbers go on.
    """

    rate: float = 30.0
    phase_s: float = 0.0
    jitter_s: float = 0.0
    drop_share: float = 0.0
    latency_s: float = 0.02
    latency_jitter_s: float = 0.0
    clock: str = "monotonic"
    clock_offset_s: float = 0.0
    clock_drift: float = 0.0
    clock_jumps: tuple[tuple[float, float], ...] = ()
    faults: tuple[tuple[int, str], ...] = ()
    unplugged: tuple[float, float] | None = None

    def stamp(self, true_s: float) -> float:
        """Return what the device clock shows at a system time."""
        jumped = sum(by for at, by in self.clock_jumps if true_s >= at)
        return true_s + self.clock_offset_s + self.clock_drift * true_s + jumped


@dataclass(frozen=True)
class _Event:
    arrival_s: float
    stream: str
    sequence: int
    true_s: float
    stamp_s: float

    def __lt__(self, other: _Event) -> bool:
        return (self.arrival_s, self.stream) < (other.arrival_s, other.stream)


def schedule(
    stream: str, model: StreamModel, seed: int, duration_s: float | None
) -> Iterator[_Event]:
    """Yield a stream's frames in the order in which they arrive; a later frame never overtakes an earlier one."""
    rng = np.random.default_rng([seed, sum(stream.encode())])
    arrival, k = 0.0, 0
    period = 1 / model.rate / (1 + model.clock_drift)
    while duration_s is None or model.phase_s + k * period < duration_s - 1e-9:
        true_s = max(0.0, model.phase_s + k * period + model.jitter_s * rng.normal())
        latency = model.latency_s + abs(rng.normal()) * model.latency_jitter_s
        dropped = rng.random() < model.drop_share
        away = model.unplugged is not None and model.unplugged[0] <= true_s < model.unplugged[1]
        arrival = max(arrival + 1e-9, true_s + latency)
        if not dropped and not away:
            yield _Event(arrival, stream, k, true_s, model.stamp(true_s))
        k += 1


class RenderedSensor(Source):
    """An RGB-D camera without hardware: rendered frames of two streams with the faults of real ones.

    Parameters
    ----------
    scene
        What is seen; by default a live face.
    colour, depth
        How each stream behaves; `depth=None` leaves the stream out.
    format
        What colour frames are made of: `RGB`, `BGR`, `YUYV` or `MJPG`.
    seed
        Of jitter, drops and latency.
    paced
        Frames arrive in real time. Otherwise the clock is virtual: a read returns at once, and a slow reader is
        played with `sensor.clock.sleep(seconds)`.
    duration_s
        The sensor ends after this many seconds; None never ends.
    buffers
        Frames per stream that the driver holds; a newer one is lost while all are full, as with V4L2.
    pixels
        False leaves the pictures out (1x1 pixel): for experiments with time stamps alone.
    pool, decode
        As for every source.

    Examples
    --------
    >>> sensor = RenderedSensor(FaceScene(32), duration_s=0.1)
    >>> [(f.stream, f.sequence) for f in sensor]
    [('colour', 0), ('colour', 1), ('depth', 0), ('colour', 2), ('depth', 1), ('depth', 2)]
    """

    def __init__(
        self,
        scene: Scene | None = None,
        *,
        colour: StreamModel | None = None,
        depth: StreamModel | None = StreamModel(latency_s=0.06),
        format: str = "RGB",
        seed: int = 0,
        paced: bool = False,
        duration_s: float | None = None,
        buffers: int = 4,
        pixels: bool = True,
        name: str = "rendered",
        clock: Clock | None = None,
        pool: FramePool | None = None,
        decode: str | None = None,
    ) -> None:
        made = clock or (MonotonicClock() if paced else VirtualClock())
        super().__init__(name, clock=made, pool=pool, decode=decode)
        if format not in ("RGB", "BGR", "YUYV", "MJPG"):
            raise BadInputError(
                "the rendered sensor does not make this format",
                where=name,
                expected="RGB, BGR, YUYV or MJPG",
                got=format,
                fix="choose one of these",
            )
        self.scene: Scene = scene or (FaceScene() if pixels else Nothing())
        self.models: dict[str, StreamModel] = {"colour": colour or StreamModel()}
        if depth is not None:
            self.models["depth"] = depth
        for model in self.models.values():
            _check(model, name)
        self.streams = tuple(self.models)
        self.format, self.seed, self.duration_s, self.buffers = format, seed, duration_s, buffers
        self._queue: deque[_Event] = deque()
        self._encoded: dict[tuple[int, int, str], np.ndarray] = {}

    def modes(self) -> tuple[Mode, ...]:
        """Return the one size of the scene, in the four formats, at the colour stream's rate."""
        rate = (self.models["colour"].rate,)
        return tuple(Mode(f, *self.scene.size, rate) for f in ("RGB", "BGR", "YUYV", "MJPG"))

    def _negotiate(self, request: Request, allow: Collection[str]) -> Contract:
        kind = pixel_format(
            request.format if request.format in ("RGB", "BGR", "YUYV", "MJPG") else self.format
        )
        (w, h), rate = self.scene.size, self.models["colour"].rate
        size = kind.frame_bytes(w, h)
        contract = Contract(
            self.name,
            request,
            kind.name,
            w,
            h,
            rate,
            kind.row_bytes(w) if not kind.compressed else 0,
            w * h * 2 if size is None else size,
            self.models["colour"].clock,
            "limited" if kind.name == "YUYV" else "full",
            self.buffers,
            differences(request, kind.name, w, h, rate),
            self.modes(),
        )
        return settle(contract, allow)

    def _start(self) -> None:
        self._began = self.clock.now()
        self._continuity = {s: Continuity(self.ledger, 1 / m.rate) for s, m in self.models.items()}
        self._coming = heapq.merge(
            *(schedule(s, m, self.seed, self.duration_s) for s, m in self.models.items())
        )
        self._next_event: _Event | None = next(self._coming, None)
        self._queue.clear()
        self._last: dict[str, _Event] = {}

    def _stop(self) -> None:
        self.ledger.settle("left over", len(self._queue))
        self._queue.clear()

    def _arrivals(self, now: float) -> None:
        """Move what has arrived by now into the driver's buffers; what finds them full is lost."""
        while (event := self._next_event) is not None and event.arrival_s <= now:
            if sum(e.stream == event.stream for e in self._queue) < self.buffers:
                self._queue.append(event)
                self.ledger.arrive()
            self._next_event = next(self._coming, None)

    def _wait(self, timeout_s: float) -> bool:
        now = self.clock.now() - self._began
        self._arrivals(now)
        if self._queue:
            return True
        event = self._next_event
        if event is None:
            raise SourceEndedError(
                "the rendered sensor has no further frame",
                where=self.name,
                expected=f"frames for {self.duration_s} s",
                fix="start it again, or give a longer duration_s",
            )
        self.clock.sleep(min(timeout_s, event.arrival_s - now))
        self._arrivals(self.clock.now() - self._began)
        return bool(self._queue)

    def _take(self) -> Frame | None:
        self._arrivals(self.clock.now() - self._began)
        while self._queue:
            event = self._queue.popleft()
            fault = dict(self.models[event.stream].faults).get(event.sequence)
            if fault == "repeated" and event.stream in self._last:
                before = self._last[event.stream]
                event = replace(event, sequence=before.sequence, stamp_s=before.stamp_s)
            reason, lost, flags = self._continuity[event.stream].judge(
                event.sequence, event.stamp_s, event.arrival_s
            )
            self._last[event.stream] = event
            reason = fault if fault in ("corrupt", "truncated") else reason
            if reason is not None:
                self.ledger.settle(reason)
                continue
            if fault == "no huffman tables":
                self.ledger.event(fault)
                flags.add(fault)
            try:
                return self._frame(event, lost, frozenset(flags))
            except PoolExhaustedError:
                self.ledger.settle("pool exhausted")
        return None

    def _frame(self, event: _Event, lost: int, flags: frozenset[str]) -> Frame:
        depth = event.stream == "depth"
        view = self.scene.at(event.true_s, event.stream)
        truth: dict[str, Any] = dict(view.truth)
        array = view.depth if depth else self._encode(view.colour, event)
        format = "DEPTH" if depth else self.contract.format
        h, w = array.shape[:2] if depth else self.scene.size[::-1]
        slot = None
        if self.pool is not None:
            slot = self.pool.acquire(array.nbytes, f"{event.stream} {event.sequence}")
            np.copyto(slot.array.view(array.dtype).reshape(array.shape), array)
            array = slot.array.view(array.dtype).reshape(array.shape)
        elif array.base is not None:
            array = array.copy()  # a window of the scene: a reader may write into its frame
        return Frame(
            array,
            format,
            w,
            h,
            event.sequence,
            event.stamp_s + self._began,
            self.models[event.stream].clock,
            event.arrival_s + self._began,
            stream=event.stream,
            lost_before=lost,
            flags=flags,
            colour_range="limited" if format == "YUYV" else "full",
            truth=truth,
            slot=slot,
        )

    def _encode(self, rgb: np.ndarray, event: _Event) -> np.ndarray:
        import cv2

        kind = self.contract.format
        if kind == "RGB":
            return rgb
        if kind == "BGR":
            return np.ascontiguousarray(rgb[..., ::-1])
        if kind == "YUYV":
            return cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_YUY2)
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422]
        return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 85, *sampling])[1].ravel()


def _check(model: StreamModel, name: str) -> None:
    """Raise BadInputError for a model that no device can follow."""
    bad = None
    if not 0 < model.rate <= 1000:
        bad = ("rate", "more than 0, at most 1000", model.rate)
    elif not 0 <= model.drop_share < 1:
        bad = ("drop_share", "at least 0, less than 1", model.drop_share)
    elif min(model.jitter_s, model.latency_s, model.latency_jitter_s) < 0:
        bad = ("jitter or latency", "not negative", "a negative number")
    for _, fault in model.faults:
        if fault not in FAULTS:
            bad = ("faults", ", ".join(FAULTS), fault)
    if bad is not None:
        raise BadInputError(
            f"a stream model has an impossible {bad[0]}",
            where=name,
            expected=bad[1],
            got=bad[2],
            fix="correct the parameter",
        )
