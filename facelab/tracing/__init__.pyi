from ._causes import FAULTS, explain
from ._export import export, folded
from ._lines import allocating_lines
from ._memory import MemoryWatch
from ._observe import serve_prometheus
from ._trace import load
from ._tracer import Tracer

__all__ = [
    "FAULTS",
    "MemoryWatch",
    "Tracer",
    "allocating_lines",
    "explain",
    "export",
    "folded",
    "load",
    "serve_prometheus",
]
