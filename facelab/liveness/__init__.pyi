from ._base import Answer, LivenessModel
from ._check import Check, check_frames
from ._evaluation import LivenessEvaluation, box_sensitivity, evaluate, score_all
from ._families.fusion import Fusion, fit_fusion
from ._presentation import Look, Presentation, look_of, read_presentations
from ._registry import available, families, load
from ._rendered import ATTACKS, degraded_depth, rendered

__all__ = [
    "ATTACKS",
    "Answer",
    "Check",
    "Fusion",
    "LivenessEvaluation",
    "LivenessModel",
    "Look",
    "Presentation",
    "available",
    "box_sensitivity",
    "check_frames",
    "degraded_depth",
    "evaluate",
    "families",
    "fit_fusion",
    "load",
    "look_of",
    "read_presentations",
    "rendered",
    "score_all",
]
