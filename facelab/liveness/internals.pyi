from ._check import check_frames
from ._evaluation import LivenessEvaluation
from ._presentation import look_of
from ._registry import families
from ._rendered import degraded_depth

__all__ = [
    "LivenessEvaluation",
    "check_frames",
    "degraded_depth",
    "families",
    "look_of",
]
