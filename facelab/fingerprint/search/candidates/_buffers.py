"""Bytes that are read by another rule than they were written: which picture comes out of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from facelab.fingerprint.model._linear_fit import Linear, fit
from facelab.fingerprint.model._observed import Observed
from facelab.fingerprint.model._pipeline_state import State

ALIGNMENTS = (4, 8, 16, 32, 64, 128, 256)
"""Bytes to whose multiples rows of pixels are padded."""
READ_AS = {
    "planes": ("channel planes", "read as interleaved pixels"),
    "pixels": ("interleaved pixels", "read as channel planes"),
    "columns": ("column by column", "read row by row"),
}
Reading = tuple[str, str, np.ndarray]
"""How it was written, how it is read, and the picture that comes out; NaN where it cannot be known."""


def readings(picture: np.ndarray) -> Iterator[Reading]:
    """Yield what comes out of a picture's buffer (height × width × 3, in its own channel order) read wrongly."""
    h, w, _ = picture.shape
    rgba = np.concatenate([picture, np.full((h, w, 1), 255.0, picture.dtype)], axis=2)
    flat = rgba.ravel()[: h * w * 3].reshape(h, w, 3)
    yield "four bytes a pixel, stride 4", "three bytes a pixel, stride 3", flat
    short = np.full(h * w * 4, np.nan, picture.dtype)
    short[: h * w * 3] = picture.ravel()
    read = short.reshape(h, w, 4)[..., :3]
    yield "three bytes a pixel, stride 3", "four bytes a pixel, stride 4", read
    for name, bytes_per_pixel in (("three", 3), ("four", 4)):
        whole = picture if bytes_per_pixel == 3 else rgba
        for align in ALIGNMENTS:
            row = w * bytes_per_pixel
            padded = -(-row // align) * align
            if padded != row:
                yield from _strides(whole, padded, f"rows of {name}-byte pixels padded to {align}")
    for words, read in (
        ("planes", picture.transpose(2, 0, 1).reshape(h, w, 3)),
        ("pixels", np.ascontiguousarray(picture).reshape(3, h, w).transpose(1, 2, 0)),
        ("columns", picture.transpose(1, 0, 2).reshape(h, w, 3)),
    ):
        yield f"{READ_AS[words][0]}", f"{READ_AS[words][1]} without a transpose", read
    yield from _displaced(picture)
    yield from _truncated(picture)


OFFSETS = (1, 2, 4, 8, 16, 54)
"""Bytes by which a buffer is read too late or too early: an index that is off by a little, or a header."""


def _displaced(picture: np.ndarray) -> Iterator[Reading]:
    flat = picture.ravel()
    for n in OFFSETS:
        late, early = np.full_like(flat, np.nan), np.full_like(flat, np.nan)
        late[n:], early[: len(flat) - n] = flat[: len(flat) - n], flat[n:]
        bytes_ = f"{n} byte{'s' * (n > 1)}"
        for read, words in ((late, "before"), (early, "after")):
            yield "from its first byte", f"from {bytes_} {words} it", read.reshape(picture.shape)


def _strides(whole: np.ndarray, padded: int, words: str) -> Iterator[Reading]:
    h, w, c = whole.shape
    written = np.full((h, padded), np.nan, whole.dtype)
    written[:, : w * c] = whole.reshape(h, w * c)
    yield (
        f"{words} bytes",
        "the row stride is ignored",
        written.ravel()[: h * w * c].reshape(h, w, c)[..., :3],
    )
    short = np.full(h * padded, np.nan, whole.dtype)
    short[: h * w * c] = whole.ravel()
    yield (
        "rows without padding",
        f"{words} bytes",
        short.reshape(h, padded)[:, : w * c].reshape(h, w, c)[..., :3],
    )


def _truncated(picture: np.ndarray) -> Iterator[Reading]:
    for share, words in ((1 / 4, "a quarter"), (1 / 3, "a third"), (1 / 2, "half"), (3 / 4, "3/4")):
        for axes, order in (((0, 1, 2), "interleaved"), ((2, 0, 1), "planar")):
            flat = np.ascontiguousarray(picture.transpose(axes)).ravel()
            flat[int(len(flat) * share) :] = 0.0
            shape = tuple(picture.shape[i] for i in axes)
            back = np.argsort(axes)
            read = flat.reshape(shape).transpose(back)
            yield "the whole buffer", f"only {words} of the {order} bytes are copied", read


def behind_geometry(
    observed: Observed, pictures: dict[str, np.ndarray]
) -> tuple[str, str, Linear] | None:
    """Return the reading of the network's own picture that explains the samples best: (written, read, fit)."""
    named: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    for n, picture in pictures.items():
        index = np.ix_(observed.rows[n], observed.columns[n])
        for order, seen in (("", picture), (", blue first", picture[..., ::-1])):
            for written, read, out in readings(seen):
                sampled = out[index].reshape(-1, 3)
                samples = observed.y[n].reshape(-1, observed.channels)
                named.setdefault((written + order, read), []).append((sampled, samples))
    best: tuple[str, str, Linear] | None = None
    for (written, read), parts in named.items():
        if len(parts) < len(pictures):
            continue
        x, y = (np.concatenate([p[k] for p in parts]) for k in (0, 1))
        known = np.isfinite(x).all(axis=1)
        if known.sum() < 0.4 * len(x):
            continue
        linear = fit(x[known], y[known])
        if best is None or linear.loss < best[2].loss:
            best = written.removesuffix(", blue first"), read, linear
    return best


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
