"""Face detectors behind one interface: an RGB image in, boxes, scores and landmarks out.

>>> from facelab.detection import families
>>> families()[:3]
['blazeface', 'dlib-cnn', 'dlib-hog']
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
