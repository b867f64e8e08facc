from ._base import LivenessModel
from ._check import check_frames
from ._evaluation import box_sensitivity, evaluate
from ._families.fusion import fit_fusion
from ._presentation import Presentation, read_presentations
from ._registry import available, families, load
from ._rendered import rendered

__all__ = [
    "LivenessModel",
    "Presentation",
    "available",
    "box_sensitivity",
    "check_frames",
    "evaluate",
    "families",
    "fit_fusion",
    "load",
    "read_presentations",
    "rendered",
]
