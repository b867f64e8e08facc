"""Traces for observability systems: OpenTelemetry spans made afterwards, Prometheus quantiles from raw samples.

Needs the extra `observe`. Nothing here runs while frames do: an OpenTelemetry span costs 10 to 20 µs, so spans are
made from the ring when somebody asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelab.core.errors import BadInputError, FacelabError, UnsupportedError
from facelab.tracing._causes import explain
from facelab.tracing._stages import LEVELS
from facelab.tracing._trace import Trace

if TYPE_CHECKING:
    from facelab.tracing._memory import MemoryReport

BATCH = 512
_NUMBERS = ("cpu_ns", "wait_ns", "gc_ns", "minor_faults", "voluntary", "involuntary", "value")


class ExportError(FacelabError):
    """A receiver did not take spans; the message counts those that arrived."""

    exit_code = 1


@dataclass(frozen=True)
class Sent:
    """How many spans a receiver took; none is lost without an error."""

    spans: int
    batches: int
    endpoint: str


def send_otlp(
    trace: Trace,
    endpoint: str = "http://127.0.0.1:4318/v1/traces",
    *,
    service: str = "facelab",
    timeout_s: float = 10,
) -> Sent:
    """Send a trace as OpenTelemetry spans by OTLP over HTTP.

    Trace and span ids follow from the recording, so sending twice gives the same spans. Slow spans carry
    `facelab.cause`.

    Parameters
    ----------
    trace : Trace
    endpoint : str
        URL of the receiver's traces.
    service : str
        The resource's `service.name`.
    timeout_s : float
        Seconds per batch, retries of the exporter included.

    Returns
    -------
    Sent

    Raises
    ------
    UnsupportedError
        OpenTelemetry is not installed.
    ExportError
        A batch was not taken.
    BadInputError
        The address or a setting cannot be used.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError as e:
        raise _missing("OpenTelemetry", e) from e
    if not endpoint.startswith(("http://", "https://")):
        raise BadInputError(
            "the endpoint is not an HTTP address",
            expected="such as http://127.0.0.1:4318/v1/traces",
            got=endpoint,
            fix="give the address of the receiver's traces",
        )
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=timeout_s)
    spans, done = list(otel_spans(trace, service=service)), 0
    try:
        for k in range(0, len(spans), BATCH):
            batch = spans[k : k + BATCH]
            if exporter.export(batch) is not SpanExportResult.SUCCESS:
                raise ExportError(
                    "the receiver did not take the spans",
                    where=endpoint,
                    expected=f"{len(spans)} spans taken",
                    got=f"{done} taken, then a batch of {len(batch)} failed",
                    fix="check the address and the receiver's log, and send again: ids stay the same",
                )
            done += len(batch)
    finally:
        exporter.shutdown()
    return Sent(done, -(-len(spans) // BATCH), endpoint)


def otel_spans(trace: Trace, *, service: str = "facelab") -> Iterator[Any]:
    """Yield `opentelemetry.sdk.trace.ReadableSpan` per span, with wall-clock times, parents and attributes.

    Raises UnsupportedError where OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, TraceFlags
    except ImportError as e:
        raise _missing("OpenTelemetry", e) from e
    offset = int(trace.facts.get("epoch_ns", 0))
    resource = Resource({"service.name": service, "facelab.lost_spans": trace.lost})
    causes = {(s.call, s.stage): s.cause for s in explain(trace).slow} if trace.counters else {}
    c = trace.columns
    flags = TraceFlags(TraceFlags.SAMPLED)
    contexts = []
    for k in range(len(trace)):
        root = f"{offset} {c['start_ns'][k] if trace.parent[k] < 0 else ''} {trace.call[k]}"
        up = int(trace.parent[k])
        trace_id = contexts[up].trace_id if up >= 0 else _number(root, 16)
        context = SpanContext(trace_id, _number(f"{root} {k}", 8), False, flags)
        contexts.append(context)
        name = trace.names[c["stage"][k]]
        attributes: dict[str, Any] = {f"facelab.{n}": int(c[n][k]) for n in _NUMBERS}
        if (cause := causes.get((int(trace.call[k]), name))) is not None:
            attributes["facelab.cause"] = cause
        yield ReadableSpan(
            name,
            context,
            contexts[up] if up >= 0 else None,
            resource,
            attributes,
            start_time=int(c["start_ns"][k]) + offset,
            end_time=int(c["end_ns"][k]) + offset,
        )


def _number(text: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "big") or 1


def _missing(what: str, error: ImportError) -> UnsupportedError:
    return UnsupportedError(
        f"{what} is not installed",
        got=str(error),
        fix="pip install 'facelab[observe]', or make setup",
    )


class Collector:
    """What prometheus_client collects: quantiles, sums, counts and causes of a trace, and memory where watched."""

    def __init__(
        self, trace: Callable[[], Trace], memory: Callable[[], MemoryReport] | None = None
    ) -> None:
        self.trace, self.memory = trace, memory

    def collect(self) -> Iterator[Any]:
        """Yield the metric families."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

        trace = self.trace()
        summary = Metric("facelab_stage_seconds", "Duration of a stage in seconds.", "summary")
        for row in trace.stages().rows:
            seconds = trace.seconds(row.name) if row.name in trace.names else None
            for level, found in zip(LEVELS, (row.p50, row.p90, row.p99)):
                labels = {"stage": row.name, "quantile": f"{level:g}"}
                summary.add_sample("facelab_stage_seconds", labels, found[0])
            if seconds is not None:
                named = {"stage": row.name}
                summary.add_sample("facelab_stage_seconds_sum", named, float(seconds.sum()))
                summary.add_sample("facelab_stage_seconds_count", named, len(seconds))
        yield summary
        lost = CounterMetricFamily("facelab_lost_spans", "Spans that the ring overwrote.")
        lost.add_metric([], trace.lost)
        yield lost
        slow = GaugeMetricFamily(
            "facelab_slow_calls", "Slow calls in the ring by cause.", labels=["cause"]
        )
        for cause, n in explain(trace).count().items() if trace.counters else ():
            slow.add_metric([cause], n)
        yield slow
        if self.memory is not None:
            report = self.memory()
            yield GaugeMetricFamily(
                "facelab_rss_bytes", "Resident memory.", value=float(report.readings["rss"][-1])
            )
            yield GaugeMetricFamily(
                "facelab_memory_leak", "1 if memory leaks.", value=float(report.leaks)
            )


def prometheus(trace: Trace, memory: MemoryReport | None = None) -> str:
    """Return the text that Prometheus scrapes, with quantiles from raw samples and not from buckets.

    Coarse buckets gave a P99 of 0.47 s where 0.115 s was true.

    Raises UnsupportedError where prometheus_client is not installed.

    Parameters
    ----------
    trace : Trace
        A trace of `load` or of a `Tracer`.
    memory : MemoryReport or None
        The memory of the process; None to leave it out.

    Returns
    -------
    str
        The text that Prometheus scrapes, with quantiles from raw samples and not from
        buckets.

    Raises
    ------
    UnsupportedError
        `prometheus_client` is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError as e:
        raise _missing("prometheus_client", e) from e
    registry = CollectorRegistry()
    held = None if memory is None else (lambda: memory)
    registry.register(Collector(lambda: trace, held))  # type: ignore[arg-type] # has its method, not its base
    return generate_latest(registry).decode("utf-8")


def serve_prometheus(
    trace: Callable[[], Trace], port: int = 0, *, address: str = "127.0.0.1"
) -> tuple[int, Callable[[], None]]:
    """Serve `/metrics` from a thread; each scrape reads the trace again. Returns the port and the function that stops.

    Raises UnsupportedError where prometheus_client is not installed.

    Parameters
    ----------
    trace : callable
        A trace of `load` or of a `Tracer`.
    port : int
        The port to listen on; 0 for a free one.
    address : str
        The address to listen on.

    Returns
    -------
    tuple[int, Callable[[], None]]
        The port and a function that stops the server.

    Raises
    ------
    UnsupportedError
        `prometheus_client` is not installed.

    Examples
    --------
    >>> import urllib.request
    >>> from facelab.tracing import Tracer
    >>> with Tracer(watch_s=None) as tracer, tracer.span("detect"):
    ...     pass
    >>> port, stop = serve_prometheus(tracer.trace)
    >>> b"detect" in urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read()
    True
    >>> stop()
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as e:
        raise _missing("prometheus_client", e) from e
    registry = CollectorRegistry()
    registry.register(Collector(trace))  # type: ignore[arg-type] # has its method, not its base
    server, thread = start_http_server(port, address, registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return server.server_address[1], stop
