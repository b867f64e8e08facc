"""Preprocessing fingerprints: capture what a pipeline does to a set of probes, compare two, and name the cause.

The rooms inside build on each other in this order: document, probes, capture, model, search, diagnosis, export.

>>> from facelab.fingerprint import stage, tap      # stage hooks for a pipeline, one line each
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
