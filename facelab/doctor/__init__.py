"""What is installed, what is missing, and how to fix it."""

from __future__ import annotations

from facelab.doctor._assets import asset_checks
from facelab.doctor._check import Check
from facelab.doctor._environment import environment_checks
from facelab.doctor._kernels import kernel_checks
from facelab.doctor._machine import machine_checks

__all__ = [
    "Check",
    "all_checks",
    "asset_checks",
    "environment_checks",
    "kernel_checks",
    "machine_checks",
]


def all_checks(*, start_kernels: bool = True) -> list[Check]:
    """Return every finding; `start_kernels` really starts both kernels' interpreters."""
    return [
        *environment_checks(),
        *kernel_checks(start=start_kernels),
        *machine_checks(),
        *asset_checks(),
    ]
