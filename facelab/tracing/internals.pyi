from ._causes import Causes
from ._memory import MemoryReport
from ._observe import prometheus, send_otlp
from ._stages import Stages
from ._trace import Trace
from ._verdict import VERDICTS

__all__ = [
    "VERDICTS",
    "Causes",
    "MemoryReport",
    "Stages",
    "Trace",
    "prometheus",
    "send_otlp",
]
