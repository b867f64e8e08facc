"""A Keras model in its own process, run by `facelab.core.sandbox`: arrays in by a pipe, answers out by another.

Each message is a letter (a: arrays, e: error, i: what the model is), its length in 8 bytes, and an `.npz` or JSON.
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MAX_MESSAGE = 1 << 30


class PipeClosedError(Exception):
    """The other side is gone."""


def send(pipe: BinaryIO, letter: bytes, body: bytes) -> None:
    """Write one message."""
    pipe.write(letter + struct.pack("<Q", len(body)) + body)
    pipe.flush()


def receive(pipe: BinaryIO) -> tuple[bytes, bytes]:
    """Read one message. Raises PipeClosedError at the end of the pipe, and for a length that nobody would send."""
    head = pipe.read(9)
    if len(head) < 9:
        raise PipeClosedError
    (length,) = struct.unpack("<Q", head[1:])
    if length > MAX_MESSAGE:
        raise PipeClosedError
    body = pipe.read(length)
    if len(body) < length:
        raise PipeClosedError
    return head[:1], body


def packed(arrays: list[np.ndarray]) -> bytes:
    """Return arrays as the bytes of an `.npz`."""
    f = io.BytesIO()
    held: dict[str, Any] = {str(k): a for k, a in enumerate(arrays)}
    np.savez(f, **held)
    return f.getvalue()


def main(path: str, threads: str) -> None:
    """Open the model, say what it is, and answer until the pipe closes."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is not a message
    from facelab.core import job
    from facelab.core.array_files import read_npz
    from facelab.core.errors import FacelabError
    from facelab.zoo.runtimes._keras import open_keras_here

    job.leave_out()
    try:
        model = open_keras_here(Path(path), threads=int(threads))
    except FacelabError as e:
        send(out, b"e", json.dumps([type(e).__name__, e.what, e.got, e.fix]).encode())
        return
    facts = [[[t.name, t.shape, t.dtype] for t in ts] for ts in (model.inputs, model.outputs)]
    send(out, b"i", json.dumps([*facts, model.threads]).encode())
    while True:
        try:
            _, body = receive(sys.stdin.buffer)
        except PipeClosedError:
            return
        arrays = read_npz(body)
        try:
            answers = model.run(*(arrays[str(k)] for k in range(len(arrays))))
            send(out, b"a", packed(answers))
        except FacelabError as e:
            send(out, b"e", json.dumps([type(e).__name__, e.what, e.got, e.fix]).encode())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
