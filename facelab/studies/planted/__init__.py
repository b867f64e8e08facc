"""Planted mistakes: everyday pipelines with everyday mistakes, and how many of them the comparison names."""

from facelab.studies.planted._clock import shell_times
from facelab.studies.planted._matrix import SIDES, Row, run_matrix, shares
from facelab.studies.planted._pipelines import (
    BASES,
    HARMLESS,
    PAIRS,
    SINGLES,
    SPECS,
    black_box,
    documented,
)

__all__ = [
    "BASES",
    "HARMLESS",
    "PAIRS",
    "SIDES",
    "SINGLES",
    "SPECS",
    "Row",
    "black_box",
    "documented",
    "run_matrix",
    "shares",
    "shell_times",
]
