"""What is done to an image before a model sees it: the spec, who carries it out, alignment, and code made from it.

The names below are imported when they are first used: the spec's models cost a tenth of a second, which
`facelab fingerprint compare` does without. `facelab.preprocess.emit` writes a spec as code.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
