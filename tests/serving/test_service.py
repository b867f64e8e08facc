"""The service: its tasks on real models, and what hostile clients send it."""

import base64
import concurrent.futures
import contextlib
import http.client
import io
import json
import socket
import sys
import time
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
from hostile_png import png
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from facelab.core.machine import rss_bytes
from facelab.detection import load as load_detector
from facelab.serving import ModelSlot, create_app
from facelab.serving.internals import FaceTasks, Limits, task_adapter
from facelab.serving.service._server import running
from models import emotion_bundle, picture

LIMITS = Limits(
    body_bytes=1 << 20,
    all_bodies_bytes=4 << 20,
    pixels=500_000,
    body_s=0.6,
    header_s=0.5,
    connections=16,
    waiting=4,
    wait_s=5.0,
)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return [emotion_bundle(folder, name, seed=k) for k, name in enumerate(("old", "new"))]


@pytest.fixture(scope="module")
def slot(bundles):
    with ModelSlot(adapter=task_adapter, task="emotion") as slot:
        swap = slot.offer(bundles[0])
        assert swap.accepted, swap.why
        yield slot


@pytest.fixture(scope="module")
def service(slot):
    app = create_app(
        lambda: FaceTasks({"haar": load_detector("haar")}, {}, slot), emotion=slot, limits=LIMITS
    )
    with running(app) as address:
        yield address


@pytest.fixture(scope="module")
def face():
    """A rendered face that the cascade finds, as a PNG."""
    from facelab.datasets import synthetic

    detector = load_detector("haar")
    for k in range(40):
        image = np.ascontiguousarray(synthetic.scene(3, k, (320, 240)).image)
        if len(detector.detect(image)):
            return encoded(image)
    pytest.fail("no rendered face that the cascade finds")


def encoded(image, form="PNG"):
    out = io.BytesIO()
    Image.fromarray(image).save(out, form)
    return out.getvalue()


def ask(address, path, body=b"", method="POST", **headers):
    where = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=20)
    headers = {"Content-Type": "image/png", **{k.replace("_", "-"): v for k, v in headers.items()}}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def refused(status, text, wanted):
    assert status == wanted, (status, text)
    value = json.loads(text)
    assert value["error"] and "Traceback" not in text and ".py" not in text
    return value["error"]


def test_a_face_is_detected_and_classified_by_one_release(service, face):
    status, text = ask(service, "/v1/detect", face)
    assert status == 200 and json.loads(text)["faces"], text
    status, text = ask(service, "/v1/emotion", face)
    value = json.loads(text)
    assert status == 200 and value["faces"][0]["emotion"].startswith("old-")
    assert abs(sum(value["faces"][0]["probabilities"].values()) - 1) < 1e-5
    assert set(value["seconds"]) == {"detect", "emotion"}


def test_health_readiness_and_metrics(service):
    assert ask(service, "/healthz", method="GET") == (200, "ok\n")
    assert ask(service, "/readyz", method="GET") == (200, "ready\n")
    pytest.importorskip("prometheus_client")
    from prometheus_client.parser import text_string_to_metric_families

    status, text = ask(service, "/metrics", method="GET")
    found = {f.name: f for f in text_string_to_metric_families(text)}
    assert status == 200
    assert {"facelab_requests", "facelab_pool", "facelab_release"} <= set(found)
    assert any(
        s.labels == {"task": "healthz", "status": "200"} for s in found["facelab_requests"].samples
    )


def test_what_is_not_configured_is_said(service, face):
    assert "no embedder" in refused(*ask(service, "/v1/embed", face), 404)
    both = json.dumps({"first": base64.b64encode(face).decode(), "second": "AAAA"})
    status, text = ask(service, "/v1/verify", both, Content_Type="application/json")
    refused(status, text, 415)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "%2e%2e%2f", "haa", "x" * 200, "..\\..\\x", ""],
)
def test_model_names_lead_nowhere(service, face, name):
    query = urllib.parse.urlencode({"model": name})
    error = refused(*ask(service, f"/v1/detect?{query}", face), 404)
    assert "no such detector" in error


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [("haar\0", 400, "control"), ("x" * 5000, 413, "too long"), ("{{haar}}", 400, "template")],
)
def test_model_names_are_only_text(service, face, name, status, says):
    query = urllib.parse.urlencode({"model": name})
    assert says in refused(*ask(service, f"/v1/detect?{query}", face), status)


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/v1/../../x", "/%2e%2e/%2e%2e/etc", "/v1/"])
def test_paths_lead_nowhere(service, path):
    refused(*ask(service, path, method="GET"), 404)


def progressive(scans):
    """A JPEG with a great many scans: each makes the decoder pass over the whole image."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * scans + b"\xff\xd9"


def gif():
    out = io.BytesIO()
    Image.new("P", (8, 8)).save(out, "GIF")
    return out.getvalue()


@pytest.mark.parametrize(
    "body, status, words",
    [
        (b"", 415, "not an image"),
        (b"GET / HTTP/1.1", 415, "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "not an image"),
        (gif(), 415, "not an image"),
        (png(60_000, 60_000, bytes(1 << 20)), 413, "too many pixels"),
        (png(1, 2**31 - 1), 413, "too many pixels"),
        (png(0, 5), 415, ""),
        (png(300, 300, b"\0" * 100), 400, "can be decoded"),
        (encoded(picture())[:900], 400, "truncated"),
        (progressive(300), 400, "scans"),
        (bytes(2 << 20), 413, "too large"),
    ],
    ids=[
        "empty",
        "text",
        "PostScript",
        "GIF",
        "bomb",
        "thin bomb",
        "no pixels",
        "short",
        "cut",
        "scans",
        "body",
    ],
)
def test_hostile_bodies_get_a_sentence(service, body, status, words):
    before = rss_bytes()
    error = refused(*ask(service, "/v1/detect", body), status)
    assert words in error
    assert rss_bytes() - before < 64 << 20, "the header is looked at before anything is decoded"


@pytest.mark.parametrize(
    "path, body, kind, status",
    [
        ("/v1/detect", b"x", "text/html", 415),
        ("/v1/detect", b"x", "", 415),
        ("/v1/verify", b"x", "image/png", 415),
        ("/v1/verify", b"{", "application/json", 400),
        ("/v1/verify", b"[" * 100_000, "application/json", 400),
        ("/v1/verify", b'{"first": 1, "second": 2}', "application/json", 400),
        ("/v1/verify", b'{"first": "AA", "first": "AA"}', "application/json", 400),
        ("/v1/verify?threshold=nan", b"{}", "application/json", 400),
        ("/v1/detect?modle=haar", b"x", "image/png", 400),
        ("/v1/verify", b'{"first": "!!", "second": "AAAA"}', "application/json", 400),
    ],
)
def test_wrong_types_get_a_sentence(service, path, body, kind, status):
    refused(*ask(service, path, body, Content_Type=kind), status)


def test_another_host_name_is_refused(service, face):
    """A page whose name leads to 127.0.0.1 can make a browser send requests here."""
    refused(*ask(service, "/v1/detect", face, Host="evil.example"), 421)
    assert ask(service, "/healthz", method="GET", Host="localhost:80")[0] == 200


def test_another_method_gets_a_sentence(service):
    refused(*ask(service, "/v1/detect", method="GET"), 405)


def raw(address, *parts, pause=0.0, timeout=8.0):
    """Send parts with pauses and return everything that comes back."""
    where = urllib.parse.urlsplit(address)
    got = b""
    with socket.create_connection((where.hostname, where.port), timeout=timeout) as s:
        try:
            for part in parts:
                with contextlib.suppress(ConnectionError):  # it answered already, and closed
                    s.sendall(part)
                s.settimeout(max(pause, 1e-3))
                with contextlib.suppress(TimeoutError):
                    got += s.recv(65536)
                s.settimeout(timeout)
            while block := s.recv(65536):
                got += block
        except (ConnectionError, TimeoutError):
            pass
    return got


HEAD = b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"


def test_slow_clients_are_ended(service):
    started = time.monotonic()
    slow_header = raw(service, *[bytes([c]) for c in HEAD[:60]], pause=0.05)
    assert b" 408 " in slow_header and b"header did not arrive" in slow_header
    silent = raw(service)
    assert b" 408 " in silent
    slow_body = raw(service, HEAD + b"Content-Length: 1000\r\n\r\n", *[b"x"] * 30, pause=0.05)
    assert b" 408 " in slow_body and b"body did not arrive" in slow_body
    assert time.monotonic() - started < 12


def test_a_second_request_on_one_connection_may_not_drip_either(service):
    first = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    got = raw(service, first, *[bytes([c]) for c in HEAD[:40]], pause=0.05)
    assert got.startswith(b"HTTP/1.1 200") and b" 408 " in got


@pytest.mark.parametrize(
    "request_, status",
    [
        (b"rubbish\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", b"4"),
        (HEAD + b"Content-Length: -5\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"4"),
        (HEAD + b"X: " + b"a" * 2_000_000 + b"\r\n\r\n", b"4"),
        (
            HEAD
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 20,
            b"413",
        ),
    ],
    ids=["rubbish", "huge length", "negative length", "two lengths", "huge header", "chunks"],
)
def test_hostile_requests_get_a_status_and_no_traceback(service, request_, status):
    got = raw(service, request_)
    assert got.split(b" ")[1].startswith(status), got[:200]
    assert b"Traceback" not in got
    assert ask(service, "/healthz", method="GET")[0] == 200


def test_many_idle_connections_do_not_stop_the_service_for_long(service):
    where = urllib.parse.urlsplit(service)
    held = [socket.create_connection((where.hostname, where.port)) for _ in range(40)]
    time.sleep(1.2)
    assert ask(service, "/healthz", method="GET")[0] == 200
    for s in held:
        s.close()


def test_overload_is_shed_with_a_clear_answer(service, face):
    with concurrent.futures.ThreadPoolExecutor(14) as threads:
        answers = list(threads.map(lambda _: ask(service, "/v1/detect", face), range(56)))
    statuses = {s for s, _ in answers}
    assert statuses <= {200, 503} and 200 in statuses, statuses
    for status, text in answers:
        if status == 503 and text.startswith("{"):
            assert json.loads(text)["error"]
    assert ask(service, "/v1/detect", face)[0] == 200


def test_a_swap_while_requests_run(service, slot, bundles, face):
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(ask, service, "/v1/emotion", face) for _ in range(20)]
        assert slot.offer(bundles[1]).accepted
        answers = [a.result() for a in asked]
    names = {json.loads(text)["faces"][0]["emotion"].split("-")[0] for _, text in answers}
    assert {s for s, _ in answers} == {200} and names <= {"old", "new"}
    assert json.loads(ask(service, "/v1/emotion", face)[1])["faces"][0]["emotion"].startswith(
        "new-"
    )
    assert slot.rollback().accepted


def test_real_models_on_real_photographs(mirror, slot):
    """Two photographs of one person are nearer than those of two persons."""
    from facelab.embedding import load as load_embedder

    folder = mirror / "images" / "conditions"
    photographs = [folder / n for n in ("rotate_rot_0.jpg", "reaction_open_eyes.png")]
    if not all(p.is_file() for p in photographs):
        pytest.skip("the photographs are not in the mirror")

    def make():
        detector, embedder = (
            load_detector("yunet-n", threads=1),
            load_embedder("mobilefacenet", threads=1),
        )
        return FaceTasks({"yunet-n": detector}, {"mobilefacenet": embedder}, slot)

    limits = Limits(pixels=4_000_000)
    with running(create_app(make, emotion=slot, limits=limits)) as address:
        data = [
            encoded(np.asarray(Image.open(p).convert("RGB").resize((320, 320))))
            for p in photographs
        ]
        status, text = ask(address, "/v1/embed", data[0])
        faces = json.loads(text)["faces"]
        assert status == 200 and len(faces[0]["embedding"]) == 128
        assert abs(np.linalg.norm(faces[0]["embedding"]) - 1) < 1e-4
        texts = [base64.b64encode(d).decode() for d in data]
        flipped = encoded(
            np.asarray(Image.open(io.BytesIO(data[0])).transpose(Image.FLIP_LEFT_RIGHT))
        )
        near = {"first": texts[0], "second": base64.b64encode(flipped).decode()}
        far = {"first": texts[0], "second": texts[1]}
        found = [
            json.loads(
                ask(
                    address,
                    "/v1/verify?threshold=0.5",
                    json.dumps(v),
                    Content_Type="application/json",
                )[1]
            )
            for v in (near, far)
        ]
        assert found[0]["distance"] < 0.3 < found[1]["distance"] + 0.3
        assert found[0]["same"] is True and found[0]["distance"] < found[1]["distance"]
