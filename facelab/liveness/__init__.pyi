from ._base import LivenessModel
from ._evaluation import box_sensitivity, evaluate
from ._families.fusion import fit_fusion
from ._presentation import Presentation, read_presentations
from ._registry import available, load
from ._rendered import rendered

__all__ = [
    "LivenessModel",
    "Presentation",
    "available",
    "box_sensitivity",
    "evaluate",
    "fit_fusion",
    "load",
    "read_presentations",
    "rendered",
]
