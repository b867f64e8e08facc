"""A face that is aligned by other landmarks, to another template, or not at all."""

from __future__ import annotations

import numpy as np

from facelab.fingerprint.diagnosis._case import Case, Outcome
from facelab.fingerprint.model._operations import Align, Warp
from facelab.fingerprint.search._identify import identify, other_geometry
from facelab.fingerprint.search.candidates import _colour as colour

MORE = 1.2
"""How many times the budget may be spent on this, in all."""


def aligned_otherwise(case: Case) -> Outcome | None:
    """Recognise the inference side from nothing, as if it were a training side, where training aligns."""
    samples = case.infer_samples
    budget = samples.budget
    aligned = any(isinstance(op, (Align, Warp)) for op in case.training.state.chain)
    if not aligned or budget.spent >= MORE * budget.total:
        return None
    budget.limit = MORE * budget.total
    other = identify(case.infer, samples, warps=False)
    change = other_geometry(case.training.state.chain, other.state.chain) if other.good else None
    if change is None:
        return None
    share = float(np.clip(1 - (other.linear.loss / max(case.before(), 1)) ** 2, 0, 1))
    colours = colour.explain(case.training.linear, other.linear, whole=case.whole()).changes
    found = [case.finding(change, share), *(case.finding(c) for c in colours)]
    return Outcome(found, explained=share)
