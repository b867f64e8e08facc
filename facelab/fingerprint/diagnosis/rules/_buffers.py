"""A tensor or frame whose bytes are read by another rule than they were written, or that a codec changed."""

from __future__ import annotations

import numpy as np

from facelab.fingerprint.diagnosis._case import Case, Outcome
from facelab.fingerprint.diagnosis._interface import WholeOutputs, reinterpreted
from facelab.fingerprint.model._linear_fit import Linear
from facelab.fingerprint.model._pipeline_state import Change
from facelab.fingerprint.search._thresholds import THRESHOLDS
from facelab.fingerprint.search.candidates import _colour as colour
from facelab.fingerprint.search.candidates._buffers import before_geometry, behind_geometry
from facelab.fingerprint.search.candidates._codec import recompressed

PROBES = 4


def misread_buffer(case: Case) -> Outcome | None:
    """Name a reshape without a transpose, a pixel or row stride that is ignored, chroma read in another layout."""
    whole = WholeOutputs(case.training)
    found = reinterpreted(case.training, case.infer_samples, whole)
    if found is not None:
        return Outcome([case.finding(found, 1.0)], explained=1.0, settles=("layout",))
    return _misread_source(case) or _misread_picture(case, whole)


def _misread_source(case: Case) -> Outcome | None:
    source = before_geometry(case.infer_samples, case.training.state)
    if source is None or source[3].loss > THRESHOLDS.related:
        return None
    written, read, _, linear = source
    return _with_colours(case, Change("layout", "decode", written, read), linear)


def _misread_picture(case: Case, whole: WholeOutputs) -> Outcome | None:
    samples = case.infer_samples
    if samples.channels != 3 or case.training.linear.matrix.shape[0] != 3:
        return None
    names = [n for n in samples.screen[:PROBES] if samples.size[n] == case.train_samples.size[n]]
    best = behind_geometry(samples, names, whole.pixels)
    if best is None or best[2].loss > THRESHOLDS.related:
        return None
    change = Change("layout", "layout", best[0], best[1])
    return Outcome([case.finding(change, 1.0)], explained=1.0, settles=("layout",))


def through_codec(case: Case) -> Outcome | None:
    """Name JPEG or WebP between the sides, with its estimated quality."""
    found = recompressed(case.infer_samples, case.training.state)
    if found is None:
        return None
    webp = found.codec == "WEBP"
    if found.linear.loss > (THRESHOLDS.explained_webp if webp else THRESHOLDS.explained_codec):
        return None
    if found.linear.loss > CODEC_SHARE * case.training_loss_at_inference():
        return None
    change = Change("decoder", "decode", "pixels as they were decoded", found.words())
    return _with_colours(case, change, found.linear)


CODEC_SHARE = 0.6
"""The share of the difference that a codec may leave: any blur resembles one a little."""


def _with_colours(case: Case, change: Change, linear: Linear) -> Outcome | None:
    """The finding, and what the colours behind it say."""
    colours = colour.explain(case.training.linear, linear, whole=case.whole()).changes
    if any(c.kind == "unknown" for c in colours):
        return None
    before = case.before()
    share = 1 - (linear.loss / before) ** 2 if np.isfinite(before) and before > 0 else 1.0
    share = float(np.clip(share, 0, 1))
    found = [case.finding(change, share), *(case.finding(c) for c in colours)]
    return Outcome(found, explained=share)
