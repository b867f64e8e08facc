"""Bytes from a web server that is not trusted: bounded in number and in time, whatever it promises."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from facelab.core.errors import IntegrityError

if TYPE_CHECKING:
    import requests

TIMEOUT = (10, 60)
"""Seconds to connect, and to wait for the next bytes."""
MOST_BYTES = 8 << 30
"""What is read where nobody said how large a file is."""
SLOWEST = 32 << 10
"""Bytes a second below which a transfer is given up, after `PATIENCE` seconds in all."""
PATIENCE = 120.0
HEAD_SECONDS = 90.0
"""What the connection and the head of an answer may take in all."""
MOST_REDIRECTS = 10


class BrokenTransferError(Exception):
    """The server stopped in the middle; another try may help."""


@dataclass(frozen=True)
class Limit:
    """The most bytes that are taken, and the seconds that they may take in all."""

    bytes: int
    seconds: float

    @classmethod
    def of(cls, size: int | None) -> Limit:
        """Return the limit for a file of a known size, or for one that nobody measured.

        >>> Limit.of(1000).bytes, Limit.of(None).bytes == MOST_BYTES
        (1000, True)
        """
        most = MOST_BYTES if size is None else size
        return cls(most, PATIENCE + most / SLOWEST)


def chunks(
    url: str, limit: Limit, *, size: int | None = None, progress: bool = False
) -> Iterator[bytes]:
    """Yield the body of a GET request in pieces.

    Raises IntegrityError for a body larger than the limit or slower than it allows, and for an answer whose head cannot
    be read; BrokenTransferError where the server stops; requests.HTTPError, requests.RequestException as requests does.
    """
    import requests
    import urllib3

    line = _Line(limit.seconds)
    taken = 0
    try:
        with line, _followed(url, line) as answer:
            answer.raise_for_status()
            _refuse_promise(answer.headers.get("Content-Length"), limit, url)
            with _bar(size, progress) as advance:
                # read1 gives what has come: a whole piece of a server that drips would take for ever
                while (chunk := answer.raw.read1(1 << 16, decode_content=True)) and not line.late:
                    taken += len(chunk)
                    if taken > limit.bytes:
                        raise _too_large(limit, url, f"more than {limit.bytes} bytes")
                    advance(len(chunk))
                    yield chunk
        line.refuse(url, taken)
    except (
        urllib3.exceptions.ProtocolError,
        urllib3.exceptions.ReadTimeoutError,
        requests.ReadTimeout,
    ) as e:
        line.refuse(url, taken)
        raise BrokenTransferError(type(e).__name__) from None
    except (urllib3.exceptions.HTTPError, requests.exceptions.InvalidHeader, ValueError) as e:
        line.refuse(url, taken)
        if isinstance(e, requests.RequestException):
            raise
        raise IntegrityError(
            "the server's answer cannot be read",
            where=url,
            expected="HTTP",
            got=f"{type(e).__name__}: {e}"[:160],
            fix="nothing was kept; check the address",
        ) from None


class _Line:
    """The sockets of one transfer: cut after its seconds, whatever is being read from them then.

    Each byte of a chunk's length or of a trailer is in time, and none of them is an answer to the reader.
    """

    def __init__(self, seconds: float):
        self.seconds, self.late = seconds, False
        self._sockets: list[socket.socket] = []
        self._end = threading.Timer(seconds, self._too_late)
        self._end.daemon = True

    def __enter__(self) -> None:
        self._end.start()

    def __exit__(self, *_: object) -> None:
        self._end.cancel()

    def _too_late(self) -> None:
        self.late = True
        self.cut()

    def cut(self) -> None:
        """End every read from the sockets."""
        for s in self._sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def refuse(self, url: str, taken: int) -> None:
        """Raise IntegrityError where the line was cut."""
        if self.late:
            raise _too_slow(url, f"the whole file within {self.seconds:.0f} s", taken)

    def adapter(self) -> Any:
        """Return what a session sends requests with, so that their sockets are known here."""
        from requests.adapters import HTTPAdapter

        sockets = self._sockets

        class Noting(HTTPAdapter):
            def get_connection_with_tls_context(self, *args: Any, **more: Any) -> Any:
                pool = super().get_connection_with_tls_context(*args, **more)
                pool.ConnectionCls = _noting(pool.ConnectionCls, sockets)
                return pool

        return Noting()


def _noting(connection: Any, sockets: list[socket.socket]) -> Any:
    """Return a class of connections that adds its sockets to a list."""

    class Noted(connection):
        def connect(self) -> None:
            super().connect()
            sockets.append(self.sock)

    return Noted


@contextlib.contextmanager
def _followed(url: str, line: _Line) -> Iterator[requests.Response]:
    """Yield the answer at the end of the redirects, its body unread."""
    where = url
    for _ in range(MOST_REDIRECTS + 1):
        with _asked(where, line) as answer:
            target = _target(answer)
            if target is None:
                yield answer
                return
        where = next_address(where, target)
    raise IntegrityError(
        "the server redirects without an end",
        where=url,
        expected=f"at most {MOST_REDIRECTS} redirects",
        got="more",
        fix="nothing was kept; check the address",
    )


def _target(answer: requests.Response) -> str | None:
    """Return where an answer redirects to, or None."""
    import requests

    return requests.Session().get_redirect_target(answer)


def next_address(where: str, target: str) -> str:
    """Return where a redirect leads. Raises IntegrityError for what is not http, or no longer https.

    >>> next_address("https://a.org/x/y", "../z")
    'https://a.org/z'
    """
    found = urljoin(where, target)
    allowed = ("https",) if urlsplit(where).scheme == "https" else ("http", "https")
    if urlsplit(found).scheme not in allowed:
        raise IntegrityError(
            "the server redirects to another kind of address",
            where=where,
            expected=" or ".join(allowed),
            got=target[:160],
            fix="nothing was kept; check the address",
        )
    return found


def _asked(url: str, line: _Line) -> requests.Response:
    """Send one request and return its answer as soon as the head is there; the head has a limit in all, too."""
    import requests

    box: queue.SimpleQueue[requests.Response | BaseException] = queue.SimpleQueue()
    # where it sees a redirect, requests reads the whole body into memory, however long, even if it may not follow
    session = requests.Session()
    session.get_redirect_target = lambda resp: None
    for kind in ("http://", "https://"):
        session.mount(kind, line.adapter())

    def ask() -> None:
        try:
            with session:
                box.put(
                    session.get(
                        url,
                        stream=True,
                        timeout=TIMEOUT,
                        headers={"Accept-Encoding": "identity"},
                    )
                )
        except BaseException as e:
            box.put(e)

    # a head that drips would hold this thread for ever: each byte is in time
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = box.get(timeout=HEAD_SECONDS)
    except queue.Empty:
        line.cut()
        raise _too_slow(url, f"the head of an answer within {HEAD_SECONDS:.0f} s", 0) from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _too_slow(url: str, expected: str, taken: int) -> IntegrityError:
    return IntegrityError(
        "the server is too slow",
        where=url,
        expected=expected,
        got=f"{taken} bytes",
        fix="nothing was kept; try another mirror",
    )


def _refuse_promise(length: str | None, limit: Limit, url: str) -> None:
    """Refuse by Content-Length before a byte of the body is read."""
    if length is None:
        return
    text = length.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise IntegrityError(
            "the server's answer cannot be read",
            where=url,
            expected="a number as Content-Length",
            got=repr(length)[:80],
            fix="nothing was kept; check the address",
        )
    if int(text) > limit.bytes:
        raise _too_large(limit, url, f"{text} bytes")


def _too_large(limit: Limit, url: str, got: str) -> IntegrityError:
    return IntegrityError(
        "the file is too large",
        where=url,
        expected=f"{limit.bytes} bytes",
        got=got,
        fix="nothing was kept; check the address",
    )


@contextlib.contextmanager
def _bar(size: int | None, shown: bool) -> Iterator:
    """Yield a function that receives the number of bytes that came; it draws a bar on a terminal."""
    import sys

    if not (shown and sys.stderr.isatty()):
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=size)
        yield lambda n: bar.advance(task, n)
