"""Bytes that are read by another rule than they were written: which picture comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facelab.fingerprint.model._budget import fit_work
from facelab.fingerprint.model._linear_fit import Linear, fit
from facelab.fingerprint.model._observed import Observed
from facelab.fingerprint.model._pipeline_state import State
from facelab.fingerprint.search._thresholds import THRESHOLDS

ALIGNMENTS = (4, 8, 16, 32, 64, 128, 256)
"""Bytes to whose multiples rows of pixels are padded."""
READ_AS = {
    "planes": ("channel planes", "read as interleaved pixels"),
    "pixels": ("interleaved pixels", "read as channel planes"),
    "columns": ("column by column", "read row by row"),
}
Places = NDArray[np.int64]
"""Which value of the written buffer each value that is read comes from, or `UNKNOWN`, `BLACK` or `WHITE`."""
Reading = tuple[str, str, Places]
"""How a buffer is written, how it is read, and from where its values then come."""
UNKNOWN, BLACK, WHITE = -1, -2, -3
"""Values that are not the picture's: beyond its buffer, never copied, and of an alpha channel."""


def readings(
    size: tuple[int, int], rows: Sequence[int], columns: Sequence[int]
) -> Iterator[Reading]:
    """Yield from where the values of a picture come (rows × columns × 3) whose buffer is read wrongly.

    The buffer holds height × width × 3 bytes, row by row and pixel by pixel. `size` is (width, height).
    """
    w, h = size
    pixel: Places = np.asarray(rows)[:, None] * w + np.asarray(columns)[None]
    channel: Places = np.arange(3)
    three, four = (pixel[..., None] * n + channel for n in (3, 4))
    length = h * w * 3
    yield "four bytes a pixel, stride 4", "three bytes a pixel, stride 3", _without_alpha(three)
    yield (
        "three bytes a pixel, stride 3",
        "four bytes a pixel, stride 4",
        np.where(four < length, four, UNKNOWN),
    )
    for name, bytes_per_pixel in (("three", 3), ("four", 4)):
        for align in ALIGNMENTS:
            row = w * bytes_per_pixel
            padded = -(-row // align) * align
            if padded != row:
                words = f"rows of {name}-byte pixels padded to {align} bytes"
                yield from _strides(size, pixel, padded, bytes_per_pixel, words)
    yield from _transposed(size, pixel)
    for n in OFFSETS:
        bytes_ = f"{n} byte{'s' * (n > 1)}"
        for moved, words in ((three - n, "before"), (three + n, "after")):
            inside = (moved >= 0) & (moved < length)
            read = f"from {bytes_} {words} it"
            yield "from its first byte", read, np.where(inside, moved, UNKNOWN)
    for share, words in ((1 / 4, "a quarter"), (1 / 3, "a third"), (1 / 2, "half"), (3 / 4, "3/4")):
        planar = channel * (h * w) + pixel[..., None]
        for order, at in (("interleaved", three), ("planar", planar)):
            copied = np.where(at < int(length * share), three, BLACK)
            yield "the whole buffer", f"only {words} of the {order} bytes are copied", copied


OFFSETS = (1, 2, 4, 8, 16, 54)
"""Bytes by which a buffer is read too late or too early: an index that is off by a little, or a header."""


def _without_alpha(at: Places) -> Places:
    """Places in a buffer of four bytes a pixel as places in one of three."""
    pixel, channel = np.divmod(at, 4)
    return np.where(at < 0, at, np.where(channel == 3, WHITE, pixel * 3 + channel))


def _strides(
    size: tuple[int, int], pixel: Places, padded: int, bytes_per_pixel: int, words: str
) -> Iterator[Reading]:
    w, h = size
    used = w * bytes_per_pixel
    at: Places = pixel[..., None] * bytes_per_pixel + np.arange(3)
    row, place = np.divmod(at, padded)
    ignored = np.where(place < used, row * used + place, UNKNOWN)
    late: Places = at // used * padded + at % used
    taken = np.where(late < h * used, late, UNKNOWN)
    if bytes_per_pixel == 4:
        ignored, taken = _without_alpha(ignored), _without_alpha(taken)
    yield words, "the row stride is ignored", ignored
    yield "rows without padding", words, taken


def _transposed(size: tuple[int, int], pixel: Places) -> Iterator[Reading]:
    """What comes out of a reshape where a transpose was needed."""
    w, h = size
    channel: Places = np.arange(3)
    plane, place = np.divmod(pixel[..., None] * 3 + channel, h * w)
    column, row = np.divmod(pixel, h)
    for name, at in (
        ("planes", place * 3 + plane),
        ("pixels", channel * (h * w) + pixel[..., None]),
        ("columns", (row * w + column)[..., None] * 3 + channel),
    ):
        written, read = READ_AS[name]
        yield written, f"{read} without a transpose", at


def taken(picture: NDArray[Any], at: Places) -> NDArray[Any]:
    """Return the values of a picture (height × width × 3) at places of its buffer; NaN where they cannot be known."""
    out = picture.reshape(-1)[np.maximum(at, 0)].astype(np.float64)
    for mark, value in ((UNKNOWN, np.nan), (BLACK, 0.0), (WHITE, 255.0)):
        out[at == mark] = value
    return out


KNOWN = 0.4
"""The share of the samples of which a reading must say something."""


def behind_geometry(
    observed: Observed, names: Sequence[str], picture: Callable[[str], NDArray[Any] | None]
) -> tuple[str, str, Linear] | None:
    """Return the reading of the network's own picture that explains the samples best: (written, read, fit).

    `picture` gives the whole picture of a probe (height × width × 3), which costs much. A reading that leaves too much
    of the first one is not held against the others.
    """
    parts: dict[tuple[str, str, bool], list[tuple[NDArray[Any], NDArray[Any]]]] = {}
    best: tuple[str, str, Linear] | None = None
    for count, n in enumerate(names, 1):
        if (whole := picture(n)) is None:
            return None
        y = observed.y[n].reshape(-1, observed.channels)
        found: dict[tuple[str, str, bool], Linear] = {}
        for blue_first in (False, True):
            seen = np.ascontiguousarray(whole[..., ::-1]) if blue_first else whole
            for written, read, at in readings(
                observed.size[n], observed.rows[n], observed.columns[n]
            ):
                key = written, read, blue_first
                if count > 1 and key not in parts:
                    continue
                parts.setdefault(key, []).append((taken(seen, at).reshape(-1, 3), y))
                if (linear := _fitted(observed, parts[key])) is not None:
                    found[key] = linear
        limit = 2 * THRESHOLDS.related * np.sqrt(len(names) / count)
        parts = {k: parts[k] for k, linear in found.items() if linear.loss <= limit}
        if not parts:
            return None
        (written, read, _), linear = min(found.items(), key=lambda t: t[1].loss)
        best = written, read, linear
    return best


def _fitted(observed: Observed, parts: list[tuple[NDArray[Any], NDArray[Any]]]) -> Linear | None:
    """The fit where enough is known; None elsewhere."""
    x, y = (np.concatenate([p[k] for p in parts]) for k in (0, 1))
    observed.budget.spend(fit_work(len(x)))
    known = np.isfinite(x).all(axis=1)
    return fit(x[known], y[known]) if known.sum() >= KNOWN * len(x) else None


HOPELESS = 4.0
"""Levels RMS from which a reading of the source is not believed any more."""
SOURCE_READINGS = {
    "planes": ("chroma interleaved", "chroma read as two planes"),
    "interleaved": ("chroma in two planes", "chroma read as interleaved"),
    "half_row": ("a chroma row is the picture's width", "chroma rows taken for half as long"),
    "uyvy": ("YUYV", "read as UYVY"),
    "vyuy": ("YUYV", "read as VYUY"),
    "stride_4": ("rows padded to 4 bytes", "the row stride is ignored"),
    "stride_16": ("rows padded to 16 bytes", "the row stride is ignored"),
    "stride_32": ("rows padded to 32 bytes", "the row stride is ignored"),
    "stride_64": ("rows padded to 64 bytes", "the row stride is ignored"),
}
"""Readings of the source itself (`model._tones.misread`): how it is written, and how it is read."""


def before_geometry(observed: Observed, state: State) -> tuple[str, str, State, Linear] | None:
    """Return the reading of the source that explains the samples best: (written, read, state, fit)."""
    raw = observed.family in ("yuyv", "nv12")
    best: tuple[str, str, State, Linear] | None = None
    few = observed.colourful[:2]
    share = np.sqrt(len(few) / len(observed.screen))
    for how, (written, read) in SOURCE_READINGS.items():
        if raw == how.startswith("stride") or (how == "half_row" and observed.family != "nv12"):
            continue
        for more in ((), (("swap_uv", None),)) if raw else ((),):
            trial = state._replace(head=(("misread", how), *more, *state.head))
            # what is left of few pictures alone is left of all
            if observed.score(trial, few).loss * share > HOPELESS:
                continue
            linear = observed.score(trial)
            if best is None or linear.loss < best[3].loss:
                words = f"{read}, U and V swapped" if more else read
                best = written, words, trial, linear
    return best
