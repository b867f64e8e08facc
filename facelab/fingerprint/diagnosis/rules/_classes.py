"""Plain pictures agree: only decoding, orientation or the reading of YUV can differ."""

from __future__ import annotations

import dataclasses

import numpy as np

from facelab.fingerprint.diagnosis._case import Case, Outcome
from facelab.fingerprint.diagnosis._finding_kinds import Finding
from facelab.fingerprint.model._pipeline_state import Change
from facelab.fingerprint.probes._cache import EXOTIC
from facelab.fingerprint.search._sides import (
    Identified,
    applies_exif,
    comparable_scaling,
    lossy_error,
    plain_error,
)

BENDING = ("gamma", "histogram", "quantization", "saturation")
"""Causes that enlarge the decoders' rounding."""


def not_finite(case: Case) -> list[Finding]:
    """Return a finding for NaN and infinity, which are pixels of no pipeline; they count however few they are."""
    odd = [n for n, d in case.distances.items() if d is not None and d["nonfinite"]]
    if not odd:
        return []
    words = [
        f"NaN or infinity on {count} probes" if count else "finite numbers"
        for side in (case.train, case.infer)
        for count in [sum("nonfinite" in side.output[n] for n in odd)]
    ]
    return [case.finding(Change("unknown", "output", *words), None, odd[0])]


def by_class_of_probe(case: Case) -> Outcome:
    """Say which class of probes differs: turned ones, JPEGs, transparent ones, frames of full range."""
    worst = {
        n: d
        for n, d in case.distances.items()
        if d is not None and not case.same(n) and n not in EXOTIC
    }
    turned = {n for n in worst if case.known[n].source.orientation != 1}
    lossy = {n for n in worst if case.known[n].lossy} - turned
    upright = [
        n for n in case.names if case.known[n].lossy and case.known[n].source.orientation == 1
    ]
    found: list[Finding] = []
    same_pipeline = _as_training(case)
    if turned and not lossy & set(upright):
        found += exif_finding(case, same_pipeline) or [
            _class(case, "exif_orientation", "orient", turned, "as training", "otherwise")
        ]
    elif lossy or turned:
        found.append(_class(case, "decoder", "decode", lossy or turned, *_decoders(case)))
        found += exif_finding(case, same_pipeline)
    for n in sorted(set(worst) - turned - lossy):
        found.append(_rest(case, n))
    return Outcome(found, explained=1.0 if found else None)


def _rest(case: Case, n: str) -> Finding:
    if n == "alpha":
        words = "transparency as in training", "composited or dropped"
        return _class(case, "decoder", "decode", {n}, *words)
    if case.known[n].range:
        words = "full-range frames as in training", "otherwise"
        return _class(case, "yuv_range", "color", {n}, *words)
    return _class(case, "unknown", "output", {n}, "as training", "otherwise")


def _as_training(case: Case) -> Identified:
    """The inference side, taken to do what training does."""
    return dataclasses.replace(case.training, observed=case.infer_samples)


def _decoders(case: Case) -> tuple[str, str]:
    a, b = lossy_error(case.training), None
    if case.training.good:
        b = lossy_error(_as_training(case))

    def words(e: float | None) -> str:
        if e is None:
            return "another JPEG decoder"
        accurate = "accurate JPEG decoder (ISLOW)"
        return accurate if e < 1.0 else f"JPEG decoder off by {e:.1f} levels (fast DCT?)"

    told = words(a), words(b)
    if told[0] != told[1] or a is None:
        return told
    # each is accurate by itself, and they are apart: mostly the colours of 4:2:0 pictures
    return told[0], "another accurate JPEG decoder (colours repeated, not smoothed, in 4:2:0?)"


def _class(case: Case, kind: str, stage: str, names: set[str], *words: str) -> Finding:
    def rms(n: str) -> float:
        d = case.distances[n]
        return d["rms"] if d else np.inf

    return case.finding(Change(kind, stage, *words), 1.0, max(names, key=rms))


def class_findings(case: Case, kind: str, stage: str, names: list[str]) -> list[Finding]:
    """Return a finding for a class of probes that a relation between the sides does not explain."""
    return [_class(case, kind, stage, set(names), "as training", "otherwise")] if names else []


def exif_finding(case: Case, inference: Identified) -> list[Finding]:
    """Return a finding where only one side turns pictures by their EXIF orientation."""
    a, b = applies_exif(case.training), applies_exif(inference)
    if a is None or b is None or a == b:
        return []
    words = {True: "applies the EXIF orientation", False: "ignores it"}
    turned = {n: d["rms"] for n in case.turned() if (d := case.distances[n])}
    probe = max(turned, key=turned.__getitem__) if turned else "exif_6"
    return [case.finding(Change("exif_orientation", "orient", words[a], words[b]), None, probe)]


def decoder_finding(case: Case, inference: Identified, others: list[Finding]) -> list[Finding]:
    """Return a finding where a side's JPEG pictures are farther off than its other ones."""
    if not comparable_scaling(case.training, inference):
        return []
    a, b = lossy_error(case.training), lossy_error(inference)
    if a is None or b is None or not (case.training.good and inference.good):
        return []
    bent = any(f.kind in BENDING for f in others)
    known = max(min(a, b), plain_error(case.training), plain_error(inference))
    if abs(b - a) <= (4.0 if bent else 0.4) or max(a, b) <= 1.6 * known:
        return []
    words = f"JPEG within {a:.1f} levels of the accurate decoder", f"off by {b:.1f} levels"
    probe = next(n for n in case.names if case.known[n].lossy)
    found = case.finding(Change("decoder", "decode", *words), None, probe)
    found.evidence["value"] = round(b, 3)
    return [found]
