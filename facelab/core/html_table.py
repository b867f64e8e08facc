"""Small HTML tables for `_repr_html_`: what a notebook shows where a cell ends with a result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from facelab.core.templates import render

if TYPE_CHECKING:
    from markupsafe import Markup

GOOD, BAD = "#00755a", "#b3420b"
"""Text colours for a pass and a fail: apart for colour-blind eyes, and legible on white. The word is always there."""
LEFT = "text-align:left"
COLOURS = {"PASS": f";color:{GOOD};font-weight:600", "FAIL": f";color:{BAD};font-weight:600"}


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "") -> Markup:
    """Return an HTML table, numbers to the right, headings above them as they are; every text is escaped.

    "PASS" and "FAIL" are coloured.

    >>> table(["n", "a"], [[1.25, "<b>"]]).partition("<tbody>")[2]
    Markup('<tr><td>1.25</td><td style="text-align:left">&lt;b&gt;</td></tr></tbody></table>')
    >>> table(["n", "a"], [[1.25, "<b>"]]).partition("<tbody>")[0]
    Markup('<table><thead><tr><th>n</th><th style="text-align:left">a</th></tr></thead>')
    """
    rows = list(rows)
    return render(
        "core/templates/table.html.j2",
        caption=caption,
        head=head,
        texts={k for row in rows for k, value in enumerate(row) if isinstance(value, str)},
        rows=[[_cell(value) for value in row] for row in rows],
    )


def _cell(value: Any) -> dict[str, Any]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"text": f"{value:.4g}" if isinstance(value, float) else value, "style": ""}
    text = "–" if value is None else str(value)
    return {"text": text, "style": LEFT + COLOURS.get(text, "")}
