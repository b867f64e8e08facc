"""The process that captures: reads frames from a source into shared slots and says which slot is full.

A slot belongs to exactly one side at any time. It changes hands by a message, so that no frame is read while it is
written, and a process that dies in the middle of a frame has not handed it over.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import sys
from typing import Any

import numpy as np

from facelab.camera._errors import CameraError, NoFrameError
from facelab.camera._frame import Frame
from facelab.camera._source import Source
from facelab.camera.process import _messages as messages
from facelab.core import scheduling
from facelab.core.errors import FacelabError
from facelab.core.lifetime import end_at_once_with, end_with

POLL_S = 0.1


def die_with_parent(parent: int) -> None:
    """End this process when its parent ends, however it ends: by signal (Linux), and by looking."""
    end_at_once_with(parent)
    end_with(parent, every_s=POLL_S)


class Worker:
    """Owns the source and the free slots."""

    def __init__(
        self, source: Source, channel: socket.socket, memory: mmap.mmap, setup: dict
    ) -> None:
        self.source, self.channel = source, channel
        self.slots, self.slot_bytes = setup["slots"], setup["slot_bytes"]
        self.rows = np.frombuffer(memory, np.uint8).reshape(self.slots, self.slot_bytes)
        self.free = list(range(self.slots))
        self.no_slot = 0
        self.running = True

    def loop(self) -> None:
        """Capture until told to stop, until the source ends, or until the other side is gone."""
        self.source.start()
        while self.running:
            self._listen()
            try:
                frame = self.source.read(timeout_s=POLL_S)
            except NoFrameError:
                self.source.ledger._events["timeout"] -= 1  # our own short wait is nobody's fault
                continue
            self._hand_over(frame)

    def _listen(self) -> None:
        while (message := messages.receive(self.channel)) != {}:
            if message is None or message["kind"] == "stop":
                self.running = False
                return
            if message["kind"] == "free":
                self.free.append(message["slot"])

    def _hand_over(self, frame: Frame) -> None:
        if not self.free:
            self._listen()
        if not self.free:
            self.no_slot += 1
            return
        data = np.ascontiguousarray(frame.data).view(np.uint8).ravel()
        if data.nbytes > self.slot_bytes:
            raise CameraError(
                "a frame is larger than the shared slot",
                where=self.source.name,
                expected=f"at most {self.slot_bytes} bytes",
                got=f"{data.nbytes} bytes",
                fix="give a larger slot_bytes",
            )
        slot = self.free.pop(0)
        self.rows[slot, : data.nbytes] = data
        if not messages.send(
            self.channel,
            "frame",
            slot=slot,
            nbytes=data.nbytes,
            frame=messages.frame_fields(frame),
            counts=self.counts(),
        ):
            self.free.append(slot)
            self.no_slot += 1

    def counts(self) -> dict[str, Any]:
        """Return what the source counted, and the frames that found no slot."""
        return {**self.source.ledger.report().to_dict(), "no_slot": self.no_slot}


def main() -> None:
    """Run as `python -m facelab.camera.process._worker CHANNEL MEMORY PARENT`; the setup comes as a message."""
    channel_fd, memory_fd, parent = (int(a) for a in sys.argv[1:4])
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who reads
    channel = socket.socket(fileno=channel_fd)
    channel.setblocking(True)
    setup = messages.receive(channel) or {}
    channel.setblocking(False)
    from facelab.camera._open import open_source

    source: Source | None = None
    worker: Worker | None = None
    try:
        schedule = scheduling.apply(**setup["schedule"])
        source = open_source(setup["name"], **setup["options"])
        slot_bytes = setup["slot_bytes"] or _largest(source)
        setup["slot_bytes"] = slot_bytes
        os.ftruncate(memory_fd, setup["slots"] * slot_bytes)
        memory = mmap.mmap(memory_fd, setup["slots"] * slot_bytes)
        worker = Worker(source, channel, memory, setup)
        messages.send(
            channel,
            "ready",
            contract=messages.contract_fields(source.contract),
            streams=list(source.streams),
            schedule=schedule.to_dict(),
            slot_bytes=slot_bytes,
        )
        worker.loop()
        source.stop()
        messages.send(channel, "end", counts=worker.counts(), error=None)
    except (FacelabError, OSError, MemoryError, OverflowError) as e:
        counts = None if worker is None else worker.counts()
        error = e if isinstance(e, FacelabError) else _no_memory(e, setup)
        messages.send(channel, "end", counts=counts, error=error.as_dict())
    finally:
        if source is not None:
            source.close()
        channel.close()


def _no_memory(e: BaseException, setup: dict[str, Any]) -> CameraError:
    return CameraError(
        "the capture process could not get its memory or its device",
        where=setup["name"],
        expected=f"{setup['slots']} shared slots of {setup['slot_bytes']} bytes",
        got=getattr(e, "strerror", None) or str(e) or type(e).__name__,
        fix="ask for fewer or smaller slots, or for smaller frames",
    )


def _largest(source: Source) -> int:
    """Return the bytes of the source's largest frame, decoded frames and depth included."""
    c = source.contract
    pixels = c.width * c.height
    return max(c.frame_bytes, pixels * 3 if source.decode else 0, pixels * 2, 4096)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(1)
