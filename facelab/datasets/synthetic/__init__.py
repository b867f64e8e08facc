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

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_api": ["Faces", "generate", "recipe", "sample", "vary"],
        "_workers": ["available_cores", "parallel"],
        "camera._filters": ["bilinear_sample"],
        "geometry._expression": ["ACTION_UNITS", "EMOTIONS", "THREE_CLASSES"],
        "geometry._identity": ["Identity", "draw_identity"],
        "output._writer": ["make_request", "write_set"],
        "tasks._liveness": ["sense_depth"],
        "tasks._pairs": ["base_pairs"],
        "tasks._make": ["make"],
        "tasks._recipe": ["FACTORS", "Occluder", "Recipe", "Sample", "Spread", "change"],
        "tasks._scenes": ["Scene", "SceneFace", "scene"],
        "tasks._sets": ["HARD_FACTORS", "SETS", "SPLITS"],
    },
)

__all__ = [
    "ACTION_UNITS",
    "EMOTIONS",
    "FACTORS",
    "HARD_FACTORS",
    "SETS",
    "SPLITS",
    "THREE_CLASSES",
    "Faces",
    "Identity",
    "Occluder",
    "Recipe",
    "Sample",
    "Scene",
    "SceneFace",
    "Spread",
    "available_cores",
    "base_pairs",
    "bilinear_sample",
    "change",
    "draw_identity",
    "generate",
    "make",
    "make_request",
    "parallel",
    "recipe",
    "sample",
    "scene",
    "sense_depth",
    "vary",
    "write_set",
]
