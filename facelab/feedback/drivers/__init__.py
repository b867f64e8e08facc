"""Outputs of a player: an LED matrix, a motor, a loudspeaker; `recording` needs no device and is the default."""

from facelab.feedback.drivers._base import CHANNELS, DRIVERS, Driver, open_driver
from facelab.feedback.drivers._recording import RecordingDriver

__all__ = ["CHANNELS", "DRIVERS", "Driver", "RecordingDriver", "open_driver"]
