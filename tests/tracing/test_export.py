"""Exports: other tools' formats are checked by their own rules, receivers are real, and a full disk leaves nothing."""

import json
import resource
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
import xml.etree.ElementTree as ET
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from facelab.core.errors import BadInputError
from facelab.tracing import Tracer, export, folded, serve_prometheus
from facelab.tracing._export import FORMATS, chrome, speedscope
from facelab.tracing._observe import ExportError
from facelab.tracing.internals import prometheus, send_otlp


@pytest.fixture(scope="module")
def trace():
    with Tracer() as tracer:
        for k in range(40):
            with tracer.span("frame"):
                with tracer.span("detect") as span:
                    span.value = 3
                    if k == 30:
                        time.sleep(0.05)
                with tracer.span("embed <&>"):
                    sum(range(3000))
    return tracer.trace()


def test_chrome_events_nest_and_name_the_slow_call(trace):
    events = json.loads(json.dumps(chrome(trace)))["traceEvents"]
    spans = [e for e in events if e["ph"] == "X"]
    assert len(spans) == len(trace) and all(e["dur"] >= 0 and e["ts"] >= 0 for e in spans)
    frame, detect, embed = spans[:3]
    for inner in (detect, embed):
        assert frame["ts"] <= inner["ts"]
        assert inner["ts"] + inner["dur"] <= frame["ts"] + frame["dur"] + 1e-3  # µs of a ns clock
    slow = [e for e in events if e["ph"] == "i" and e["name"] == "slow: sleep"]
    assert len(slow) == 1 and slow[0]["args"]["excess_s"] >= 0.049


def test_speedscope_opens_and_closes_every_frame_in_order(trace):
    document = speedscope(trace)
    for profile in document["profiles"]:
        stack, last = [], 0
        for event in profile["events"]:
            assert event["at"] >= last
            last = event["at"]
            if event["type"] == "O":
                stack.append(event["frame"])
            else:
                assert stack.pop() == event["frame"]
        assert stack == [] and profile["endValue"] == last


def test_folded_stacks_add_up_to_the_whole_time(trace):
    found = folded(trace)
    assert set(found) == {"frame", "frame;detect", "frame;embed <&>"}
    whole = trace.wall_ns[trace.where("frame")].sum() / 1e3
    assert sum(found.values()) == pytest.approx(whole, abs=3)  # one rounding to µs per stack
    lines = folded(trace, by="lines")
    assert any("test_export.py:trace:" in stack for stack in lines)


def test_the_flame_graph_is_one_svg_without_network(trace, tmp_path):
    text = export(trace, tmp_path / "f.svg", "flamegraph").read_text()
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert "<script" not in text and "http" not in text.replace("http://www.w3.org/2000/svg", "")
    widths = {
        g[0].text.split(":")[0]: float(g[1].get("width")) for g in root if g.tag.endswith("}g")
    }
    assert widths["frame"] == pytest.approx(984) and widths["detect"] > widths["embed <&>"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written_whole(trace, tmp_path, name):
    path = export(trace, tmp_path / "out", name)
    assert path.stat().st_size > 20 and [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_empty_trace_exports_too(tmp_path):
    with Tracer() as tracer:
        pass
    for name in FORMATS:
        assert export(tracer.trace(), tmp_path / name, name).exists()


def test_wrong_names_and_places_are_refused(trace, tmp_path):
    with pytest.raises(BadInputError, match="did you mean 'chrome'") as caught:
        export(trace, tmp_path / "x", "crome")
    assert caught.value.fix
    with pytest.raises(BadInputError):
        export(trace, tmp_path)


def test_a_full_disk_leaves_the_old_file(trace, tmp_path):
    saved, target = trace.save(tmp_path / "t.npz"), tmp_path / "out.json"
    target.write_text("old")
    code = (
        "import sys, resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from facelab.tracing import load; from facelab.tracing import export; t = load(sys.argv[1]);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); export(t, sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(saved), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0 and "File too large" in done.stderr
    assert target.read_text() == "old" and sorted(p.name for p in tmp_path.iterdir()) == [
        "out.json",
        "t.npz",
    ]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 2000


class Receiver(HTTPServer):
    """An OTLP receiver made of opentelemetry-proto; refuses requests while `refuse` is set."""

    def __init__(self):
        self.spans, self.refuse = [], False
        super().__init__(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.serve_forever)
        self.thread.start()

    def stop(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        import gzip

        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
            ExportTraceServiceResponse,
        )

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.server.refuse:
            self.send_error(400)
            return
        request = ExportTraceServiceRequest.FromString(body)
        for part in request.resource_spans:
            for scope in part.scope_spans:
                self.server.spans += list(scope.spans)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


@pytest.fixture
def receiver():
    pytest.importorskip("opentelemetry.sdk")
    made = Receiver()
    yield made
    made.stop()


def test_a_receiver_gets_every_span_with_its_parent_and_cause(trace, receiver):
    address = f"http://127.0.0.1:{receiver.server_port}/v1/traces"
    sent = send_otlp(trace, address)
    assert sent.spans == len(receiver.spans) == len(trace)
    by_id = {s.span_id: s for s in receiver.spans}
    assert len(by_id) == len(trace) and len({s.trace_id for s in receiver.spans}) == 40
    for span, k in zip(receiver.spans, range(len(trace))):
        assert span.name == trace.names[trace.columns["stage"][k]]
        assert span.end_time_unix_nano - span.start_time_unix_nano == trace.wall_ns[k]
        if trace.parent[k] >= 0:
            assert by_id[span.parent_span_id].name == "frame"
            assert by_id[span.parent_span_id].trace_id == span.trace_id
    now = time.time_ns()
    assert all(0 <= now - s.start_time_unix_nano < 600e9 for s in receiver.spans)
    slow = [s for s in receiver.spans if any(a.key == "facelab.cause" for a in s.attributes)]
    causes = {a.value.string_value for s in slow for a in s.attributes if a.key == "facelab.cause"}
    assert "sleep" in causes
    first = list(receiver.spans)
    receiver.spans.clear()
    send_otlp(trace, address)
    assert [s.span_id for s in receiver.spans] == [s.span_id for s in first]


def test_a_receiver_that_refuses_is_an_error_that_counts(trace, receiver, caplog):
    receiver.refuse = True
    with pytest.raises(ExportError, match="did not take") as caught:
        send_otlp(trace, f"http://127.0.0.1:{receiver.server_port}/v1/traces", timeout_s=2)
    assert caught.value.got.startswith("0 taken") and caught.value.fix
    with pytest.raises(BadInputError):
        send_otlp(trace, "127.0.0.1:4318")


def test_prometheus_text_has_the_raw_quantiles(trace):
    parser = pytest.importorskip("prometheus_client.parser")
    found = {}
    for family in parser.text_string_to_metric_families(prometheus(trace)):
        for s in family.samples:
            found[s.name, s.labels.get("stage"), s.labels.get("quantile")] = s.value
    row = next(r for r in trace.stages().rows if r.name == "detect")
    for level, value in (("0.5", row.p50), ("0.9", row.p90), ("0.99", row.p99)):
        assert found["facelab_stage_seconds", "detect", level] == value[0]
    assert found["facelab_stage_seconds_count", "detect", None] == 40
    assert found["facelab_lost_spans_total", None, None] == 0


def _scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()


def test_a_scrape_reads_the_trace_anew():
    pytest.importorskip("prometheus_client")
    with Tracer() as tracer:
        port, stop = serve_prometheus(tracer.trace)
        try:
            for n in (1, 2):
                with tracer.span("frame"):
                    pass
                assert f'facelab_stage_seconds_count{{stage="frame"}} {n}.0' in _scraped(port)
        finally:
            stop()


@pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Debian's prometheus is not installed"
)
def test_debians_prometheus_scrapes_and_answers(trace, tmp_path):
    import socket

    port, stop = serve_prometheus(lambda: trace)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        own = s.getsockname()[1]
    config = tmp_path / "p.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: facelab\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    )
    server = subprocess.Popen(
        [
            shutil.which("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{own}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        query = 'facelab_stage_seconds{stage="detect",quantile="0.99"}'
        url = f"http://127.0.0.1:{own}/api/v1/query?query={urllib.request.quote(query)}"
        rows = []
        for _ in range(60):
            time.sleep(0.5)
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    rows = json.load(answer)["data"]["result"]
            except OSError:
                continue
            if rows:
                break
        row = next(r for r in trace.stages().rows if r.name == "detect")
        assert rows and float(rows[0]["value"][1]) == row.p99[0]
    finally:
        server.terminate()
        server.wait(20)
        stop()
