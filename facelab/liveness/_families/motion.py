"""Motion between looks: a nose that moves against eyes and mouth is not a flat picture.

Eyes and mouth corners of a turning sheet move by one affine map (nearly), and the nose moves with them. The nose of a
turning head does not: it shifts by its prominence times the sine of the turn. A video of a turning head, shown on a
screen, moves like the head itself: this family cannot recognise it.
"""

from __future__ import annotations

import math

import numpy as np

from facelab.core.errors import BadInputError
from facelab.liveness._base import LivenessModel
from facelab.liveness._presentation import Presentation

_FRAME = [0, 1, 3, 4]


class Motion(LivenessModel):
    """Score r / (1 + r), where r is the largest nose shift between looks, in eye distances, by `shift`.

    Parameters
    ----------
    shift : float
        Shift of the nose at which r is 1. On 16 rendered people a turn by 12 degrees shifted it by 0.16 eye distances
        in the median (0.08 to 0.27 with landmark noise of 1 % of the box), a turning print by 0.03 (up to 0.08).

    Notes
    -----
    The noise of a detector's landmarks counts as motion: choose the threshold with the detector that the device uses.
    """

    family = "motion"
    needs = frozenset({"landmarks", "two looks"})

    def __init__(self, name: str = "motion", *, shift: float = 0.09):
        super().__init__(name)
        if shift <= 0:
            raise BadInputError(
                "the shift at which a face counts as live must be positive",
                where=name,
                got=shift,
                fix="give a share of the eye distance, such as 0.09",
            )
        self.shift = shift

    def _score(self, presentation: Presentation) -> tuple[float, str, dict[str, float]]:
        points = [np.asarray(look.landmarks, float) for look in presentation.looks]
        eyes = [float(np.linalg.norm(p[1] - p[0])) for p in points]
        if min(eyes) < 4:
            return math.nan, "the eyes are less than 4 pixels apart", {}
        shifts = [nose_shift(points[0], p) / eyes[0] for p in points[1:]]
        moved = max(float(np.abs(p - points[0]).max()) / eyes[0] for p in points[1:])
        details = {"nose shift": max(shifts), "largest movement": moved}
        if moved < 0.01:
            return math.nan, "nothing moved between the looks", details
        r = max(shifts) / self.shift
        return r / (1 + r), "", details


def nose_shift(before: np.ndarray, after: np.ndarray) -> float:
    """Return how far (pixels) the nose is from where the affine map of the other four landmarks puts it.

    Parameters
    ----------
    before, after : (5, 2) arrays
        Landmarks of two looks.

    Examples
    --------
    >>> face = np.array([[0., 0.], [10, 0], [5, 5], [2, 10], [8, 10]])
    >>> turned = face + np.array([[0, 0], [0, 0], [2, 0], [0, 0], [0, 0]])
    >>> round(nose_shift(face, 1.1 * face + 3), 6), round(nose_shift(face, turned), 6)
    (0.0, 2.0)
    """
    design = np.c_[before[_FRAME], np.ones(4)]
    affine, *_ = np.linalg.lstsq(design, after[_FRAME], rcond=None)
    return float(np.linalg.norm(np.r_[before[2], 1] @ affine - after[2]))


LIVENESS = Motion
