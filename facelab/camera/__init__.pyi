from ._bench import choices, decode_costs
from ._errors import CameraError
from ._frame import Frame, FramePair
from ._open import open_source
from ._pool import FramePool
from ._probe import list_cameras, probe
from .pairs._pairer import Pairer, pair_frames
from .process._capture import CaptureProcess
from .sources._recording import record
from .sources._scene import FaceScene
from .sources._sensor import RenderedSensor

__all__ = [
    "CameraError",
    "CaptureProcess",
    "FaceScene",
    "Frame",
    "FramePair",
    "FramePool",
    "Pairer",
    "RenderedSensor",
    "choices",
    "decode_costs",
    "list_cameras",
    "open_source",
    "pair_frames",
    "probe",
    "record",
]
