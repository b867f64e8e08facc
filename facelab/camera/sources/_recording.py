"""Recordings: the frames of any source with their numbers, stamps and arrivals, to be played again as they came.

A recording is a folder: `recording.json` (schema `facelab.recording/1`, the contract and the counts),
`frames.jsonl` (one header per frame) and `frames.bin` (the bytes, one frame after the other).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from facelab.camera._clock import Clock, MonotonicClock, VirtualClock
from facelab.camera._contract import Contract, Mode, Request, differences, settle
from facelab.camera._errors import NoFrameError, PoolExhaustedError, SourceEndedError
from facelab.camera._frame import Frame
from facelab.camera._pool import FramePool
from facelab.camera._source import Continuity, Source
from facelab.camera.pixels._formats import FORMATS
from facelab.core.errors import BadInputError
from facelab.core.files import check_writable, dumps, loads_strict, naming, write_json
from facelab.core.result import Result
from facelab.core.safety.scratch import ScratchFolder

SCHEMA = "facelab.recording/1"
_FIELDS = {
    "stream": str,
    "sequence": int,
    "time_s": (int, float),
    "clock": str,
    "arrived_s": (int, float),
    "format": str,
    "width": int,
    "height": int,
    "shape": list,
    "dtype": str,
    "offset": int,
    "bytes": int,
    "crc32": int,
    "colour_range": str,
}


@dataclass(frozen=True)
class Recorded(Result):
    """What was recorded: the folder, frames per stream, bytes, seconds, and the source's ledger."""

    folder: str
    frames: dict[str, int]
    bytes: int
    seconds: float
    ledger: dict[str, Any]
    stopped: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return dict(self.__dict__)


def record(
    source: Source,
    folder: str | os.PathLike,
    *,
    seconds: float | None = None,
    frames: int | None = None,
    max_bytes: int = 1 << 30,
) -> Recorded:
    """Record a source until a limit or its end; the folder appears whole, or not at all.

    Parameters
    ----------
    source
        Any source; it is started, and stopped at the end.
    folder
        What to write; it must not exist.
    seconds, frames
        When to stop.
    max_bytes
        The most bytes of pixels to write.

    Returns
    -------
    Recorded
        What was recorded, and what was dropped.

    Raises
    ------
    BadInputError
        If the folder exists or cannot be written, or the disk is full; nothing is left then.

    Examples
    --------
    >>> import tempfile
    >>> from facelab.camera import RenderedSensor, open_source
    >>> folder = tempfile.mkdtemp() + "/clip"
    >>> record(RenderedSensor(duration_s=0.1), folder).frames
    {'colour': 3, 'depth': 3}
    >>> [frame.sequence for frame in open_source(folder) if frame.stream == "colour"]
    [0, 1, 2]
    """
    folder = Path(folder)
    check_writable(folder, folder=True)
    if folder.exists():
        raise BadInputError(
            "the recording would replace something",
            where=folder,
            fix="choose another folder, or remove it first",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ScratchFolder(prefix=f".{folder.name}.", dir=folder.parent) as near:
        temporary = Path(near) / "recording"
        temporary.mkdir()
        with source:
            done = _write(source, temporary, seconds, frames, max_bytes)
        made = Recorded(str(folder), done[0], done[1], done[2], done[3], done[4])
        facts = {**_promised(source), "recorded": {**made.to_dict(), "folder": folder.name}}
        write_json(temporary / "recording.json", facts)
        temporary.rename(folder)
        return made


def _promised(source: Source) -> dict[str, Any]:
    c = source.contract
    return {
        "schema": SCHEMA,
        "source": source.name,
        "streams": list(source.streams),
        "format": c.format,
        "width": c.width,
        "height": c.height,
        "rate": c.rate,
        "clock": c.clock,
        "colour_range": c.colour_range,
    }


def _write(
    source: Source, folder: Path, seconds: float | None, frames: int | None, max_bytes: int
) -> tuple[dict[str, int], int, float, dict[str, Any], str]:
    counts, written, first, last, stopped = dict.fromkeys(source.streams, 0), 0, None, 0.0, "end"
    with (
        naming(folder),
        (folder / "frames.bin").open("wb") as pixels,
        (folder / "frames.jsonl").open("w") as lines,
    ):
        while True:
            try:
                frame = source.read()
            except SourceEndedError:
                break
            except NoFrameError:
                stopped = "no frame came in time"
                break
            first, last = frame.arrived_s if first is None else first, frame.arrived_s
            if seconds is not None and last - first >= seconds:
                stopped = "seconds"
                break
            with frame:
                if written + frame.array.nbytes > max_bytes:
                    stopped = "max_bytes"
                    break
                written += _append(frame, pixels, lines, written)
            counts[frame.stream] = counts.get(frame.stream, 0) + 1
            if frames is not None and sum(counts.values()) >= frames:
                stopped = "frames"
                break
    return counts, written, last - (first or 0.0), source.ledger.report().to_dict(), stopped


def _append(frame: Frame, pixels: IO[bytes], lines: IO[str], offset: int) -> int:
    data = np.ascontiguousarray(frame.data)
    header = {
        **{k: v for k, v in frame.to_dict().items() if k in _FIELDS},
        "shape": list(data.shape),
        "dtype": str(data.dtype),
        "offset": offset,
        "bytes": data.nbytes,
        "crc32": zlib.crc32(data.tobytes()),
    }
    pixels.write(data.tobytes())
    lines.write(dumps(header) + "\n")
    return data.nbytes


class Recording(Source):
    """A recording, played again: same numbers, stamps, arrivals and gaps.

    Parameters
    ----------
    folder
        What `record` wrote.
    paced
        Frames arrive in real time; otherwise the clock is virtual.

    Raises
    ------
    BadInputError
        If the folder does not hold a whole recording.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        paced: bool = False,
        clock: Clock | None = None,
        pool: FramePool | None = None,
        decode: str | None = None,
    ) -> None:
        made = clock or (MonotonicClock() if paced else VirtualClock())
        super().__init__(os.fspath(folder), clock=made, pool=pool, decode=decode)
        self.folder = Path(folder)
        self._facts = _facts(self.folder / "recording.json")
        self.streams = tuple(self._facts["streams"])
        self._headers = list(_headers(self.folder))
        self._file: IO[bytes] | None = None
        self._at = 0

    def modes(self) -> tuple[Mode, ...]:
        """Return the one mode that was recorded."""
        f = self._facts
        return (Mode(f["format"], f["width"], f["height"], (f["rate"],) if f["rate"] else ()),)

    def _negotiate(self, request: Request, allow: Collection[str]) -> Contract:
        f = self._facts
        kind = FORMATS[f["format"]]
        largest = max((h["bytes"] for h in self._headers), default=0)
        return settle(
            Contract(
                self.name,
                request,
                f["format"],
                f["width"],
                f["height"],
                f["rate"],
                0 if kind.compressed else kind.row_bytes(f["width"]),
                largest,
                f["clock"],
                f["colour_range"],
                differences=differences(request, f["format"], f["width"], f["height"], f["rate"]),
                offers=self.modes(),
            ),
            allow,
        )

    def _start(self) -> None:
        self._file = (self.folder / "frames.bin").open("rb")
        self._at, self._continuity = 0, {s: Continuity(self.ledger) for s in self.streams}
        first = self._headers[0]["arrived_s"] if self._headers else 0.0
        self._shift = self.clock.now() - first

    def _stop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _wait(self, timeout_s: float) -> bool:
        if self._at >= len(self._headers):
            self._stop()  # a reader that iterates to the end may never close it
            raise SourceEndedError(
                "the recording holds no further frame",
                where=self.name,
                got=f"{len(self._headers)} frames",
                fix="start it again",
            )
        due = self._headers[self._at]["arrived_s"] + self._shift - self.clock.now()
        self.clock.sleep(min(max(0.0, due), timeout_s))
        return due <= timeout_s

    def _take(self) -> Frame | None:
        while self._at < len(self._headers):
            header = self._headers[self._at]
            if header["arrived_s"] + self._shift > self.clock.now() + 1e-9:
                return None
            self._at += 1
            self.ledger.arrive()
            array = self._pixels(header)
            continuity = self._continuity.setdefault(header["stream"], Continuity(self.ledger))
            reason, lost, flags = continuity.judge(
                header["sequence"], header["time_s"], header["arrived_s"]
            )
            if array is None or reason:
                self.ledger.settle(reason or "corrupt")
                continue
            try:
                return self._frame(header, array, lost, frozenset(flags))
            except PoolExhaustedError:
                self.ledger.settle("pool exhausted")
        return None

    def _pixels(self, header: dict[str, Any]) -> np.ndarray | None:
        """Return a frame's pixels, or None where its bytes are not those that were written."""
        assert self._file is not None
        self._file.seek(header["offset"])
        raw = self._file.read(header["bytes"])
        if zlib.crc32(raw) != header["crc32"]:
            return None
        return np.frombuffer(bytearray(raw), header["dtype"]).reshape(header["shape"])

    def _frame(
        self, header: dict[str, Any], array: np.ndarray, lost: int, flags: frozenset[str]
    ) -> Frame:
        slot = None
        if self.pool is not None:
            slot = self.pool.acquire(array.nbytes, f"{header['stream']} {header['sequence']}")
            pooled = slot.array.view(array.dtype).reshape(array.shape)
            np.copyto(pooled, array)
            array = pooled
        shifted = header["clock"] == "monotonic"  # this system's clock reads something else today
        return Frame(
            array,
            header["format"],
            header["width"],
            header["height"],
            header["sequence"],
            header["time_s"] + (self._shift if shifted else 0.0),
            header["clock"],
            header["arrived_s"] + self._shift,
            stream=header["stream"],
            lost_before=lost,
            flags=flags,
            colour_range=header["colour_range"],
            slot=slot,
        )


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = loads_strict(path.read_bytes(), where=path)
    except OSError as e:
        raise _broken(path, e.strerror or "unreadable") from None
    wanted = {"streams": list, "format": str, "width": int, "height": int, "clock": str}
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise _broken(path, "another schema")
    for name, kind in {**wanted, "colour_range": str}.items():
        if not isinstance(facts.get(name), kind):
            raise _broken(path, f"{name} is {facts.get(name)!r}")
    rate = facts.get("rate")
    if facts["format"] not in FORMATS or not (rate is None or isinstance(rate, (int, float))):
        raise _broken(path, f"format {facts['format']!r}, rate {rate!r}")
    return facts


def _headers(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the headers; each must describe bytes that are really there."""
    path = folder / "frames.jsonl"
    try:
        size = (folder / "frames.bin").stat().st_size
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise _broken(path, str(e)[:120]) from None
    for number, line in enumerate(lines, 1):
        header = loads_strict(line, where=f"{path}:{number}", max_bytes=1 << 16)
        problem = _problem(header, size)
        if problem:
            raise _broken(f"{path}:{number}", problem)
        yield header


def _problem(header: Any, size: int) -> str | None:
    if not isinstance(header, dict):
        return "not an object"
    for name, kind in _FIELDS.items():
        if not isinstance(header.get(name), kind) or isinstance(header.get(name), bool):
            return f"{name} is {header.get(name)!r}"
    if header["format"] not in FORMATS or header["dtype"] not in ("uint8", "uint16"):
        return f"format {header['format']!r}, type {header['dtype']!r}"
    shape = header["shape"]
    if not 1 <= len(shape) <= 3 or not all(isinstance(n, int) and 0 < n < 1 << 27 for n in shape):
        return f"shape {shape!r}"
    values = 1
    for n in shape:
        values *= n
    if values * np.dtype(header["dtype"]).itemsize != header["bytes"]:
        return f"{header['bytes']} bytes for shape {shape}"
    if header["offset"] < 0 or header["offset"] + header["bytes"] > size:
        return f"bytes {header['offset']} to {header['offset'] + header['bytes']} of {size}"
    return None


def _broken(where: object, got: str) -> BadInputError:
    return BadInputError(
        "the folder does not hold a whole recording",
        where=where,
        expected=f"recording.json, frames.jsonl and frames.bin of {SCHEMA}",
        got=got,
        fix="record it again: facelab camera record",
    )
