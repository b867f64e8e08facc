"""How the heart shows each emotion: a TOML file that users edit."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.result import Result
from facelab.core.toml_files import read_toml

SCHEMA = "facelab.heart/1"
DEFAULT = Path(__file__).with_name("heart.toml")
_STYLE = {"frequency_hz": (0.05, 10.0), "hue_deg": (0.0, 360.0), "amplitude": (0.0, 0.9)}
_WHOLE = {
    "ease_s": (0.01, 10.0),
    "hue_rate_deg_s": (10.0, 1000.0),
    "dwell_s": (0.0, 60.0),
    "saturation": (0.0, 1.0),
    "lightness": (0.0, 1.0),
}


@dataclass(frozen=True)
class HeartStyle:
    """How one emotion looks.

    Parameters
    ----------
    frequency_hz
        Beats per second.
    hue_deg
        Hue, 0 to 360 degrees.
    amplitude
        Share of the size: it swings from `1 - amplitude` to `1 + amplitude`.
    """

    frequency_hz: float
    hue_deg: float
    amplitude: float


@dataclass(frozen=True)
class HeartSettings(Result):
    """The styles of all emotions.

    Parameters
    ----------
    styles
        Emotion → its style.
    fallback
        The emotion whose style is used for emotions that are not listed, and while nothing is known.
    ease_s
        Time constant with which frequency and amplitude follow a new emotion.
    hue_rate_deg_s
        Fastest change of the hue, degrees per second.
    dwell_s
        Seconds that an emotion stays at least.
    saturation, lightness
        Of the colour, 0 to 1.
    """

    styles: Mapping[str, HeartStyle]
    fallback: str = "neutral"
    ease_s: float = 0.25
    hue_rate_deg_s: float = 200.0
    dwell_s: float = 1.5
    saturation: float = 0.9
    lightness: float = 0.5

    def __post_init__(self) -> None:
        for name, (low, high) in _WHOLE.items():
            _number(getattr(self, name), low, high, name)
        for emotion, style in self.styles.items():
            for name, (low, high) in _STYLE.items():
                _number(getattr(style, name), low, high, f"emotion.{emotion}.{name}")
        if self.fallback not in self.styles:
            raise BadInputError(
                f"the fallback has no style{did_you_mean(self.fallback, self.styles)}",
                where="fallback",
                expected=", ".join(self.styles) or "a listed emotion",
                got=self.fallback,
                fix="name an emotion of the file, or add its table",
            )

    def style(self, emotion: str | None) -> HeartStyle:
        """Return the style of an emotion; the fallback's for one that is not listed, or None."""
        return self.styles.get(emotion or self.fallback, self.styles[self.fallback])

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per emotion."""
        return [{"emotion": name, **vars(s)} for name, s in self.styles.items()]


def load_settings(path: str | os.PathLike[str] | None = None) -> HeartSettings:
    """Read heart settings.

    Parameters
    ----------
    path
        A TOML file of the schema `facelab.heart/1`; by default facelab's own.

    Returns
    -------
    HeartSettings
        Checked: every number is in range, and the fallback is listed.

    Raises
    ------
    BadInputError
        The file is missing or malformed, a key is not known, or a number is out of range.

    Examples
    --------
    >>> load_settings().style("anger")
    HeartStyle(frequency_hz=2.0, hue_deg=0.0, amplitude=0.3)
    """
    path = DEFAULT if path is None else Path(path)
    written = read_toml(path, "heart settings", fix="copy facelab's own: facelab feedback settings")
    try:
        return _settings(written)
    except BadInputError as e:
        e.where = f"{path}: {e.where}" if e.where else str(path)
        raise


def _settings(written: dict[str, Any]) -> HeartSettings:
    _keys(written, {"schema", "fallback", "emotion", *_WHOLE}, "")
    if written.get("schema") != SCHEMA:
        raise BadInputError(
            "the file is not heart settings of this version",
            where="schema",
            expected=SCHEMA,
            got=written.get("schema"),
            fix=f'write schema = "{SCHEMA}"',
        )
    tables = written.get("emotion")
    if not isinstance(tables, dict) or not tables:
        raise BadInputError(
            "no emotion is listed",
            where="emotion",
            expected="tables such as [emotion.anger]",
            fix="add one table per emotion",
        )
    styles = {}
    for name, table in tables.items():
        where = f"emotion.{name}"
        if not isinstance(table, dict):
            raise BadInputError("an emotion is not a table", where=where, fix=f"write [{where}]")
        _keys(table, set(_STYLE), where)
        numbers = {
            k: _number(table.get(k), low, high, f"{where}.{k}") for k, (low, high) in _STYLE.items()
        }
        styles[name] = HeartStyle(**numbers)
    whole = {k: _number(written[k], *_WHOLE[k], k) for k in _WHOLE if k in written}
    fallback = written.get("fallback", "neutral")
    if not isinstance(fallback, str):
        raise BadInputError(
            "the fallback is not a name", where="fallback", got=fallback, fix="name an emotion"
        )
    return HeartSettings(styles, fallback, **whole)


def _keys(table: dict[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise BadInputError(
                f"a key is not known{did_you_mean(key, known)}",
                where=f"{where}.{key}".lstrip("."),
                expected=", ".join(sorted(known)),
                fix="correct or remove it",
            )


def _number(value: Any, low: float, high: float, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadInputError(
            "a number is missing or not finite",
            where=where,
            expected=f"a number from {low:g} to {high:g}",
            got=value,
            fix="write a number",
        )
    if not low <= value <= high:
        raise BadInputError(
            "a number is out of range",
            where=where,
            expected=f"{low:g} to {high:g}",
            got=value,
            fix="choose a number in range",
        )
    return float(value)
