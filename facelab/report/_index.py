"""`index.html`: a run's verdict first, then failures, steps, budgets, plots and every record. One file, no network."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from facelab.core.escape import markup
from facelab.core.files import write_text
from facelab.core.records import Record
from facelab.core.wording import duration, number, plural, size, span
from facelab.report._index_style import CSS

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
    """
    page = _Page(run_folder, summary, records, links, earlier)
    return write_text(path, page.render())


def _e(value: Any) -> str:
    return markup(value)


def _badge(text: str, tone: str) -> str:
    return f'<span class="badge {tone}">{_e(text)}</span>'


def _table(heads: Iterable[tuple[str, str]], rows: Iterable[str]) -> str:
    head = "".join(f'<th class="{css}" scope="col">{_e(text)}</th>' for text, css in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


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

    def _link(self, text: str, step: str, cell: str = "") -> str:
        address = self._page_of(step, cell)
        return f'<a href="{_e(address)}">{_e(text)}</a>' if address else _e(text)

    def _cell_of(self, step: str, place: int) -> str:
        cells = self.cells[step].get("records", []) if step in self.cells else []
        return cells[place] if place < len(cells) else ""

    # -- parts --------------------------------------------------------------------------------------------------

    def render(self) -> str:
        """Return the whole page."""
        state = self.summary["state"]
        parts = [
            self._verdict(state),
            self._failures(),
            self._step_table(),
            self._budgets(),
            self._figures(),
            self._records(),
            self._facts(),
            self._earlier(),
        ]
        body = "\n".join(p for p in parts if p)
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{_e(self.summary["verdict"])} · facelab</title>\n<link rel="icon" href="data:,">\n'
            f"<style>{CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
        )

    def _verdict(self, state: str) -> str:
        s = self.summary
        cached = sum(step["cached"] for step in self.steps)
        small = (
            f"Profile {s['profile']}, {_when(s['started'])}, {duration(s['seconds'])}: "
            f"{plural(s['kernels_started'], 'notebook')} run, {cached} unchanged"
        )
        nav = [
            ("#steps", "Steps"),
            ("#budgets", "Budgets"),
            ("#figures", "Plots"),
            ("#records", "Records"),
            ("#facts", "About this run"),
        ]
        anchors = "".join(f'<a href="{a}">{t}</a>' for a, t in nav)
        notes = "".join(
            f'<p class="small">{self._link(step["step"], step["step"])}: {_e(step["note"])}</p>'
            for step in self.steps
            if step.get("note")
        )
        others = s.get("not_asked_for", {})
        hidden = state == "good" and (others.get("missed") or others.get("failed"))
        tone = "warn" if hidden else _TONE.get(state, "still")
        return (
            f'<h1>facelab · report</h1><section class="verdict {tone}" id="verdict">'
            f'<p class="big">{_e(s["verdict"])}</p><p class="small">{_e(small)}</p>{notes}</section>'
            f"<nav>{anchors}</nav>"
        )

    def _failures(self) -> str:
        out = []
        for step in self.steps:
            f = step.get("failure")
            if not f or f.get("kind") in ("blocked", "interrupted"):
                continue
            source = f"<pre>{_e(chr(10).join(f['source']))}</pre>" if f.get("source") else ""
            trace = f"<pre>{_e(chr(10).join(f['traceback']))}</pre>" if f.get("traceback") else ""
            out.append(
                f'<div class="failure" id="failure-{_e(step["step"])}"><h3>{_e(step["step"])}: {_e(f["what"])}'
                f"</h3><p>{self._link(f.get('where', ''), step['step'], f.get('cell', ''))}</p>{source}{trace}"
                f"<p><strong>Likely cause:</strong> {_e(f.get('cause', ''))}</p>"
                f"<p><strong>Repeat just this step:</strong> <code>{_e(f.get('repeat', ''))}</code></p></div>"
            )
        return f'<h2 id="failures">What failed</h2>{"".join(out)}' if out else ""

    def _status(self, step: dict) -> str:
        if step["state"] != "done":
            tones = {"failed": "bad", "blocked": "warn"}
            return _badge(step["state"], tones.get(step["state"], "still"))
        return _badge("budget missed", "warn") if step["missed"] else _badge("done", "good")

    def _step_table(self) -> str:
        heads = [
            ("Step", ""),
            ("Status", ""),
            ("Time", "n"),
            ("Cached", ""),
            ("Memory", "n"),
            ("Budgets", "n"),
            ("Verdict", ""),
            ("Why it ran, or not", ""),
        ]
        rows = []
        for step in self.steps:
            name = step["step"]
            said = step.get("verdict") or (step.get("failure") or {}).get("what", "")
            budgets = (
                f"{step['budgets'] - len(step['missed'])} / {step['budgets']}"
                if step.get("budgets")
                else "–"
            )
            took = duration(step["seconds"]) if step["seconds"] else "–"
            extra = f'<div class="soft">{_e(step["note"])}</div>' if step.get("note") else ""
            rows.append(
                f'<tr id="step-{_e(name)}"><td class="one">{self._link(name, name)}</td>'
                f'<td>{self._status(step)}</td><td class="n">{took}</td>'
                f"<td>{'cached' if step['cached'] else '–'}</td>"
                f'<td class="n">{size(step.get("peak_bytes", 0))}</td><td class="n">{budgets}</td>'
                f'<td class="w">{_e(said)}{extra}</td>'
                f'<td class="soft why">{_e("; ".join(step["why"]))}</td></tr>'
            )
        return f'<h2 id="steps">Steps</h2>{_table(heads, rows)}'

    def _record_row(self, step: str, place: int, r: Record) -> str:
        if r.budget is None:
            state = ""
        else:
            state = _badge("met", "good") if r.passed else _badge("missed", "bad")
        notes = "; ".join(x for x in (r.warning, r.note) if x)
        notes = f'<div class="soft">{_e(notes)}</div>' if notes else ""
        error = f" · error {number(r.error)}" if r.error is not None else ""
        return (
            f'<tr><td>{state}</td><td class="one">{self._link(step, step, self._cell_of(step, place))}</td>'
            f'<td class="w">{_e(r.case)}{notes}</td><td class="one">{_e(r.metric)}</td>'
            f'<td class="n">{_e(number(r.value))} {_e(r.unit)}{error}</td>'
            f'<td class="n soft">{span(r.lo, r.hi)}</td><td class="one">{_e(r.budget or "")}</td>'
            f'<td class="n soft">{r.n if r.n is not None else ""}</td></tr>'
        )

    _RECORD_HEADS = (
        ("", ""),
        ("Step", ""),
        ("Case", ""),
        ("Metric", ""),
        ("Value", "n"),
        ("95 % interval", "n"),
        ("Budget", ""),
        ("n", "n"),
    )

    def _budgets(self) -> str:
        rows: list[tuple[bool, str]] = []
        for step, records in self.by_step.items():
            rows += [
                (bool(r.passed), self._record_row(step, k, r))
                for k, r in enumerate(records)
                if r.budget
            ]
        if not rows:
            return '<h2 id="budgets">Budgets</h2><p class="soft">No step of this run has set a budget.</p>'
        rows.sort(key=lambda row: row[0])
        return (
            f'<h2 id="budgets">Budgets</h2>{_table(self._RECORD_HEADS, [text for _, text in rows])}'
        )

    def _figures(self) -> str:
        out = []
        for step in self.steps:
            name = step["step"]
            pictures = sorted(
                filter(Path.is_file, (self.folder / name / "figures").glob("*.png")),
                key=lambda p, s=name: self._order(s, p.stem),
            )
            if not pictures:
                continue
            figures = "".join(self._figure(name, p) for p in pictures)
            out.append(f'<h3>{self._link(name, name)}</h3><div class="figures">{figures}</div>')
        return f'<h2 id="figures">Plots</h2>{"".join(out)}' if out else ""

    def _order(self, step: str, figure: str) -> tuple[int, str]:
        drawn = self.ends[step].get("figures", [])
        return (drawn.index(figure) if figure in drawn else len(drawn)), figure

    def _figure(self, step: str, path: Path) -> str:
        alt = self.ends[step].get("alt", {}).get(path.stem) or path.stem.replace("_", " ").replace(
            "-", " "
        )
        cell = self.cells[step].get("figures", {}).get(path.stem, "")
        picture = base64.b64encode(path.read_bytes()).decode("ascii")
        address = self._page_of(step, cell)
        image = f'<img loading="lazy" alt="{_e(alt)}" src="data:image/png;base64,{picture}">'
        shown = (
            f'<a href="{_e(address)}" title="to the cell that drew it">{image}</a>'
            if address
            else image
        )
        return f"<figure>{shown}<figcaption>{_e(alt)}</figcaption></figure>"

    def _records(self) -> str:
        out = []
        for step, records in self.by_step.items():
            if records:
                rows = [self._record_row(step, k, r) for k, r in enumerate(records)]
                counted = plural(len(records), "record")
                out.append(
                    f"<details><summary>{_e(step)} · {counted}</summary>"
                    f"{_table(self._RECORD_HEADS, rows)}</details>"
                )
        return f'<h2 id="records">Every record</h2>{"".join(out)}' if out else ""

    def _facts(self) -> str:
        s, m = self.summary, self.summary["machine"]
        versions = ", ".join(f"{k} {v}" for k, v in m.get("versions", {}).items() if v)
        features = ", ".join(m["features"]) or "no SIMD features known"
        facts = {
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
        rows = "".join(f"<dt>{_e(k)}</dt><dd>{_e(v)}</dd>" for k, v in facts.items())
        return f'<h2 id="facts">About this run</h2><dl class="facts">{rows}</dl>'

    def _earlier(self) -> str:
        if not self.earlier:
            return ""
        rows = [
            f'<tr><td class="one"><a href="{_e(self.links)}/../{_e(e["run"])}/index.html">{_e(e["run"])}</a></td>'
            f"<td>{_badge(e['state'], _TONE.get(e['state'], 'still'))}</td><td>{_e(e.get('profile', ''))}</td>"
            f'<td class="n">{duration(e.get("seconds", 0.0))}</td>'
            f'<td class="w">{_e(e.get("verdict", ""))}</td></tr>'
            for e in self.earlier
        ]
        heads = [("Run", ""), ("State", ""), ("Profile", ""), ("Time", "n"), ("Verdict", "")]
        last = self.earlier[0]["run"]
        return (
            f'<h2 id="earlier">Earlier runs</h2>{_table(heads, rows)}<p class="soft">What got better or worse: '
            f"<code>facelab compare {_e(last)} {_e(self.summary['run'])}</code></p>"
        )
