from . import drivers
from ._scores import EmotionScores, score_source

__all__ = [
    "EmotionScores",
    "drivers",
    "score_source",
]
