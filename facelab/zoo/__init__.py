"""The models: a catalogue that says what they are, a store with their verified files, runtimes that run them.

- `available` and `load` find and open a model by its name or path;
- `load_catalogue` lists models; `fetch`, `find` and `status` get their files;
- `runtimes` opens files of each format.

>>> from facelab import zoo
>>> zoo.load_catalogue().model("yunet-n").kind
'detector'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
