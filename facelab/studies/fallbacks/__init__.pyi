from ._measure import measure, trials
from ._recovery import matrix_rows, recovery
from ._trial import Setting, Unmeasured

__all__ = ["Setting", "Unmeasured", "matrix_rows", "measure", "recovery", "trials"]
