"""Is a live face before the camera, or a print, a screen, a mask: depth, colour, motion, and their fusion.

A `Presentation` holds one or more looks (colour, and depth where there is some) at one face. A `LivenessModel` scores
it; `evaluate` chooses a threshold on one set of identities and reports on another by ISO/IEC 30107-3.

>>> from facelab import liveness
>>> liveness.load("depth-geometry").name
'depth-geometry'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
