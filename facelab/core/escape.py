"""Text that strangers chose (names, paths, messages), made fit for a terminal, for HTML and for XML.

One rule for all outputs: what is not a visible character is shown as its escape (`\\x1b`, `\\u202e`), so that no name
clears a screen, moves a cursor, turns the reading direction or forges a line.
"""

from __future__ import annotations

import re
import unicodedata

_PLAIN = re.compile(r"[ -~]*")


def _visible(c: str) -> bool:
    return c.isprintable() or unicodedata.category(c) == "Zs"


def _shown(c: str) -> str:
    return repr(c)[1:-1] if c not in "\\'" else c


def line(text: object) -> str:
    """Return text as one line: control and direction characters, line breaks among them, as escapes.

    >>> line("a\\x1b[2J\\nPASS\\u202e"), line("Gesichter é 人")
    ('a\\\\x1b[2J\\\\nPASS\\\\u202e', 'Gesichter é 人')
    """
    text = str(text)
    if _PLAIN.fullmatch(text):
        return text
    return "".join(c if _visible(c) else _shown(c) for c in text)


def block(text: object, indent: str = "") -> str:
    """Return text whose line breaks and tabs stay; lines after the first begin with `indent`.

    >>> block("a\\tb\\nc\\x07", "  ")
    'a\\tb\\n  c\\\\x07'
    """
    text = str(text)
    if not _PLAIN.fullmatch(text):
        text = "".join(c if c in "\n\t" or _visible(c) else _shown(c) for c in text)
    return text.replace("\n", "\n" + indent) if indent else text


def xml(text: object) -> str:
    """Return text for an XML writer that escapes markup itself: characters that XML cannot hold become escapes.

    >>> xml("a\\x00b")
    'a\\\\x00b'
    """
    return block(text)
