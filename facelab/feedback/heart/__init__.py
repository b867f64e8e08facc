"""The heart: settings, the oscillator, its animation as SVG or APNG, and the flash check.

>>> from facelab.feedback.heart import beat
>>> beat("joy").flashes().passed
True
"""

from facelab.feedback.heart._animation import Animation, animate, beat, check_settings
from facelab.feedback.heart._beat import Heart, Pose, curve
from facelab.feedback.heart._flashes import Flashes, check_flashes
from facelab.feedback.heart._settings import DEFAULT, HeartSettings, HeartStyle, load_settings

__all__ = [
    "DEFAULT",
    "Animation",
    "Flashes",
    "Heart",
    "HeartSettings",
    "HeartStyle",
    "Pose",
    "animate",
    "beat",
    "check_flashes",
    "check_settings",
    "curve",
    "load_settings",
]
