"""What other rooms of facelab take from this one. It may change with any version: import the front door."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub("facelab.fingerprint", __file__)
