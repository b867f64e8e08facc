"""Trigger each row of the degradation matrix, and measure what it costs (notebook 20, `facelab recovery measure`).

>>> from facelab.studies import fallbacks
>>> "overload" in fallbacks.trials()
True
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
