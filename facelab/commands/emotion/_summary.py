"""The figures of a classifier as text."""

from __future__ import annotations

from typing import Any


def summary(evaluation: Any) -> str:
    """Return accuracy, macro F1, calibration, and one row per class with its confusions."""
    figures = evaluation.to_dict()
    a = figures["accuracy"]
    wide = max(10, *(len(c) for c in figures["classes"]))
    lines = [
        f"accuracy {a['value']:.4f} [{a['lo']:.4f}, {a['hi']:.4f}] on {figures['n']} faces "
        f"({figures['correct']} right; majority class {figures['majority']:.4f})",
        f"macro F1 {figures['macro_f1']:.4f}, ECE {figures['ece']:.4f}",
        *(
            []
            if figures["better_than_guessing"]
            else [
                f"NO BETTER THAN GUESSING: always naming the most frequent class gives {figures['majority']:.4f}, and "
                "the interval does not lie above that"
            ]
        ),
        "",
        f"{'class':<{wide}} {'precision':>9} {'recall':>9} {'F1':>9} {'n':>6}   predicted as "
        + " ".join(f"{c[:8]:>8}" for c in figures["classes"]),
    ]
    for c, row in zip(figures["classes"], figures["confusion"]):
        p = figures["per_class"][c]
        shares = " ".join(
            f"{'–' if p[k] is None else format(p[k], '.4f'):>9}"
            for k in ("precision", "recall", "f1")
        )
        lines.append(
            f"{c:<{wide}} {shares} {p['support']:>6}                "
            + " ".join(f"{n:>8}" for n in row)
        )
    return "\n".join(lines)
