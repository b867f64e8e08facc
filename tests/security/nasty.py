"""Names that strangers choose: what every output must show harmlessly. The one list for all tests."""

NASTY = {
    "clear screen": "\x1b[2J\x1b[HPASS: all good",
    "C1 control": "\x9b2JPASS",
    "OSC title": "\x1b]0;owned\x07name",
    "forged line": "model\nPASS     integrity  1 file",
    "carriage return": "bad\rPASS",
    "backspaces": "FAIL\b\b\b\bPASS",
    "reading direction": "\u202egnp.exe",
    "isolates": "\u2066a\u2069",
    "line separator": "a\u2028PASS\u2029b",
    "next line": "a\x85PASS",
    "NUL": "a\x00b",
    "DEL": "a\x7fb",
    "lone surrogate": "a\udcffb",
    "script": "<script>alert(1)</script>",
    "attribute": "\"' onmouseover='alert(1)",
    "entity": "&lt;&#x27;&amp;",
    "CDATA": "]]><failure/>",
    "comment": "--><b>",
    "format": "{0} %s %(x)s",
    "rich markup": "[red]x[/red]",
    "long": "x" * 5000,
    "zero width": "a\u200bb\ufeffc",
}
FORBIDDEN = [chr(c) for c in (*range(9), *range(11, 32), 0x7F, *range(0x80, 0xA0))] + list(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\u200b\ufeff\udcff"
)
"""Characters that no output may hold as they are."""
