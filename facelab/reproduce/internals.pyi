from . import canonical
from ._progress import choose_display
from ._scaffold import create_project
from ._several import differences, side_by_side
from ._store import Store, read_json
from ._wording import failure_text, verdict_text

__all__ = [
    "Store",
    "canonical",
    "choose_display",
    "create_project",
    "differences",
    "failure_text",
    "read_json",
    "side_by_side",
    "verdict_text",
]
