from ._bench import BUSES, Choice, DecodeCost, choices
from ._errors import CameraError, NegotiationError, NoFrameError, SourceEndedError
from ._frame import FramePair
from ._pool import FramePool
from ._probe import probe
from ._source import Source
from .pairs._policies import POLICIES
from .process._capture import CaptureProcess
from .sources._scene import FaceScene
from .sources._sensor import StreamModel

__all__ = [
    "BUSES",
    "POLICIES",
    "CameraError",
    "CaptureProcess",
    "Choice",
    "DecodeCost",
    "FaceScene",
    "FramePair",
    "FramePool",
    "NegotiationError",
    "NoFrameError",
    "Source",
    "SourceEndedError",
    "StreamModel",
    "choices",
    "probe",
]
