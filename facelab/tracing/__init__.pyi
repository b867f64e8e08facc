from ._causes import CAUSES, FAULTS, Causes, explain
from ._export import export, folded
from ._lines import allocating_lines
from ._memory import MemoryReport, MemoryWatch
from ._observe import prometheus, send_otlp, serve_prometheus
from ._stages import Stages
from ._trace import Trace, load
from ._tracer import Tracer
from ._verdict import VERDICTS

__all__ = [
    "CAUSES",
    "FAULTS",
    "VERDICTS",
    "Causes",
    "MemoryReport",
    "MemoryWatch",
    "Stages",
    "Trace",
    "Tracer",
    "allocating_lines",
    "explain",
    "export",
    "folded",
    "load",
    "prometheus",
    "send_otlp",
    "serve_prometheus",
]
