"""What is installed, what is missing, and how to fix it."""

from __future__ import annotations

from collections.abc import Callable

from facelab.doctor._assets import asset_checks
from facelab.doctor._check import Check
from facelab.doctor._environment import environment_checks
from facelab.doctor._kernels import kernel_checks
from facelab.doctor._machine import machine_checks

__all__ = [
    "Check",
    "all_checks",
]


def all_checks(
    *, start_kernels: bool = True, answered: Callable[[Check], None] | None = None
) -> list[Check]:
    """Return every finding in the order environment, machine, models and data, kernels.

    Parameters
    ----------
    start_kernels
        Whether both kernels' interpreters are really started, side by side.
    answered
        Called for each finding as soon as it is known: kernels in the order in which they answer.

    Returns
    -------
    list of Check

    Examples
    --------
    >>> found = all_checks(start_kernels=False)
    >>> sorted({check.area for check in found})
    ['environment', 'kernels', 'machine', 'models and data']
    """
    checks = []
    for part in (environment_checks, machine_checks, asset_checks):
        for check in part():
            checks.append(check)
            if answered:
                answered(check)
    return [*checks, *kernel_checks(start=start_kernels, answered=answered)]
