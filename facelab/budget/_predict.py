"""Latency, memory and power of a model on a device, from the model's operators and the device's rates. Modelled."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from facelab.budget._device import DeviceModel
from facelab.budget.model._cost import ModelCost
from facelab.core.result import Result


@dataclass(frozen=True)
class Prediction(Result):
    """What a device model says about a model. Every figure is modelled, none measured.

    Attributes
    ----------
    model, device : str
        Their names.
    latency_s : float or None
        One call; None where an operator's time is unknown.
    lo_s, hi_s : float or None
        The interval that the device's `spread` gives.
    by_work : dict
        {class of work: seconds}.
    load_peak_bytes, run_bytes : int
        Memory of the process while it loads the model, and while it runs it.
    fits : bool or None
        Whether both stay within the device's memory; None where it states none.
    watts, joules : float or None
        Modelled power when calls follow each other, and modelled energy of one call.
    missing : dict
        {what has no rate or no known cost: how many operators}.
    """

    model: str
    device: str
    latency_s: float | None
    lo_s: float | None
    hi_s: float | None
    by_work: dict[str, float]
    load_peak_bytes: int
    run_bytes: int
    fits: bool | None
    watts: float | None
    joules: float | None
    missing: dict[str, int]
    method: str = "model"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row with the figures in ms, MB, W and mJ."""
        return [
            {
                "model": self.model,
                "device": self.device,
                "latency ms": _scaled(self.latency_s, 1e3),
                "lo ms": _scaled(self.lo_s, 1e3),
                "hi ms": _scaled(self.hi_s, 1e3),
                "load peak MB": self.load_peak_bytes / 1e6,
                "run MB": self.run_bytes / 1e6,
                "fits": self.fits,
                "watts (modelled)": self.watts,
                "mJ per call (modelled)": _scaled(self.joules, 1e3),
            }
        ]


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def predict(cost: ModelCost, device: DeviceModel) -> Prediction:
    """Predict latency, memory and power of one call of a model on a device.

    Parameters
    ----------
    cost : ModelCost
        Of `cost_of`.
    device : DeviceModel
        Of `load_device`, `example_device` or `measure_device`.

    Returns
    -------
    Prediction
        `latency_s` is None, and `missing` says why, where an operator's cost or the device's rate for it is unknown.

    Examples
    --------
    >>> from facelab.budget import example_device
    >>> from facelab.budget.internals import ModelCost
    >>> nothing = ModelCost("empty.onnx", "onnx", (), 0, 0, 0, 0, 0, 0, {}, ())
    >>> predict(nothing, example_device()).latency_s
    0.0002
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    missing: Counter[str] = Counter()
    for op in cost.operators:
        if op.fused and not op.macs:
            continue
        work = device.work_of(op.work, op.channels)
        rate = device.rate(work, op.dtype)
        if op.macs is None or op.bytes is None:
            missing[f"cost of {op.kind}"] += 1
        elif op.work == "view":
            continue
        elif rate is None:
            missing[f"rate for {work} in {op.dtype}"] += 1
        else:
            seconds[work] += rate.seconds(op.macs, op.bytes)
    if not missing and cost.unknown:
        missing.update(cost.unknown)
    total = None if missing else device.call_overhead_s + sum(seconds.values())
    low, high = (None if total is None else total * f for f in device.spread)
    return _with_memory(cost, device, (total, low, high), dict(seconds), dict(missing))


def _with_memory(
    cost: ModelCost,
    device: DeviceModel,
    times: tuple[float | None, float | None, float | None],
    seconds: dict[str, float],
    missing: dict[str, int],
) -> Prediction:
    base = round(device.base_mb * 1e6)
    load = base + round(device.load_factor * cost.weight_bytes)
    run = base + cost.weight_bytes + cost.arena_bytes
    fits = None if device.memory_mb is None else max(load, run) <= device.memory_mb * 1e6
    if missing and fits and any(name.startswith("cost") or "unknown" in name for name in missing):
        fits = None
    watts = device.watts(1.0)
    joules = None if watts is None or times[0] is None else watts * times[0]
    return Prediction(
        cost.name, device.name, *times, seconds, load, run, fits, watts, joules, missing
    )


def describe(
    cost: ModelCost,
    found: Prediction,
    device: DeviceModel,
    *,
    operators: bool = False,
) -> str:
    """Return a prediction for a terminal.

    Parameters
    ----------
    cost : ModelCost
        The costs of the model.
    found : Prediction
        What a detector found.
    device : DeviceModel
        The device model.
    operators : bool
        Whether each operator has a row.

    Returns
    -------
    str
        A prediction for a terminal.
    """
    lines = [
        f"{cost.name}: {cost.macs / 1e6:.4g} million MACs, {cost.bytes / 1e6:.4g} MB moved, weights "
        f"{cost.weight_bytes / 1e6:.4g} MB, activations {cost.arena_bytes / 1e6:.4g} MB",
        f"on {device.name} ({device.source}); every figure below is modelled",
    ]
    if found.latency_s is None:
        missing = ", ".join(f"{k} ({n})" for k, n in found.missing.items())
        lines.append(f"latency: cannot be determined, for want of: {missing}")
    else:
        low, high = (v * 1e3 for v in (found.lo_s or 0, found.hi_s or 0))
        lines.append(
            f"latency: {found.latency_s * 1e3:.3g} ms, between {low:.3g} and {high:.3g} ms"
        )
        parts = sorted(found.by_work.items(), key=_by_time)
        shown = [
            *parts[:6],
            ("others", sum(v for _, v in parts[6:])),
            ("call", device.call_overhead_s),
        ]
        lines.append("  " + ", ".join(f"{k} {v * 1e3:.3g} ms" for k, v in shown if v))
    fits = {True: "fits", False: "does not fit", None: "whether it fits cannot be determined"}
    of = f" of {device.memory_mb:g} MB" if device.memory_mb else ""
    lines.append(
        f"memory: {found.load_peak_bytes / 1e6:.3g} MB while loading, {found.run_bytes / 1e6:.3g} MB running{of}: "
        + fits[found.fits]
    )
    if found.watts is not None:
        energy = "" if found.joules is None else f", {found.joules * 1e3:.3g} mJ per call"
        lines.append(f"power: {found.watts:.3g} W modelled while it runs without pause{energy}")
    lines += [f"note: {n}" for n in cost.notes]
    if operators:
        lines += [
            f"{op.index:>4}  {op.kind:<22} {op.work:<16} {_shown(op.macs)} MACs {_shown(op.bytes)} bytes"
            for op in cost.operators
        ]
    return "\n".join(lines)


def _by_time(part: tuple[str, float]) -> float:
    return -part[1]


def _shown(value: int | None) -> str:
    return "?" if value is None else f"{value:>12,}"
