"""Faces without a download: a procedural renderer whose pictures real models take for faces.

Everything is derived from (seed, index), with exact labels, and is the same to the bit on every machine (see
`numerics`). No photograph of a person was used to build it.

- `sample(seed, index, set, size, **factors)`: one labelled picture; `vary(...)`: one factor varied, the rest still;
- `scene(seed, index, size)`: a picture of 0 to 30 people with every face labelled;
- `generate(set, n, seed, workers)`: many in memory;
- `recipe(...)`, `change(...)`, `make(...)`: the factors of a picture as data.
"""

from facelab.datasets.synthetic.api import Faces, generate, recipe, sample, vary
from facelab.datasets.synthetic.expression import ACTION_UNITS, EMOTIONS, THREE_CLASSES
from facelab.datasets.synthetic.identity import Identity, draw_identity
from facelab.datasets.synthetic.recipe import FACTORS, Occluder, Recipe, Sample, change, make
from facelab.datasets.synthetic.scenes import Scene, SceneFace, scene
from facelab.datasets.synthetic.sets import HARD_FACTORS, SETS, SPLITS

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
    "change",
    "draw_identity",
    "generate",
    "make",
    "recipe",
    "sample",
    "scene",
    "vary",
]
