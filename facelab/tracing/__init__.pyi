from ._causes import FAULTS, explain
from ._export import export, folded
from ._lines import allocating_lines
from ._memory import MemoryWatch
from ._observe import prometheus, send_otlp, serve_prometheus
from ._trace import Trace, load
from ._tracer import Tracer

__all__ = [
    "FAULTS",
    "MemoryWatch",
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
