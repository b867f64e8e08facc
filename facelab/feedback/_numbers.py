"""Checks of the constants that callers give."""

from __future__ import annotations

import math

from facelab.core.errors import BadInputError


def positive(name: str, value: float) -> float:
    """Return a finite number above zero. Raises BadInputError naming it."""
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
        raise BadInputError(
            f"`{name}` is not a number above 0", got=value, fix="give a number above 0"
        )
    return float(value)


def share(name: str, value: float, most: float = 1.0) -> float:
    """Return a finite number from 0 to `most`. Raises BadInputError naming it."""
    if not (isinstance(value, (int, float)) and math.isfinite(value) and 0 <= value <= most):
        raise BadInputError(
            f"`{name}` is out of range",
            expected=f"0 to {most:g}",
            got=value,
            fix="give a number in range",
        )
    return float(value)
