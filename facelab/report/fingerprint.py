"""The page of a comparison: the causes, and both sides' probes with their difference. One file, no network."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from facelab.core.errors import FacelabError
from facelab.core.files import write_text
from facelab.core.templates import render
from facelab.fingerprint import Comparison
from facelab.fingerprint.capture import read_tensor
from facelab.fingerprint.diagnosis import common_samples
from facelab.fingerprint.document import canonical
from facelab.fingerprint.probes import encode_png

if TYPE_CHECKING:
    import pandas as pd


SHOWN = 12
SIDE = 160
"""Pictures are shown this many CSS pixels wide."""


def write_page(
    comparison: Comparison,
    path: str | os.PathLike,
    *,
    tensors: tuple[str | None, str | None] = (None, None),
) -> Path:
    """Write the page atomically. `tensors` are folders with either side's golden tensors; without them the pictures
    are the fingerprints' own samples (at most 16 × 16 points)."""
    return write_text(path, page(comparison, tensors=tensors))


def page(comparison: Comparison, *, tensors: tuple[str | None, str | None] = (None, None)) -> str:
    """Return the page as HTML text."""
    return render(
        "report/templates/fingerprint.html.j2",
        c=comparison,
        words=_words(comparison),
        pictures_are=_what(tensors),
        probes=[_probe(comparison, name, tensors) for name in _worst(comparison)],
    )


def _words(c: Comparison) -> str:
    n = len(c.distances)
    if c.verdict == "identical":
        return f"Every one of {n} probes gives the same bytes."
    off = sum(d is None or d["rms"] > 1.0 for d in c.distances.values())
    if c.verdict == "equivalent":
        return f"{n} probes agree to within rounding."
    return f"{off} of {n} probes differ by more than rounding; {len(c.findings)} cause(s) named."


def _what(tensors: Any) -> str:
    if all(tensors):
        return "Pictures are the golden tensors."
    return (
        "Pictures are the samples that the fingerprints hold (up to 16 × 16 points of each tensor)."
    )


def _worst(c: Comparison) -> list[str]:
    def apart(name: str) -> float:
        distance = c.distances[name]
        return np.inf if distance is None else distance["rms"]

    return sorted(c.distances, key=apart, reverse=True)[:SHOWN]


def _picture(c: Comparison, side: int, name: str, folder: str | None) -> np.ndarray:
    if folder:
        try:
            return canonical(read_tensor(Path(folder), name))[0].astype(np.float64)
        except (FacelabError, OSError):
            pass  # no tensor of this probe in the folder: the fingerprint's own samples still show it
    return (c.train, c.infer)[side].samples(name)


def _probe(c: Comparison, name: str, tensors: Any) -> dict[str, str]:
    a, b = (_picture(c, k, name, tensors[k]) for k in (0, 1))
    if not any(tensors):
        a, b = common_samples(c.train, c.infer, name) or (a, b)
    d = c.distances[name]
    caption = (
        "the sizes differ" if d is None else f"{d['rms']:.2f} levels RMS, at most {d['max']:.1f}"
    )
    lo, hi = float(a.min()), float(a.max())
    difference = _difference(a, b)
    return {
        "name": name,
        "caption": caption,
        "training": _uri(_gray(a, lo, hi)),
        "inference": _uri(_gray(b, lo, hi)),
        "difference": "" if difference is None else _uri(difference),
    }


def _gray(x: np.ndarray, lo: float, hi: float) -> np.ndarray:
    y = np.clip((x - lo) / (hi - lo if hi > lo else 1.0), 0, 1)
    y = np.repeat(y[..., :1], 3, axis=-1) if y.shape[2] != 3 else y
    return np.rint(y * 255).astype(np.uint8)


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """Signed mean difference: orange where inference is higher, blue where it is lower, on mid-gray."""
    if a.shape[:2] != b.shape[:2]:
        return None
    d = b.mean(axis=2) - a.mean(axis=2)
    if a.shape[2] == b.shape[2] and np.abs(d).max() < 1e-9 and np.abs(a - b).max() > 0:
        d = np.abs(b - a).max(axis=2)
    d = d / max(float(np.abs(d).max()), 1e-12)
    base, up, down = (
        np.array(v, dtype=np.float64) for v in ((238, 238, 238), (213, 94, 0), (0, 114, 178))
    )
    t = np.abs(d)[..., None]
    return np.rint(base * (1 - t) + np.where(d[..., None] > 0, up, down) * t).astype(np.uint8)


def _uri(pixels: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(
        encode_png(np.ascontiguousarray(pixels))
    ).decode("ascii")


def matrix_figure(rows: list) -> Figure:
    """Plot the planted matrix: one row per mistake, a column a base and a side; a mark says whether it was named.

    `rows` are `facelab.studies.planted.Row`. Returns a matplotlib Figure.
    """
    from facelab.report.style import BAD, GOOD, figure

    names = list(dict.fromkeys(" + ".join(r.mistakes) for r in rows))
    columns = list(dict.fromkeys((r.base, r.side) for r in rows))
    fig, ax = figure(9.5, 1.6 + 0.2 * len(names))
    for r in rows:
        x, y = columns.index((r.base, r.side)), names.index(" + ".join(r.mistakes))
        ax.plot(
            x,
            y,
            marker="o" if r.right else "X",
            color=GOOD if r.right else BAD,
            markersize=7,
            linestyle="none",
        )
    ax.set_xticks(
        range(len(columns)),
        [base.replace("-", "\n", 1) + "\n" + side for base, side in columns],
        fontsize=8,
    )
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(-0.6, len(columns) - 0.4)
    ax.xaxis.tick_top()
    right = sum(r.right for r in rows)
    ax.set_xlabel(
        f"circle: named rightly (harmless: no alarm), {right} of {len(rows)}; cross: not; empty: does not apply"
    )
    return fig


def probes_figure(comparison: Comparison, names: list[str] | None = None) -> Figure:
    """Plot some probes of both sides and their difference, as the fingerprints' samples show them.

    Returns a matplotlib Figure.
    """
    from facelab.report.style import figure

    names = names or _worst(comparison)[:4]
    fig, axes = figure(2.1 * len(names), 6.0, rows=3, columns=len(names), squeeze=False)
    for column, name in enumerate(names):
        a, b = common_samples(comparison.train, comparison.infer, name) or (
            comparison.train.samples(name),
            comparison.infer.samples(name),
        )
        lo, hi = float(a.min()), float(a.max())
        difference = _difference(a, b)
        for row, (label, picture) in enumerate(
            (
                ("training", _gray(a, lo, hi)),
                ("inference", _gray(b, lo, hi)),
                ("difference", difference),
            )
        ):
            ax = axes[row, column]
            ax.set_xticks([])
            ax.set_yticks([])
            ax.grid(False)
            if picture is not None:
                ax.imshow(picture, interpolation="nearest", aspect="auto")
            if row == 0:
                ax.set_title(name, fontsize=10)
            if column == 0:
                ax.set_ylabel(label)
    return fig


def matrix_table(rows: list) -> pd.DataFrame:
    """Return the matrix as a pandas table: planted, base, side, verdict, kinds named, share explained, right."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "planted": " + ".join(r.mistakes),
                "base": r.base,
                "side": r.side,
                "verdict": r.verdict,
                "named": ", ".join(r.found),
                "explained": r.explained,
                "right": r.right,
            }
            for r in rows
        ]
    )
