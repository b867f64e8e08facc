"""What the service takes: bytes, pixels, seconds; and images that are looked at before they are decoded."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from dataclasses import dataclass

import numpy as np
from starlette.requests import ClientDisconnect, Request

from facelab.core.errors import BadInputError
from facelab.core.files import loads_strict
from facelab.preprocess import read_image
from facelab.serving.service._gate import RequestError, image_header

DRAINED = 64 << 20


@dataclass(frozen=True)
class Limits:
    """Bounds of the service.

    Attributes
    ----------
    body_bytes : int
        Largest body of one request.
    all_bodies_bytes : int
        Bytes of bodies that may be held at once by all requests together.
    pixels : int
        Largest image, by its header.
    body_s, header_s : float
        Seconds within which a whole body, and a whole header, must have arrived.
    connections : int
        Open connections; one more gets a 503.
    workers, waiting : int
        Requests that run at once, and that may wait; the next one gets a 503 at once.
    wait_s : float
        Longest wait for a worker.

    Examples
    --------
    >>> Limits(pixels=1_000_000).pixels
    1000000
    """

    body_bytes: int = 8 << 20
    all_bodies_bytes: int = 64 << 20
    pixels: int = 16_000_000
    body_s: float = 10.0
    header_s: float = 5.0
    connections: int = 64
    workers: int = 1
    waiting: int = 8
    wait_s: float = 2.0


class Bodies:
    """Reads bodies within the limits, counting the bytes of all of them."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self.held = limits, 0

    async def read(self, request: Request) -> bytes:
        """Return the body. Raises RequestError: 413 too large, 408 too slow, 503 too many at once, 400 bad length."""
        chunks: list[bytes] = []
        try:
            self._check_length(request)
            async with asyncio.timeout(self._limits.body_s):
                async for chunk in request.stream():
                    self.held += len(chunk)
                    chunks.append(chunk)
                    self._check(sum(map(len, chunks)))
            return b"".join(chunks)
        except RequestError as e:
            if e.status == 413:
                await _drained(request)
            raise
        except TimeoutError:
            raise RequestError(
                408,
                "the body did not arrive in time",
                expected=f"all of it within {self._limits.body_s:g} s",
                fix="send it faster, or send a smaller image",
            ) from None
        except ClientDisconnect:
            raise RequestError(400, "the client went away", fix="send the whole body") from None
        finally:
            self.held -= sum(map(len, chunks))

    def _check_length(self, request: Request) -> None:
        if "content-length" in request.headers and "transfer-encoding" in request.headers:
            raise RequestError(
                400,
                "the request states the length of its body twice",
                got="Content-Length and Transfer-Encoding",
                fix="send one of both: a proxy may end the request elsewhere than this service does",
            )
        text = request.headers.get("content-length", "0")
        if not text.isascii() or not text.isdigit():
            raise RequestError(
                400, "the content length is not a number", got=text[:40], fix="omit it"
            )
        self._check(int(text[:20]))

    def _check(self, size: int) -> None:
        if size > self._limits.body_bytes:
            raise RequestError(
                413,
                "the body is too large",
                expected=f"at most {self._limits.body_bytes:,} bytes",
                fix="scale the image down, or compress it more",
            )
        if self.held > self._limits.all_bodies_bytes:
            raise RequestError(
                503, "too many large bodies arrive at once", fix="try again in a second"
            )


async def _drained(request: Request) -> None:
    """Drop what still arrives, for a moment: closing at once would reset the connection and lose the answer."""
    left = DRAINED
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(1.0):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return


def require_type(request: Request, *wanted: str) -> None:
    """Raise RequestError 415 unless the content type starts with one of `wanted`."""
    got = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not any(got.startswith(w) for w in wanted):
        raise RequestError(
            415,
            "the content type is not one that this address takes",
            expected=" or ".join(wanted),
            got=got[:80] or "none",
            fix="name the type of the body in the header Content-Type",
        )


def checked_image(data: bytes, limits: Limits) -> np.ndarray:
    """Decode an image to RGB uint8 (height, width, 3) after its header was found within the limits.

    Raises RequestError: 413 for too many pixels, 415 for another format, 400 for what cannot be decoded.
    """
    image_header(data, pixels=limits.pixels)
    try:
        return read_image(data)
    except BadInputError as e:
        raise RequestError(400, e.what, expected=e.expected, got=e.got, fix=e.fix) from None


def two_images(body: bytes, limits: Limits) -> tuple[bytes, bytes]:
    """Return the images of `{"first": base64, "second": base64}`. Raises RequestError 400 saying what is wrong."""
    try:
        value = loads_strict(body, where="body", max_bytes=limits.body_bytes, max_depth=4)
    except BadInputError as e:
        raise RequestError(400, e.what, got=e.got, fix="send one JSON object") from None
    if not isinstance(value, dict) or set(value) != {"first", "second"}:
        raise RequestError(
            400,
            "the body has other keys",
            expected="first and second, each an image in base64",
            got=", ".join(map(str, value))[:80] if isinstance(value, dict) else "no object",
            fix='send {"first": "…", "second": "…"}',
        )
    return _bytes_of(value, "first"), _bytes_of(value, "second")


def _bytes_of(value: dict, key: str) -> bytes:
    try:
        return base64.b64decode(value[key], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise RequestError(
            400, f"{key!r} is not base64", fix="encode the image file's bytes in base64"
        ) from None
