"""Training was not recognised: only how the sides' own values follow from each other may be said."""

from __future__ import annotations

import numpy as np

from facelab.fingerprint.diagnosis._case import Case, Outcome
from facelab.fingerprint.diagnosis._sample_relation import Relation, relate
from facelab.fingerprint.diagnosis.rules._classes import class_findings
from facelab.fingerprint.model._pipeline_state import Change
from facelab.fingerprint.probes._cache import EXOTIC
from facelab.fingerprint.search._thresholds import THRESHOLDS
from facelab.fingerprint.search.candidates import _colour as colour

NOTE = "the training pipeline was not recognised; the sides were compared with each other only"


def related_values(case: Case) -> Outcome | None:
    """Name turns, shifts, colours, scaling and tones that lead from training's values to inference's."""
    related = relate(case.train_samples, case.infer_samples)
    if related is None or related.loss > THRESHOLDS.related:
        return None
    if np.isfinite(related.before) and related.share < THRESHOLDS.related_share:
        return None
    colours = colour.explain(related.train, related.infer, whole=case.whole()).changes
    if any(c.kind == "unknown" for c in colours):
        return None
    if any(c.kind == "gamma" for c in related.changes):
        # a curve with a free line on both sides of it fits whatever is smooth
        free = any(c.kind in ("mean", "scale") for c in colours)
        if free or related.loss > THRESHOLDS.related_curve:
            return None
    if not related.known:
        colours = _relative(colours, related)
    found = [case.finding(c) for c in (*related.changes, *colours)]
    lossy = [n for n in case.names if case.known[n].lossy and n not in EXOTIC]
    for kind, stage, names in (
        ("exif_orientation", "orient", case.turned()),
        ("decoder", "decode", lossy),
    ):
        odd = related.unlike(case.train_samples, case.infer_samples, names)
        if kind == "exif_orientation" and _upright_too(case, related):
            continue  # it is not their orientation that sets them apart
        if not any(f.kind == "exif_orientation" for f in found):
            found += class_findings(case, kind, stage, odd)
    return Outcome(found, [NOTE], related.share) if found else None


def _upright_too(case: Case, related: Relation) -> bool:
    """Whether the upright picture among those with an EXIF orientation is unlike the plain ones as well."""
    upright = [n for n in case.names if n.startswith("exif_") and n not in case.turned()]
    return bool(related.unlike(case.train_samples, case.infer_samples, upright))


def _relative(changes: tuple[Change, ...], related: Relation) -> tuple[Change, ...]:
    """Scaling in relation to training's own values, whose pixels cannot be described."""
    kept = tuple(c for c in changes if c.stage != "normalize")
    if len(kept) == len(changes) or related.train.matrix.shape != related.infer.matrix.shape:
        return kept
    factor = related.infer.unit / related.train.unit
    offset = related.infer.offset - factor * related.train.offset
    kind = "scale" if np.abs(factor - 1).max() > 0.004 else "mean"
    words = "training's values times {} plus {}".format(
        *(", ".join(dict.fromkeys(f"{v:.4g}" for v in part)) for part in (factor, offset))
    )
    return (*kept, Change(kind, "normalize", "values as they are", words))
