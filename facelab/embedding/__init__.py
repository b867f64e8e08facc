"""Face embedders behind one interface: aligned crops, or an image with landmarks, in; embeddings out.

>>> from facelab.embedding import families
>>> families()
['adaface', 'arcface', 'dlib', 'facenet', 'mobilefacenet', 'sface']
"""

from facelab.embedding.base import Embedder, NeuralEmbedder
from facelab.embedding.registry import available, families, load

__all__ = ["Embedder", "NeuralEmbedder", "available", "families", "load"]
