"""The schedule: programs of light, vibration and tones, and the player that keeps their deadlines."""

from facelab.feedback.schedule._player import Player, PlayerDiedError
from facelab.feedback.schedule._program import (
    Action,
    Program,
    heart_program,
    program_of,
    read_program,
)
from facelab.feedback.schedule._pulses import MergedPulses, Pulse, PulseRules, merge_pulses
from facelab.feedback.schedule._report import Ledger, PlayerReport
from facelab.feedback.schedule._tones import PlayedTones, Segment, Tone, resolve_tones

__all__ = [
    "Action",
    "Ledger",
    "MergedPulses",
    "PlayedTones",
    "Player",
    "PlayerDiedError",
    "PlayerReport",
    "Program",
    "Pulse",
    "PulseRules",
    "Segment",
    "Tone",
    "heart_program",
    "merge_pulses",
    "program_of",
    "read_program",
    "resolve_tones",
]
