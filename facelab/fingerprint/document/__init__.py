"""The fingerprint's document: its schema, and how an array is described."""

import lazy_loader as _lazy

__getattr__, __dir__, _ = _lazy.attach(
    __name__,
    submod_attrs={
        "_schema": ["Fingerprint", "load"],
        "_statistics": ["canonical", "describe"],
    },
)
__all__ = ["Fingerprint", "canonical", "describe", "load"]
