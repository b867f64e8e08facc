"""The errors of cameras: each says what happened, where, and what to do next."""

from __future__ import annotations

from facelab.core.errors import BadInputError, FacelabError


class CameraError(FacelabError):
    """A camera or another frame source did not do what was asked of it."""


class NegotiationError(BadInputError):
    """The source offers something else than was asked, and the difference was not allowed by name."""


class CorruptFrameError(CameraError):
    """The bytes of a frame cannot be decoded, or are fewer than the format needs."""


class NoFrameError(CameraError):
    """No frame, or none fresh enough, came in time."""


class SourceEndedError(CameraError):
    """A file, a folder or a recording holds no further frame."""


class SourceGoneError(CameraError):
    """The device was unplugged, or the process that captures has died."""


class StaleFrameError(CameraError):
    """A frame's memory was given back to its pool and may hold another frame by now."""


class PoolExhaustedError(CameraError):
    """Every slot of a frame pool is in use."""
