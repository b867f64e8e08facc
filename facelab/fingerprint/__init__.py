"""Preprocessing fingerprints: capture what a pipeline does to a set of probes, compare two, and name the cause.

The rooms inside build on each other in this order: document, probes, capture, model, search, diagnosis, export.

>>> from facelab.fingerprint import stage, tap      # stage hooks for a pipeline, one line each
"""

import lazy_loader as _lazy

__getattr__, __dir__, _ = _lazy.attach(
    __name__,
    submod_attrs={
        "capture._adapters": ["capture_target"],
        "capture._capture": ["capture_pipeline", "capture_spec"],
        "capture._hooks": ["stage", "tap"],
        "capture._tensors": ["import_tensors"],
        "diagnosis._compare": ["compare"],
        "diagnosis._comparison": ["Comparison"],
        "diagnosis._finding_kinds": ["Finding"],
        "diagnosis._proposal": ["Proposal", "infer_spec"],
        "document._schema": ["Fingerprint", "load"],
    },
)
__all__ = [
    "Comparison",
    "Finding",
    "Fingerprint",
    "Proposal",
    "capture_pipeline",
    "capture_spec",
    "capture_target",
    "compare",
    "import_tensors",
    "infer_spec",
    "load",
    "stage",
    "tap",
]
