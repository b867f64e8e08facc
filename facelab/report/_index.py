"""`index.html`: a run's verdict first, then failures, steps, budgets, plots and every record. One file, no network."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from facelab.core.files import write_text
from facelab.core.records import Record
from facelab.core.templates import render
from facelab.core.wording import duration, number, plural, size, span

_TONE = {
    "good": "good",
    "missed": "warn",
    "failed": "bad",
    "interrupted": "still",
    "running": "still",
}


def write_index(
    path: Path,
    run_folder: Path,
    summary: dict[str, Any],
    records: list[Record],
    *,
    links: str,
    earlier: Sequence[dict[str, Any]] = (),
) -> Path:
    """Write the report of a run to `path`, atomically, and return the path.

    `run_folder` holds a folder for each step; `links` is its address as seen from `path`. `summary` is `run.json`,
    `earlier` are those of earlier runs, newest first.

    Parameters
    ----------
    path : path
        The page to write.
    run_folder : path
        The run's folder.
    summary : dict[str, Any]
        A run's summary as plain JSON.
    records : list of Record
        The records of the run.
    links : str
        Where links lead, relative to the page.
    earlier : sequence of dict[str, Any]
        What earlier runs left.

    Returns
    -------
    path
        The path of the page.

    Examples
    --------
    >>> import tempfile
    >>> from facelab.core import machine
    >>> folder = Path(tempfile.mkdtemp())
    >>> summary = {"run": "example", "command": "facelab reproduce", "profile": "quick", "jobs": 1}
    >>> summary |= {"state": "good", "started": 0.0, "seconds": 1.0, "steps": [], "kernels_started": 0}
    >>> summary |= {"verdict": "all budgets met", "machine": machine.facts()}
    >>> write_index(folder / "index.html", folder, summary, [], links=".").name
    'index.html'
    """
    page = _Page(run_folder, summary, records, links, earlier)
    return write_text(path, page.render())


MAX_FIGURE = 64 << 20
"""Bytes of a picture that is put into the page."""


def _shown(picture: Path) -> bool:
    return picture.is_file() and picture.stat().st_size <= MAX_FIGURE


def _when(stamp: float | None) -> str:
    if stamp is None:
        return "–"
    return datetime.datetime.fromtimestamp(stamp, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


class _Page:
    def __init__(
        self,
        folder: Path,
        summary: dict[str, Any],
        records: list[Record],
        links: str,
        earlier: Sequence[dict[str, Any]],
    ):
        self.folder, self.summary, self.links, self.earlier = folder, summary, links, earlier
        self.steps = summary["steps"]
        self.by_step: dict[str, list[Record]] = {s["step"]: [] for s in self.steps}
        for record in records:
            self.by_step.setdefault(record.step, []).append(record)
        self.cells = {s["step"]: self._read(s["step"], "cells.json") for s in self.steps}
        self.ends = {s["step"]: self._read(s["step"], "end.json") for s in self.steps}

    def _read(self, step: str, name: str) -> dict:
        try:
            value = json.loads((self.folder / step / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    # -- links --------------------------------------------------------------------------------------------------

    def _page_of(self, step: str, cell: str = "") -> str | None:
        if not (self.folder / step / f"{step}.html").is_file():
            return None
        return f"{self.links}/{quote(step)}/{quote(step)}.html" + (
            f"#{quote(cell)}" if cell else ""
        )

    def _cell_of(self, step: str, place: int) -> str:
        cells = self.cells[step].get("records", []) if step in self.cells else []
        return cells[place] if place < len(cells) else ""

    # -- parts --------------------------------------------------------------------------------------------------

    def render(self) -> str:
        """Return the whole page."""
        state = self.summary["state"]
        others = self.summary.get("not_asked_for", {})
        hidden = state == "good" and (others.get("missed") or others.get("failed"))
        rows = {s: self._rows(s, records) for s, records in self.by_step.items()}
        budgets = [row for mine in rows.values() for row in mine if row["budget"]]
        return render(
            "report/templates/index.html.j2",
            summary=self.summary,
            tone="warn" if hidden else _TONE.get(state, "still"),
            small=self._small(),
            failures=list(self._failures()),
            steps=[self._step(step) for step in self.steps],
            budgets=sorted(budgets, key=lambda row: row["passed"]),
            figures=list(self._figures()),
            every_record=[
                {"name": s, "counted": plural(len(mine), "record"), "rows": mine}
                for s, mine in rows.items()
                if mine
            ],
            facts=self._facts(),
            earlier=[self._run(e) for e in self.earlier],
        )

    def _small(self) -> str:
        s, cached = self.summary, sum(step["cached"] for step in self.steps)
        return (
            f"Profile {s['profile']}, {_when(s['started'])}, {duration(s['seconds'])}: "
            f"{plural(s['kernels_started'], 'notebook')} run, {cached} unchanged"
        )

    def _failures(self) -> Iterator[dict[str, Any]]:
        for step in self.steps:
            f = step.get("failure")
            if f and f.get("kind") not in ("blocked", "interrupted"):
                yield {
                    "step": step["step"],
                    "what": f["what"],
                    "where": f.get("where", ""),
                    "address": self._page_of(step["step"], f.get("cell", "")),
                    "source": "\n".join(f.get("source") or ()),
                    "traceback": "\n".join(f.get("traceback") or ()),
                    "cause": f.get("cause", ""),
                    "repeat": f.get("repeat", ""),
                }

    def _step(self, step: dict[str, Any]) -> dict[str, Any]:
        met = f"{step['budgets'] - len(step['missed'])} / {step['budgets']}"
        return {
            "name": step["step"],
            "address": self._page_of(step["step"]),
            "note": step.get("note") or "",
            "status": _status(step),
            "took": duration(step["seconds"]) if step["seconds"] else "–",
            "cached": "cached" if step["cached"] else "–",
            "memory": size(step.get("peak_bytes", 0)),
            "budgets": met if step.get("budgets") else "–",
            "said": step.get("verdict") or (step.get("failure") or {}).get("what", ""),
            "why": "; ".join(step["why"]),
        }

    def _rows(self, step: str, records: list[Record]) -> list[dict[str, Any]]:
        return [
            {
                "passed": bool(r.passed),
                "state": ("met", "good") if r.passed else ("missed", "bad"),
                "step": step,
                "address": self._page_of(step, self._cell_of(step, place)),
                "case": r.case,
                "notes": "; ".join(x for x in (r.warning, r.note) if x),
                "metric": r.metric,
                "value": number(r.value),
                "unit": r.unit,
                "error": f" · error {number(r.error)}" if r.error is not None else "",
                "budget": r.budget or "",
                "interval": span(r.lo, r.hi),
                "n": "" if r.n is None else r.n,
            }
            | ({"state": None} if r.budget is None else {})
            for place, r in enumerate(records)
        ]

    def _figures(self) -> Iterator[dict[str, Any]]:
        for step in self.steps:
            name = step["step"]
            found = filter(_shown, (self.folder / name / "figures").glob("*.png"))
            paths = sorted(found, key=lambda p, s=name: self._order(s, p.stem))
            if paths:
                pictures = [self._figure(name, p) for p in paths]
                yield {"name": name, "address": self._page_of(name), "pictures": pictures}

    def _order(self, step: str, figure: str) -> tuple[int, str]:
        drawn = self.ends[step].get("figures", [])
        return (drawn.index(figure) if figure in drawn else len(drawn)), figure

    def _figure(self, step: str, path: Path) -> dict[str, Any]:
        words = path.stem.replace("_", " ").replace("-", " ")
        cell = self.cells[step].get("figures", {}).get(path.stem, "")
        return {
            "alt": self.ends[step].get("alt", {}).get(path.stem) or words,
            "address": self._page_of(step, cell),
            "data": base64.b64encode(path.read_bytes()).decode("ascii"),
        }

    def _facts(self) -> dict[str, str]:
        s, m = self.summary, self.summary["machine"]
        versions = ", ".join(f"{k} {v}" for k, v in m.get("versions", {}).items() if v)
        features = ", ".join(m["features"]) or "no SIMD features known"
        return {
            "run": s["run"],
            "command": s["command"],
            "commit": s.get("commit") or "–",
            "started": _when(s["started"]),
            "where": s.get("scheduler") or f"this machine, {s['jobs']} at once",
            "processor": f"{m['cpu']}, {m['cores']} cores ({features})",
            "memory": size(m["memory"]),
            "system": m["os"],
            "python": m["python"],
            "versions": versions,
        }

    def _run(self, e: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": e["run"],
            "address": f"{self.links}/../{e['run']}/index.html",
            "state": (e["state"], _TONE.get(e["state"], "still")),
            "profile": e.get("profile", ""),
            "took": duration(e.get("seconds", 0.0)),
            "verdict": e.get("verdict", ""),
        }


def _status(step: dict[str, Any]) -> tuple[str, str]:
    """Return a step's badge: its words and its tone."""
    if step["state"] != "done":
        tones = {"failed": "bad", "blocked": "warn"}
        return step["state"], tones.get(step["state"], "still")
    return ("budget missed", "warn") if step["missed"] else ("done", "good")
