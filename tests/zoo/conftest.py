"""A loopback web server that serves good and bad files, and a store that no other test shares."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from catalogue_entry import model_entry

from facelab.zoo._catalogue import ModelEntry

CONTENT = bytes(range(256)) * 4096
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers by the first part of the path: /good/…, /404/…, /short/… (less than promised), /stall/…, …"""

    def do_GET(self):
        server = self.server
        server.requests.append(self.path)
        kind = self.path.strip("/").split("/")[0]
        body = server.files.get(self.path)
        if body is None:
            body = {
                "good": CONTENT,
                "html": b"<!DOCTYPE html><html><body>404</body></html>",
                "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
                "empty": b"",
                "corrupt": CONTENT[:-1] + b"\0",
                "cut": CONTENT[:1000],
                "long": CONTENT + b"x",
                "short": CONTENT,
                "stall": CONTENT,
                "flaky": CONTENT,
            }.get(kind)
        if body is None:
            self.send_error(500 if kind == "500" else 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind == "short" or (kind == "flaky" and server.requests.count(self.path) == 1):
            self.wfile.write(body[: len(body) // 2])
            return
        if kind == "stall":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            server.stalled.set()
            server.released.wait(30)
            return
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def web(monkeypatch):
    """A running server with `.base`, `.files` (path → bytes), `.requests`, `.stalled` and `.released` events."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.files, server.requests = {}, []
    server.stalled, server.released = threading.Event(), threading.Event()
    server.base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def store(tmp_path, monkeypatch) -> Path:
    """An empty store and no mirror."""
    folder = tmp_path / "models"
    monkeypatch.setenv("FACELAB_MODELS", str(folder))
    monkeypatch.setenv("FACELAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("FACELAB_MIRROR", raising=False)
    return folder


def make_entry(url: str = "", **changes) -> ModelEntry:
    """Return an entry for CONTENT; plain http addresses (loopback) bypass the catalogue's https rule."""
    fields = {"sha256": SHA, "bytes": len(CONTENT)} | changes
    return model_entry(**fields).model_copy(update={"url": url})


@pytest.fixture
def entry():
    """The factory of entries for CONTENT."""
    return make_entry


@pytest.fixture
def content() -> bytes:
    """The bytes every good server and mirror has."""
    return CONTENT


def leftovers(folder: Path) -> list[str]:
    """Return the names of all files in a store, hidden ones too."""
    return sorted(p.name for p in folder.rglob("*") if p.is_file()) if folder.exists() else []


@pytest.fixture
def files_in():
    """The function that lists a store's files."""
    return leftovers
