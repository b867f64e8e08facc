from ._causes import Causes
from ._memory import MemoryReport
from ._stages import Stages
from ._verdict import VERDICTS

__all__ = [
    "VERDICTS",
    "Causes",
    "MemoryReport",
    "Stages",
]
