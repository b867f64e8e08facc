"""What became of everything that a player was asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.core.result import Result
from facelab.core.scheduling import Schedule


@dataclass(frozen=True)
class Ledger(Result):
    """The account of one channel.

    Parameters
    ----------
    asked, merged, dropped
        Pictures, pulses or tones as asked for, merged with others, and dropped by the rules.
    actions
        Changes of the output that were sent to the player.
    played
        Those that happened.
    skipped
        Those that came too late, behind a newer one: they are never made up for.
    superseded
        Those that a newer program replaced.
    failed
        Those that the driver refused.
    waiting
        Those whose time has not come. `actions` is the sum of this and the four before.
    """

    asked: int = 0
    merged: int = 0
    dropped: int = 0
    actions: int = 0
    played: int = 0
    skipped: int = 0
    superseded: int = 0
    failed: int = 0
    waiting: int = 0


@dataclass(frozen=True)
class PlayerReport(Result):
    """What a player has done.

    Parameters
    ----------
    ledgers
        Channel → its account.
    late_s
        (n,) seconds by which each action was late against its absolute deadline.
    schedule
        What was asked of the system's scheduler, and granted.
    errors
        What drivers said, newest last; a channel that could not be switched off is named here.
    recorded
        Channel → (seconds since the start of the newest program, value), of recording drivers.
    degraded
        The fallbacks with which it played: `fifo_refused`, `output_missing`, `output_failing`.
    """

    ledgers: Mapping[str, Ledger]
    late_s: np.ndarray
    schedule: Schedule
    errors: tuple[str, ...]
    recorded: Mapping[str, tuple[tuple[float, Any], ...]]
    degraded: tuple[str, ...] = ()

    def late_ms(self, share: float = 0.99) -> float:
        """Return the lateness in milliseconds that this share of the actions does not exceed; NaN without actions."""
        return float(np.quantile(self.late_s, share) * 1e3) if len(self.late_s) else float("nan")

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per channel."""
        return [{"channel": name, **vars(ledger)} for name, ledger in self.ledgers.items()]
