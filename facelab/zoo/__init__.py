"""The models: a catalogue that says what they are, a store with their verified files, runtimes that run them.

- `available` and `load` find and open a model by its name or path;
- `load_catalogue` and `load_registry` list models and data sets; `fetch`, `find`, `require`, `status` get their files;
- `runtimes` opens files of each format; `families`, `mirror` and `trust` serve anyone who adds a kind of model.

>>> from facelab import zoo
>>> zoo.load_catalogue().model("yunet-n").kind
'detector'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
