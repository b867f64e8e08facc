from . import beat, heart, schedule
from ._scores import follow
from ._smoothing import smoother
from .heart import Heart
from .widget import live_heart

__all__ = [
    "Heart",
    "beat",
    "follow",
    "heart",
    "live_heart",
    "schedule",
    "smoother",
]
