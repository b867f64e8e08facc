"""Negotiation: what was asked, what the source will really deliver, and what it offers instead."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelab.camera._errors import NegotiationError
from facelab.camera.pixels._formats import pixel_format
from facelab.core.errors import BadInputError, did_you_mean
from facelab.core.result import Result

if TYPE_CHECKING:
    pass

RATE_TOLERANCE = 0.002
"""Rates closer than this share count as equal: 30 and 30000/1001 frames per second do."""
ALLOWED = ("format", "size", "rate")


@dataclass(frozen=True)
class Mode:
    """One format and size that a source offers.

    Parameters
    ----------
    format
        A name of `FORMATS`, or an unknown FourCC code as the device gives it.
    width, height
        Pixels.
    rates
        Frames per second, fastest first; with `continuous` the highest and the lowest of a range. Empty where the
        source does not say.
    continuous
        Whether any rate between the two is offered.
    size_range
        (least width, most width, step, least height, most height, step) where sizes are a range; `width` and
        `height` are then its largest.

    Examples
    --------
    >>> mode = Mode("MJPG", 1280, 720, (30.0, 15.0))
    >>> mode.width, max(mode.rates)
    (1280, 30.0)
    """

    format: str
    width: int
    height: int
    rates: tuple[float, ...] = ()
    continuous: bool = False
    size_range: tuple[int, int, int, int, int, int] | None = None

    def offers_size(self, width: int, height: int) -> bool:
        """Return whether the mode has this size."""
        if self.size_range is None:
            return (width, height) == (self.width, self.height)
        w0, w1, dw, h0, h1, dh = self.size_range
        return (
            w0 <= width <= w1
            and h0 <= height <= h1
            and (width - w0) % max(1, dw) == 0
            and (height - h0) % max(1, dh) == 0
        )

    def offers_rate(self, rate: float) -> bool:
        """Return whether the mode has this rate; True where the source does not say."""
        if not self.rates:
            return True
        if self.continuous:
            return (
                min(self.rates) * (1 - RATE_TOLERANCE)
                <= rate
                <= max(self.rates) * (1 + RATE_TOLERANCE)
            )
        return any(same_rate(rate, r) for r in self.rates)

    def text(self) -> str:
        """Return the mode in one line, such as `YUYV 640x480 at 30, 15`."""
        size = f"{self.width}x{self.height}"
        if self.size_range is not None:
            w0, w1, _, h0, h1, _ = self.size_range
            size = f"{w0}x{h0} to {w1}x{h1}"
        joint = " to " if self.continuous else ", "
        rates = joint.join(f"{r:.4g}" for r in self.rates)
        return f"{self.format} {size}" + (f" at {rates}" if rates else "")


@dataclass(frozen=True)
class Request:
    """What a reader asks of a source; None leaves the choice to the source.

    Examples
    --------
    >>> Request(size=(640, 480), rate=30).size
    (640, 480)
    """

    format: str | None = None
    size: tuple[int, int] | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        if self.format is not None:
            object.__setattr__(self, "format", pixel_format(self.format).name)
        if self.size is not None:
            w, h = self.size
            if not (0 < w <= 1 << 15 and 0 < h <= 1 << 15):
                raise BadInputError(
                    "a frame size is out of range",
                    expected="1 to 32768 pixels each way",
                    got=f"{w}x{h}",
                    fix="give width and height in pixels",
                )
        if self.rate is not None and not 0 < self.rate < 1e5:
            raise BadInputError(
                "a frame rate is out of range",
                expected="more than 0 frames per second",
                got=self.rate,
                fix="give frames per second",
            )


@dataclass(frozen=True)
class Difference:
    """One thing that the source delivers otherwise than asked: `name` is `format`, `size` or `rate`."""

    name: str
    asked: str
    got: str


@dataclass(frozen=True)
class Contract(Result):
    """What a source has promised to deliver.

    Parameters
    ----------
    source
        The source's name.
    asked
        The request.
    format, width, height, rate
        What will be delivered; `rate` in frames per second, None where the source does not say.
    stride
        Bytes from one row to the next, 0 where the format has no rows.
    frame_bytes
        Bytes of one frame, at most.
    clock
        The name of the clock of its time stamps.
    colour_range
        `limited` or `full`.
    buffers
        How many frames the source can hold before it drops some.
    differences
        What differs from the request; each was allowed by name.
    offers
        Every mode that the source offers.
    """

    source: str
    asked: Request
    format: str
    width: int
    height: int
    rate: float | None
    stride: int
    frame_bytes: int
    clock: str
    colour_range: str = "full"
    buffers: int = 1
    differences: tuple[Difference, ...] = ()
    offers: tuple[Mode, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        out = dict(self.__dict__)
        out["asked"] = dict(self.asked.__dict__)
        out["differences"] = [dict(d.__dict__) for d in self.differences]
        out["offers"] = [m.text() for m in self.offers]
        return out

    def rows(self) -> list[dict[str, Any]]:
        """Return asked against got, one row per property."""
        size = None if self.asked.size is None else "x".join(map(str, self.asked.size))
        rate = None if self.asked.rate is None else f"{self.asked.rate:.4g}"
        got_rate = "unknown" if self.rate is None else f"{self.rate:.4g}"
        differs = {d.name for d in self.differences}
        table = (
            ("format", self.asked.format, self.format),
            ("size", size, f"{self.width}x{self.height}"),
            ("rate", rate, got_rate),
        )
        return [
            {"property": name, "asked": asked or "any", "got": got, "same": name not in differs}
            for name, asked, got in table
        ]


def same_rate(a: float, b: float) -> bool:
    """Return whether two rates count as equal.

    >>> same_rate(30, 30000 / 1001), same_rate(30, 29)
    (True, False)
    """
    return abs(a - b) <= RATE_TOLERANCE * max(a, b)


def check_allowed(allow: Collection[str]) -> None:
    """Raise BadInputError for a name that is not one of `ALLOWED`."""
    for name in [allow] if isinstance(allow, str) else allow:
        if name not in ALLOWED:
            raise BadInputError(
                f"a difference cannot be allowed by the name {name!r}{did_you_mean(name, ALLOWED)}",
                expected=", ".join(ALLOWED),
                got=name,
                fix="name what may differ from the request",
            )


def differences(
    asked: Request, format: str, width: int, height: int, rate: float | None
) -> tuple[Difference, ...]:
    """Return what differs between a request and what a source would deliver."""
    out = []
    if asked.format is not None and asked.format != format:
        out.append(Difference("format", asked.format, format))
    if asked.size is not None and tuple(asked.size) != (width, height):
        out.append(Difference("size", "{}x{}".format(*asked.size), f"{width}x{height}"))
    if asked.rate is not None and (rate is None or not same_rate(asked.rate, rate)):
        out.append(
            Difference("rate", f"{asked.rate:.4g}", "unknown" if rate is None else f"{rate:.4g}")
        )
    return tuple(out)


def settle(contract: Contract, allow: Collection[str]) -> Contract:
    """Return the contract, or raise NegotiationError where it differs in something that was not allowed."""
    check_allowed(allow)
    allow = {allow} if isinstance(allow, str) else set(allow)
    bad = [d for d in contract.differences if d.name not in allow]
    if bad:
        raise NegotiationError(
            f"the source delivers another {' and another '.join(d.name for d in bad)} than asked",
            where=contract.source,
            expected="; ".join(f"{d.name} {d.asked}" for d in bad),
            got="; ".join(f"{d.name} {d.got}" for d in bad),
            fix=f"ask for one of: {nearest(contract.offers, contract.asked)}; or allow the difference by name "
            f"({', '.join(d.name for d in bad)})",
        )
    return contract


def nearest(offers: Sequence[Mode], asked: Request, n: int = 4) -> str:
    """Return the modes that come nearest to a request, in words."""

    def distance(mode: Mode) -> tuple[float, float, float]:
        w, h = asked.size or (mode.width, mode.height)
        size = 0.0 if mode.offers_size(w, h) else abs(mode.width * mode.height - w * h) / (w * h)
        rate = 0.0 if asked.rate is None or mode.offers_rate(asked.rate) else 1.0
        return (asked.format not in (None, mode.format), size, rate)

    best = sorted(offers, key=distance)[:n]
    return " | ".join(m.text() for m in best) or "nothing (the source names no modes)"
