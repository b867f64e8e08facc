from . import beat, drivers, heart, schedule
from ._scores import EmotionScores, Followed, follow, score_source
from ._smoothing import SMOOTHERS, Smoothed, Smoother, smoother
from .heart import Heart

__all__ = [
    "SMOOTHERS",
    "EmotionScores",
    "Followed",
    "Heart",
    "Smoothed",
    "Smoother",
    "beat",
    "drivers",
    "follow",
    "heart",
    "schedule",
    "score_source",
    "smoother",
]
