from ._evaluation import LivenessEvaluation
from ._presentation import look_of
from ._rendered import degraded_depth

__all__ = [
    "LivenessEvaluation",
    "degraded_depth",
    "look_of",
]
