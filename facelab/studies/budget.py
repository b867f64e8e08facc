"""Notebook 15: which models fit a small device, how well latency is predicted, and what holds a process to a budget."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facelab import budget
from facelab.budget import internals as budget_internals
from facelab.budget.internals import DeviceModel, measure_device
from facelab.core import fresh
from facelab.core.errors import BadInputError
from facelab.core.machine import rss_bytes
from facelab.core.result import Result
from facelab.zoo import find, load_catalogue
from facelab.zoo.internals import ModelEntry, require
from facelab.zoo.runtimes import open_model

SIDE = 320
"""Pixels per side of a picture for nets that take any size."""
SAME_NET = (
    "mini-xception-107",
    "mini-xception-70",
    "mini-xception-41",
    "mini-xception-10",
    "mini-xception-00",
)
"""Trained from another start, the same graph as mini-xception-102: counted once."""


def model_file(name: str) -> Path:
    """Return the file of a model: a path, or a catalogue name whose file is on this machine."""
    path = Path(name)
    if path.suffix.lower() in (".onnx", ".tflite") or path.exists():
        return path
    return require(load_catalogue().model(name))


def shapes_for(path: Path, side: int = SIDE) -> dict[str, tuple[int, ...]]:
    """Return shapes for inputs that a file leaves open: one picture of `side` × `side` pixels, three channels."""
    try:
        budget.cost_of(path, known=True)
    except BadInputError as e:
        name, found, sides = (e.fix or "").removeprefix("give its shape: --input ").partition("=")
        if not found:
            raise
        axes = sides.split(",")
        channels = 1 if len(axes) == 4 and axes[-1] != "3" else None
        given = [
            1 if k == 0 else 3 if k == channels and a == "N" else side if a == "N" else int(a)
            for k, a in enumerate(axes)
        ]
        return {name: tuple(given)}
    return {}


@dataclass(frozen=True)
class Counted:
    """A catalogue model that is here: its entry, file, and cost."""

    entry: ModelEntry
    path: Path
    cost: budget_internals.ModelCost


def counted() -> list[Counted]:
    """Count every ONNX and TFLite model of the catalogue that is on this machine, one per distinct net."""
    out = []
    for entry in load_catalogue().entries:
        found = find(entry) if not entry.parts and entry.runtime in ("onnx", "litert") else None
        if found is None or entry.name in SAME_NET:
            continue
        if found.path.suffix in (".onnx", ".tflite"):
            out.append(
                Counted(
                    entry,
                    found.path,
                    budget.cost_of(found.path, shapes_for(found.path), known=True),
                )
            )
    return out


@dataclass(frozen=True)
class FitTable(Result):
    """Which models fit a device: one row per model, in the catalogue's order; every latency is modelled."""

    device: str
    memory_mb: float
    predictions: tuple[budget_internals.Prediction, ...]
    names: tuple[str, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per model."""
        out = []
        for name, p in zip(self.names, self.predictions):
            row = p.rows()[0]
            row |= {"model": name, "unknown": ", ".join(sorted(p.missing)) or None}
            out.append({k: v for k, v in row.items() if k != "device"})
        return out

    def count(self, fits: bool | None) -> int:
        """Return how many models fit, do not, or cannot be judged (None)."""
        return sum(p.fits is fits for p in self.predictions)


def fit_table(models: Sequence[Counted], device: DeviceModel) -> FitTable:
    """Predict every model on a device."""
    found = tuple(budget.predict(m.cost, device) for m in models)
    names = tuple(m.entry.name for m in models)
    return FitTable(device.name, device.memory_mb or 0.0, found, names)


def timed(models: Sequence[Counted], most: int) -> list[Counted]:
    """Return the float ONNX models with one input that the comparison runs on, spread over the families."""
    chosen = []
    for m in models:
        whole = m.cost.complete and all(op.dtype != "int8" for op in m.cost.operators)
        if m.path.suffix == ".onnx" and whole:
            chosen.append(m)
    families: dict[str, list[Counted]] = {}
    for m in chosen:
        families.setdefault(m.entry.family, []).append(m)
    turns = [m for k in range(len(chosen)) for f in families.values() for m in f[k : k + 1]]
    return turns[:most]


def call_of(model: Counted) -> Callable[[], object]:
    """Open a model on one thread and return its bare run on a random picture."""
    opened = open_model(model.path, threads=1, made_here=True)  # the catalogue's hash was verified
    (entry,) = opened.inputs
    known = shapes_for(model.path).get(entry.name)
    shape = known or tuple(n or 1 for n in entry.shape)
    picture = np.random.default_rng(0).random(shape, dtype=np.float32)
    session, feed = opened.handle, {entry.name: picture}
    return lambda: session.run(None, feed)


LEAST_MODELS = 8
"""Models from which on a median error is judged."""


@dataclass(frozen=True)
class Compared:
    """One model: predicted and measured seconds, the interval from the other families, and a one-rate prediction."""

    name: str
    family: str
    predicted_s: float
    measured_s: float
    lo_s: float
    hi_s: float
    data_sheet_s: float

    @property
    def error(self) -> float:
        """The share by which the prediction is off."""
        return abs(self.predicted_s / self.measured_s - 1)

    @property
    def inside(self) -> bool:
        """Whether the measurement is in the interval."""
        return self.lo_s <= self.measured_s <= self.hi_s


@dataclass(frozen=True)
class Comparison(Result):
    """Predictions against measurements; the device's rates come from operators, and never from a compared model."""

    device: DeviceModel
    models: tuple[Compared, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per model, milliseconds."""
        return [
            {
                "model": m.name,
                "measured ms": m.measured_s * 1e3,
                "predicted ms": m.predicted_s * 1e3,
                "lo ms": m.lo_s * 1e3,
                "hi ms": m.hi_s * 1e3,
                "error": m.error,
                "MACs / best rate ms": m.data_sheet_s * 1e3,
            }
            for m in self.models
        ]

    @property
    def enough(self) -> bool:
        """Whether there are enough models for a median error to say something; no mirror, and there are three."""
        return len(self.models) >= LEAST_MODELS

    @property
    def median_error(self) -> float:
        """The median error over all models."""
        return float(np.median([m.error for m in self.models]))

    @property
    def family_error(self) -> float:
        """The median over families of each family's median error: siblings count once."""
        families = sorted({m.family for m in self.models})
        errors = [[m.error for m in self.models if m.family == f] for f in families]
        return float(np.median([np.median(e) for e in errors]))

    @property
    def data_sheet_error(self) -> float:
        """The median error of MACs over the best rate."""
        return float(np.median([abs(m.data_sheet_s / m.measured_s - 1) for m in self.models]))

    @property
    def inside(self) -> float:
        """The share of measurements in their intervals."""
        return float(np.mean([m.inside for m in self.models]))


def compare(models: Sequence[Counted], *, rounds: int, seed: int = 0) -> Comparison:
    """Measure this machine's operators and the models in the same rounds, and compare prediction with measurement.

    The rates are fitted on chains of single operators. A model's interval is its prediction times the 5 % and 95 %
    quantiles of measured / predicted over the models of other families.
    """
    calls = {m.entry.name: call_of(m) for m in models}
    measured = measure_device(rounds=rounds, seed=seed, along=calls)
    best = max(p.macs / p.seconds for p in measured.points if p.macs)
    found = []
    for m in models:
        predicted = budget.predict(m.cost, measured.device).latency_s
        if predicted is not None:
            seconds = float(np.median(measured.seconds[m.entry.name]))
            found.append((m, predicted, seconds))
    out = []
    for m, predicted, seconds in found:
        others = [s / p for o, p, s in found if o.entry.family != m.entry.family]
        low, high = np.quantile(others, (0.05, 0.95)) if others else measured.device.spread
        out.append(
            Compared(
                m.entry.name,
                m.entry.family,
                predicted,
                seconds,
                predicted * float(low),
                predicted * float(high),
                m.cost.macs / best,
            )
        )
    return Comparison(measured.device, tuple(out))


def load_peak(path: str) -> dict[str, int]:
    """Return bytes of resident memory before, at the worst moment of, and after loading an ONNX file; runs alone."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    before = rss_bytes()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    from facelab.core.machine import peak_rss_bytes

    return {
        "before": before,
        "peak": peak_rss_bytes(),
        "after": rss_bytes(),
        "kept": len(session.get_outputs()),
    }


@dataclass(frozen=True)
class LoadTable(Result):
    """What loading adds to a process at its worst moment, in MB: measured, and modelled from the other families."""

    names: tuple[str, ...]
    weights_mb: tuple[float, ...]
    measured_mb: tuple[float, ...]
    modelled_mb: tuple[float, ...]
    before_mb: float
    factor: float

    @property
    def median_error(self) -> float:
        """The median share by which the model is off."""
        pairs = zip(self.modelled_mb, self.measured_mb)
        return float(np.median([abs(a / b - 1) for a, b in pairs]))

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per model."""
        columns = zip(self.names, self.weights_mb, self.measured_mb, self.modelled_mb)
        return [
            {"model": n, "weights MB": w, "peak added MB": m, "modelled MB": p}
            for n, w, m, p in columns
        ]


def load_table(models: Sequence[Counted]) -> LoadTable:
    """Measure the peak of loading in fresh processes. Each is modelled by a line through the other families' points.

    Where all are of one family, the line goes through the other models' points.
    """
    peaks = [_peak(m.path) for m in models]
    weights = np.array([m.cost.weight_bytes / 1e6 for m in models])
    added = np.array([(p["peak"] - p["before"]) / 1e6 for p in peaks])
    modelled = []
    one_family = len({m.entry.family for m in models}) == 1
    for m, w in zip(models, weights):
        apart = [o is not m if one_family else o.entry.family != m.entry.family for o in models]
        others = np.array(apart)
        line = _line(weights[others], added[others])
        modelled.append(float(line[0] + line[1] * w))
    before = float(np.median([p["before"] for p in peaks])) / 1e6
    names = tuple(m.entry.name for m in models)
    factor = _line(weights, added)[1]
    return LoadTable(
        names, tuple(weights.tolist()), tuple(added.tolist()), tuple(modelled), before, factor
    )


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return (offset, slope) by least relative squares, neither negative."""
    from scipy.optimize import nnls

    found, _ = nnls(np.stack([np.ones_like(x), x], 1) / y[:, None], np.ones_like(y))
    return float(found[0]), float(found[1])


def _peak(path: Path) -> dict[str, int]:
    return fresh.call("facelab.studies.budget:load_peak", os.fspath(path), threads=1).value


COMMANDS = {
    "well behaved": "x = bytearray(20 << 20)",
    "eats memory": "x = [bytearray(1 << 20) for _ in range(300)]",
    "eats memory below": "import subprocess, sys\n"
    "subprocess.run([sys.executable, '-c', 'x = [bytearray(1 << 20) for _ in range(300)]'])",
    "ends itself with signal 9": "import os; os.kill(os.getpid(), 9)",
    "exit code 137": "raise SystemExit(137)",
    "computes without end": "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass",
}
"""What runs under the budget, and how it behaves."""


@dataclass(frozen=True)
class HeldTable(Result):
    """Reports of commands under one budget, by what they do."""

    reports: dict[str, budget_internals.BudgetReport]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per command."""
        out = []
        for name, r in self.reports.items():
            row = {
                "command": name,
                "end": r.end,
                "peak MB": r.memory_bytes / 1e6,
                "cores used": r.cpu_share,
            }
            row |= {h.limit: h.mechanism or "nothing" for h in r.held if h.limit != "watts"}
            out.append(row)
        return out

    @property
    def told_apart(self) -> bool:
        """Whether each kill for memory, and nothing else, is called so; None is not possible with control groups."""
        ends = {name: r.end for name, r in self.reports.items()}
        killed = {name for name, end in ends.items() if "for memory" in end}
        return killed == {"eats memory", "eats memory below"}

    @property
    def by_groups(self) -> bool:
        """Whether control groups held the memory."""
        return all("cgroup" in (r.held[0].mechanism or "") for r in self.reports.values())


def held_table(limits: budget.Budget) -> HeldTable:
    """Run commands that keep to the budget, break it, and only look as if they had."""
    reports = {}
    for name, source in COMMANDS.items():
        reports[name] = budget.run([sys.executable, "-I", "-S", "-c", source], limits, timeout_s=60)
    return HeldTable(reports)
