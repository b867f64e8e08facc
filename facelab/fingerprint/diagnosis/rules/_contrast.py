"""Contrast that depends on the picture or on the place in it, however it was made."""

from __future__ import annotations

from facelab.fingerprint.diagnosis._case import Case, Outcome
from facelab.fingerprint.model import _tones as tone
from facelab.fingerprint.search._local_contrast import unevenly_lit


def uneven_contrast(case: Case) -> Outcome | None:
    """Name it where their own lines explain what one line for all pictures does not.

    Where training brings each picture to its own contrast, any change before that changes the contrast of each picture
    otherwise, so nothing is said.
    """
    state = case.training.state
    if any(t[0] in tone.LINES for t in (*state.head, *state.tail)):
        return None
    uneven = unevenly_lit(case.training, case.infer_samples)
    if uneven is None:
        return None
    return Outcome([case.finding(uneven.change, uneven.share)], explained=uneven.share)
