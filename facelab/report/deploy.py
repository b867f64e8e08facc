"""The gate's page, and the picture of several candidates before the same gate."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facelab.core.escape import markup
from facelab.core.files import write_text
from facelab.deploy import Verdict
from facelab.deploy.internals import ABOUT
from facelab.deploy.policy import CHECKS
from facelab.report import fingerprint as fingerprint_page
from facelab.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXTRA = """
table.gate { border-collapse: collapse; background: #fff; width: 100%; }
table.gate th, table.gate td { border: 1px solid var(--line); padding: 8px 12px; text-align: left;
  vertical-align: top; }
.pass { color: var(--good); font-weight: 600; } .fail { color: var(--bad); font-weight: 600; }
.skipped { color: var(--soft); }
.PASS { background: var(--good); } .FAIL { background: var(--bad); }
iframe { width: 100%; height: 900px; border: 1px solid var(--line); background: #fff; }
"""


def write_page(verdict: Verdict, path: str | os.PathLike) -> Path:
    """Write the gate's page atomically: one file that needs no network."""
    return write_text(path, page(verdict))


def page(verdict: Verdict) -> str:
    """Return the gate's page as HTML text."""
    v, t = verdict, lambda s: markup(s)
    rows = "".join(
        f'<tr><td class="{c.status}">{c.status.upper()}</td><td><b>{t(c.name.replace("_", " "))}</b><br>'
        f'<span class="soft">{t(ABOUT[c.name])}</span></td><td>{t(c.what)}'
        + (
            "<p>The policy does not let it be skipped.</p>"
            if c.status == "skipped" and c.name in v.refused
            else ""
        )
        + (f'<p class="fix"><b>Fix:</b> {t(c.fix)}</p>' if c.fix and c.name in v.refused else "")
        + "</td></tr>"
        for c in v.checks
    )
    inner = ""
    if v.comparison is not None:
        framed = html.escape(fingerprint_page.page(v.comparison), quote=True)
        inner = (
            '<h2>Preprocessing, probe by probe</h2><iframe title="fingerprint comparison" '
            f'srcdoc="{framed}"></iframe>'
        )
    because = f"refused by: {', '.join(v.refused)}" if v.refused else "nothing speaks against it"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>{v.word}: {t(v.name)}</title>'
        f"<style>{fingerprint_page.CSS}{EXTRA}</style></head>"
        f'<body><main><h1>Deploy gate: {t(v.name)}</h1><p><span class="verdict {v.word}">{v.word}</span> '
        f'<span class="soft">{t(because)} · policy “{t(v.policy)}” · bundle {t(v.bundle)}</span></p>'
        f'<table class="gate"><thead><tr><th>status</th><th>check</th><th>what was found</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>{inner}</main></body></html>\n"
    )


def grid(verdicts: dict[str, Verdict]) -> Figure:
    """Return candidates (rows) against checks (columns): passed, refused, skipped."""
    seen = {c.name for v in verdicts.values() for c in v.checks if c.status != "skipped"}
    names = [n for n in CHECKS if n in seen]
    fig, ax = style.figure(2.6 + 1.25 * len(names), 1.3 + 0.5 * len(verdicts))
    marks = {"pass": ("✓", style.GOOD), "fail": ("✗", style.BAD), "skipped": ("–", style.NEUTRAL)}
    for y, v in enumerate(verdicts.values()):
        states = {c.name: c.status for c in v.checks}
        for x, name in enumerate(names):
            mark, colour = marks[states.get(name, "skipped")]
            ax.text(
                x, y, mark, ha="center", va="center", fontsize=16, color=colour, fontweight="bold"
            )
        ax.text(
            len(names),
            y,
            v.word,
            ha="center",
            va="center",
            fontweight="bold",
            color=style.GOOD if v.passed else style.BAD,
        )
    ax.set_xticks(np.arange(len(names) + 1), [n.replace("_", "\n") for n in names] + ["verdict"])
    ax.set_yticks(np.arange(len(verdicts)), list(verdicts))
    ax.set_xlim(-0.6, len(names) + 0.6)
    ax.set_ylim(len(verdicts) - 0.5, -0.5)
    ax.set_yticks(np.arange(len(verdicts) - 1) + 0.5, minor=True)
    ax.grid(False, which="major")
    ax.grid(True, axis="y", which="minor")
    ax.tick_params(which="both", length=0)
    style.label(ax, "Candidates before the gate", "", "")
    return fig
