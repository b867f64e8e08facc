"""Faces without a download: a procedural renderer whose pictures real models take for faces.

Everything is derived from (seed, index), with exact labels, and is the same to the bit on every machine (see
`_numerics`). No photograph of a person was used to build it.

- `sample(seed, index, set, size, **factors)`: one labelled picture; `vary(...)`: one factor varied, the rest still;
- `scene(seed, index, size)`: a picture of 0 to 30 people with every face labelled;
- `generate(set, n, seed, workers)`: many in memory; `write_set(make_request(...), n, folder)`: many on disk;
- `recipe(...)`, `change(...)`, `make(...)`: the factors of a picture as data.

Folders: geometry (who, doing what, as a mesh), appearance (paint, light, background), camera (optics, JPEG), tasks
(what each set shows), output (files and labels).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
