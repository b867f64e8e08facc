"""The page of a comparison: the causes, and both sides' probes with their difference. One file, no network."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from facelab.core.errors import FacelabError
from facelab.core.escape import markup
from facelab.core.files import write_text
from facelab.fingerprint import Comparison, Finding
from facelab.fingerprint.capture import read_tensor
from facelab.fingerprint.diagnosis import common_samples
from facelab.fingerprint.document import canonical
from facelab.fingerprint.probes import encode_png

if TYPE_CHECKING:
    import pandas as pd


SHOWN = 12
SIDE = 160
"""Pictures are shown this many CSS pixels wide."""

CSS = """
:root { color-scheme: light; --ink: #1f2937; --soft: #6b7280; --line: #e5e7eb; --good: #00755a; --bad: #b3420b;
  --warn: #8a6100; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink); margin: 0;
  background: #f9fafb; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 10px; }
.soft { color: var(--soft); } code { font: 13px ui-monospace, Menlo, Consolas, monospace; }
.verdict { display: inline-block; padding: 2px 12px; border-radius: 14px; color: #fff; font-weight: 600; }
.mismatch { background: var(--bad); } .equivalent, .identical { background: var(--good); }
.card { background: #fff; border: 1px solid var(--line); border-left: 4px solid var(--bad); border-radius: 6px;
  padding: 14px 18px; margin: 12px 0; }
.card.warn { border-left-color: #e69f00; } .card.benign { border-left-color: #009e73; }
.card h3 { margin: 0 0 6px; font-size: 16px; } .card h3 span { font-weight: 400; color: var(--soft); font-size: 14px; }
.card table { border-collapse: collapse; } .card td { padding: 1px 14px 1px 0; vertical-align: top;
  overflow-wrap: anywhere; }
.card td:first-child { color: var(--soft); white-space: nowrap; }
.fix { margin: 8px 0 0; } .bar { height: 6px; background: var(--line); border-radius: 3px; margin: 8px 0 0;
  max-width: 360px; }
.bar i { display: block; height: 6px; border-radius: 3px; background: #0072b2; }
.probes { display: grid; grid-template-columns: repeat(auto-fill, minmax(510px, 1fr)); gap: 14px; }
figure { margin: 0; background: #fff; border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px; }
figcaption { display: flex; justify-content: space-between; margin-bottom: 8px; }
.row { display: grid; grid-template-columns: repeat(3, 1fr); gap: 8px; text-align: center; font-size: 13px;
  color: var(--soft); }
.row img { width: 100%; height: 150px; object-fit: contain; background: #f3f4f6; image-rendering: pixelated;
  display: block; }
@media (max-width: 600px) { .probes { grid-template-columns: 1fr; } }
"""


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
    c = comparison
    title = f"{c.infer.name} against {c.train.name}"
    explained = (
        ""
        if c.explained is None or not c.findings
        else f"<p>Together these causes explain <b>{c.explained:.1%}</b> of the difference's power.</p>"
    )
    parts = [
        f"<h1>Preprocessing: {_t(c.infer.name)} against {_t(c.train.name)}</h1>",
        f'<p><span class="verdict {c.verdict}">{c.verdict}</span> <span class="soft">{_words(c)}</span></p>',
        *(f'<p class="soft">Note: {_t(n)}</p>' for n in c.notes),
        "<h2>Causes</h2>" if c.findings else "",
        *(_card(f) for f in c.findings),
        explained,
        _cost(c.cost),
        "<h2>Probes, worst first</h2>",
        "<p class='soft'>Values are brought to the training side's black and white; in the difference, mid-gray is "
        "equal and the strongest colour is the largest difference. " + _what(tensors) + "</p>",
        '<div class="probes">',
        *(_probe(c, n, tensors) for n in _worst(c)),
        "</div>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><title>{_t(title)}</title><style>{CSS}</style></head><body><main>'
        + "\n".join(p for p in parts if p)
        + "</main></body></html>\n"
    )


def _t(text: object) -> str:
    return markup(text)


def _words(c: Comparison) -> str:
    n = len(c.distances)
    if c.verdict == "identical":
        return f"Every one of {n} probes gives the same bytes."
    off = sum(d is None or d["rms"] > 1.0 for d in c.distances.values())
    if c.verdict == "equivalent":
        return f"{n} probes agree to within rounding."
    return f"{off} of {n} probes differ by more than rounding; {len(c.findings)} cause(s) named."


def _card(f: Finding) -> str:
    e = f.evidence
    rows = [("Training", f.training), ("Inference", f.inference)]
    if e.get("value") is not None:
        rows.append(("Evidence", f"{e['value']:g} {e['unit']} on probe “{e['probe']}”"))
    share = e.get("explains")
    bar = (
        ""
        if share is None
        else f'<div class="bar"><i style="width:{100 * min(max(share, 0), 1):.0f}%"></i></div>'
    )
    if share is not None:
        rows.append(("Explains", f"{share:.1%} of the difference"))
    table = "".join(f"<tr><td>{k}</td><td>{_t(v)}</td></tr>" for k, v in rows)
    return (
        f'<div class="card {f.severity}"><h3>{_t(f.kind.replace("_", " "))} <span>· stage {_t(f.stage)} · '
        f"{f.severity} ({_t(f.severity_from)})</span></h3><table>{table}</table>{bar}"
        f'<p class="fix"><b>Fix:</b> {_t(f.fix)}</p></div>'
    )


def _cost(cost: dict | None) -> str:
    if cost is None:
        return ""
    lines = []
    if cost["task"] == "classify":
        lines.append(
            f"Top-1 agreement <b>{cost['agreement']:.1%}</b> [{cost['lo']:.1%}, {cost['hi']:.1%}], {cost['n']} images."
        )
        if cost["accuracy"]:
            a = cost["accuracy"]
            lines.append(
                f"Accuracy {a['training']:.1%} → {a['inference']:.1%}: change {a['change']:+.1%} "
                f"[{a['lo']:+.1%}, {a['hi']:+.1%}]."
            )
    else:
        lines.append(
            f"Cosine of the two embeddings <b>{cost['cosine']:.4f}</b> [{cost['lo']:.4f}, {cost['hi']:.4f}], "
            f"worst {cost['cosine_worst']:.4f}, over {cost['n']} images."
        )
        if cost["tar"]:
            t = cost["tar"]
            lines.append(
                f"TAR at cosine {t['threshold']:.3f}: {t['training']:.1%} → {t['inference']:.1%}."
            )
    if cost["flips"]:
        items = "".join(
            f"<li><code>{_t(f['image'])}</code> {_t(f.get('training', ''))} → "
            f"{_t(f.get('inference', f.get('cosine')))}</li>"
            for f in cost["flips"][:40]
        )
        more = len(cost["flips"]) - 40
        lines.append(
            f"<details><summary>{len(cost['flips'])} images flip</summary><ul>{items}"
            + (f"<li>and {more} more</li>" if more > 0 else "")
            + "</ul></details>"
        )
    return "<h2>What it costs</h2>" + "".join(
        f"<p>{line}</p>" if not line.startswith("<d") else line for line in lines
    )


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


def _probe(c: Comparison, name: str, tensors: Any) -> str:
    a, b = (_picture(c, k, name, tensors[k]) for k in (0, 1))
    if not any(tensors):
        a, b = common_samples(c.train, c.infer, name) or (a, b)
    d = c.distances[name]
    caption = (
        "the sizes differ" if d is None else f"{d['rms']:.2f} levels RMS, at most {d['max']:.1f}"
    )
    lo, hi = float(a.min()), float(a.max())
    shown = [("training", _gray(a, lo, hi)), ("inference", _gray(b, lo, hi))]
    difference = _difference(a, b)
    pictures = "".join(
        f'<div><img alt="{label} side of {_t(name)}" src="{_uri(p)}">{label}</div>'
        for label, p in shown
    )
    third = (
        f'<div><img alt="difference on {_t(name)}" src="{_uri(difference)}">difference</div>'
        if difference is not None
        else '<div class="soft">no difference image: the sizes differ</div>'
    )
    return (
        f"<figure><figcaption><b>{_t(name)}</b><span class='soft'>{caption}</span></figcaption>"
        f'<div class="row">{pictures}{third}</div></figure>'
    )


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
