from ._progress import choose_display
from ._scaffold import create_project
from ._several import differences, side_by_side
from ._wording import failure_text, verdict_text

__all__ = [
    "choose_display",
    "create_project",
    "differences",
    "failure_text",
    "side_by_side",
    "verdict_text",
]
