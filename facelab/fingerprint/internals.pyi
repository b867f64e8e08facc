from .diagnosis._finding_kinds import Finding
from .diagnosis._proposal import infer_spec

__all__ = [
    "Finding",
    "infer_spec",
]
