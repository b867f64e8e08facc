from ._bench import decode_costs
from ._frame import Frame
from ._open import open_source
from ._probe import list_cameras
from .pairs._pairer import Pairer, pair_frames
from .sources._recording import record
from .sources._sensor import RenderedSensor

__all__ = [
    "Frame",
    "Pairer",
    "RenderedSensor",
    "decode_costs",
    "list_cameras",
    "open_source",
    "pair_frames",
    "record",
]
