"""Figures and durations as people read them."""

from __future__ import annotations

from typing import Any


def duration(seconds: float) -> str:
    """Return seconds for a reader.

    >>> duration(4.25), duration(75), duration(3700)
    ('4.2 s', '1 min 15 s', '1 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60} min"


def plural(count: int, noun: str) -> str:
    """Return a counted noun.

    >>> plural(1, "step"), plural(0, "step")
    ('1 step', '0 steps')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def number(value: Any) -> str:
    """Return a record's value with about four significant digits; integers whole.

    >>> number(0.123456), number(1234567), number(12345.6), number(1e-9), number(None), number(True)
    ('0.1235', '1,234,567', '12,346', '1e-09', '–', 'yes')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
    return str(value)


def span(lo: float | None, hi: float | None) -> str:
    """Return an interval, or an empty string where there is none.

    >>> span(0.1, 0.25), span(None, 1.0)
    ('[0.1, 0.25]', '')
    """
    return "" if lo is None or hi is None else f"[{number(lo)}, {number(hi)}]"


def size(count: int) -> str:
    """Return bytes for a reader.

    >>> size(0), size(123_456_789)
    ('–', '118 MB')
    """
    if not count:
        return "–"
    return f"{count / 2**20:.0f} MB" if count < 2**30 else f"{count / 2**30:.1f} GB"
