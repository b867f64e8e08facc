"""Live progress on standard error: a line per running step on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import IO, Any

from facelab.core import escape
from facelab.core.wording import duration


def outcome(note: dict[str, Any]) -> str:
    """Return one line on how a step ended."""
    if note["state"] == "done":
        how = "as before" if note.get("cached") else duration(note["seconds"])
        said = f" · {note['verdict']}" if note.get("verdict") else ""
        return ("BUDGET MISSED" if note.get("missed") else "done") + f" ({how}){said}"
    what = (note.get("failure") or {}).get("what", "")
    return f"{note['state'].upper()}: {what}" if what else note["state"]


@dataclass
class Display:
    """Plain lines, for logs: a step's start, each heading it reaches, and its end."""

    stream: IO[str] = field(default_factory=lambda: sys.stderr)
    _heading: dict[str, str] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Print a line."""
        print(escape.line(text), file=self.stream, flush=True)

    def start(self, step: str) -> None:
        """Say that a step starts."""
        self.say(f"{_clock()}  {step}: started")

    def tick(self, running: list[tuple[str, dict, float]]) -> None:
        """Show where the running steps are: (step, progress, seconds since its start)."""
        for step, progress, seconds in running:
            heading = progress.get("heading", "")
            if heading and heading != self._heading.get(step):
                self._heading[step] = heading
                at = f"cell {progress['cell']}/{progress['cells']}" if progress.get("cells") else ""
                self.say(f"{_clock()}  {step}: {heading}  {at}  {duration(seconds)}".rstrip())

    def finished(self, note: dict[str, Any]) -> None:
        """Say how a step ended."""
        self.say(f"{_clock()}  {note['step']}: {outcome(note)}")

    def close(self) -> None:
        """Leave the stream as it was."""


class LiveDisplay(Display):
    """One line per running step, rewritten in place; what has ended stands above."""

    def __init__(self, console: Any = None):
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self.console = console or Console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False, transient=True)
        self.live.start()

    def say(self, text: str) -> None:
        from rich.text import Text

        self.console.print(Text(escape.line(text)))

    def start(self, step: str) -> None:
        """Nothing: the running line says it."""

    def tick(self, running: list[tuple[str, dict, float]]) -> None:
        from rich.table import Table

        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1, style="dim")
        for step, progress, seconds in running:
            at = f"cell {progress['cell']}/{progress['cells']}" if progress.get("cells") else ""
            heading = _escape((progress.get("heading") or "starting")[:40])
            table.add_row(
                f"[bold]{_escape(step)}[/]",
                heading,
                f"{at}  {duration(seconds)}",
                _escape(progress.get("last_line", "")),
            )
        self.live.update(table, refresh=True)

    def finished(self, note: dict[str, Any]) -> None:
        from rich.text import Text

        good = note["state"] == "done" and not note.get("missed")
        waits = note["state"] in ("blocked", "interrupted")
        style = "green" if good else ("yellow" if waits else "bold red")
        line = Text(f"{'✓' if good else '✗'} {escape.line(note['step'])}  ", style=style)
        line.append(escape.line(outcome(note)), style="default")
        self.console.print(line)

    def close(self) -> None:
        self.live.stop()


def _escape(text: str) -> str:
    """Return a notebook's own words, fit for a line of the live display: no markup, no control characters."""
    from rich.markup import escape as without_markup

    return without_markup(escape.line(text))


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def choose_display() -> Display:
    """Return the live display on a terminal, plain lines otherwise.

    Returns
    -------
    Display
        The live display on a terminal, plain lines otherwise.
    """
    return LiveDisplay() if sys.stderr.isatty() else Display()
