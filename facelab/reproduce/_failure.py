"""What a user reads when a step fails: where, the source around it, the traceback's end, the cause, what to type."""

from __future__ import annotations

import errno
import re
import signal
from dataclasses import asdict, dataclass, field

from facelab.core import escape

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.M)
TRACEBACK_LINES = 14
NOT_WRITABLE = {errno.ENOSPC: 94, errno.EDQUOT: 95, errno.EROFS: 96}
"""Exit codes of the process that executes a notebook where its results cannot be written, by the system's error."""


@dataclass
class Failure:
    """Why a step is not done.

    `kind` is one of: raised, killed, crashed, exited, timeout, no-kernel, output-too-large, no-end-marker,
    missing-record, missing-figure, missing-output, bad-records, bad-folder, interrupted, blocked, runner.
    `source` holds the cell's numbered lines around `line`, which an arrow marks.
    """

    kind: str
    what: str
    step: str = ""
    notebook: str = ""
    heading: str = ""
    cell: str = ""
    line: int | None = None
    source: list[str] = field(default_factory=list)
    traceback: list[str] = field(default_factory=list)
    cause: str = ""
    report: str = ""
    repeat: str = ""

    @property
    def where(self) -> str:
        """Return `notebook › heading › cell id, line n`, as far as it is known."""
        parts = [p for p in (self.notebook, self.heading, self.cell) if p]
        return " › ".join(parts) + (f", line {self.line}" if self.line else "")

    def as_dict(self) -> dict:
        """Return the fields as plain JSON, `where` included."""
        return {**asdict(self), "where": self.where}

    def __str__(self) -> str:
        lines = [f"step {self.step}: {self.what}", f"  where:    {self.where}"]
        if self.source:
            lines += ["  source:", *(f"    {s}" for s in self.source)]
        if self.traceback:
            lines += ["  traceback (its end):", *(f"    {t}" for t in self.traceback)]
        for name in ("cause", "report", "repeat"):
            if value := getattr(self, name):
                lines.append(f"  {name + ':':<9} {value}")
        return "\n".join(lines)


def from_dict(raw: dict) -> Failure:
    """Return the failure that `as_dict` wrote."""
    return Failure(**{k: v for k, v in raw.items() if k != "where"})


def plain(text: str) -> str:
    """Return text without terminal colours; other control characters, C1 codes too, as escapes.

    >>> plain("\\x1b[31mred\\x1b[0m")
    'red'
    """
    return escape.block(_ANSI.sub("", text).replace("\r\n", "\n"))


def heading_of(cells: list, index: int) -> str:
    """Return the last markdown heading at or before a cell, or an empty string."""
    for cell in reversed(cells[: index + 1]):
        if cell["cell_type"] == "markdown":
            source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
            if found := _HEADING.findall(source):
                return re.sub(r"[*_`]", "", found[-1])
    return ""


def source_around(text: str, line: int | None, *, context: int = 3) -> list[str]:
    """Return numbered lines around `line`, marked by an arrow; the first lines where the line is unknown.

    >>> source_around("a = 1\\nb = a / 0", 2)
    ['   1  a = 1', '-> 2  b = a / 0']
    """
    lines = text.split("\n")
    if line is None or not 1 <= line <= len(lines):
        first, last, line = 1, min(len(lines), 2 * context + 1), None
    else:
        first, last = max(1, line - context), min(len(lines), line + context)
    width = len(str(last))
    return [
        f"{'->' if n == line else '  '} {n:>{width}}  {lines[n - 1]}"
        for n in range(first, last + 1)
    ]


def line_in_cell(traceback: list[str], count: int | None) -> int | None:
    """Return the line of the cell with execution count `count` that a traceback names last, or None."""
    text = plain("\n".join(traceback))
    patterns = (
        [
            rf"Cell In\[{count}\], line (\d+)",
            rf"<ipython-input-{count}-\w+>:(\d+)",
            rf"(?:Input )?In \[{count}\], .*?line (\d+)",
        ]
        if count is not None
        else []
    )
    for pattern in [
        *patterns,
        r"Cell In\[\d+\], line (\d+)",
        r"in <(?:cell line: \d+|module)>:(\d+)",
    ]:
        if found := re.findall(pattern, text):
            return int(found[-1])
    return None


def end_of(traceback: list[str], *, lines: int = TRACEBACK_LINES) -> list[str]:
    """Return the last lines of a traceback without colours or empty lines."""
    kept = [line.rstrip()[:240] for line in plain("\n".join(traceback)).split("\n") if line.strip()]
    return kept[-lines:]


def cause_of_exception(name: str, value: str) -> str:
    """Return the likely cause of an exception in a notebook, in one sentence."""
    if name in ("ModuleNotFoundError", "ImportError"):
        return "a package is not installed in this kernel's environment; run `make setup` (or `facelab doctor`)"
    if name == "MissingAssetError":
        return "a model or data file is missing; the message says how to get it (`facelab assets fetch`)"
    if name in ("BadInputError", "UnsupportedError", "IntegrityError"):
        return "facelab refused an input; the message says which and what to do"
    if name == "MemoryError" or name.endswith("ResourceExhaustedError"):
        return "not enough memory; choose a smaller profile or fewer --jobs"
    if name in ("FileNotFoundError", "NotADirectoryError"):
        return "a path is wrong, or an upstream step did not leave the file"
    if name == "AssertionError":
        return "an assumption that the notebook states does not hold here"
    if name == "KeyboardInterrupt":
        return "the kernel was interrupted from outside"
    return (
        f"an error in the notebook or in what it calls: {value[:160]}"
        if value
        else "an error in the notebook"
    )


def cause_of_death(code: int | None) -> tuple[str, str, str]:
    """Return (kind, what, likely cause) for a kernel that ended with `code` (negative: a signal)."""
    if code is None:
        return (
            "killed",
            "the kernel died",
            "it was killed from outside, or the machine ran out of memory",
        )
    if code >= 0:
        return (
            "exited",
            f"the kernel ended itself with exit code {code}",
            "a cell called exit(), os._exit() or a library did",
        )
    name = (
        signal.Signals(-code).name
        if -code in signal.Signals._value2member_map_
        else f"signal {-code}"
    )
    if name in ("SIGKILL", "SIGTERM"):
        return (
            "killed",
            f"the kernel was killed ({name})",
            "most often the machine ran out of memory; otherwise somebody killed the process",
        )
    return (
        "crashed",
        f"the kernel crashed ({name})",
        "native code crashed: a compiled extension got a bad array, or two libraries clash; "
        "the step's log.txt has the stack where Python could still write one",
    )
