from ._base import Embedder, NeuralEmbedder
from ._evaluation import default_detector, evaluate
from ._pairs import PairList, by_group, embed_faces, pair_distances, read_pairs
from ._people import identify, read_people
from ._registry import available, load

__all__ = [
    "Embedder",
    "NeuralEmbedder",
    "PairList",
    "available",
    "by_group",
    "default_detector",
    "embed_faces",
    "evaluate",
    "identify",
    "load",
    "pair_distances",
    "read_pairs",
    "read_people",
]
