"""No tested change explains the difference: what is known nevertheless."""

from __future__ import annotations

from facelab.fingerprint.diagnosis._case import Case, Outcome
from facelab.fingerprint.model._pipeline_state import Change


def other_sizes(case: Case) -> Outcome | None:
    """Say so where only one side brings every picture to one size."""
    sizes = [
        {side.size[n] for n in side.plain} for side in (case.train_samples, case.infer_samples)
    ]
    if (len(sizes[0]) > 1) == (len(sizes[1]) > 1):
        return None
    words = [
        "a size that follows the picture's" if len(s) > 1 else "always {}×{}".format(*min(s))
        for s in sizes
    ]
    return Outcome([case.finding(Change("size", "resize", *words), 1.0)], explained=1.0)


def unknown(case: Case) -> Outcome:
    """Return the finding that names no cause."""
    change = Change(
        "unknown", "output", "the training pipeline", "one that no tested change explains"
    )
    return Outcome([case.finding(change)], explained=0.0)
