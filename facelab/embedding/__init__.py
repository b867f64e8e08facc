"""Face embedders behind one interface: aligned crops, or an image with landmarks, in; embeddings out.

>>> from facelab.embedding import families
>>> families()
['adaface', 'arcface', 'dlib', 'facenet', 'mobilefacenet', 'sface']
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
