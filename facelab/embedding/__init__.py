"""Face embedders behind one interface: aligned crops, or an image with landmarks, in; embeddings out.

>>> from facelab import embedding
>>> "dlib-resnet" in [model.name for model in embedding.available()]
True
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
