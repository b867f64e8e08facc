"""What `/metrics` shows: counts, raw quantiles, the pool, the release and the canary."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from facelab.core.errors import UnsupportedError
from facelab.core.machine import rss_bytes
from facelab.serving.canary._canary import Canary
from facelab.serving.degradation._matrix import Degradation
from facelab.serving.pools._pool import Pool
from facelab.serving.releases._slot import ModelSlot

KEPT = 5000
QUANTILES = (0.5, 0.9, 0.99)


class Metrics:
    """Counts requests and keeps the last latencies raw: quantiles from coarse buckets can be wrong by a factor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests: dict[tuple[str, int], int] = {}
        self.seconds: dict[str, deque[float]] = {}

    def saw(self, task: str, status: int, seconds: float) -> None:
        """Note one finished request."""
        with self._lock:
            self.requests[task, status] = self.requests.get((task, status), 0) + 1
            if status < 400:
                self.seconds.setdefault(task, deque(maxlen=KEPT)).append(seconds)

    def page(
        self, pool: Pool[Any], emotion: ModelSlot | Canary | None, degradation: Degradation
    ) -> bytes:
        """Return the metrics in Prometheus' text format. Raises UnsupportedError without the extra `observe`."""
        try:
            import prometheus_client as prometheus
        except ImportError as e:
            raise UnsupportedError(
                "metrics need the extra `observe`",
                got=str(e),
                fix="install it: pip install 'facelab[observe]'",
            ) from None
        registry = prometheus.CollectorRegistry()
        registry.register(_Collector(self, pool, emotion, degradation))
        return prometheus.generate_latest(registry)


class _Collector:
    def __init__(
        self,
        metrics: Metrics,
        pool: Pool[Any],
        emotion: ModelSlot | Canary | None,
        degradation: Degradation,
    ) -> None:
        self.metrics, self.pool, self.emotion = metrics, pool, emotion
        self.degradation = degradation

    def collect(self) -> Iterator[Any]:
        """Yield the families of metrics, as prometheus_client asks for them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        with self.metrics._lock:
            requests = dict(self.metrics.requests)
            seconds = {k: np.array(v) for k, v in self.metrics.seconds.items()}
        counts = CounterMetricFamily("facelab_requests", "Requests", labels=["task", "status"])
        for (task, status), n in requests.items():
            counts.add_metric([task, str(status)], n)
        yield counts
        times = GaugeMetricFamily(
            "facelab_request_seconds",
            f"Quantiles of the last {KEPT} good requests",
            labels=["task", "quantile"],
        )
        for task, values in seconds.items():
            for q in QUANTILES:
                times.add_metric([task, f"{q:g}"], float(np.quantile(values, q)))
        yield times
        stats = self.pool.stats()
        pool = GaugeMetricFamily("facelab_pool", "The pool of workers", labels=["figure"])
        for name in ("size", "idle", "leased", "waiting", "shed", "timeouts", "lost", "alarms"):
            pool.add_metric([name], getattr(stats, name))
        yield pool
        state = GaugeMetricFamily("facelab_degraded", "Active fallbacks", labels=["fallback"])
        active = self.degradation.active()
        for row in self.degradation.matrix.entries:
            state.add_metric([row.name], float(row.name in active))
        yield state
        yield from self._workers(CounterMetricFamily)
        yield GaugeMetricFamily("facelab_resident_bytes", "Resident memory", value=rss_bytes())
        yield from self._releases(GaugeMetricFamily)

    def _workers(self, family: Callable[..., Any]) -> Iterator[Any]:
        if (report := self.degradation.workers()) is None:
            return
        inputs = family("facelab_inputs", "Inputs of workers by outcome", labels=["outcome"])
        for name in ("answered", "failed", "lost", "refused", "recovered"):
            inputs.add_metric([name], getattr(report, name))
        yield inputs
        faults = family("facelab_worker_faults", "Faults of workers", labels=["cause"])
        for cause, n in report.causes.items():
            faults.add_metric([cause], n)
        yield faults

    def _releases(self, family: Callable[..., Any]) -> Iterator[Any]:
        slots = {"stable": self.emotion} if isinstance(self.emotion, ModelSlot) else {}
        if isinstance(self.emotion, Canary):
            slots = self.emotion.slots
            stopped = float(self.emotion.stopped is not None)
            yield family(
                "facelab_canary_stopped", "Whether the candidate was stopped", value=stopped
            )
            ratio = self.emotion.rollout.ratio
            yield family("facelab_canary_ratio", "Share of the candidate", value=ratio)
        serving = family("facelab_release", "The release that serves", labels=["version", "hash"])
        swaps = family("facelab_swaps", "Swaps of the model", labels=["version", "accepted"])
        for version, slot in slots.items():
            if slot.release is not None:
                serving.add_metric([version, slot.release.hash[:16]], 1)
            for accepted in (True, False):
                n = sum(s.accepted is accepted for s in tuple(slot.swaps))
                swaps.add_metric([version, str(accepted).lower()], n)
        yield serving
        yield swaps
