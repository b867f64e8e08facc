"""The first requests of a new release, against the budgets of the gate's policy."""

from __future__ import annotations

import threading

import numpy as np

from facelab.core.machine import rss_bytes
from facelab.deploy.policy import Policy

REQUESTS = 200
"""Requests that a new release is watched for."""
LEAST = {"latency_p50_ms": 20, "latency_p90_ms": 30, "latency_p99_ms": 100}
"""Requests that a quantile needs before it counts."""
FAILURES = 3
"""Failed requests within the watch that end it."""


class Probation:
    """Collects the latencies and failures of a new release until it has served `REQUESTS` requests."""

    def __init__(self, policy: Policy) -> None:
        self._device = policy.device
        self._lock = threading.Lock()
        self._seconds: list[float] = []
        self._failed, self._over = 0, False

    def saw(self, seconds: float, failed: bool) -> str | None:
        """Note one request; return why the release must go, once, or None."""
        with self._lock:
            if self._over:
                return None
            self._seconds.append(seconds)
            self._failed += failed
            why = self._broken(len(self._seconds))
            self._over = why is not None or len(self._seconds) >= REQUESTS
            return why

    def _broken(self, n: int) -> str | None:
        if self._failed >= FAILURES:
            return f"{self._failed} of its first {n} requests failed"
        for name, least in LEAST.items():
            budget = getattr(self._device, name)
            if budget is None or n < least or n % 10:
                continue
            q = int(name.split("_p")[1].split("_")[0])
            got = float(np.percentile(self._seconds, q)) * 1e3
            if got > budget:
                return f"P{q} of its first {n} requests is {got:.3g} ms, the budget {budget:g} ms"
        budget = self._device.memory_mb
        if budget is not None and n % 50 == 0 and rss_bytes() > budget * 2**20:
            return f"the process holds {rss_bytes() / 2**20:.4g} MiB, the budget {budget:g} MiB"
        return None
