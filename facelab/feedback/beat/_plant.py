"""A device that warms up: two thermal masses, and the loop of beat and temperature on it.

This is a model (`method="model"`): its constants are those of a small board with a heat sink, not measured ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from facelab.core.result import Result
from facelab.feedback.beat._laws import AdaptiveBeat, interval_ms


@dataclass(frozen=True)
class ThermalPlant:
    """Two thermal masses in a Foster chain.

    Parameters
    ----------
    fast_k_per_w, fast_j_per_k
        Thermal resistance and capacity of the chip.
    slow_k_per_w, slow_j_per_k
        Those of the heat sink.
    ambient_c
        Temperature around.
    idle_w
        Power without beats.
    beat_j
        Energy of one beat.
    """

    fast_k_per_w: float = 3.0
    fast_j_per_k: float = 1.7
    slow_k_per_w: float = 8.0
    slow_j_per_k: float = 40.0
    ambient_c: float = 30.0
    idle_w: float = 2.6
    beat_j: float = 0.12

    def power_w(self, ms: float) -> float:
        """Return the power while beats come every `ms` milliseconds."""
        return self.idle_w + self.beat_j / (ms / 1000.0)

    def steady_c(self, ms: float) -> float:
        """Return the temperature after a long time with this interval."""
        return self.ambient_c + (self.fast_k_per_w + self.slow_k_per_w) * self.power_w(ms)

    def decay(self, dt_s: float) -> tuple[float, float]:
        """Return the share of both masses' excess temperature that is left after a step, exactly."""
        return (
            math.exp(-dt_s / (self.fast_k_per_w * self.fast_j_per_k)),
            math.exp(-dt_s / (self.slow_k_per_w * self.slow_j_per_k)),
        )


@dataclass(frozen=True)
class Margins(Result):
    """How far a loop is from oscillating, linearised where it settles.

    Parameters
    ----------
    formula
        Its name.
    delay_s
        Delay of sensor and actuator together.
    celsius, interval_ms
        Where the loop settles.
    loop_gain
        At frequency 0; negative feedback counts positive.
    gain_margin
        Times that the gain may grow; infinite where no growth makes it oscillate.
    phase_margin_deg
        Degrees; infinite where the gain is below 1 everywhere.
    """

    formula: str
    delay_s: float
    celsius: float
    interval_ms: float
    loop_gain: float
    gain_margin: float
    phase_margin_deg: float


def settle(formula: str, plant: ThermalPlant, fps: float = 60.0) -> tuple[float, float]:
    """Return (°C, ms) where formula and plant agree, by bisection on the interval."""
    low, high = 50.0, 500.0

    def excess(ms: float) -> float:
        return interval_ms(plant.steady_c(ms), fps, formula) - ms

    if excess(low) <= 0:
        return plant.steady_c(low), low
    if excess(high) >= 0:
        return plant.steady_c(high), high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return plant.steady_c(low), low


def margins(
    formula: str,
    plant: ThermalPlant | None = None,
    *,
    delay_s: float = 1.0,
    fps: float = 60.0,
    tau_s: float = 0.0,
) -> Margins:
    """Return the stability margins of a formula on a plant (python-control; the delay as a Padé fraction).

    Parameters
    ----------
    formula
        A name of `FORMULAS`.
    plant
        The device.
    delay_s
        Delay of sensor and actuator together, 0 to 60.
    fps
        Frame rate, by an independent clock.
    tau_s
        Time constant with which the temperature is smoothed; 0 for none.
    """
    import control

    plant = plant or ThermalPlant()
    celsius, ms = settle(formula, plant, fps)
    step = 1.0  # °C: the coded formula cuts to whole milliseconds
    slope = interval_ms(celsius + step, fps, formula) - interval_ms(celsius - step, fps, formula)
    per_degree_s = slope / (2 * step) / 1000.0
    watts_per_s = plant.beat_j / (ms / 1000.0) ** 2
    gain = per_degree_s * watts_per_s
    loop_gain = gain * (plant.fast_k_per_w + plant.slow_k_per_w)
    if loop_gain == 0:
        return Margins(formula, delay_s, celsius, ms, 0.0, math.inf, math.inf)
    fast: Any = control.tf([plant.fast_k_per_w], [plant.fast_k_per_w * plant.fast_j_per_k, 1])
    slow: Any = control.tf([plant.slow_k_per_w], [plant.slow_k_per_w * plant.slow_j_per_k, 1])
    smoothed: Any = control.tf([1], [tau_s, 1])
    loop = gain * (fast + slow) * smoothed
    if delay_s > 0:
        loop = loop * control.tf(*control.pade(delay_s, 6))
    gain_margin, phase_margin, *_ = control.margin(loop)
    return Margins(
        formula, delay_s, celsius, ms, loop_gain, float(gain_margin), float(phase_margin)
    )


@dataclass(frozen=True)
class LoopRun(Result):
    """A law on the modelled plant, with a sensor of 1 °C steps: its last third, when warming up is over.

    Parameters
    ----------
    law
        Its name in `LAWS`.
    times_s, celsius, interval_ms
        (n,) of the whole run; `celsius` is the true temperature.
    changes_per_minute
        How often the interval changed by a millisecond or more.
    swing_ms, swing_c
        Largest minus smallest interval and temperature.
    mean_c
        Mean temperature.
    """

    law: str
    times_s: np.ndarray
    celsius: np.ndarray
    interval_ms: np.ndarray
    changes_per_minute: float
    swing_ms: float
    swing_c: float
    mean_c: float


def _relay(hot_c: float, cool_c: float) -> Callable[[], Callable[[float, float], float]]:
    def make() -> Callable[[float, float], float]:
        state = {"hot": False}

        def law(time_s: float, celsius: float) -> float:
            state["hot"] = celsius > (cool_c if state["hot"] else hot_c)
            return 500.0 if state["hot"] else 50.0

        return law

    return make


def _formula(name: str) -> Callable[[], Callable[[float, float], float]]:
    def make() -> Callable[[float, float], float]:
        def law(time_s: float, celsius: float) -> float:
            return interval_ms(celsius, 60.0, name)

        return law

    return make


def _steady() -> Callable[[float, float], float]:
    beat = AdaptiveBeat()

    def law(time_s: float, celsius: float) -> float:
        return beat.update(time_s, celsius, 60.0)

    return law


LAWS: dict[str, Callable[[], Callable[[float, float], float]]] = {
    "coded formula": _formula("coded"),
    "relay at 65 °C": _relay(65.0, 65.0),
    "relay, 5 °C hysteresis": _relay(65.0, 60.0),
    "corrected formula": _formula("corrected"),
    "smoothed + dead band": _steady,
}
"""Name → maker of a law (seconds, sensed °C) → ms. The relay is the source text's flow chart."""


def simulate(
    law: str,
    plant: ThermalPlant | None = None,
    *,
    seconds: float = 3000.0,
    poll_s: float = 1.0,
    sensor_step_c: float = 1.0,
    noise_c: float = 0.3,
    seed: int = 0,
) -> LoopRun:
    """Run a law on the modelled plant.

    Parameters
    ----------
    law
        A name of `LAWS`.
    plant
        The device.
    seconds
        Length.
    poll_s
        How often the sensor is read.
    sensor_step_c
        Resolution of the sensor; it rounds down.
    noise_c
        Standard deviation of what it reads.
    seed
        Of the noise.

    Returns
    -------
    LoopRun
        Modelled, not measured.
    """
    plant, rng = plant or ThermalPlant(), np.random.default_rng(seed)
    decide = LAWS[law]()
    n = int(seconds / poll_s)
    fast, slow = plant.decay(poll_s)
    a = b = 0.0
    times, true, ms = np.arange(n) * poll_s, np.empty(n), np.empty(n)
    for k in range(n):
        true[k] = plant.ambient_c + a + b
        sensed = math.floor((true[k] + rng.normal(0, noise_c)) / sensor_step_c) * sensor_step_c
        ms[k] = decide(float(times[k]), sensed)
        power = plant.power_w(ms[k])
        a = power * plant.fast_k_per_w + (a - power * plant.fast_k_per_w) * fast
        b = power * plant.slow_k_per_w + (b - power * plant.slow_k_per_w) * slow
    tail = slice(2 * n // 3, None)
    changes = int((np.abs(np.diff(ms[tail])) >= 1.0).sum())
    minutes = (n - 2 * n // 3) * poll_s / 60.0
    return LoopRun(
        law, times, true, ms, changes / minutes,
        float(np.ptp(ms[tail])), float(np.ptp(true[tail])), float(true[tail].mean()),
    )  # fmt: skip


def compare_laws(plant: ThermalPlant | None = None, **options: Any) -> list[LoopRun]:
    """Return a run of every law of `LAWS`; options are those of `simulate`."""
    return [simulate(name, plant, **options) for name in LAWS]
