"""Face detectors behind one interface: an RGB image in, boxes, scores and landmarks out.

>>> from facelab import detection
>>> "haar" in [model.name for model in detection.available()]
True
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
