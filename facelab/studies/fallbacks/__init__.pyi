from ._measure import measure, trials
from ._trial import Setting, Unmeasured

__all__ = ["Setting", "Unmeasured", "measure", "trials"]
