"""`facelab.record/1`: one JSON object a line, one measured figure an object."""

from __future__ import annotations

import dataclasses
import datetime
import math
import operator
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from facelab.core import degraded
from facelab.core.errors import BadInputError
from facelab.core.files import dumps, loads_strict, read_input, write_text

SCHEMA = "facelab.record/1"
MAX_FILE = 256 << 20
Better = Literal["higher", "lower", "none"]
_BUDGET = re.compile(r"^\s*(>=|<=|>|<|==)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*$")
_OPERATORS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


@dataclass
class Record:
    """One measured figure.

    `value`, `lo`, `hi` are in `unit`; `lo` and `hi` bound a 95 % interval made by `method` from `n` samples, whose
    raw values are in the file `samples`. `budget` is a comparison such as ">= 0.98", `passed` its outcome.
    A speed and its error live in one row: `error` is the largest relative error of what was timed. A timing also
    carries `machine` (facts, threads, load, versions) and a `warning` where its samples are unstable. `degraded` names
    the fallbacks that were active.
    """

    run: str
    step: str
    case: str
    metric: str
    value: float | int | str | bool | None
    unit: str = ""
    better: Better = "none"
    lo: float | None = None
    hi: float | None = None
    n: int | None = None
    method: str | None = None
    budget: str | None = None
    passed: bool | None = None
    samples: str | None = None
    error: float | None = None
    warning: str | None = None
    machine: dict[str, Any] | None = None
    note: str | None = None
    degraded: str | None = field(default_factory=degraded.as_text)
    at: str = field(default_factory=lambda: now())
    schema: str = SCHEMA

    was_printed = False
    """Whether `run.check` has printed it already; not a field, since it is not stored."""

    def __post_init__(self) -> None:
        if self.better not in ("higher", "lower", "none"):
            raise BadInputError(
                "a record's `better` is unknown",
                where=f"{self.case}/{self.metric}",
                expected="higher, lower or none",
                got=self.better,
                fix="choose one of the three words",
            )
        for name in ("value", "lo", "hi", "error"):
            v = getattr(self, name)
            if hasattr(v, "item"):
                setattr(self, name, v := v.item())
            if isinstance(v, float) and not math.isfinite(v):
                raise BadInputError(
                    f"a record's `{name}` is not finite",
                    where=f"{self.case}/{self.metric}",
                    got=v,
                    fix="record None and say why in `note`",
                )
        if self.budget is not None and self.passed is None:
            self.passed = self.value is not None and meets(float(self.value), self.budget)

    @property
    def key(self) -> tuple[str, str, str]:
        """Return (step, case, metric), which names the figure across runs."""
        return self.step, self.case, self.metric

    def line(self) -> str:
        """Return the figure in one line for a reader.

        >>> Record("r", "s", "pairs", "accuracy", 0.98765, lo=0.98, hi=0.99, at="").line()
        'pairs · accuracy: 0.9877 [0.98, 0.99]'
        """
        value = f"{self.value:.4g}" if isinstance(self.value, float) else str(self.value)
        span = (
            f" [{self.lo:.4g}, {self.hi:.4g}]"
            if self.lo is not None and self.hi is not None
            else ""
        )
        return f"{self.case} · {self.metric}: {value}{span} {self.unit}".rstrip()

    def _ipython_display_(self) -> None:
        """Show one line where a cell ends with a record, and nothing where `run.check` has printed it already."""
        if not self.was_printed:
            print(self.line())

    def to_json(self) -> str:
        """Return the record as one line of JSON; fields that are None are left out."""
        return dumps({k: v for k, v in dataclasses.asdict(self).items() if v is not None})


def now() -> str:
    """Return the present time as ISO 8601 in UTC, to the millisecond."""
    return (
        datetime.datetime.now(datetime.UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def meets(value: float, budget: str) -> bool:
    """Return whether `value` meets a budget such as ">= 0.98".

    >>> meets(0.99, ">= 0.98"), meets(1, "< 1")
    (True, False)
    """
    match = _BUDGET.match(budget)
    if not match:
        raise BadInputError(
            "a budget cannot be read",
            expected="an operator and a number, such as '>= 0.98'",
            got=repr(budget),
            fix="write an operator and a number, such as '<= 5'",
        )
    return bool(_OPERATORS[match[1]](float(value), float(match[2])))


def append(path: str | os.PathLike[str], record: Record) -> None:
    """Append one record to a `.jsonl` file in a single write, so that readers never see half a line."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as f:
        f.write((record.to_json() + "\n").encode("utf-8"))


def write(path: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """Write records as a `.jsonl` file, atomically."""
    write_text(path, "".join(r.to_json() + "\n" for r in records))


_TYPES = {
    **dict.fromkeys(("run", "step", "case", "metric", "unit", "better", "at"), (str,)),
    **dict.fromkeys(("method", "budget", "samples", "warning", "note"), (str, type(None))),
    **dict.fromkeys(("lo", "hi", "error"), (float, int, type(None))),
    "n": (int, type(None)),
    "value": (float, int, str, bool, type(None)),
    "passed": (bool, type(None)),
    "machine": (dict, type(None)),
}


def _check_types(raw: dict[str, Any]) -> None:
    for name, types in _TYPES.items():
        if name in raw and not isinstance(raw[name], types):
            raise ValueError(f"{name!r} is {dumps(raw[name])[:80]}")


def read(path: str | os.PathLike[str]) -> list[Record]:
    """Read a `.jsonl` file of records. Raises BadInputError with the line number for a line that is none."""
    path = Path(path)
    names = {f.name for f in dataclasses.fields(Record)}
    out: list[Record] = []
    try:
        # splitlines() would also cut at U+0085
        lines = read_input(path, max_bytes=MAX_FILE, what="file of records").decode().split("\n")
    except OSError as e:
        raise BadInputError(
            "the records cannot be read", where=path, got=e.strerror, fix="check the path"
        ) from None
    except UnicodeDecodeError as e:
        raise BadInputError(
            "the file holds no records",
            where=path,
            expected=f"lines of JSON ({SCHEMA})",
            got=f"no UTF-8 text: byte {e.start} cannot be decoded",
            fix="check the path",
        ) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            raw = loads_strict(line)
            if raw.get("schema") != SCHEMA:
                raise ValueError(f"schema {raw.get('schema')!r}")
            _check_types(raw)
            out.append(Record(**{k: v for k, v in raw.items() if k in names}))
        except (BadInputError, ValueError, TypeError, AttributeError) as e:
            said = f"{e.what}: {e.got}" if isinstance(e, BadInputError) else str(e)
            raise BadInputError(
                "a line is not a record",
                where=f"{path}:{number}",
                expected=SCHEMA,
                got=said[:200],
                fix="run the step again",
            ) from None
    return out
