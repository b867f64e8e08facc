"""Small HTML tables for `_repr_html_`: what a notebook shows where a cell ends with a result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from facelab.core.escape import markup

GOOD, BAD = "#00755a", "#b3420b"
"""Text colours for a pass and a fail: apart for colour-blind eyes, and legible on white. The word stands beside."""
LEFT = ' style="text-align:left"'


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "") -> str:
    """Return an HTML table, numbers to the right, headings above them as they are; every text is escaped.

    "PASS" and "FAIL" are coloured.

    >>> table(["n", "a"], [[1.25, "<b>"]]).partition("<tbody>")[2]
    '<tr><td>1.25</td><td style="text-align:left">&lt;b&gt;</td></tr></tbody></table>'
    >>> table(["n", "a"], [[1.25, "<b>"]]).partition("<tbody>")[0]
    '<table><thead><tr><th>n</th><th style="text-align:left">a</th></tr></thead>'
    """
    top, rows = f"<p>{markup(caption)}</p>" if caption else "", list(rows)
    texts = {k for row in rows for k, value in enumerate(row) if isinstance(value, str)}
    heads = "".join(f"<th{LEFT if k in texts else ''}>{markup(h)}</th>" for k, h in enumerate(head))
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"{top}<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"<td>{value:.4g}</td>" if isinstance(value, float) else f"<td>{value}</td>"
    colour = {
        "PASS": f";color:{GOOD};font-weight:600",
        "FAIL": f";color:{BAD};font-weight:600",
    }.get(str(value), "")
    return f'<td style="text-align:left{colour}">{markup("–" if value is None else value)}</td>'
