"""A source whose frames are captured by another process, so that a busy interpreter here delays none of them."""

from __future__ import annotations

import atexit
import contextlib
import functools
import mmap
import os
import select
import socket
import subprocess
import weakref
from collections import deque
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from facelab.camera._contract import Contract, Mode, Request
from facelab.camera._errors import CameraError, SourceEndedError, SourceGoneError
from facelab.camera._frame import Frame
from facelab.camera._ledger import LedgerReport
from facelab.camera._pool import FramePool
from facelab.camera._source import Source
from facelab.camera.process import _messages as messages
from facelab.core.errors import BadInputError, FacelabError
from facelab.core.isolated import module_command
from facelab.core.scheduling import Schedule, check_schedule

START_S = 60.0
STOP_S = 5.0


class CaptureProcess(Source):
    """A source in its own process.

    The pixels come through anonymous shared memory (`memfd`): it has no name, so nothing is left behind when both
    processes are gone, however they end. The process dies with the one that started it.

    Parameters
    ----------
    name
        What to open, as for `open_source`; it must be a text.
    format, size, rate, allow
        What is required of it, as for `open_source`.
    slots
        Frames that can wait or be in use at once; a frame that finds no free slot is counted as `pool exhausted`.
    copy
        Copy each frame when it is read. Otherwise frames are views of the shared slots and must be released.
    cpu, fifo, nice
        What to ask of the scheduler; `schedule` says what was granted.
    slot_bytes
        Bytes of one slot; by default those of the largest frame.
    **options
        Further arguments of the source, such as `decode` or `paced`.

    Raises
    ------
    NegotiationError, BadInputError
        As `open_source`, from the other process.
    """

    def __init__(
        self,
        name: str,
        *,
        format: str | None = None,
        size: tuple[int, int] | None = None,
        rate: float | None = None,
        allow: Collection[str] = (),
        slots: int = 6,
        copy: bool = True,
        cpu: int | None = None,
        fifo: int | None = None,
        nice: int | None = None,
        slot_bytes: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(f"{name} (own process)")
        check_schedule(cpu, fifo, nice)
        if slots < 2:
            raise BadInputError(
                "a capture process needs at least two slots", got=slots, fix="give 2 or more"
            )
        self.copy, self.slots = copy, slots
        wishes = {"format": format, "size": list(size) if size else None, "rate": rate}
        self._setup = {
            "name": os.fspath(name),
            "slots": slots,
            "slot_bytes": slot_bytes,
            "schedule": {"cpu": cpu, "fifo": fifo, "nice": nice},
            "options": {**wishes, "allow": _names(allow), **options},
        }
        self._ready: deque[dict[str, Any]] = deque()
        self._ended: FacelabError | None = None
        self._sent: LedgerReport | None = None
        self._no_slot = 0
        self._numbers: dict[str, int] = {}
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._launch()

    # ------------------------------------------------------------ the other process
    def _launch(self) -> None:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._memory_fd = os.memfd_create("facelab-frames", os.MFD_CLOEXEC)
        numbers = (there.fileno(), self._memory_fd, os.getpid())
        command = module_command("facelab.camera.process._worker", *numbers)
        fds = (there.fileno(), self._memory_fd)
        self._channel = here
        here.setblocking(False)
        _live.add(self)
        try:
            self._process = _spawn(command, fds)
        finally:
            there.close()
        messages.send(here, "setup", **self._setup)
        answer = self._first_answer()
        self._contract = messages.contract_of(answer["contract"])
        self.streams = tuple(answer["streams"])
        fields = answer["schedule"]
        granted: dict[str, Any] = {**fields, "cpus": tuple(fields["cpus"])}
        self.schedule = Schedule(**granted)
        memory = mmap.mmap(self._memory_fd, self.slots * answer["slot_bytes"])
        self.pool = FramePool(
            slots=self.slots,
            slot_bytes=answer["slot_bytes"],
            name=self.name,
            memory=memory,
            on_free=self._give_back,
        )

    def _first_answer(self) -> dict[str, Any]:
        deadline = self.clock.now() + START_S
        while (left := deadline - self.clock.now()) > 0:
            self._await(left)
            message = messages.receive(self._open_channel())
            if message == {}:
                continue
            if message is not None and message["kind"] == "ready":
                return message
            self._end()
            raise self._died() if message is None else messages.error_of(message["error"])
        self._end()
        raise CameraError(
            "the capture process did not start in time",
            where=self.name,
            expected=f"an answer within {START_S:g} s",
            fix="look at the machine's load, and try again",
        )

    def _open_channel(self) -> socket.socket:
        if self._channel is None:
            raise SourceGoneError(
                "the capture process was closed", where=self.name, fix="open the source again"
            )
        return self._channel

    def _await(self, timeout_s: float) -> bool:
        poller = select.poll()
        poller.register(self._open_channel(), select.POLLIN)
        return bool(poller.poll(max(0.0, timeout_s) * 1e3))

    def _died(self) -> SourceGoneError:
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(STOP_S)
        got = f"exit code {code}" if code is None or code >= 0 else f"killed by signal {-code}"
        return SourceGoneError(
            "the capture process died",
            where=self.name,
            got=got,
            fix="open the source again; look at dmesg if it was killed for memory",
        )

    def _give_back(self, slot: int) -> None:
        if self._channel is not None:
            messages.send(self._channel, "free", slot=slot)

    @property
    def pid(self) -> int | None:
        """The number of the capture process, or None after it was closed."""
        return None if self._process is None else self._process.pid

    @property
    def capture_report(self) -> LedgerReport | None:
        """What the capture process had counted when it sent its last frame."""
        return self._sent

    # ------------------------------------------------------------ a source's duties
    def modes(self) -> tuple[Mode, ...]:
        """Return what the source in the other process offers."""
        return self.contract.offers

    def _negotiate(self, request: Request, allow: Collection[str]) -> Contract:
        if request != self.contract.asked:
            raise BadInputError(
                "a capture process negotiates when it is opened",
                where=self.name,
                expected=str(self.contract.asked),
                got=str(request),
                fix="open it again with other wishes",
            )
        return self.contract

    def _start(self) -> None:
        if self._channel is None:
            raise SourceEndedError(
                "a closed capture process cannot be started again",
                where=self.name,
                fix="open the source again",
            )

    def _wait(self, timeout_s: float) -> bool:
        if self._ended is not None:
            raise self._ended
        if not self._ready and self._await(timeout_s):
            self._receive()
        return bool(self._ready)

    def _receive(self) -> None:
        while (message := messages.receive(self._open_channel())) != {}:
            if message is None:
                self._ended = self._ended or self._died()
                return
            if message.get("counts"):
                self._count(message["counts"])
            if message["kind"] == "frame":
                self.ledger.arrive()
                self._ready.append(message)
            elif message["kind"] == "end":
                self._ended = (
                    messages.error_of(message["error"])
                    if message["error"]
                    else SourceEndedError(
                        "the capture process stopped", where=self.name, fix="open the camera again"
                    )
                )
                return

    def _count(self, counts: dict[str, Any]) -> None:
        """Take over what the other process counted: frames without a slot arrived and were lost here."""
        missed = counts.pop("no_slot") - self._no_slot
        self._no_slot += missed
        self.ledger.arrive(missed)
        if missed:
            self.ledger.settle("pool exhausted", missed)
        self._sent = messages.report_of(counts)
        for name, n in self._sent.events.items():
            self.ledger._events[name] = n

    def _take(self) -> Frame | None:
        if self._ended is None and self._channel is not None:
            self._receive()
        return self._frame(self._ready.popleft()) if self._ready else None

    def _frame(self, message: dict[str, Any]) -> Frame:
        fields = message["frame"]
        assert self.pool is not None
        loan = self.pool.take(
            message["slot"], message["nbytes"], f"{fields['stream']} {fields['sequence']}"
        )
        array = loan.array.view(np.dtype(fields["dtype"])).reshape(fields["shape"])
        last = self._numbers.get(fields["stream"], fields["sequence"] - 1)
        self._numbers[fields["stream"]] = fields["sequence"]
        lost = max(fields["lost_before"], fields["sequence"] - last - 1)  # slots ran out in between
        frame = Frame(
            array,
            fields["format"],
            fields["width"],
            fields["height"],
            fields["sequence"],
            fields["time_s"],
            fields["clock"],
            fields["arrived_s"],
            stream=fields["stream"],
            lost_before=lost,
            flags=frozenset(fields["flags"]) | ({"gap"} if lost else set()),
            colour_range=fields["colour_range"],
            truth=fields["truth"],
            slot=loan,
        )
        if self.copy:
            kept = frame.copy()
            frame.release()
            return kept
        return frame

    def _stop(self) -> None:
        if self._channel is not None and self._ended is None:
            messages.send(self._channel, "stop")
            deadline = self.clock.now() + STOP_S
            while self._ended is None and (left := deadline - self.clock.now()) > 0:
                if self._await(left):
                    self._receive()
        self.ledger.settle("left over", len(self._ready))
        self._ready.clear()
        self._end()

    def _close(self) -> None:
        self._end()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # a source that was never closed, or never opened
            self._end()

    def _end(self) -> None:
        """Close the channel and wait for the process; kill it where it does not end."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
            os.close(self._memory_fd)
            self.pool = None  # the memory goes with the last frame that uses it
        process = self._process
        if process is not None and process.poll() is None:
            try:
                process.wait(STOP_S if channel is not None else 0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _live.discard(self)


def _names(allow: Collection[str]) -> list[str]:
    return [allow] if isinstance(allow, str) else list(allow)


_live: weakref.WeakSet[CaptureProcess] = weakref.WeakSet()


@functools.cache
def _spawner() -> ThreadPoolExecutor:
    """Return a thread that lives as long as the interpreter: a child dies with the thread that started it."""
    return ThreadPoolExecutor(1, "facelab-capture")


def _spawn(command: list[str], fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    def start() -> subprocess.Popen[bytes]:
        nothing = subprocess.DEVNULL
        return subprocess.Popen(
            command, pass_fds=fds, stdin=nothing, stdout=nothing, stderr=nothing
        )

    return _spawner().submit(start).result()


@atexit.register
def _end_all() -> None:
    for source in list(_live):
        with contextlib.suppress(Exception):
            source._end()
