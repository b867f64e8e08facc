from . import canonical, plan, sweep
from ._progress import choose_display
from ._runner import Options, Runner
from ._scaffold import create_project
from ._several import differences, side_by_side
from ._store import Store, read_json
from ._wording import failure_text, verdict_text

__all__ = [
    "Options",
    "Runner",
    "Store",
    "canonical",
    "choose_display",
    "create_project",
    "differences",
    "failure_text",
    "plan",
    "read_json",
    "side_by_side",
    "sweep",
    "verdict_text",
]
