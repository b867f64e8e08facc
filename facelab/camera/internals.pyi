from ._bench import BUSES, Choice, DecodeCost
from ._errors import NegotiationError, NoFrameError, SourceEndedError
from ._source import Source
from .pairs._policies import POLICIES
from .sources._sensor import StreamModel

__all__ = [
    "BUSES",
    "POLICIES",
    "Choice",
    "DecodeCost",
    "NegotiationError",
    "NoFrameError",
    "Source",
    "SourceEndedError",
    "StreamModel",
]
