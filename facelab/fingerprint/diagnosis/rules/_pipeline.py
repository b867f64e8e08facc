"""Single changes that lead from the training side's pipeline to the inference side's."""

from __future__ import annotations

import numpy as np

from facelab.fingerprint.diagnosis._case import Case, Outcome
from facelab.fingerprint.diagnosis._finding_kinds import Finding
from facelab.fingerprint.diagnosis.rules._classes import decoder_finding, exif_finding
from facelab.fingerprint.model._observed import curve_residual
from facelab.fingerprint.model._operations import Align, Refused, Resize, Warp
from facelab.fingerprint.model._pipeline_state import Change
from facelab.fingerprint.model._tones import Weights
from facelab.fingerprint.search._identify import identify, start_of
from facelab.fingerprint.search._other_side import infer_side
from facelab.fingerprint.search._sides import (
    Identified,
    border_levels,
    comparable_scaling,
    steps_of,
)
from facelab.fingerprint.search._thresholds import THRESHOLDS
from facelab.fingerprint.search.candidates import _colour as colour

VALUE_KINDS = (
    "mean",
    "scale",
    "value_range",
    "yuv_range",
    "yuv_matrix",
    "gamma",
    "histogram",
    "saturation",
    "quantization",
    "double_normalization",
    "missing_normalization",
)
"""Causes that change a border's value too."""


def changed_pipeline(case: Case) -> Outcome | None:
    """Search for the inference side's pipeline and say what was changed; None unless it leaves rounding only."""
    inference = _inference(case)
    if not explains(inference):
        return None
    found = _steps(case, inference) + _levels(case, inference)
    notes: list[str] = []
    samples = case.infer_samples
    count = sum(samples.y[n][..., 0].size for n in samples.plain)
    seen = inference.linear.n > THRESHOLDS.seen * count
    if not seen:
        notes.append(
            "hardly anything of the pictures is seen; colours and scaling were not compared"
        )
    else:
        colours = _colours(case, inference, found)
        if colours is None:
            return None
        found += colours
    if seen:
        found += _borders(case, inference, found)
    found += exif_finding(case, inference)
    if not any(t[0] == "wrap" for t in inference.state.tail):
        found += decoder_finding(case, inference, found)
    if not found:
        return _rounding(case, inference)
    before, after = case.before(), inference.linear.loss
    known = np.isfinite(before) and before > 0
    share = float(np.clip(1 - (after / before) ** 2, 0, 1)) if known else None
    if len(found) == 1 and found[0].evidence["explains"] is None and share is not None:
        found[0].evidence["explains"] = round(share, 4)
    return Outcome(found, notes, share)


def _inference(case: Case) -> Identified:
    start = start_of(case.infer, case.infer_samples)
    if start is not None:
        found = identify(case.infer, case.infer_samples, start)
        if found.good:
            return found
    return infer_side(case.training, case.infer_samples)


def explains(side: Identified) -> bool:
    """Whether what was found leaves rounding, or what its own kind of cause makes of a rounding."""
    kinds = {c.kind for c, _, _ in side.steps}
    curve = next((t for t in side.state.tail if t[0] == "curve"), None)
    if curve is not None and "quantization" not in kinds:
        return (
            curve_left(side, curve[1]) <= THRESHOLDS.explained_curve
            and border_left(side) <= THRESHOLDS.explained_curve
        )
    words = " ".join(c.after for c, _, _ in side.steps)
    left, limit = side.linear.loss, THRESHOLDS.explained
    if "histogram" in kinds and side.has_contrast:
        # contrast that depends on the picture may fail on an odd one
        left = min(left, side.screened)
        limit = max(THRESHOLDS.explained_contrast, 1.35 * side.enlarged)
    elif "recompressed" in words:
        limit = THRESHOLDS.explained_codec
    elif "quantization" in kinds and any(t[0] == "curve" for t in side.state.tail):
        return True  # `curved` has seen that neighbouring values do not overlap
    elif kinds & {"yuv_range", "yuv_matrix"}:
        limit = THRESHOLDS.explained_recoding
    return bool(np.isfinite(left) and left <= max(limit, THRESHOLDS.lattice * side.floor))


def curve_left(side: Identified, gray: Weights | None) -> float:
    """Return the levels RMS that a free curve for each picture leaves, of the pixels about the output where the curve
    is steep: there a rounding before it is many levels behind it."""
    samples = side.observed
    try:
        parts = samples.curve_parts(side.state, side.linear, samples.screen, gray)
    except Refused:
        return np.inf
    left = [min(curve_residual(z, y), curve_residual(y, z)) for z, y in parts]
    return float(np.sqrt(np.median(left))) if left else np.inf


def border_left(side: Identified) -> float:
    """Return the levels RMS by which what is beside the picture varies, 0 where there is nothing."""
    samples = side.observed
    values: list[np.ndarray] = []
    for n in samples.screen:
        try:
            beside = samples.cover(side.state, n) < 1e-4
        except Refused:
            return np.inf
        values.append(samples.y[n].reshape(-1, samples.channels)[beside])
    border = np.concatenate(values)
    if len(border) < 8:
        return 0.0
    return float(np.sqrt(np.mean(((border - np.median(border, axis=0)) / side.linear.unit) ** 2)))


def _steps(case: Case, inference: Identified) -> list[Finding]:
    """A finding for each step of the search, with the share of the difference that it took away."""
    first = next((was for _, was, _ in inference.steps if np.isfinite(was)), 1.0)
    found: list[Finding] = []
    shaped = False
    for change, was, now in inference.steps:
        if shaped and change.before.startswith("free side rounded"):
            continue  # a detail of the step that was changed
        shaped = shaped or change.kind in ("aspect", "crop", "size")
        power = max(0.0, was**2 - now**2) if np.isfinite(was) else None
        f = case.finding(change, None if power is None else power / max(first**2, 1e-12))
        if power is not None:
            f.evidence["levels"] = round(float(np.sqrt(power)), 3)
        found.append(f)
    return found


def _levels(case: Case, inference: Identified) -> list[Finding]:
    """Fewer levels than training's, where nothing else says so."""
    a = steps_of(case.train_samples, case.training.linear)
    b = steps_of(case.infer_samples, inference.linear)
    if b <= 2.5 or b <= 1.5 * a:
        return []
    words = f"steps of {a:.2g} levels" if a > 0.3 else "no steps", f"steps of {b:.3g} levels"
    return [case.finding(Change("quantization", "quantize", *words))]


def _colours(case: Case, inference: Identified, found: list[Finding]) -> list[Finding] | None:
    """What the two linear maps say; None where they differ by something that has no name."""
    kinds = {f.kind for f in found}
    if any(t[0] == "curve" for t in inference.state.tail):
        return []
    explained = colour.explain(
        case.training.linear,
        inference.linear,
        whole=case.whole(),
        bent=bool(kinds & {"gamma", "histogram", "saturation"}),
    )
    if any(c.kind == "unknown" for c in explained.changes):
        return None
    silent: tuple[str, ...] = ("mean", "scale") if "quantization" in kinds else ()
    if any(t[0] == "wrap" for t in inference.state.tail):
        silent = VALUE_KINDS  # where bytes wrap says it already
    if not comparable_scaling(case.training, inference):
        silent = VALUE_KINDS
    return [case.finding(c) for c in explained.changes if c.kind not in silent]


MIXED = -0.05
"""The share of a map's largest entry from which a negative one shows planes that mix colours."""


def _borders(case: Case, inference: Identified, found: list[Finding]) -> list[Finding]:
    a, b = border_levels(case.training), border_levels(inference)
    if a is None or b is None or len(a) != len(b) or np.abs(a - b).max() <= 4:
        return []
    if any(f.kind in VALUE_KINDS for f in found):
        return []
    if inference.linear.matrix.min() < MIXED * np.abs(inference.linear.matrix).max():
        return []  # the border's planes are in another colour space, so they need not be gray
    words = [", ".join(f"{v:.0f}" for v in x) for x in (a, b)]
    return [case.finding(Change("aspect", "pad", f"border {words[0]}", f"border {words[1]}"))]


def _rounded(case: Case, inference: Identified) -> float:
    """The levels that a rounding may come to on single samples."""
    if any(t[0] == "space" for t in inference.state.tail):
        return np.inf  # it turns hue anywhere where there is hardly any colour
    # it decides between two pixels where nearest neighbour falls on their border, if both sides use it
    if _nearest(inference) and _nearest(case.training):
        return np.inf
    if any(isinstance(op, (Align, Warp)) for op in inference.state.chain):
        return WARPED  # the same warp, whose weights are exact or in 32nds
    return 2.1


def _nearest(side: Identified) -> bool:
    return any(isinstance(op, Resize) and op.kernel == "nearest" for op in side.state.chain)


WARPED = 14.0
"""Levels by which 32nds of a pixel move a sample at most: half of one, of an edge from black to white, each way."""


def _rounding(case: Case, inference: Identified) -> Outcome | None:
    """The same pipeline explains both sides: what is left is rounding, if it is small."""
    apart = [d["p99"] for n in case.infer_samples.plain if (d := case.distances[n]) is not None]
    if not apart and inference.good:
        sizes = [
            "{}×{}".format(*side.size[side.screen[0]])
            for side in (case.train_samples, case.infer_samples)
        ]
        return Outcome([case.finding(Change("size", "resize", *sizes))])
    if not apart or not inference.good or max(apart) > _rounded(case, inference):
        return None
    note = (
        f"the same pipeline explains both sides; they differ by up to {max(apart):.2f} levels, "
        "which is rounding"
    )
    return Outcome([], [note], 1.0)
