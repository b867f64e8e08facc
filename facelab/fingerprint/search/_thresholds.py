"""Every number that decides what counts as explained, with its unit and the corpus that it was measured on.

"Planted" is `facelab.studies.planted` (every mistake in four base pipelines); "reports" are the pairs rebuilt from
public bug reports. Levels are steps of 8-bit pixels; shares are of the difference's power.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """When a difference is rounding, and when an explanation is whole."""

    explained: float = 1.15
    """Levels RMS that a whole explanation may leave. Planted: 0.30 to 0.99 for every cause but those below."""
    explained_contrast: float = 2.5
    """The same on the screen's probes behind an equalised or stretched contrast, which enlarges every rounding before
    it. Planted: 0.27 to 1.6."""
    explained_curve: float = 1.6
    """The same about a free curve for each picture, in levels of the pixels or of the output, whichever is less."""
    explained_codec: float = 2.6
    """The same behind a lossy codec, whose quantisation turns a rounding into a step. Reports: 0.5 to 2.4."""
    explained_webp: float = 3.1
    """The same behind WebP, which chooses its predictions again after every rounding. Own pictures: 0.3 to 2.8."""
    explained_recoding: float = 1.6
    """The same behind YUV bytes, which are rounded once more. Planted: 0.4 to 0.99."""
    related: float = 1.6
    """Levels RMS that a relation between the two sides' own values may leave, where training was not recognised."""
    related_share: float = 0.75
    """Share of the difference's power that such a relation must explain: a little less is left by any line."""
    related_curve: float = 0.9
    """The same where the relation is a curve, which bends to whatever it is given."""
    lattice: float = 1.35
    """How many times the RMS error of the output's own steps may be left. Planted: 0.9 to 1.0."""
    small_share: float = 0.05
    """A finding that explains less than this share of the difference is a note."""
    seen: float = 0.04
    """Share of the output's samples that must be picture for its colours to be compared."""


THRESHOLDS = Thresholds()
