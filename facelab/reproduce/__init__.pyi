from . import plan, sweep
from ._runner import Options, Runner

__all__ = [
    "Options",
    "Runner",
    "plan",
    "sweep",
]
