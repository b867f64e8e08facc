"""The adaptive heartbeat: formulas, a steady law, a modelled device, stability margins, temperatures from sysfs."""

from facelab.feedback.beat._laws import (
    FORMULAS,
    AdaptiveBeat,
    RateMeter,
    interval_ms,
    own_rate_settles_at,
)
from facelab.feedback.beat._plant import (
    LAWS,
    LoopRun,
    Margins,
    ThermalPlant,
    compare_laws,
    margins,
    settle,
    simulate,
)
from facelab.feedback.beat._sysfs import Sensor, read_celsius, sensors

__all__ = [
    "FORMULAS",
    "LAWS",
    "AdaptiveBeat",
    "LoopRun",
    "Margins",
    "RateMeter",
    "Sensor",
    "ThermalPlant",
    "compare_laws",
    "interval_ms",
    "margins",
    "own_rate_settles_at",
    "read_celsius",
    "sensors",
    "settle",
    "simulate",
]
