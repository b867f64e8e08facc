"""A worker: builds its models by a named function, says that it is ready, then answers one request after the other.

Run as a module: FD of its end of a socket pair. A Python MemoryError ends it with exit code 12: what the heap looks
like then, nobody knows.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import socket
import sys
from typing import Any

from facelab.core.errors import FacelabError
from facelab.serving.workers._channel import ChannelClosedError, receive, send, text_of

OUT_OF_MEMORY = 12


def main() -> None:
    """Serve until the supervisor closes the channel."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    channel = socket.socket(fileno=int(sys.argv[1]))
    os.dup2(2, 1)  # what libraries print is not a message
    try:
        config, _ = receive(channel)
        handle = _built(config)
        send(channel, {"ready": True, "pid": os.getpid()})
        while True:
            _answer(channel, handle)
    except (ChannelClosedError, OSError):
        os._exit(0)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except Exception as e:
        send(channel, {"failed": text_of(e), "error": _plain(e)})
        os._exit(1)


def _built(config: dict[str, Any]) -> Any:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module, _, name = config["target"].partition(":")
    made = getattr(importlib.import_module(module), name)(**config["arguments"])
    if (most := config.get("memory")) is not None:  # after loading: what a request may add
        limit = _data_bytes() + int(most)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return made


def _data_bytes() -> int:
    with open("/proc/self/status") as f:  # noqa: PTH123
        line = next(line for line in f if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024


def _answer(channel: socket.socket, handle: Any) -> None:
    channel.settimeout(None)
    request, data = receive(channel)
    try:
        value = handle(request["task"], data, request["options"])
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except Exception as e:
        send(channel, {"failed": text_of(e), "error": _plain(e)})
    else:
        send(channel, {"value": value})


def _plain(error: BaseException) -> dict[str, Any] | None:
    if not isinstance(error, FacelabError):
        return None
    return {**error.as_dict(), "status": getattr(error, "status", None)}


if __name__ == "__main__":
    main()
