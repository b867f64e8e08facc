"""uvicorn's HTTP protocol with a limit on how long a request's header may take."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

LINGER_S = 0.5
SLOW = b"the request's header did not arrive in time; send it at once\n"


class LimitedProtocol(H11Protocol):
    """Answers 408 and closes where a header takes longer than `header_s` seconds."""

    header_s = 5.0
    _deadline: asyncio.TimerHandle | None = None
    _over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._arm()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._disarm()
        super().on_response_complete()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self.header_s, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            head = f"Content-Type: text/plain\r\nContent-Length: {len(SLOW)}\r\n"
            text = f"HTTP/1.1 408 Request Timeout\r\n{head}Connection: close\r\n\r\n"
            self._over = True
            self.transport.write(text.encode() + SLOW)
            # closing with unread bytes would reset the connection, and the answer would be lost
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.close)


def with_header_limit(seconds: float) -> type[LimitedProtocol]:
    """Return a protocol that answers 408 and closes where a header takes longer than `seconds`.

    uvicorn's own time limit covers the pause between two requests only: a client that sends one byte per minute
    holds its connection, and enough of them hold the service.
    """
    return type("Protocol", (LimitedProtocol,), {"header_s": seconds})
