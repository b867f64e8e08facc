"""What a worker and its supervisor say to each other: JSON and bytes, so that neither can run code in the other."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

from facelab.core.files import dumps, loads_strict

_HEAD = struct.Struct("!IQ")
MOST_JSON, MOST_DATA = 64 << 20, 1 << 30


class ChannelClosedError(Exception):
    """The other side is gone, or what it sent is not a message."""


def send(channel: socket.socket, value: dict[str, Any], data: bytes = b"") -> None:
    """Send one message. Raises ChannelClosedError, or TimeoutError by the channel's own limit."""
    text = dumps(value).encode()
    try:
        channel.sendall(_HEAD.pack(len(text), len(data)) + text)
        if data:
            channel.sendall(data)
    except TimeoutError:
        raise
    except OSError as e:
        raise ChannelClosedError(str(e)) from None


def receive(channel: socket.socket, *, until: float | None = None) -> tuple[dict[str, Any], bytes]:
    """Return the next message and its bytes.

    `until` is a time of `time.monotonic`. Raises TimeoutError when it is reached, ChannelClosedError where the other
    side is gone or sends anything else than messages.
    """
    text, size = _HEAD.unpack(_exactly(channel, _HEAD.size, until))
    if text > MOST_JSON or size > MOST_DATA:
        raise ChannelClosedError(f"a message of {text + size} bytes")
    raw = _exactly(channel, text, until)
    data = _exactly(channel, size, until)
    try:
        value = loads_strict(raw, where="worker", max_bytes=MOST_JSON, max_depth=32)
    except Exception as e:
        raise ChannelClosedError(f"no JSON: {e}") from None
    if not isinstance(value, dict):
        raise ChannelClosedError("no JSON object")
    return value, data


def _exactly(channel: socket.socket, n: int, until: float | None) -> bytes:
    out = bytearray()
    while len(out) < n:
        if until is not None:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            channel.settimeout(left)
        try:
            part = channel.recv(min(1 << 20, n - len(out)))
        except TimeoutError:
            raise
        except OSError as e:
            raise ChannelClosedError(str(e)) from None
        if not part:
            raise ChannelClosedError("the other side closed")
        out += part
    return bytes(out)


def text_of(error: BaseException) -> str:
    """Return an exception in one short line."""
    return f"{type(error).__name__}: {json.dumps(str(error)[:300])}"
