"""`Trace`: recorded spans as columns, who contains whom, and how long each stage took."""

from __future__ import annotations

import dataclasses
import io
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelab.core.errors import BadInputError
from facelab.core.events import Event
from facelab.core.files import dumps, loads_strict, read_input, write_bytes
from facelab.tracing._watcher import Sample

if TYPE_CHECKING:
    from facelab.tracing._stages import Stages

SCHEMA = "facelab.trace/1"
COLUMNS = (
    "stage",
    "thread",
    "value",
    "start_ns",
    "end_ns",
    "cpu_ns",
    "wait_ns",
    "gc_ns",
    "sys_ns",
    "minor_faults",
    "major_faults",
    "voluntary",
    "involuntary",
    "blocks_in",
    "blocks_out",
)
"""What the ring stores per span, all int64. Times are `perf_counter_ns`; everything after `end_ns` is a difference."""
MOST_BYTES = 512 << 20
MOST_NAMES = 4096


@dataclass(frozen=True)
class Trace:
    """Spans of a run, sorted by start, with what else happened.

    Attributes
    ----------
    columns : dict of str to ndarray
        One int64 array of n spans per name in `COLUMNS`.
    parent, call : ndarray of int64, (n,)
        Row of the span that contains this one (-1: outermost), and the number of the outermost span it belongs to.
    names : tuple of str
        Stage names; `columns["stage"]` indexes them.
    lost : int
        Spans that the ring overwrote before they were read.
    events : tuple of Event
        Model loads and other marked work, in any thread.
    samples : tuple of Sample
        What the watcher saw long spans doing.
    facts : dict
        Wall-clock offset, cost of a page fault, switch interval, machine.
    """

    columns: dict[str, np.ndarray] = dataclasses.field(repr=False)
    parent: np.ndarray = dataclasses.field(repr=False)
    call: np.ndarray = dataclasses.field(repr=False)
    names: tuple[str, ...]
    lost: int
    counters: bool
    events: tuple[Event, ...] = dataclasses.field(default=(), repr=False)
    samples: tuple[Sample, ...] = dataclasses.field(default=(), repr=False)
    facts: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    @classmethod
    def make(cls, rows: np.ndarray, *, names: tuple[str, ...], lost: int, **rest: Any) -> Trace:
        """Return the trace of raw ring rows (n, columns), in any order; the rest are the fields of the class."""
        order = np.lexsort((-rows[:, 4], rows[:, 3]))
        rows = np.ascontiguousarray(rows[order])
        parent, call = nesting(rows[:, 1], rows[:, 3], rows[:, 4])
        if lost and len(rows):
            # the ring overwrites children before their parents: the oldest call of a thread may miss some
            first = {t: call[rows[:, 1] == t].min() for t in np.unique(rows[:, 1])}
            keep = call != np.array([first[t] for t in rows[:, 1]])
            rows = rows[keep]
            parent, call = nesting(rows[:, 1], rows[:, 3], rows[:, 4])
        columns = {name: rows[:, k].copy() for k, name in enumerate(COLUMNS)}
        return cls(columns, parent, call, names, lost, **rest)

    def __len__(self) -> int:
        return len(self.call)

    @property
    def wall_ns(self) -> np.ndarray:
        """Duration of each span in ns, (n,) int64."""
        return self.columns["end_ns"] - self.columns["start_ns"]

    def where(self, stage: str) -> np.ndarray:
        """Return the rows of one stage. Raises BadInputError for a name that the trace does not hold."""
        if stage not in self.names:
            raise BadInputError(
                f"the trace holds no stage {stage!r}",
                expected=", ".join(self.names),
                got=stage,
                fix="name one of the stages",
            )
        return np.flatnonzero(self.columns["stage"] == self.names.index(stage))

    def seconds(self, stage: str) -> np.ndarray:
        """Return the durations of one stage in seconds, in order of start, (n,) float64."""
        return self.wall_ns[self.where(stage)] / 1e9

    def stages(self, *, period_s: float | None = None) -> Stages:
        """Return percentiles of each stage with intervals."""
        from facelab.tracing._stages import stages

        return stages(self, period_s=period_s)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole trace as plain JSON; `rows` has one list per span, in the order of `columns`."""
        rows = np.stack([self.columns[c] for c in COLUMNS], axis=1)
        return {
            "schema": SCHEMA,
            "columns": list(COLUMNS),
            "names": list(self.names),
            "lost": self.lost,
            "counters": self.counters,
            "facts": self.facts,
            "events": [list(e) for e in self.events],
            "samples": [list(s) for s in self.samples],
            "rows": rows.tolist(),
        }

    def to_frame(self) -> Any:
        """Return one row per span as a pandas DataFrame: the columns, the stage's name, `parent` and `call`."""
        import pandas

        data = {**self.columns, "stage": [self.names[k] for k in self.columns["stage"]]}
        return pandas.DataFrame({**data, "parent": self.parent, "call": self.call})

    def _repr_html_(self) -> str:
        return self.stages()._repr_html_()

    def save(self, path: str | os.PathLike) -> Path:
        """Write the trace as one .npz file without pickles, atomically; `load` reads it."""
        document = self.to_dict()
        rows = np.array(document.pop("rows"), np.int64).reshape(-1, len(COLUMNS))
        buffer = io.BytesIO()
        text = np.frombuffer(dumps(document).encode("utf-8"), np.uint8)
        np.savez_compressed(buffer, rows=rows, document=text)
        return write_bytes(path, buffer.getvalue())


def load(path: str | os.PathLike) -> Trace:
    """Read a trace that `Trace.save` wrote.

    Parameters
    ----------
    path : str or path
        The file to read.

    Returns
    -------
    Trace
        The trace.

    Raises
    ------
    BadInputError
        The file is missing, not a trace, truncated, or its numbers contradict each other.

    Examples
    --------
    >>> import tempfile
    >>> from facelab.tracing import Tracer
    >>> with Tracer(watch_s=None) as tracer, tracer.span("detect"):
    ...     pass
    >>> file = tracer.trace().save(Path(tempfile.mkdtemp()) / "trace.npz")
    >>> load(file).names
    ('detect',)
    """
    path = Path(path)
    try:
        raw = io.BytesIO(read_input(path, max_bytes=MOST_BYTES, what="trace"))
        with zipfile.ZipFile(raw) as packed:
            if (size := sum(i.file_size for i in packed.infolist())) > MOST_BYTES:
                raise _bad(path, f"{size} bytes when unpacked, more than {MOST_BYTES}")
        raw.seek(0)
        with np.load(raw, allow_pickle=False) as held:
            rows, document = held["rows"], held["document"]
    except OSError as e:
        raise _bad(path, e.strerror or str(e)) from None
    except (ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as e:
        raise _bad(path, f"{type(e).__name__}: {str(e)[:100]}") from None
    value = loads_strict(document.tobytes(), where=path, max_bytes=MOST_BYTES)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise _bad(path, "another document")
    return _checked(value, rows, path)


def _checked(value: dict[str, Any], rows: np.ndarray, path: Path) -> Trace:
    names, width = value.get("names"), len(COLUMNS)
    if rows.dtype != np.int64 or rows.ndim != 2 or rows.shape[1] != width:
        raise _bad(path, f"rows {rows.shape} {rows.dtype}")
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise _bad(path, "names that are not text")
    if len(names) > MOST_NAMES or value.get("columns") != list(COLUMNS):
        raise _bad(path, "other columns")
    if len(rows) and not (
        (rows[:, 0] >= 0).all()
        and (rows[:, 0] < len(names)).all()
        and (rows[:, 4] >= rows[:, 3]).all()
    ):
        raise _bad(path, "spans that end before they start, or of unknown stages")
    try:
        events = tuple(
            Event(str(a), str(b), int(c), int(d), int(e)) for a, b, c, d, e in value["events"]
        )
        samples = tuple(_sample(s) for s in value["samples"])
        lost, counters, facts = int(value["lost"]), bool(value["counters"]), dict(value["facts"])
    except (KeyError, TypeError, ValueError) as e:
        raise _bad(path, f"{type(e).__name__} in its document") from None
    made = Trace.make(
        rows,
        names=tuple(names),
        lost=0,
        counters=counters,
        events=events,
        samples=samples,
        facts=facts,
    )
    return dataclasses.replace(made, lost=lost)


def _sample(raw: Sequence[Any]) -> Sample:
    at, thread, stage, start, doing, what, stack, used = raw
    return Sample(
        int(at), int(thread), int(stage), int(start), str(doing), str(what), str(stack), int(used)
    )


def _bad(path: Path, got: str) -> BadInputError:
    return BadInputError(
        "the file is not a trace that can be read",
        where=path,
        expected=f"a .npz of schema {SCHEMA}",
        got=got,
        fix="record it again: facelab trace run --out trace.npz",
    )


def nesting(
    thread: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each span's parent row (-1: none) and call number, from rows sorted by start, longest first.

    A span's parent is the innermost open span of its thread that ends no earlier than it does.

    >>> parent, call = nesting(np.zeros(3, int), np.array([0, 1, 9]), np.array([5, 2, 11]))
    >>> parent.tolist(), call.tolist()
    ([-1, 0, -1], [0, 0, 1])
    """
    n, calls = len(start), 0
    parent, call = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    stacks: dict[int, list[int]] = {}
    ends = end.tolist()
    for k, (t, s) in enumerate(zip(thread.tolist(), start.tolist())):
        stack = stacks.setdefault(t, [])
        while stack and (ends[stack[-1]] <= s or ends[stack[-1]] < ends[k]):
            stack.pop()
        if stack:
            parent[k], call[k] = stack[-1], call[stack[-1]]
        else:
            call[k], calls = calls, calls + 1
        stack.append(k)
    return parent, call
