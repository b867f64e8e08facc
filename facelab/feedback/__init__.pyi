from . import beat, drivers, heart, schedule
from ._scores import EmotionScores, follow, score_source
from ._smoothing import smoother
from .heart import Heart
from .widget import live_heart

__all__ = [
    "EmotionScores",
    "Heart",
    "beat",
    "drivers",
    "follow",
    "heart",
    "live_heart",
    "schedule",
    "score_source",
    "smoother",
]
