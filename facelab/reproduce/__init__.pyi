from . import canonical, plan, sweep
from ._runner import Options, Runner
from ._store import Store, read_json

__all__ = [
    "Options",
    "Runner",
    "Store",
    "canonical",
    "plan",
    "read_json",
    "sweep",
]
