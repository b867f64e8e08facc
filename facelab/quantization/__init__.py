"""INT8 and its relatives: calibrate, quantise, measure what it saves and costs, find the layer that is to blame.

- `load` finds out what a model is; `quantize` carries a whole `Request` out; `Session` does the same step by step;
- `recipes` lists the ways to quantise; `calibration` and `images` choose and read the pictures;
- `measure` compares outputs, `export` writes a variant with its spec and labels.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
