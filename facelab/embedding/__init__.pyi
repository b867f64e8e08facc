from . import pair_arrays
from ._acquire import find_face, main_face
from ._base import Embedder, NeuralEmbedder
from ._evaluation import PairEvaluation, default_detector, evaluate
from ._families.dlib import DlibResNet, boxes_from_landmarks
from ._pairs import (
    Faces,
    PairList,
    acquire,
    by_group,
    embed_faces,
    locate,
    mixed_order,
    pair_distances,
    read_pairs,
    worst,
)
from ._people import People, Search, identify, read_people
from ._pictures import write_searches
from ._registry import available, families, load
from ._specs import ALIGNMENTS, MISTAKES, aligned_spec, mistaken, with_alignment

__all__ = [
    "ALIGNMENTS",
    "MISTAKES",
    "DlibResNet",
    "Embedder",
    "Faces",
    "NeuralEmbedder",
    "PairEvaluation",
    "PairList",
    "People",
    "Search",
    "acquire",
    "aligned_spec",
    "available",
    "boxes_from_landmarks",
    "by_group",
    "default_detector",
    "embed_faces",
    "evaluate",
    "families",
    "find_face",
    "identify",
    "load",
    "locate",
    "main_face",
    "mistaken",
    "mixed_order",
    "pair_arrays",
    "pair_distances",
    "read_pairs",
    "read_people",
    "with_alignment",
    "worst",
    "write_searches",
]
