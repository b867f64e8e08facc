"""What opens and runs a model's file: one module per runtime, `open_model` for whichever a file needs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
