from . import pair_arrays
from ._acquire import find_face
from ._families.dlib import DlibResNet, boxes_from_landmarks
from ._pairs import Faces, acquire, locate, mixed_order, worst
from ._pictures import write_searches
from ._registry import families
from ._specs import ALIGNMENTS, MISTAKES, mistaken, with_alignment

__all__ = [
    "ALIGNMENTS",
    "MISTAKES",
    "DlibResNet",
    "Faces",
    "acquire",
    "boxes_from_landmarks",
    "families",
    "find_face",
    "locate",
    "mistaken",
    "mixed_order",
    "pair_arrays",
    "with_alignment",
    "worst",
    "write_searches",
]
