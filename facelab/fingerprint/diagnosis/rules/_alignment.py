"""A face that is aligned by other landmarks, to another template, or not at all."""

from __future__ import annotations

import numpy as np

from facelab.fingerprint.diagnosis._case import Case, Outcome
from facelab.fingerprint.model._observed import Observed
from facelab.fingerprint.model._operations import Align, Chain, Gather, Refused, Warp
from facelab.fingerprint.model._planner import plan
from facelab.fingerprint.search._identify import explore, identify
from facelab.fingerprint.search._other_side import other_geometry
from facelab.fingerprint.search._registration import registered
from facelab.fingerprint.search.candidates import _colour as colour
from facelab.fingerprint.search.candidates._placement import Template

SAME = 0.75
"""Pixels of the output within which two templates are one."""
MORE, AT_MOST = 1.2, 1.5
"""How many times the budget may be spent, in all: on recognising a side again, and on another template alone."""


def aligned_otherwise(case: Case) -> Outcome | None:
    """Recognise the inference side from nothing, as if it were a training side, where training aligns."""
    samples = case.infer_samples
    budget = samples.budget
    aligned = any(isinstance(op, (Align, Warp)) for op in case.training.state.chain)
    if not aligned or budget.spent >= AT_MOST * budget.total:
        return None
    budget.limit = AT_MOST * budget.total
    found = registered(samples, Template)
    other = explore(samples, found, depth=1) if found is not None else None
    if other is None or not other.good:
        if budget.spent >= MORE * budget.total:
            return None
        budget.limit = MORE * budget.total
        other = identify(case.infer, samples, warps=False)
    if other.good and _same_template(samples, case.training.state.chain, other.state.chain):
        return None  # what differs is what is beside the picture
    change = other_geometry(case.training.state.chain, other.state.chain) if other.good else None
    if change is None:
        return None
    share = float(np.clip(1 - (other.linear.loss / max(case.before(), 1)) ** 2, 0, 1))
    colours = colour.explain(case.training.linear, other.linear, whole=case.whole()).changes
    found = [case.finding(change, share), *(case.finding(c) for c in colours)]
    return Outcome(found, explained=share)


def _same_template(samples: Observed, *chains: Chain) -> bool:
    """Whether both chains bring every picture to the same place: points alone do not tell, for other points may."""
    far: list[float] = []
    for n in samples.plain:
        try:
            steps = [plan(chain, samples.pictures[n].source)[0] for chain in chains]
        except Refused:
            return False
        found = [next((s.back for s in made if isinstance(s, Gather)), None) for made in steps]
        maps = [m for m in found if m is not None]
        if len(maps) < len(found):
            return False
        w, h = samples.size[n]
        corners = np.array([[0, 0, 1], [w, 0, 1], [0, h, 1], [w, h, 1]])
        step = np.sqrt(abs(np.linalg.det(maps[0][:, :2])))
        far.append(float(np.abs(corners @ (maps[0] - maps[1]).T).max() / max(step, 1e-9)))
    return bool(far) and max(far) < SAME
