"""Why two sides differ: one rule for each family of causes, in order. The first that explains it speaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from facelab.fingerprint.diagnosis._case import Case, Outcome, make_case
from facelab.fingerprint.diagnosis._interface import interface_changes
from facelab.fingerprint.diagnosis.rules._alignment import aligned_otherwise
from facelab.fingerprint.diagnosis.rules._buffers import misread_buffer, through_codec
from facelab.fingerprint.diagnosis.rules._classes import by_class_of_probe, not_finite
from facelab.fingerprint.diagnosis.rules._contrast import uneven_contrast
from facelab.fingerprint.diagnosis.rules._pipeline import changed_pipeline
from facelab.fingerprint.diagnosis.rules._relation import related_values
from facelab.fingerprint.diagnosis.rules._resampled import resampled_alike
from facelab.fingerprint.diagnosis.rules._unknown import other_sizes, unknown
from facelab.fingerprint.document._schema import Fingerprint
from facelab.fingerprint.model._pipeline_state import Change
from facelab.fingerprint.probes._cache import EXOTIC

Find = Callable[[Case], Outcome | None]


class Rule(NamedTuple):
    """One family of causes: where it applies, and what it finds (None: it does not explain the difference)."""

    name: str
    applies: Callable[[Case], bool]
    find: Find


def _recognised(case: Case) -> bool:
    return case.training.good


def _not_recognised(case: Case) -> bool:
    return not case.training.good


def _always(case: Case) -> bool:
    return True


RULES = (
    Rule("two ways of writing one resampling", _not_recognised, resampled_alike),
    Rule("the sides' own values follow from each other", _not_recognised, related_values),
    Rule(
        "single changes lead from training's pipeline to inference's", _recognised, changed_pipeline
    ),
    Rule("the buffer is read by another rule", _recognised, misread_buffer),
    Rule("a lossy codec stands between the sides", _recognised, through_codec),
    Rule("contrast depends on the picture or the place", _recognised, uneven_contrast),
    Rule("a face is aligned otherwise", _recognised, aligned_otherwise),
    Rule("only one side brings every picture to one size", _always, other_sizes),
    Rule("nothing explains it; what is known becomes a note", _always, unknown),
)
"""Tried in this order; the first outcome counts. A rule speaks only where what it says leaves rounding."""


class Diagnosis(NamedTuple):
    """The case, the outcome, and the differences of the interface (layout, batch axis, number type)."""

    case: Case
    outcome: Outcome
    interface: list[Change]


def diagnose(train: Fingerprint, infer: Fingerprint, names: list[str]) -> Diagnosis:
    """Find why the sides differ on the probes `names`."""
    case = make_case(train, infer, names)
    interface = interface_changes(train, infer, names)
    outcome = Outcome()
    if not all(case.same(n) for n in names if n not in EXOTIC):
        outcome = _plain_rules(case) if case.plain_differ() else by_class_of_probe(case)
        outcome.findings[:0] = not_finite(case)
    interface = [c for c in interface if c.kind not in outcome.settles]
    return Diagnosis(case, outcome, interface)


def _plain_rules(case: Case) -> Outcome:
    for rule in RULES:
        if rule.applies(case) and (found := rule.find(case)) is not None:
            return found
    raise AssertionError("the last rule always answers")
