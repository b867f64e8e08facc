"""A trace in other tools' formats: Chrome and Perfetto JSON, speedscope, folded stacks, a flame graph as SVG."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facelab.core import escape
from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.files import check_writable, dumps, write_text
from facelab.tracing._causes import CAUSES, explain
from facelab.tracing._flame import flame_svg
from facelab.tracing._trace import Trace

_PID = 1
_ARGS = ("cpu_ns", "wait_ns", "gc_ns", "minor_faults", "major_faults", "voluntary", "involuntary")


def chrome(trace: Trace) -> dict[str, Any]:
    """Return the Trace Event Format that chrome://tracing and ui.perfetto.dev read.

    Spans are complete events in microseconds since the first one. Model loads are shown on their threads. Each slow
    call is an instant event that names its cause.
    """
    c, zero = trace.columns, _zero(trace)
    threads = {t: k + 1 for k, t in enumerate(dict.fromkeys(c["thread"].tolist()))}
    events: list[dict[str, Any]] = [
        {"ph": "M", "pid": _PID, "tid": 0, "name": "process_name", "args": {"name": "facelab"}}
    ]
    events += [
        {"ph": "M", "pid": _PID, "tid": n, "name": "thread_name", "args": {"name": f"thread {n}"}}
        for n in threads.values()
    ]
    for k in range(len(trace)):
        args: dict[str, Any] = {"call": int(trace.call[k]), "value": int(c["value"][k])}
        if trace.counters:
            args |= {name: int(c[name][k]) for name in _ARGS}
        events.append(
            {
                "ph": "X",
                "pid": _PID,
                "tid": threads[int(c["thread"][k])],
                "name": trace.names[c["stage"][k]],
                "cat": "stage",
                "ts": (int(c["start_ns"][k]) - zero) / 1e3,
                "dur": int(trace.wall_ns[k]) / 1e3,
                "args": args,
            }
        )
    events += _marks(trace, threads, zero)
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"lost": trace.lost}}


def _marks(trace: Trace, threads: dict[int, int], zero: int) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = [
        {
            "ph": "X",
            "pid": _PID,
            "tid": threads.get(e.thread, len(threads) + 1),
            "name": f"{e.kind} {e.what}",
            "cat": "event",
            "ts": (e.start_ns - zero) / 1e3,
            "dur": (e.end_ns - e.start_ns) / 1e3,
        }
        for e in trace.events
    ]
    if not trace.counters:
        return out
    for s in explain(trace).slow:
        rows = trace.where(s.stage)
        k = int(rows[trace.call[rows] == s.call][0])
        out.append(
            {
                "ph": "i",
                "s": "t",
                "pid": _PID,
                "tid": threads[int(trace.columns["thread"][k])],
                "name": f"slow: {s.cause}",
                "cat": "slow",
                "ts": (int(trace.columns["start_ns"][k]) - zero) / 1e3,
                "args": {
                    "meaning": CAUSES[s.cause],
                    "where": s.where,
                    "excess_s": s.seconds - s.usual,
                },
            }
        )
    return out


def _zero(trace: Trace) -> int:
    return int(trace.columns["start_ns"].min()) if len(trace) else 0


def speedscope(trace: Trace) -> dict[str, Any]:
    """Return the file format of speedscope.app: one evented profile per thread, in nanoseconds."""
    c, zero = trace.columns, _zero(trace)
    profiles = []
    for number, thread in enumerate(dict.fromkeys(c["thread"].tolist()), 1):
        rows = [k for k in range(len(trace)) if c["thread"][k] == thread]
        events: list[dict[str, Any]] = []
        open_: list[int] = []
        for k in rows:
            _close(events, open_, trace, zero, until=int(c["start_ns"][k]))
            events.append(_event("O", int(c["stage"][k]), int(c["start_ns"][k]) - zero))
            open_.append(k)
        _close(events, open_, trace, zero, until=None)
        last = events[-1]["at"] if events else 0
        profiles.append(
            {
                "type": "evented",
                "name": f"thread {number}",
                "unit": "nanoseconds",
                "startValue": 0,
                "endValue": last,
                "events": events,
            }
        )
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "shared": {"frames": [{"name": n} for n in trace.names]},
        "profiles": profiles,
        "name": "facelab",
        "exporter": "facelab",
    }


def _event(kind: str, frame: int, at: int) -> dict[str, Any]:
    return {"type": kind, "frame": frame, "at": at}


def _close(
    events: list[dict[str, Any]], open_: list[int], trace: Trace, zero: int, until: int | None
) -> None:
    """Close the spans that end before `until`, innermost first; None closes all."""
    c = trace.columns
    while open_ and (until is None or int(c["end_ns"][open_[-1]]) <= until):
        k = open_.pop()
        events.append(_event("C", int(c["stage"][k]), int(c["end_ns"][k]) - zero))


def folded(trace: Trace, *, by: str = "spans") -> dict[str, int]:
    """Return folded stacks, outermost first and joined by ";".

    Parameters
    ----------
    trace : Trace
    by : str
        "spans": microseconds that each chain of spans spent outside its inner spans. "lines": looks of the watcher,
        down to the Python line, below the stage.

    Returns
    -------
    dict[str, int]
        Folded stacks, outermost first and joined by ";".

    Examples
    --------
    >>> from facelab.tracing import Tracer
    >>> with Tracer(watch_s=None) as tracer, tracer.span("frame"), tracer.span("detect"):
    ...     pass
    >>> list(folded(tracer.trace()))
    ['frame', 'frame;detect']
    """
    if by == "lines":
        looks = Counter(
            f"{trace.names[s.stage]};{s.stack}" for s in trace.samples if s.stage >= 0 and s.stack
        )
        return dict(looks)
    own = trace.wall_ns.copy()
    chains: list[str] = []
    for k in range(len(trace)):
        name, up = trace.names[trace.columns["stage"][k]], int(trace.parent[k])
        chains.append(name if up < 0 else f"{chains[up]};{name}")
        if up >= 0:
            own[up] -= trace.wall_ns[k]
    total: Counter[str] = Counter()
    for chain, ns in zip(chains, own.tolist()):
        total[chain] += max(0, ns)
    return {chain: round(ns / 1e3) for chain, ns in total.items()}


def _folded_text(trace: Trace) -> str:
    return "".join(f"{escape.line(stack)} {n}\n" for stack, n in sorted(folded(trace).items()))


def _flame(trace: Trace) -> str:
    return flame_svg(folded(trace), title=f"{len(trace)} spans", unit="µs")


def _flame_lines(trace: Trace) -> str:
    return flame_svg(folded(trace, by="lines"), title="what long spans were doing", unit="looks")


FORMATS: dict[str, Callable[[Trace], str]] = {
    "chrome": lambda trace: dumps(chrome(trace)),
    "flamegraph": _flame,
    "flamegraph-lines": _flame_lines,
    "folded": _folded_text,
    "speedscope": lambda trace: dumps(speedscope(trace)),
}
"""Format → text of a trace."""


def export(trace: Trace, path: str | os.PathLike, format: str = "chrome") -> Path:
    """Write a trace in another tool's format, atomically, and return the path.

    Parameters
    ----------
    trace : Trace
    path : path
        The file to write; it is the old one or the whole new one, also where the disk is full.
    format : str
        "chrome" (also for ui.perfetto.dev), "speedscope", "folded", "flamegraph" (an SVG that needs no network) or
        "flamegraph-lines" (Python lines as the watcher saw them).

    Returns
    -------
    path
        The path of the file.

    Raises
    ------
    BadInputError
        The format is unknown, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from facelab.tracing import Tracer
    >>> with Tracer(watch_s=None) as tracer, tracer.span("detect"):
    ...     pass
    >>> export(tracer.trace(), Path(tempfile.mkdtemp()) / "trace.json").name
    'trace.json'
    """
    if format not in FORMATS:
        raise BadInputError(
            f"no format is named {format!r}{did_you_mean(format, FORMATS)}",
            expected=", ".join(FORMATS),
            got=format,
            fix="choose one of them",
        )
    check_writable(path)
    return write_text(path, FORMATS[format](trace))
