"""What keeps running on a device: bounded pools, hot reload, canaries, the service, the pipeline of stages."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
