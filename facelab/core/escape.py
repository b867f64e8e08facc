"""Text that strangers chose (names, paths, messages), made fit for a terminal, for HTML and for XML.

One rule for all outputs: what is not a visible character is shown as its escape (`\\x1b`, `\\u202e`), so that no name
clears a screen, moves a cursor, turns the reading direction or forges a line.
"""

from __future__ import annotations

import re
import unicodedata

_IN_A_LINE = re.compile(r"[^ -~]+")
_IN_A_BLOCK = re.compile(r"[^\n\t -~]+")


def _visible(c: str) -> bool:
    return c.isprintable() or unicodedata.category(c) == "Zs"


def _shown(c: str) -> str:
    return repr(c)[1:-1] if c not in "\\'" else c


def _fit(found: re.Match[str]) -> str:
    return "".join(c if _visible(c) else _shown(c) for c in found[0])


def line(text: object) -> str:
    """Return text as one line: control and direction characters, line breaks among them, as escapes.

    >>> line("a\\x1b[2J\\nPASS\\u202e"), line("Gesichter é 人")
    ('a\\\\x1b[2J\\\\nPASS\\\\u202e', 'Gesichter é 人')
    """
    return _IN_A_LINE.sub(_fit, str(text))


def block(text: object, indent: str = "") -> str:
    """Return text whose line breaks and tabs stay; lines after the first begin with `indent`.

    >>> block("a\\tb\\nc\\x07", "  ")
    'a\\tb\\n  c\\\\x07'
    """
    text = _IN_A_BLOCK.sub(_fit, str(text))
    return text.replace("\n", "\n" + indent) if indent else text


def xml(text: object) -> str:
    """Return text for an XML writer that escapes markup itself: characters that XML cannot hold become escapes.

    >>> xml("a\\x00b")
    'a\\\\x00b'
    """
    return block(text)
