"""A program: what light, motor and loudspeaker do from now on, as actions with times."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facelab.core.errors import BadInputError, CheckFailedError, at
from facelab.core.files import read_json
from facelab.core.result import Result
from facelab.feedback.heart import Flashes, HeartSettings, animate, check_flashes, curve
from facelab.feedback.schedule._pulses import MergedPulses, Pulse, PulseRules, merge_pulses
from facelab.feedback.schedule._tones import PlayedTones, Tone, resolve_tones

SCHEMA = "facelab.feedback/1"
SIDE = 8
LONGEST_S = 600.0
FASTEST_HZ = 200.0


@dataclass(frozen=True)
class Action:
    """One output changes: `channel` is `led`, `motor` or `tone`; `value` eight rows of bits, 0 or 1, or hertz."""

    time_s: float
    channel: str
    value: Any


@dataclass(frozen=True)
class Program(Result):
    """What the outputs do. A newer program replaces it at once; nothing of it is played later.

    Parameters
    ----------
    led
        (n, 8, 8) uint8, 0 or 1: pictures of an LED matrix, row 0 on top.
    led_hz
        Pictures per second.
    vibration
        Pulses as asked for.
    tones
        Tones as asked for.
    rules
        Of the pulses.
    """

    led: np.ndarray
    led_hz: float = 30.0
    vibration: tuple[Pulse, ...] = ()
    tones: tuple[Tone, ...] = ()
    rules: PulseRules = field(default_factory=PulseRules)

    def __post_init__(self) -> None:
        led = np.asarray(self.led)
        good = led.ndim == 3 and led.shape[1:] == (SIDE, SIDE) and set(np.unique(led)) <= {0, 1}
        if not good or not 0 < self.led_hz <= FASTEST_HZ:
            raise BadInputError(
                "the LED pictures are not 8 by 8 bits at a fixed rate",
                expected=f"(n, 8, 8) of 0 and 1, up to {FASTEST_HZ:g} per second",
                got=f"shape {led.shape} at {self.led_hz:g} per second",
                fix="correct `led` or `led_hz`",
            )
        object.__setattr__(self, "led", led.astype(np.uint8))
        longest = max(
            [len(led) / self.led_hz, *(p.stop_s for p in self.vibration)]
            + [t.start_s + t.seconds for t in self.tones]
        )
        if not math.isfinite(longest) or longest > LONGEST_S:
            raise BadInputError(
                "the program is too long",
                expected=f"up to {LONGEST_S:g} s",
                got=f"{longest:g} s",
                fix="send a shorter one, and the next when it is due",
            )

    def check(self) -> Flashes | None:
        """Check two rounds of the LED pictures against the flash limit, a lit dot as white on black.

        Returns
        -------
        Flashes or None
            None without pictures.

        Raises
        ------
        CheckFailedError
            A dot flashes more than three times in a second.
        """
        if not len(self.led):
            return None
        shown = np.repeat(self.led[..., None] * np.uint8(255), 3, axis=3)
        twice = np.concatenate([shown, shown])
        found = check_flashes(twice, np.arange(len(twice)) / self.led_hz)
        if not found.passed:
            raise CheckFailedError(
                "the LED pictures flash too often and can cause seizures",
                where=f"the second before {found.at_s:.2f} s",
                expected=f"at most {found.limit} flashes per second (WCAG 2.2, 2.3.1)",
                got=f"{found.general:g} flashes",
                fix="show each picture longer, or change fewer dots at once",
            )
        return found

    @property
    def pulses(self) -> MergedPulses:
        """What the motor gets by the rules."""
        return merge_pulses(self.vibration, self.rules)

    @property
    def sounds(self) -> PlayedTones:
        """What the loudspeaker gets by priority."""
        return resolve_tones(self.tones)

    def actions(self) -> list[Action]:
        """Return everything that happens, in order; the matrix is dark and all is silent at the end."""
        out = [
            Action(k / self.led_hz, "led", np.packbits(p).tolist()) for k, p in enumerate(self.led)
        ]
        if len(self.led):
            out.append(Action(len(self.led) / self.led_hz, "led", [0] * SIDE))
        for pulse in self.pulses.pulses:
            out += [Action(pulse.start_s, "motor", 1), Action(pulse.stop_s, "motor", 0)]
        segments = self.sounds.segments
        for k, s in enumerate(segments):
            out.append(Action(s.start_s, "tone", s.frequency_hz))
            if k + 1 == len(segments) or segments[k + 1].start_s > s.stop_s:
                out.append(Action(s.stop_s, "tone", 0.0))
        return sorted(out, key=lambda a: a.time_s)

    def to_dict(self) -> dict[str, Any]:
        """Return the document that `read_program` reads."""
        return {
            "schema": SCHEMA,
            "led_hz": self.led_hz,
            "led": ["".join("".join(map(str, row)) for row in p) for p in np.asarray(self.led)],
            "vibration": [[p.start_s, p.stop_s] for p in self.vibration],
            "tones": [
                [t.start_s, t.seconds, t.frequency_hz, t.priority] for t in self.tones
            ],
            "rules": vars(self.rules),
        }  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per output: what was asked, merged, dropped and will be played."""
        p, t = self.pulses, self.sounds
        return [
            {"output": "led", "asked": len(self.led), "merged": 0, "dropped": 0,
             "played": len(self.led)},
            {"output": "motor", "asked": p.asked, "merged": p.merged, "dropped": p.dropped,
             "played": len(p.pulses)},
            {"output": "tone", "asked": t.asked, "merged": 0, "dropped": t.dropped,
             "played": len(t.segments)},
        ]  # fmt: skip


def heart_program(
    emotion: str | None,
    seconds: float = 4.0,
    settings: HeartSettings | None = None,
    *,
    led_hz: float = 30.0,
    pulse_s: float = 0.06,
) -> Program:
    """Return the program that shows an emotion's heart: on the matrix, and as one pulse per beat.

    Parameters
    ----------
    emotion
        The emotion; None shows the fallback.
    seconds
        Length.
    settings
        The heart's; facelab's own by default.
    led_hz
        Pictures per second.
    pulse_s
        Length of the vibration at each beat.
    """
    shown = animate([0.0, max(seconds, 1.0 / led_hz)], [emotion] * 2, settings, rate_hz=led_hz)
    shown.check(48)
    poses = shown.poses[: max(1, round(seconds * led_hz))]
    led = np.array([_bits(p.scale) for p in poses], np.uint8)
    phases = np.array([p.phase for p in poses])
    beats = np.flatnonzero((phases[1:] >= 0.25) & (phases[:-1] < 0.25)) + 1
    pulses = tuple(Pulse(float(k / led_hz), float(k / led_hz + pulse_s)) for k in beats)
    made = Program(led, led_hz, pulses)
    made.check()
    return made


def _bits(scale: float) -> np.ndarray:
    """Return a heart of this size on 8 by 8 dots: a dot is lit where its middle is inside the curve."""
    import cv2

    place = (np.arange(SIDE) - (SIDE - 1) / 2) / (SIDE / 2) * 1.15
    outline = (curve() * (1, -1) - (0, 2.5)).astype(np.float32) / 17.0 * scale
    lit = [
        [cv2.pointPolygonTest(outline, (float(x), float(y)), False) >= 0 for x in place]
        for y in place
    ]
    return np.array(lit, np.uint8)


def read_program(path: str | os.PathLike[str]) -> Program:
    """Read a program of the schema `facelab.feedback/1` (JSON).

    Raises
    ------
    BadInputError
        The file is missing or malformed; the place in it is named.
    """
    with at(os.fspath(path)):
        return program_of(read_json(path))


def program_of(document: Any) -> Program:
    """Return the program of a document. Raises BadInputError for anything but what `to_dict` writes."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise BadInputError(
            "this is not a feedback program", expected=f'"schema": "{SCHEMA}"', fix="see the how-to"
        )
    unknown = set(document) - {"schema", "led_hz", "led", "vibration", "tones", "rules"}
    if unknown:
        raise BadInputError(
            "a key is not known", where=sorted(unknown)[0], fix="correct or remove it"
        )
    rules = document.get("rules", {})
    if not isinstance(rules, dict) or set(rules) - {"gap_s", "drop_s", "least_s"}:
        raise BadInputError("the rules are not known", where="rules", fix="see the how-to")
    pictures = [_picture(text, f"led[{k}]") for k, text in enumerate(_list(document, "led"))]
    return Program(
        np.array(pictures, np.uint8).reshape(-1, SIDE, SIDE),
        _number(document.get("led_hz", 30.0), "led_hz"),
        tuple(
            Pulse(*_numbers(row, 2, f"vibration[{k}]"))
            for k, row in enumerate(_list(document, "vibration"))
        ),
        tuple(_tone(row, f"tones[{k}]") for k, row in enumerate(_list(document, "tones"))),
        PulseRules(**{k: _number(v, f"rules.{k}") for k, v in rules.items()}),
    )


def _list(document: dict[str, Any], name: str) -> Sequence[Any]:
    value = document.get(name, [])
    if not isinstance(value, list):
        raise BadInputError(
            "a list is missing", where=name, got=type(value).__name__, fix="write [ ]"
        )
    return value


def _picture(text: Any, where: str) -> list[int]:
    if not isinstance(text, str) or len(text) != SIDE * SIDE or set(text) - {"0", "1"}:
        raise BadInputError(
            "a picture is not 64 bits", where=where, expected="64 characters 0 or 1",
            got=text, fix="write eight rows of eight",
        )  # fmt: skip
    return [int(c) for c in text]


def _tone(row: Any, where: str) -> Tone:
    start, seconds, hertz, *priority = _numbers(row, (3, 4), where)
    tone = Tone(start, seconds, hertz, int(priority[0]) if priority else 0)
    with at(where):
        resolve_tones([tone])
    return tone


def _numbers(row: Any, n: int | tuple[int, int], where: str) -> list[float]:
    sizes = (n, n) if isinstance(n, int) else n
    if not isinstance(row, list) or not sizes[0] <= len(row) <= sizes[1]:
        raise BadInputError(
            "a row has a different number of values", where=where, expected=sizes[0], got=row,
            fix="see the how-to",
        )  # fmt: skip
    return [_number(v, where) for v in row]


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise BadInputError(
            "a value is not a number from 0 on",
            where=where,
            got=value,
            fix="write seconds or hertz",
        )
    return float(value)
