"""Video files and folders of images as frame sources."""

from __future__ import annotations

import abc
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from facelab.camera._clock import Clock, MonotonicClock, VirtualClock
from facelab.camera._contract import Contract, Mode, Request, differences, settle
from facelab.camera._errors import PoolExhaustedError, SourceEndedError
from facelab.camera._frame import Frame
from facelab.camera._pool import FramePool
from facelab.camera._source import Source
from facelab.core.errors import BadInputError, UnsupportedError, did_you_mean
from facelab.core.files import IMAGE_SUFFIXES
from facelab.preprocess.image import header, read_bytes

BACKENDS = ("opencv", "pyav")
LARGEST = 1 << 15
"""Pixels each way above which a file's picture is refused."""


class _Still(Source):
    """A source whose frames wait for the reader: nothing is lost, and time passes from frame to frame.

    `paced=True` hands frames out no sooner than their time stamps say.
    """

    def __init__(
        self,
        name: str,
        *,
        paced: bool,
        clock: Clock | None,
        pool: FramePool | None,
        decode: str | None,
    ) -> None:
        made = clock or (MonotonicClock() if paced else VirtualClock())
        super().__init__(name, clock=made, pool=pool, decode=decode)
        self._frames: Iterator[tuple[float, np.ndarray | None]] | None = None
        self._ahead: tuple[float, np.ndarray | None] | None = None
        self._number = 0

    @abc.abstractmethod
    def _open(self) -> Iterator[tuple[float, np.ndarray | None]]:
        """Yield (seconds, BGR picture or None where it cannot be decoded)."""

    @abc.abstractmethod
    def _facts(self) -> tuple[int, int, float | None]:
        """Return width, height and frames per second (None where unknown)."""

    def modes(self) -> tuple[Mode, ...]:
        """Return the one mode that the files have."""
        w, h, rate = self._facts()
        return (Mode("BGR", w, h, () if rate is None else (rate,)),)

    def _negotiate(self, request: Request, allow: Collection[str]) -> Contract:
        w, h, rate = self._facts()
        return settle(
            Contract(
                self.name,
                request,
                "BGR",
                w,
                h,
                rate,
                3 * w,
                3 * w * h,
                "media",
                differences=differences(request, "BGR", w, h, rate),
                offers=self.modes(),
            ),
            allow,
        )

    def _start(self) -> None:
        self._began = self.clock.now()
        self._frames, self._ahead, self._number = self._open(), None, 0

    def _stop(self) -> None:
        self._frames = self._ahead = None

    def _peek(self) -> tuple[float, np.ndarray | None]:
        if self._ahead is None:
            assert self._frames is not None
            self._ahead = next(self._frames, None)
        if self._ahead is None:
            raise SourceEndedError(
                "there is no further frame",
                where=self.name,
                got=f"{self._number} frames",
                fix="open the source again to start over",
            )
        return self._ahead

    def _wait(self, timeout_s: float) -> bool:
        due = self._began + self._peek()[0] - self.clock.now()
        self.clock.sleep(min(max(0.0, due), timeout_s))
        return due <= timeout_s

    def _take(self) -> Frame | None:
        while True:
            try:
                time_s, image = self._peek()
            except SourceEndedError:
                return None
            if time_s + self._began > self.clock.now() + 1e-9:
                return None
            self._ahead = None
            self._number += 1
            self.ledger.arrive()
            if image is None:
                self.ledger.settle("corrupt")
                continue
            try:
                return self._frame(time_s, image)
            except PoolExhaustedError:
                self.ledger.settle("pool exhausted")

    def _frame(self, time_s: float, image: np.ndarray) -> Frame:
        slot = None
        if self.pool is not None:
            slot = self.pool.acquire(image.nbytes, f"{self.name} {self._number - 1}")
            pooled = slot.array.reshape(image.shape)
            np.copyto(pooled, image)
            image = pooled
        h, w = image.shape[:2]
        return Frame(
            image,
            "BGR",
            w,
            h,
            self._number - 1,
            time_s,
            "media",
            self.clock.now(),
            flags=frozenset({"first"}) if self._number == 1 else frozenset(),
            slot=slot,
        )


class VideoFile(_Still):
    """A video file, decoded by OpenCV or PyAV.

    Parameters
    ----------
    path
        The file.
    backend
        `opencv`, or `pyav` (the extra `camera`), which reads the time stamps of every frame.
    paced
        Hand frames out in real time; otherwise as fast as they are read.

    Raises
    ------
    BadInputError
        If the file is missing or is not a video.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        backend: str = "opencv",
        paced: bool = False,
        clock: Clock | None = None,
        pool: FramePool | None = None,
        decode: str | None = None,
    ) -> None:
        super().__init__(os.fspath(path), paced=paced, clock=clock, pool=pool, decode=decode)
        if backend not in BACKENDS:
            raise BadInputError(
                f"there is no video backend {backend!r}{did_you_mean(backend, BACKENDS)}",
                expected=", ".join(BACKENDS),
                got=backend,
                fix="choose one of these",
            )
        self.path, self.backend = Path(path), backend
        if not self.path.is_file():
            raise BadInputError(
                "the video cannot be read", where=path, got="no such file", fix="check the path"
            )
        self._known = self._facts_of()

    def _facts(self) -> tuple[int, int, float | None]:
        return self._known

    def _facts_of(self) -> tuple[int, int, float | None]:
        import cv2

        if self.backend == "pyav":
            with _av_open(self.path) as container:
                stream = container.streams.video[0]
                rate = stream.average_rate
                w, h = stream.width, stream.height
                if _quarters(container) % 2:
                    w, h = h, w
                return _sized(self.path, w, h, float(rate) if rate else 0.0)
        video = cv2.VideoCapture(os.fspath(self.path), cv2.CAP_FFMPEG)
        try:
            w, h = (
                int(video.get(k)) for k in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
            )
            self.promised = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
            return _sized(self.path, w if video.isOpened() else 0, h, video.get(cv2.CAP_PROP_FPS))
        finally:
            video.release()

    def _open(self) -> Iterator[tuple[float, np.ndarray | None]]:
        return self._by_pyav() if self.backend == "pyav" else self._by_opencv()

    def _by_opencv(self) -> Iterator[tuple[float, np.ndarray | None]]:
        import cv2

        video, n, rate = cv2.VideoCapture(os.fspath(self.path), cv2.CAP_FFMPEG), 0, self._known[2]
        try:
            while True:
                good, image = video.read()
                if not good:
                    break
                stamp = video.get(cv2.CAP_PROP_POS_MSEC) / 1e3  # of the frame just read
                yield (n / rate if rate and stamp <= 0 else stamp), image
                n += 1
        finally:
            video.release()
        if 0 < n < self.promised:  # the container promised more than could be decoded
            self.ledger.event("lost", self.promised - n)

    def _by_pyav(self) -> Iterator[tuple[float, np.ndarray | None]]:
        from av.error import FFmpegError

        with _av_open(self.path) as container:
            stamp = 0.0
            for packet in container.demux(video=0):
                try:
                    for frame in packet.decode():
                        stamp = float(frame.time) if frame.time is not None else stamp
                        image = frame.to_ndarray(format="bgr24")
                        # as players and OpenCV do: a phone stores upright pictures on their side
                        turned = np.rot90(image, round(frame.rotation / 90))
                        yield stamp, np.ascontiguousarray(turned)
                except FFmpegError:
                    if packet.size:
                        yield stamp, None


def _quarters(container: Any) -> int:
    """Return by how many quarters, counter-clockwise, a video's first picture is to be turned."""
    from av.error import FFmpegError

    try:
        first = next(container.decode(video=0), None)
    except FFmpegError:
        return 0
    return 0 if first is None else round(first.rotation / 90)


def _av_open(path: Path) -> Any:
    try:
        import av
        from av.error import FFmpegError
    except ImportError:
        raise UnsupportedError(
            "PyAV is not installed",
            where=path,
            expected="the extra `camera`",
            fix="pip install 'facelab[camera]', or use the backend opencv",
        ) from None
    try:
        container = av.open(os.fspath(path))
        if container.streams.video:
            return container
    except (FFmpegError, ValueError, IndexError):
        pass
    raise _no_video(path)


def _sized(path: Path, w: int, h: int, rate: float) -> tuple[int, int, float | None]:
    if not (0 < w <= LARGEST and 0 < h <= LARGEST):
        raise _no_video(path)
    return w, h, float(rate) if 0 < rate < 1e4 else None


def _no_video(path: Path) -> BadInputError:
    return BadInputError(
        "the file is not a video that can be read",
        where=path,
        expected=f"a video stream of at most {LARGEST} pixels each way",
        got="none",
        fix="check the file; convert it to MP4 or AVI if its codec is rare",
    )


class ImageFolder(_Still):
    """The images of a folder, in natural order, as frames of one rate.

    Parameters
    ----------
    folder
        The folder; images of other sizes than the first one are counted as corrupt.
    rate
        Frames per second that the time stamps count.
    paced
        Hand frames out in real time; otherwise as fast as they are read.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        rate: float = 30.0,
        paced: bool = False,
        clock: Clock | None = None,
        pool: FramePool | None = None,
        decode: str | None = None,
    ) -> None:
        super().__init__(os.fspath(folder), paced=paced, clock=clock, pool=pool, decode=decode)
        if not 0 < rate <= 1e4:
            raise BadInputError(
                "a frame rate is out of range", where=folder, got=rate, fix="give frames per second"
            )
        self.rate = rate
        found = [p for p in Path(folder).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
        self.paths = sorted(found, key=lambda p: natural(p.name))
        first = next((i for i in map(_decoded, self.paths) if i is not None), None)
        if first is None:
            raise BadInputError(
                "the folder holds no image that can be read",
                where=folder,
                expected=", ".join(IMAGE_SUFFIXES),
                got=f"{len(self.paths)} files with such names",
                fix="check the folder",
            )
        self._size = (first.shape[1], first.shape[0])

    def _facts(self) -> tuple[int, int, float | None]:
        return (*self._size, self.rate)

    def _open(self) -> Iterator[tuple[float, np.ndarray | None]]:
        for k, path in enumerate(self.paths):
            image = _decoded(path)
            fits = image is not None and (image.shape[1], image.shape[0]) == self._size
            yield k / self.rate, image if fits else None


def _decoded(path: Path) -> np.ndarray | None:
    import cv2

    try:
        data, where = read_bytes(path)
        header(data, where=where)
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except (BadInputError, cv2.error):
        return None


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sorting key by which frame10 comes after frame9.

    >>> sorted(["f10.png", "f9.png"], key=natural)
    ['f9.png', 'f10.png']
    """
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.split(r"(\d+)", name.lower())
    ]
