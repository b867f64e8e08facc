"""Metrics as pure functions of arrays, each with its published rule and an oracle in the tests.

Namespaces: `boxes`, `classification`, `detection` (WIDER FACE), `intervals`, `landmarks`, `liveness`
(ISO/IEC 30107-3), `operating` (thresholds, TAR at FAR), `verification` (ten folds), `verification_report` (all
verification figures at once).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
