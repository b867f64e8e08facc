"""Issue 22.16: what a mirror sends is bounded in bytes and time, and its answers are errors, not tracebacks."""

import contextlib
import gc
import gzip
import hashlib
import os
import socketserver
import threading
import time
import warnings

import pytest
from catalogue_entry import model_entry

from facelab.core.errors import FacelabError, IntegrityError
from facelab.zoo import _download as downloads
from facelab.zoo import _http as http
from facelab.zoo.internals import mirror


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


@pytest.fixture
def web(monkeypatch):
    """Serve raw bytes: `web(head, pieces)` returns an address; pieces may be endless."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    servers = []

    def start(head: bytes, pieces=(), end=b"\r\n\r\n"):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while self.rfile.readline().strip():
                    pass
                try:
                    self.wfile.write(head + end)
                    for piece in pieces() if callable(pieces) else pieces:
                        self.wfile.write(piece)
                        server.sent += len(piece)
                except OSError:
                    pass  # the client has had enough

        server = Server(("127.0.0.1", 0), Handler)
        server.sent = 0
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server, f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
    # urllib3 leaves the sockets of malformed answers to the garbage collector: here, not in whichever test comes next
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def entry(tmp_path, monkeypatch):
    monkeypatch.setenv("FACELAB_MODELS", str(tmp_path / "models"))
    return model_entry


def endless(piece=bytes(1 << 16)):
    while True:
        yield piece


def test_an_endless_body_ends_at_the_promised_size(web, entry, tmp_path):
    asset = entry()
    server, url = web(b"HTTP/1.1 200 OK", endless)
    with pytest.raises(IntegrityError, match="too large"):
        downloads.download(url, asset.path, asset)
    # what the socket's buffers took is not what the disk took
    assert server.sent < 16 << 20
    assert [p.name for p in asset.path.parent.iterdir()] == []


def test_a_body_of_unknown_size_ends_too(web, entry, monkeypatch):
    monkeypatch.setattr(http, "MOST_BYTES", 1 << 20)
    asset = entry(bytes=None)
    _, url = web(b"HTTP/1.1 200 OK", endless)
    with pytest.raises(IntegrityError, match="too large"):
        downloads.download(url, asset.path, asset)


def test_a_body_packed_by_gzip_is_counted_unpacked(web, entry):
    asset = entry(bytes=194_000)
    packed = gzip.compress(bytes(300 << 20), 9)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d" % len(packed)
    _, url = web(head, [packed])
    started = time.monotonic()
    with pytest.raises(IntegrityError, match="too large"):
        downloads.download(url, asset.path, asset)
    assert time.monotonic() - started < 30


def test_a_promise_of_too_much_is_refused_before_the_body(web, entry):
    asset = entry()
    _, url = web(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000", endless)
    with pytest.raises(IntegrityError, match="too large") as e:
        downloads.download(url, asset.path, asset)
    assert "5000000000" in e.value.got


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: many",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
        b"HTTP/9 banana",
        b"\x00\x01\x02",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd",
    ],
)
# urllib3 itself leaves the socket of such an answer to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_malformed_answer_is_an_error(head, web, entry):
    asset = entry()
    _, url = web(head, [b"zzzz\r\nab"])
    with pytest.raises(FacelabError) as e:
        downloads.download(url, asset.path, asset)
    assert e.value.fix
    mirror._address_manifest.cache_clear()
    with contextlib.suppress(FacelabError):
        assert mirror._address_manifest(url) == {}


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip"
DRIPS = {
    "body": (b"HTTP/1.1 200 OK", b"", b"x"),
    "length of a chunk": (CHUNKED, b"", b"0"),
    "extension of a chunk": (CHUNKED, b"5;", b"x"),
    "end of a chunk": (CHUNKED, b"5\r\nhello", b" "),
    "trailers": (CHUNKED, b"5\r\nhello\r\n0\r\n", b"a: b\r\n"),
    "empty blocks": (GZIP, b"\x1f\x8b\x08\0\0\0\0\0\0\x03", b"\0\0\0\xff\xff"),
}
"""Where an answer drips → its head, what comes at once, what comes again and again."""


@pytest.mark.parametrize("where", DRIPS)
def test_a_drip_has_an_end(web, entry, monkeypatch, where):
    monkeypatch.setattr(http, "PATIENCE", 0.5)
    asset = entry()
    head, first, again = DRIPS[where]
    stopped = threading.Event()

    def drip():
        yield first
        while not stopped.wait(0.1):
            yield again

    # a reader that is not cut off must end at some time, for this test to fail
    late = threading.Timer(30, stopped.set)
    late.start()
    _, url = web(head, drip)
    started = time.monotonic()
    with pytest.raises(IntegrityError, match="too slow"):
        downloads.download(url, asset.path, asset)
    assert time.monotonic() - started < 20
    late.cancel()
    stopped.set()


def test_the_body_of_a_redirect_is_not_read(web, entry):
    asset = entry()
    server, url = web(b"HTTP/1.1 302 Found\r\nLocation: /next", lambda: [bytes(1 << 20)] * 100)
    with pytest.raises(IntegrityError, match="redirects without an end"):
        downloads.download(url, asset.path, asset)
    assert server.sent < 64 << 20, "each redirect's body was taken"


@pytest.mark.parametrize("target", ["/again", "http://[::1", "ftp://a/b", "file:///etc/hostname"])
def test_redirects_that_lead_nowhere(web, entry, target):
    asset = entry()
    _, url = web(b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: " + target.encode())
    with pytest.raises(IntegrityError, match=r"redirects|cannot be read"):
        downloads.download(url, asset.path, asset)


def test_a_redirect_does_not_lead_from_https_to_http():
    assert http.next_address("http://a/x", "https://b/y") == "https://b/y"
    with pytest.raises(IntegrityError, match="another kind of address"):
        http.next_address("https://a/x", "http://a/x")


def test_a_redirect_is_followed(web, entry):
    content = b"\x08\x08weights"
    asset = entry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    _, end = web(b"HTTP/1.1 200 OK\r\nContent-Length: %d" % len(content), [content])
    _, url = web(f"HTTP/1.1 307 Moved\r\nContent-Length: 0\r\nLocation: {end}/x".encode())
    assert downloads.download(url, asset.path, asset).read_bytes() == content


def test_a_head_that_drips_has_an_end(web, entry, monkeypatch):
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.6)
    asset = entry()
    stopped = threading.Event()

    def drip():
        while not stopped.wait(0.1):
            yield b"x: y\r\n"

    _, url = web(b"HTTP/1.1 200 OK\r\na: b", drip, end=b"\r\n")
    started = time.monotonic()
    with pytest.raises(IntegrityError, match="too slow"):
        downloads.download(url, asset.path, asset)
    assert time.monotonic() - started < 15
    stopped.set()


def test_a_manifest_is_bounded(web, monkeypatch):
    _, url = web(b"HTTP/1.1 200 OK", lambda: endless(b"a,b\n" * 4096))
    monkeypatch.setattr(mirror, "MAX_MANIFEST", 1 << 20)
    mirror._address_manifest.cache_clear()
    with pytest.raises(IntegrityError, match="too large"):
        mirror._address_manifest(url)


@pytest.mark.parametrize(
    "text",
    [
        'path,sha256\n"' + "x" * 200_000 + '",0\n',
        "path,sha256\n" + ",".join("x" * 9) + "\n",
        'path,sha256\n"a"b"c,\0\n',
        "path,sha256\na\0b,0\n",
        "path,sha256\n../../etc/passwd,0\n",
        "path,path,sha256\r\ra,b,c\n",
        "\ufeffsha256\n",
        "",
    ],
)
def test_a_malformed_manifest_is_an_error_or_lists_nothing_outside(text):
    try:
        listed = mirror.parse_manifest(text, "M")
    except FacelabError as e:
        assert e.fix
        return
    assert not [p for paths in listed.values() for p in paths if ".." in p or "\0" in p]


def test_a_link_in_place_of_the_lock_empties_no_file(entry, tmp_path):
    asset = entry()
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    asset.path.parent.mkdir(parents=True)
    lock = asset.path.parent / f".{asset.path.name}.lock"
    lock.symlink_to(precious)
    with pytest.raises(IntegrityError, match="lock"), downloads.exclusive(asset.path):
        pytest.fail("the lock was taken")
    assert precious.read_text() == "keep me"
    lock.unlink()
    os.mkfifo(lock)
    with downloads.exclusive(asset.path):
        pass


def test_an_archive_that_unpacks_to_more_than_promised_is_refused(tmp_path):
    import zipfile

    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("m.onnx", bytes(50 << 20))
    with pytest.raises(IntegrityError, match="unpacks"):
        downloads.extract(archive, "u.zip", "m.onnx", tmp_path / "out", most=1000)
    assert (tmp_path / "out").stat().st_size <= 1000


def test_an_archive_of_a_data_set_is_bounded_as_a_whole(tmp_path, monkeypatch):
    import zipfile

    from facelab.zoo import _registry as registry

    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for k in range(4):
            z.writestr(f"{k}.bin", bytes(1 << 20))
    monkeypatch.setattr(registry, "MAX_UNPACKED", 2 << 20)
    with pytest.raises(zipfile.BadZipFile, match="unpacks"):
        registry._extract_all(tmp_path / "d.zip", tmp_path / "o")
