"""The one table: one row per variant, as text for a reader and as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facelab.core.files import dumps
from facelab.core.machine import cpu_features
from facelab.core.wording import plural
from facelab.quantization._budgets import ONLY_COSINE
from facelab.quantization._session import FLOAT, Session

SCHEMA = "facelab.quantization/1"
VNNI = {"avx512_vnni", "avx_vnni"}


def rows(session: Session) -> list[dict[str, Any]]:
    """Return the rows as plain JSON, the float model first; raw latencies are left to the records."""
    return [
        {"variant": v, **{k: x for k, x in r.items() if k != "samples_s"}}
        for v, r in session.rows.items()
    ]


def statement(session: Session) -> list[str]:
    """Say, variant by variant and for each thread count, where integers are slower than float on this machine.

    Parameters
    ----------
    session : Session
        The session of a quantisation.

    Returns
    -------
    list of str
        One line per finding.
    """
    vnni = "has VNNI" if VNNI & cpu_features() else "has no VNNI instructions"
    said = []
    for variant, row in session.rows.items():
        for n, t in row.get("latency", {}).items():
            if variant == FLOAT:
                continue
            word = (
                "faster than"
                if t["speedup_lo"] > 1
                else "slower than"
                if t["speedup_hi"] < 1
                else "not clearly faster or slower than"
            )
            said.append(
                f"{variant} is {word} {FLOAT} here ({t['speedup']:.2f}× [{t['speedup_lo']:.2f}, "
                f"{t['speedup_hi']:.2f}], {n} thread{'s' if n != '1' else ''}; this processor {vnni})"
            )
    return said


def text(session: Session) -> str:
    """Return the table and the verdicts for a reader."""
    head = (
        "variant",
        "KiB",
        "size",
        "arena KiB",
        "RSS MiB",
        "P50 ms",
        "P90",
        "P99",
        "threads",
        "faster",
        "accuracy",
        "agreement",
        "worst class",
        "ΔECE",
        "cosine",
        "worst",
        "verdict",
    )
    lines = [
        head,
        *(
            _line(v, r, n)
            for v, r in session.rows.items()
            for n in (r.get("latency") or {"": None})
        ),
    ]
    said = statement(session)
    if session.onnx:
        said.append(
            "arena: –, since ONNX Runtime states no memory plan; RSS is what its process took"
        )
    if boxes := session.rows[FLOAT].get("boxes"):
        said.append(
            f"agreement: boxes that both networks find (IoU ≥ 0.5), of {boxes['float']} by {FLOAT} on "
            f"{boxes['images']} images"
        )
        said += [
            f"{v}: {b['variant']} boxes; finds {b['recall']:.1%} of {FLOAT}'s; as many on "
            f"{b['same_count']:.0%} of the images"
            for v, r in session.rows.items()
            if v != FLOAT and (b := r["boxes"])
        ]
    said += [f"{v}: {_task_words(t)}" for v, r in session.rows.items() if (t := r.get("at_task"))]
    return aligned(lines) + "".join(f"\n{s}" for s in said)


def _task_words(t: Mapping[str, Any]) -> str:
    """Say the figures at the network's task in a line."""
    if "tar" in t:
        return (
            f"TAR {t['tar']:.4f} [{t['tar_lo']:.4f}, {t['tar_hi']:.4f}] at FAR {t['far']:g}, "
            f"{t['pairs']} pairs"
        )
    ap = (
        f", AP {t['ap']:.3f} [{t['ap_lo']:.3f}, {t['ap_hi']:.3f}], recall {t['recall']:.3f}"
        if t.get("ap") is not None and t.get("ap_lo") is not None
        else ""
    )
    return f"exact count on {t['exact_count']} of {t['images']} labelled images{ap}"


def aligned(rows: list[tuple[str, ...]]) -> str:
    """Return rows of cells as lines with even columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows)


def layers_text(recipe: str, ranking: list[dict[str, Any]]) -> str:
    """Return the ranking of layers for a reader: the end metric first, a debugger's figures for comparison."""

    def show(value: float | None, form: str) -> str:
        return "–" if value is None else format(value, form)

    head = (
        "layer",
        "gives back",
        "cosine, it in float",
        "cosine, it alone in INT8",
        "SNR dB",
        "rmse/scale",
        "output",
    )
    rows = [
        (
            f"#{r['index']} {r['op']}",
            f"{r['recovered']:.3g}",
            f"{r['cosine_left_float']:.5f}",
            f"{r['cosine_alone']:.5f}",
            show(r.get("snr_db"), ".1f"),
            show(r.get("rmse_over_scale"), ".3f"),
            r["name"][-48:],
        )
        for r in ranking
    ]
    explained = (
        "what leaving a layer in float gives back of missed budgets; the cosine to the float output with it in float, "
        "and with it alone in INT8. SNR and rmse/scale are shown, not trusted: a healthy layer sits at 0.289 = 1/√12"
    )
    return f"\nlayers of {recipe}, most to blame first ({explained})\n{aligned([head, *rows])}\n"


def _line(variant: str, r: Mapping[str, Any], threads: str) -> tuple[str, ...]:
    t = (r.get("latency") or {}).get(threads)

    def show(value, form: str) -> str:
        return "–" if value is None else format(value, form)

    accuracy = (
        "–" if r["accuracy"] is None else "{value:.3f} [{lo:.3f}, {hi:.3f}]".format(**r["accuracy"])
    )
    worst = (
        "–"
        if r["accuracy"] is None
        else f"{r['worst_class']['change']:+.1f} {r['worst_class']['class']}"
    )
    return (
        variant,
        f"{r['bytes'] / 1024:.0f}",
        f"{r['size_ratio']:.3f}",
        show(r["arena_bytes"] and r["arena_bytes"] / 1024, ".0f"),
        show(r.get("peak_rss") and r["peak_rss"] / 2**20, ".0f"),
        *(show(t and t[k], ".3f") for k in ("p50_ms", "p90_ms", "p99_ms")),
        threads or "–",
        show(t and t["speedup"], ".2f"),
        accuracy,
        show((r["agreement"] or {}).get("value"), ".4f"),
        worst,
        show(r.get("ece_change"), "+.2f"),
        show(r["cosine"]["mean"], ".4f"),
        show(r["cosine"]["worst"], ".4f"),
        "float"
        if variant == FLOAT
        else "good"
        if r["verdict"]["passed"]
        else "misses " + ", ".join(r["verdict"]["failed"]),
    )


WORDS = {
    ONLY_COSINE: "a judgement: this network's kind is unknown, so only cosine was looked at; give it labels.txt, a "
    "spec that aligns faces or a family that facelab knows, or state with --accept-cosine that this suffices",
    "faces": "a judgement: the float model finds no face in the evaluation images",
}


UNITS = dict.fromkeys(("accuracy", "ap", "counts", "tar"), " of the float model's")
UNITS |= {"size": " of the float file", "worst_class": " points", "ece": " points"}
"""What a budget's value is, where it is not the figure of that name in the table."""


def _some(names: list[str]) -> str:
    """Return the first layers' names as JSON, and how many more there are; the report has them all.

    >>> _some(["a/b;c", "d", "e", "f", "g"])
    '["c", "d", "e"] and 2 more'
    >>> _some([])
    'nothing'
    """
    if not names:
        return "nothing"
    short = [n.split(";")[-1][-60:] for n in names[:3]]
    more = len(names) - len(short)
    return dumps(short) + (f" and {more} more" if more else "")


def _missed(check: dict[str, Any]) -> str:
    """Return a missed budget in words.

    >>> _missed({"budget": "accuracy", "value": 0.9, "limit": ">= 0.99"})
    "accuracy 0.9 of the float model's (budget >= 0.99)"
    """
    name, value = check["budget"], f"{check['value']:.4g}"
    return WORDS.get(name, f"{name} {value}{UNITS.get(name, '')} (budget {check['limit']})")


def verdicts(report: dict[str, Any]) -> str:
    """Say of each variant whether it meets its budgets, and what it misses."""
    lines = []
    for name, verdict in report["verdicts"].items():
        lines.append(
            f"{name}: "
            + (
                "all budgets met"
                if verdict["passed"]
                else "misses "
                + "; ".join(
                    WORDS.get(c["budget"], _missed(c)) for c in verdict["checks"] if not c["passed"]
                )
            )
        )
    if found := report["keep_float"]:
        lines.append(
            f"float layers that fix {found['recipe']}: {_some(found['layers'])}; {found['how']} "
            f"({plural(found['tried'], 'model')})"
            if found["met"]
            else f"{found['how']} ({plural(found['tried'], 'model')}); nearest: {found['variant']} with "
            f"{_some(found['layers'])} in float"
        )
    return "\n".join(lines)
