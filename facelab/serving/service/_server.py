"""Run the application on uvicorn, within its limits."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator

import uvicorn
from starlette.applications import Starlette

from facelab.core.errors import BadInputError, from_os
from facelab.serving.service._protocol import with_header_limit

HEADER_BYTES = 16 << 10
ENDING = (signal.SIGINT, signal.SIGTERM)


class _Server(uvicorn.Server):
    """A server that says when it answers, and that a signal ends in order at any moment of its start."""

    def __init__(
        self, config: uvicorn.Config, up: Callable[[], object], stop: threading.Event
    ) -> None:
        super().__init__(config)
        self._up, self._stop = up, stop

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        # an exception of a signal's handler while asyncio starts would leave its loop open, with a warning
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            super().run(sockets)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        with super().capture_signals():
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.should_exit |= self._stop.is_set()
        if not self.should_exit:
            self._up()


def server(
    app: Starlette,
    up: Callable[[], object] = lambda: None,
    stop: threading.Event | None = None,
) -> uvicorn.Server:
    """Return a server for the application; the caller opens the socket.

    Parameters
    ----------
    app : Starlette
        The application of `create_app`.
    up : callable
        Called without arguments once the server answers.
    stop : threading.Event
        Where it is set, the server ends as soon as it has started; None for an event of its own.

    Returns
    -------
    uvicorn.Server
        A server for the application.
    """
    limits = app.state.service.limits
    config = uvicorn.Config(
        app,
        http=with_header_limit(limits.header_s),
        ws="none",
        loop="asyncio",
        limit_concurrency=limits.connections,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=HEADER_BYTES,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    return _Server(config, up, stop or threading.Event())


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket.

    Parameters
    ----------
    host : str
        The address to listen on.
    port : int
        The port to listen on; 0 for a free one.

    Returns
    -------
    socket.socket
        A bound socket.

    Raises
    ------
    BadInputError
        If the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(128)  # who comes while the models load waits
    except (OSError, UnicodeError, TypeError) as e:  # the latter for what cannot be a host's name
        bound.close()
        raise BadInputError(
            "the address cannot be used",
            where=f"{host}:{port}",
            got=from_os(e).got if isinstance(e, OSError) else str(e)[:120],
            fix="choose another --port or --host",
        ) from None
    return bound


@contextlib.contextmanager
def running(app: Starlette, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve in a thread for tests and notebooks, and yield the service's address.

    Parameters
    ----------
    app : Starlette
        The application of `create_app`.
    host : str
        The address to listen on.
    port : int
        The port to listen on; 0 for a free one.

    Returns
    -------
    Iterator[str]
        The address of the service.

    Raises
    ------
    BadInputError
        The port cannot be had, or the service did not start within 60 s.
    """
    bound = listen(host, port)
    serving = server(app)
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    end = time.monotonic() + 60
    while not serving.started and thread.is_alive() and time.monotonic() < end:
        time.sleep(0.01)
    if not serving.started:
        raise BadInputError("the service did not start", fix="look at its log")
    try:
        yield f"http://{host}:{bound.getsockname()[1]}"
    finally:
        serving.should_exit = True
        thread.join(timeout=20)
        bound.close()
