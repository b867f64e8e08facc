from ._camera import WatchedSource
from ._chain import Chain, TooLargeError, Way
from ._depth import DepthFallback
from ._losses import Loss, Losses, load_losses
from ._matrix import Degradation, Matrix, Row, load_matrix
from ._shards import ShardHits, ShardSet

__all__ = [
    "Chain",
    "Degradation",
    "DepthFallback",
    "Loss",
    "Losses",
    "Matrix",
    "Row",
    "ShardHits",
    "ShardSet",
    "TooLargeError",
    "WatchedSource",
    "Way",
    "load_losses",
    "load_matrix",
]
